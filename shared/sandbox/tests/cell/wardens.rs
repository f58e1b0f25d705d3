//! Wardens that die while they start a program, and wardens that cannot see what runs.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use sandbox::{Error, How, Level, Sandbox, Settings};
use tokio_util::sync::CancellationToken;

use crate::world::{LEVELS, LIMIT, World, executable, settings, shell};

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

/// A sandbox of that level whose wardens are noted.
async fn noted(level: Level, place: &World) -> Sandbox {
    let settings = Settings {
        executable: noting(place.dir.path()),
        read_paths: vec![executable()],
        ..settings(level)
    };
    Sandbox::start(settings).await.expect("this machine can confine")
}

#[tokio::test]
async fn a_run_that_cannot_be_watched_any_more_is_ended_and_said_to_be() {
    for level in LEVELS {
        let place = World::new();
        let sandbox = noted(level, &place).await;
        for is_blind in [true, false] {
            let (world, cancel) = (World::new(), CancellationToken::new());
            let cell = sandbox.cell(world.spec()).await.expect("it stands");
            let mut running = cell.start(shell("exec sleep 1000")).await.expect("it starts");
            if is_blind {
                // No descriptor beyond the three standard ones: neither /proc nor a directory can be opened.
                let none = Rlimit {
                    current: Some(3),
                    maximum: Some(3),
                };
                prlimit(Some(warden(place.dir.path())), Resource::Nofile, none).expect("it is ours");
            } else {
                cancel.cancel();
            }
            let ended = tokio::time::timeout(LIMIT, running.ended(&cancel));
            match ended.await.expect("it ends") {
                Err(Error::Unwatched { reason }) if is_blind => {
                    assert!(reason.contains("cannot be seen"), "{level}: {reason}");
                }
                Ok(end) if !is_blind => assert_eq!(end.how, How::Cancelled, "{level}"),
                other => panic!("{level}, blind: {is_blind}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_warden_that_dies_while_it_starts_a_program_has_confirmed_no_kill() {
    for level in LEVELS {
        let place = World::new();
        let sandbox = noted(level, &place).await;
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
