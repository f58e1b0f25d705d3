//! One run of an agent, whichever it is: cell, proxy, conversation, confirmed kill, report.
//!
//! Everything that must hold whatever the agent does is here. The agent is inside the cell from its first instruction
//! to its last; its only way out is the proxy's port, which is given back when nothing of the run is alive any more
//! (sandbox.md Network, Killing).

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox::{Cell, CellEnd, CellLimits, CellSpec, Needs, OutputStream, Program, Running, Sandbox};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::acp::Acp;
use crate::builtin::Builtin;
use crate::command::Command;
use crate::driver::{Driver, Launch, Said, Streams, tell};
use crate::endpoint::Endpoint;
use crate::launcher::Launcher;
use crate::outcome::{broken_off, report};
use crate::proxy::{Budget, Patience, Proxy};
use crate::text::Tail;
use crate::{Api, BrokenOff, CodingAgent, Error, Progress, Report, Task};

/// How long an agent may take to end by itself once it was asked to, or its budget is gone. Long enough for a last
/// message, short enough that a person who stopped it does not wait.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long a program may take to exit once it has said that it is done. Some never do (agents-and-tools.md 1,
/// Killing), so this is added to each of their runs.
const EXIT_WAIT: Duration = Duration::from_secs(2);

/// How long the rest of the output is read when nothing of the run is alive any more; it is in the pipes already.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(5);

/// The size of one read of an agent's standard error.
const READ_BYTES: usize = 16 * 1024;

/// A coding agent that works inside the sandbox.
pub struct Sandboxed {
    sandbox: Sandbox,
    executable: PathBuf,
    endpoint: Arc<Endpoint>,
    patience: Patience,
    driver: Box<dyn Driver>,
}

/// Which agent it is.
#[derive(Debug, Clone)]
pub enum BackEnd {
    /// The one that comes with the product, asking its model by this API.
    Builtin(Api),
    /// One of others that speaks the Agent Client Protocol.
    Acp(Launcher),
    /// One of others that does one task and ends.
    Command(Launcher),
}

impl Sandboxed {
    /// An agent that works in cells of `sandbox`; `executable` is our own.
    ///
    /// Fails with [`Error::Client`] when the endpoint's settings cannot be used: a header that is none, for instance.
    pub fn new(
        sandbox: Sandbox,
        executable: PathBuf,
        endpoint: Endpoint,
        back_end: BackEnd,
    ) -> Result<Self, Error> {
        endpoint.check()?;
        let driver: Box<dyn Driver> = match back_end {
            BackEnd::Builtin(api) => Box::new(Builtin::new(api)),
            BackEnd::Acp(launcher) => Box::new(Acp::new(launcher)),
            BackEnd::Command(launcher) => Box::new(Command::new(launcher)),
        };
        Ok(Self {
            sandbox,
            executable,
            endpoint: Arc::new(endpoint),
            patience: Patience::default(),
            driver,
        })
    }

