//! A warden that dies or hangs while it starts a program.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Error, Sandbox, Settings};
use tokio_util::sync::CancellationToken;

use crate::world::{LEVELS, World, executable, settings, shell};

/// Our executable, by way of a script that notes the number of each warden.
fn noting(directory: &Path) -> PathBuf {
    let script = directory.join("noting");
    let (note, real) = (directory.join("warden"), executable());
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = sandbox-exec ] && [ $# = 1 ] && echo $$ > {}\nexec env -u PWD {} \"$@\"\n",
        note.display(),
        real.display()
    );
    std::fs::write(&script, text).expect("it is ours");
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("it is ours");
    script
}

/// The warden of the cell that was opened last.
fn warden(directory: &Path) -> Pid {
    let noted = std::fs::read_to_string(directory.join("warden")).expect("it was noted");
    Pid::from_raw(noted.trim().parse().expect("a number")).expect("a process")
}

#[tokio::test]
async fn a_warden_that_dies_while_it_starts_a_program_has_confirmed_no_kill() {
    for level in LEVELS {
        let place = World::new();
        let settings = Settings {
            executable: noting(place.dir.path()),
            read_paths: vec![executable()],
            ..settings(level)
        };
        let sandbox = Sandbox::start(settings).await.expect("this machine can confine");
        for dies in [true, false] {
            let world = World::new();
            let cell = sandbox.cell(world.spec()).await.expect("it stands");
            let warden = warden(place.dir.path());
            kill_process(warden, Signal::STOP).expect("it is there");
            // The order is sent before the first wait, so it is there when the signal comes.
            let (started, ()) = tokio::join!(cell.start(shell("exec true")), async {
                let signal = if dies { Signal::KILL } else { Signal::CONT };
                kill_process(warden, signal).expect("it is there");
            });
            match started {
                Err(Error::NotKilled { .. }) if dies => {}
                Ok(mut running) if !dies => {
                    running.ended(&CancellationToken::new()).await.expect("it ends");
                }
                other => panic!("{level}, dies: {dies}: {other:?}"),
            }
        }
    }
}
