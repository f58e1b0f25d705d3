//! A run's directories and a sandbox of each level.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{
    CellLimits, CellOutput, CellSpec, How, Level, Mode, Namespaces, Needs, Program, Sandbox, Settings, Stdin,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes; a test that reaches it has hung.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What is kept of each output stream.
pub(crate) const OUTPUT_BYTES: usize = 100_000;

/// The three levels, as they are asked for.
pub(crate) const LEVELS: [Level; 3] = [Level::Off, Level::One, Level::Two];
/// Those that confine.
pub(crate) const CONFINED: [Level; 2] = [Level::One, Level::Two];

/// The directories of one run.
pub(crate) struct World {
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // What a role does with its data directory where agents run as another user.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).expect("it is ours");
        for name in ["work", "home", "tmp"] {
            std::fs::create_dir(dir.path().join(name)).expect("it is ours");
        }
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn spec(&self) -> CellSpec {
        CellSpec {
            work_tree: self.path("work"),
            home: self.path("home"),
            tmp: self.path("tmp"),
            read_paths: Vec::new(),
            needs: Needs::default(),
            model_listener: false,
            limits: CellLimits {
                wall: LIMIT,
                ..CellLimits::default()
            },
        }
    }
}

pub(crate) fn settings(level: Level) -> Settings {
    Settings {
        mode: if level == Level::Off {
            Mode::Off
        } else {
            Mode::Enforce
        },
        namespaces: if level == Level::Two {
            Namespaces::Always
        } else {
            Namespaces::Never
        },
        user: None,
        read_paths: Vec::new(),
        executable: executable(),
    }
}

pub(crate) fn executable() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sandbox-inner")).into()
}

/// A sandbox of this level; proven once for all tests.
pub(crate) async fn sandbox(level: Level) -> Sandbox {
    static STARTED: [OnceCell<Sandbox>; 3] = [
        OnceCell::const_new(),
        OnceCell::const_new(),
        OnceCell::const_new(),
    ];
    let started = STARTED[usize::from(level.as_u8())].get_or_init(async || {
        let sandbox = Sandbox::start(settings(level)).await;
        sandbox.expect("this machine can confine")
    });
    let sandbox = started.await.clone();
    assert_eq!(sandbox.level(), level);
    sandbox
}

pub(crate) fn shell(script: &str) -> Program {
    Program {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        stdin: Stdin::Null,
    }
}

pub(crate) fn program(program: &str, args: &[&str]) -> Program {
    Program {
        program: program.into(),
        args: args.iter().map(OsString::from).collect(),
        env: Vec::new(),
        stdin: Stdin::Null,
    }
}

/// Runs a program in a cell and returns everything about it.
pub(crate) async fn run(level: Level, spec: CellSpec, program: Program) -> CellOutput {
    let sandbox = sandbox(level).await;
    let run = sandbox.run(spec, program, OUTPUT_BYTES, CancellationToken::new());
    tokio::time::timeout(2 * LIMIT, run)
        .await
        .expect("it ends")
        .expect("it runs")
}

/// Runs a shell script in a fresh world and returns its standard output; the script has to succeed.
pub(crate) async fn says(level: Level, world: &World, script: &str) -> String {
    let output = run(level, world.spec(), shell(script)).await;
    assert_eq!(
        output.end.how,
        How::Exited(0),
        "{level}: {script}\n{}\n{}",
        output.stdout.text(),
        output.stderr.text()
    );
    output.stdout.text()
}
