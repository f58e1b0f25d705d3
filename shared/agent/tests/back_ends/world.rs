//! A scripted model, a sandbox, a work tree, and a stand-in agent between them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::{
    BackEnd, CodingAgent as _, Endpoint, Error, Kind, Launcher, Limits, Patience, Progress, Provider, Report,
    Sandboxed, Task, Wanted,
};
use pipeline::ids::RunId;
use sandbox::{Level, Mode, Namespaces, Sandbox, Settings};
use scripted_llm::{Request, Script, ScriptedLlm};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes; a test that reaches it has hung.
const LIMIT: Duration = Duration::from_secs(60);

/// More than any agent here says.
const PROGRESS_MAX: usize = 1000;

pub(crate) const TASK: &str = "Make the file. The word is plum.";

pub(crate) struct World {
    pub(crate) model: ScriptedLlm,
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    pub(crate) limits: Limits,
    pub(crate) cancel: CancellationToken,
    progress: mpsc::Sender<Progress>,
    told: Mutex<mpsc::Receiver<Progress>>,
}

impl World {
    /// A model that answers every question.
    pub(crate) async fn new() -> Self {
        Self::with(json!([{"when": "", "reply": {"text": "Go on."}}])).await
    }

    pub(crate) async fn with(script: Value) -> Self {
        Self::at(script, Mode::Enforce, Namespaces::Auto).await
    }

    /// A model that answers every question, and a sandbox of another level than the strongest.
    pub(crate) async fn at_level(level: Level) -> Self {
        let script = json!([{"when": "", "reply": {"text": "Go on."}}]);
        let world = match level {
            Level::Off => Self::at(script, Mode::Off, Namespaces::Auto).await,
            Level::One => Self::at(script, Mode::Enforce, Namespaces::Never).await,
            Level::Two => Self::at(script, Mode::Enforce, Namespaces::Always).await,
        };
        assert_eq!(world.sandbox.level(), level);
        world
    }

    async fn at(script: Value, mode: Mode, namespaces: Namespaces) -> Self {
        let script = Script::from_value(script).expect("the test's script is valid");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let model = ScriptedLlm::start(listen, script)
            .await
            .expect("loopback is free");
        let dir = tempfile::tempdir().expect("a temporary directory");
        // The user that agents run as has to get through.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("ours");
        for name in ["tree", "home", "tmp"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        let sandbox = Sandbox::start(Settings {
            mode,
            namespaces,
            user: None,
            read_paths: Vec::new(),
            executable: env!("CARGO_BIN_EXE_agent-inner").into(),
        });
        let (progress, told) = mpsc::channel(PROGRESS_MAX);
        Self {
            model,
            dir,
            sandbox: sandbox.await.expect("a sandbox"),
            limits: Limits::new(20, 10_000_000, LIMIT),
            cancel: CancellationToken::new(),
            progress,
            told: Mutex::new(told),
        }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Runs the stand-in that speaks the Agent Client Protocol.
    pub(crate) async fn acp(&self, behaviour: &str) -> Result<Report, Error> {
        let mut command = stand_in("acp", behaviour);
        command.extend(["{base_url}", "{key}", "{model}"].map(str::to_owned));
        self.run(Kind::Acp, command).await
    }

    /// Runs the stand-in that does one task; `task` is the placeholder that it gets it by.
    pub(crate) async fn command(&self, behaviour: &str, task: &str) -> Result<Report, Error> {
        let mut command = stand_in("command", behaviour);
        command.extend(["{base_url}", "{key}", "{model}", task].map(str::to_owned));
        self.run(Kind::Command, command).await
    }

    pub(crate) async fn run(&self, kind: Kind, command: Vec<String>) -> Result<Report, Error> {
        let launcher = Launcher::new(Wanted {
            kind,
            preset: None,
            command,
            read_paths: Vec::new(),
            search_path: "/usr/bin:/bin".into(),
            provider: Provider::OpenAi,
            api: None,
        })?;
        let back_end = match kind {
            Kind::Acp => BackEnd::Acp(launcher),
            Kind::Command => BackEnd::Command(launcher),
        };
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_agent-inner"));
        let agent = Sandboxed::new(self.sandbox.clone(), executable, self.endpoint(), back_end)?;
        let agent = agent.with_patience(Patience {
            tries: 1,
            first_wait: Duration::from_millis(1),
            ..Patience::default()
        });
        let run = agent.run(self.task(), self.progress.clone());
        let ended = tokio::time::timeout(2 * LIMIT, run).await.expect("the run ends");
        ended.map_err(|broken| *broken.error)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            provider: Provider::OpenAi,
            base_url: self.model.base_url(),
            api_key: Some("the-real-key".into()),
            headers: Vec::new(),
            http: agent::http_client(None, None).expect("no special settings"),
            model: "vendor/model-1".to_owned(),
            prices: None,
            effort: None,
        }
    }

    fn task(&self) -> Task {
        Task {
            run: RunId::new("r-0123456789ab").expect("a run id"),
            brief: TASK.to_owned(),
            work_tree: self.tree(),
            home: self.dir.path().join("home"),
            tmp: self.dir.path().join("tmp"),
            model: None,
            limits: self.limits,
            cancel: self.cancel.clone(),
        }
    }

    /// Whether the agent did its work.
    pub(crate) fn is_made(&self) -> bool {
        self.tree().join("made.txt").exists()
    }

    /// What agents left running holds a lock; it can be taken when nobody is left.
    pub(crate) fn nobody_is_left(&self) -> bool {
        let lock = File::open(self.tree().join("alive.lock")).expect("something was left running");
        lock.try_lock().is_ok()
    }

    /// The steps told since they were last asked for.
    pub(crate) fn steps(&self) -> Vec<String> {
        let mut told = self.told.try_lock().expect("nobody waits for a step");
        let told = std::iter::from_fn(|| told.try_recv().ok());
        told.filter_map(|told| match told {
            Progress::Step(step) => Some(step),
            Progress::Usage(_) => None,
        })
        .collect()
    }

    /// Waits until the agent tells a step.
    pub(crate) async fn step(&self) -> String {
        let mut told = self.told.lock().await;
        loop {
            let told = tokio::time::timeout(LIMIT, told.recv()).await;
            if let Progress::Step(step) = told.expect("in time").expect("a step") {
                return step;
            }
        }
    }

    /// The texts of all files that the run has left, and of those it was given.
    pub(crate) fn written(&self) -> String {
        fn add(folder: &Path, all: &mut String) {
            for entry in std::fs::read_dir(folder).expect("readable") {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    add(&path, all);
                } else {
                    all.push_str(&String::from_utf8_lossy(&std::fs::read(&path).expect("readable")));
                }
            }
        }
        let mut all = String::new();
        add(self.dir.path(), &mut all);
        all
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.model.requests()
    }
}

fn stand_in(protocol: &str, behaviour: &str) -> Vec<String> {
    [env!("CARGO_BIN_EXE_stand-in-agent"), protocol, behaviour]
        .map(str::to_owned)
        .to_vec()
}

/// Writes a program of the test.
pub(crate) fn write_program(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
}
