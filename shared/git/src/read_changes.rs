//! Reading a work tree back in a process of its own: whatever a hostile tree does to the reading, it ends at a
//! deadline, in a process without network and credentials (sandbox.md Handing the tree back).

mod wire;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use pipeline::ids::CommitId;
use rustix::process::{Resource, Rlimit};
use tokio_util::sync::CancellationToken;

use crate::change::Changes;
use crate::error::{Error, one_line};
use crate::limits::TreeLimits;
use wire::{Answer, Request};

/// The subcommand behind which the program that reads is, in the executable of a [`Reader`].
pub const READ_CHANGES: &str = "read-changes";
/// Bytes of an answer: ten thousand of the longest paths, in hex, with what else is said of them.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Between two looks at whether the caller wants to stop.
const STOP_LOOKS: Duration = Duration::from_millis(100);

/// How work trees are read.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The program to start; with the subcommand [`READ_CHANGES`] it has to end in [`read_changes_main`].
    pub executable: PathBuf,
    /// When it is killed.
    pub time_limit: Duration,
    /// Bytes of memory of its own, mapped files not counted; where it needs more, the tree is [`Error::Unreadable`].
    pub memory_bytes: u64,
}

/// What is read, and what of it may not be taken.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The commit the work tree was checked out from.
    pub commit: CommitId,
    /// The work tree.
    pub directory: PathBuf,
    /// How much may be read.
    pub limits: TreeLimits,
    /// Paths below the work tree of which nothing may be taken, with the reason as it completes "… was left out: ".
    pub withheld: Vec<(Vec<u8>, String)>,
}

/// The caller's side. `mirror`: the repository's directory, locked by the caller.
pub(crate) fn changes_apart(
    mirror: &Path,
    reader: &Reader,
    request: &ReadRequest,
    stop: &AtomicBool,
) -> Result<Changes, Error> {
    let file = RequestFile::write(mirror, request)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("preparing to read the work tree"))?;
    let output = runtime.block_on(run(mirror, reader, &file, stop))?;
    match output.ended {
        sandbox::Ended::Exited(0) => {}
        sandbox::Ended::Cancelled => return Err(Error::Stopped),
        sandbox::Ended::TimeLimit => {
            let why = format!("it took more than {} s", reader.time_limit.as_secs());
            return Err(Error::Unreadable { why });
        }
        ended => {
            let said = one_line(output.stderr.text());
            let why = format!("the reading process ended unexpectedly ({ended:?}): {said}");
            return Err(Error::Unreadable { why });
        }
    }
    if output.stdout.bytes_cut() > 0 {
        let why = format!("the answer was longer than {ANSWER_BYTES_MAX} bytes");
        return Err(Error::Unreadable { why });
    }
    let (head, tail) = output.stdout.parts();
    let answer = wire::parse(&[head, tail].concat()).map_err(|error| Error::Unreadable {
        why: one_line(format!("{error:#}")),
    })?;
    answer.into_result()
}

async fn run(
    mirror: &Path,
    reader: &Reader,
    file: &RequestFile,
    stop: &AtomicBool,
) -> Result<sandbox::Output, Error> {
    let cancel = CancellationToken::new();
    let running = sandbox::run(sandbox::Command {
        program: reader.executable.clone().into_os_string(),
        args: vec![
            OsString::from(READ_CHANGES),
            file.0.clone().into_os_string(),
            reader.memory_bytes.to_string().into(),
        ],
        work_dir: mirror.to_owned(),
        env: Vec::new(),
        time_limit: reader.time_limit,
        output_bytes_max: ANSWER_BYTES_MAX,
        stderr: sandbox::Stderr::Separate,
        cancel: cancel.clone(),
    });
    tokio::pin!(running);
    let mut looks = tokio::time::interval(STOP_LOOKS);
    loop {
        tokio::select! {
            ended = &mut running => {
                return ended.map_err(|error| Error::Io {
                    what: "reading the work tree in a process of its own".to_owned(),
                    source: std::io::Error::other(error),
                });
            }
            _ = looks.tick() => if stop.load(Ordering::Relaxed) { cancel.cancel() },
        }
    }
}

/// The request as a file beside the mirror, under the mirror's lock. Gone when this is dropped.
struct RequestFile(PathBuf);

impl RequestFile {
    fn write(mirror: &Path, request: &ReadRequest) -> Result<Self, Error> {
        let path = mirror.with_extension("read");
        let what = "writing down what is to be read";
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(what)(error)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io(what))?;
        let written = Self(path);
        file.write_all(&Request::new(mirror, request).encode())
            .map_err(Error::io(what))?;
        Ok(written)
    }
}

impl Drop for RequestFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a request to read a work tree could not be removed");
        }
    }
}

/// The reading process: `PROGRAM read-changes REQUEST_FILE MEMORY_BYTES`. Answers on standard output.
///
/// For the beginning of `main`, before any thread: it gives up the network for all of them first.
pub fn read_changes_main() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody reads this either, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn answer() -> anyhow::Result<()> {
    // Nobody keeps the deadline of a process whose parent was killed. The thread that starts this one waits for its end,
    // so it does not end before.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot tie this process to its parent")?;
    sandbox::without_network().context("cannot give up the network")?;
    let mut args = std::env::args_os().skip(2);
    let file = args.next().context("no request file was named")?;
    let memory = args.next().and_then(|bytes| bytes.to_str()?.parse().ok());
    limit_memory(memory.context("no limit of memory was named")?)?;
    let request = Request::decode(&fs::read(&file).context("cannot read the request")?)?;
    let answer = Answer::of(read(&request));
    std::io::stdout()
        .write_all(&answer.encode())
        .context("cannot write the answer")
}

/// Not of address space: packs are mapped whole, and pages of files are no memory of this process's own.
fn limit_memory(bytes: u64) -> anyhow::Result<()> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    rustix::process::setrlimit(Resource::Data, limit).context("cannot limit this process's memory")
}

fn read(request: &Request) -> Result<Changes, Error> {
    let (mirror, request) = request.decoded()?;
    let mut repo = gix::open_opts(mirror, crate::cache::open_options()).map_err(Error::damaged)?;
    repo.object_cache_size(None);
    let withheld = request
        .withheld
        .into_iter()
        .map(|(path, why)| (path.into(), why))
        .collect();
    crate::change::changes(
        &repo,
        &request.commit,
        &request.directory,
        &request.limits,
        &withheld,
    )
}