    /// The same agent with other patience with its model than the default one.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    async fn build_cell(&self, task: &Task) -> Result<(Cell, Option<u16>), Error> {
        let mut needs = self.driver.needs();
        if needs.private_port.is_some() {
            needs.private_port = Some(free_port()?);
        }
        let private_port = needs.private_port;
        let cell = self.sandbox.cell(CellSpec {
            work_tree: task.work_tree.clone(),
            home: task.home.clone(),
            tmp: task.tmp.clone(),
            read_paths: self.driver.read_paths(),
            needs,
            model_listener: true,
            limits: CellLimits {
                wall: task.limits.wall,
                ..task.limits.cell
            },
        });
        Ok((cell.await?, private_port))
    }

    /// The endpoint with the task's model.
    fn endpoint_for(&self, task: &Task) -> Arc<Endpoint> {
        let Some(model) = &task.model else {
            return Arc::clone(&self.endpoint);
        };
        Arc::new(Endpoint {
            model: model.name.clone(),
            prices: model.prices,
            effort: model.effort,
            ..(*self.endpoint).clone()
        })
    }

    /// Works in a cell that stands. The proxy outlives everything in it, also where this fails or is dropped.
    async fn work(
        &self,
        task: &Task,
        mut cell: Cell,
        private_port: Option<u16>,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Report, BrokenOff> {
        let listener = cell.take_listener().ok_or_else(|| Error::Client {
            reason: "the sandbox has no port for the model".to_owned(),
        })?;
        // A second hold on the port, for the case that nobody can say whether the run is dead.
        let port = listener.try_clone().map_err(|error| Error::Client {
            reason: format!("the port for the model cannot be held: {error}"),
        })?;
        let budget = Budget {
            turns: task.limits.turns,
            tokens: task.limits.tokens,
            usd: task.limits.usd,
        };
        let endpoint = self.endpoint_for(task);
        let (asked, run) = (Arc::clone(&endpoint), task.run.clone());
        let proxy = Proxy::start_with(listener, asked, budget, run, self.patience)?;
        let launch = Launch {
            task,
            base_url: format!("http://127.0.0.1:{}", proxy.addr().port()),
            key: proxy.key().to_owned(),
            model: &endpoint.model,
            provider: endpoint.provider,
            executable: &self.executable,
            stop: CancellationToken::new(),
            private_port,
        };
        let program = self.driver.prepare(&launch).await?;
        let running = start(cell, program).await?;
        let attended = self.attend(&launch, running, &proxy, progress).await;
        let proxy_end = proxy.stop().await;
        let (said, cell_end, stderr) = match attended {
            Ok(attended) => attended,
            Err(error) => {
                if error.may_live_on() {
                    // Whoever got the port next could be asked by what is left of this run.
                    std::mem::forget(port);
                }
                return Err(broken_off(error, proxy_end));
            }
        };
        // Logged, and never believed: agents exit 0 on a refused key (agents-and-tools.md 1).
        tracing::info!(
            run.id = %task.run, agent = self.driver.name(), ?cell_end, usage = ?proxy_end.usage,
            errors = proxy_end.errors, refused = proxy_end.refused, "the agent has ended"
        );
        tracing::debug!(run.id = %task.run, stderr, "what the agent wrote to its standard error");
        report(said, stderr, cell_end, proxy_end, task.cancel.is_cancelled())
    }

    /// Lets the agent work to its end, which comes by itself, at a limit or when it is stopped; returns when nothing
    /// of it is alive any more.
    async fn attend(
        &self,
        launch: &Launch<'_>,
        mut running: Running,
        proxy: &Proxy,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<(Said, CellEnd, String), Error> {
        let stdout = running.stdout.take().ok_or_else(|| Error::Client {
            reason: "the sandbox gave no output to read".to_owned(),
        })?;
        let streams = Streams {
            stdin: running.stdin.take(),
            stdout,
        };
        let (kill, dead) = (CancellationToken::new(), CancellationToken::new());
        let stderr = last_words(running.stderr.take(), &dead);
        let conversation = async {
            let mut driven = pin!(self.driver.drive(launch, streams, progress));
            let said = tokio::select! {
                said = &mut driven => Some(said),
                () = asked_to_stop(launch, proxy) => None,
                () = dead.cancelled() => None,
            };
            if said.is_some() {
                // What it has not read or written by now it will not.
                let _exits = tokio::time::timeout(EXIT_WAIT, dead.cancelled()).await;
            }
            kill.cancel();
            if let Some(said) = said {
                return said;
            }
            dead.cancelled().await;
            let rest = tokio::time::timeout(LAST_WORDS_WAIT, driven).await;
            rest.unwrap_or_else(|_| Ok(Said::default()))
        };
        let ending = async {
            let end = running.ended(&kill).await;
            dead.cancel();
            end
        };
        let both = async { tokio::join!(ending, conversation, stderr) };
        let (end, said, stderr) = tokio::select! {
            all = both => all,
            never = tell_usage(proxy, progress) => match never {},
        };
        match end.map_err(Error::Command) {
            // Goes before whatever was said: nobody may act as if the run were over.
            Err(alive) if alive.may_live_on() => Err(alive),
            end => Ok((said?, end?, stderr)),
        }
    }
}

#[async_trait]
impl CodingAgent for Sandboxed {
    fn name(&self) -> &str {
        self.driver.name()
    }

    fn needs(&self) -> Needs {
        self.driver.needs()
    }

    fn read_paths(&self) -> Vec<PathBuf> {
        self.driver.read_paths()
    }

    async fn run(&self, task: Task, progress: mpsc::Sender<Progress>) -> Result<Report, BrokenOff> {
        let (cell, private_port) = tokio::select! {
            biased;
            () = task.cancel.cancelled() => return Ok(Report::cancelled()),
            built = self.build_cell(&task) => built?,
        };
        self.work(&task, cell, private_port, &progress).await
    }
}

/// A port that is free now. Another program may take it before the agent does; the agent then says so.
fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = bound.map_err(|error| Error::Client {
        reason: format!("there is no free port for the agent: {error}"),
    })?;
    Ok(address.port())
}

async fn start(cell: Cell, program: Program) -> Result<Running, Error> {
    let name = program.program.to_string_lossy().into_owned();
    cell.start(program).await.map_err(|error| match error {
        // The kinds of ENOENT, EACCES and ENOEXEC: the installation is at fault, not this machine.
        sandbox::Error::Start { source, .. }
            if matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) || source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) =>
        {
            Error::Missing {
                program: name,
                reason: source.to_string(),
            }
        }
        error => Error::Command(error),
    })
}

/// Returns when the agent has to go and has had its time to go by itself.
async fn asked_to_stop(launch: &Launch<'_>, proxy: &Proxy) {
    tokio::select! {
        () = launch.task.cancel.cancelled() => {}
        _reason = proxy.cut_off() => {}
        () = proxy.hopeless() => {}
    }
    launch.stop.cancel();
    tokio::time::sleep(STOP_GRACE).await;
}

async fn tell_usage(proxy: &Proxy, progress: &mpsc::Sender<Progress>) -> Infallible {
    let mut usage = proxy.watch();
    while usage.changed().await.is_ok() {
        let used = *usage.borrow_and_update();
        tell(progress, Progress::Usage(used));
    }
    std::future::pending().await
}

/// Reads an output to its end, or until some time after everything that could write to it is dead; keeps the end of it.
async fn last_words(stream: Option<OutputStream>, dead: &CancellationToken) -> String {
    let mut tail = Tail::default();
    let read = async {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            tail.push(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    let over = async {
        dead.cancelled().await;
        tokio::time::sleep(LAST_WORDS_WAIT).await;
    };
    tokio::select! {
        () = read => {}
        () = over => {}
    }
    tail.into_text()
}
