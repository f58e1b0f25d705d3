//! Trying a level out: by building a cell and running a program in it, never by asking for version numbers.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Level, Sandbox, in_one_line};
use crate::cell::{Built, CellSpec, How, Needs, Program, Stdin};
use crate::inner;
use crate::limits::CellLimits;

/// How long a program that does nothing may take; a slow disk has to be read.
const TRIAL_WALL: Duration = Duration::from_secs(20);

impl Sandbox {
    /// Builds a cell and runs our own executable in it, which does nothing there.
    pub(super) async fn try_out(&self, level: Level) -> Result<Built, String> {
        let place = TrialPlace::new().map_err(|error| format!("no directory to try it in: {error}"))?;
        let program = Program {
            program: self.settings().executable.clone().into(),
            args: vec!["sandbox-exec".into(), inner::STARTED.into()],
            env: Vec::new(),
            stdin: Stdin::Null,
        };
        let cell = self
            .cell_at(level, place.spec())
            .await
            .map_err(|error| in_one_line(&error))?;
        let built = cell.built();
        let mut running = cell.start(program).await.map_err(|error| in_one_line(&error))?;
        match running
            .ended(&CancellationToken::new())
            .await
            .map_err(|error| in_one_line(&error))?
            .how
        {
            How::Exited(0) => Ok(built),
            how => Err(format!("a program that does nothing ended with {how:?}")),
        }
    }
}

/// The directories of a cell that is only tried.
struct TrialPlace(TempDir);

impl TrialPlace {
    fn new() -> io::Result<Self> {
        let place = tempfile::tempdir()?;
        // Another user has to pass through, and nobody has to look.
        fs::set_permissions(place.path(), Permissions::from_mode(0o711))?;
        for name in ["work", "home", "tmp"] {
            fs::create_dir(place.path().join(name))?;
        }
        Ok(Self(place))
    }

    fn spec(&self) -> CellSpec {
        CellSpec {
            work_tree: self.0.path().join("work"),
            home: self.0.path().join("home"),
            tmp: self.0.path().join("tmp"),
            read_paths: Vec::new(),
            needs: Needs::default(),
            model_listener: true,
            limits: CellLimits {
                wall: TRIAL_WALL,
                ..CellLimits::default()
            },
        }
    }
}
