//! The same at every level of the sandbox: runs end, and nothing of them is left.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use agent::{Ended, Error, Kind};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::Level;

use crate::world::World;

const LEVELS: [Level; 3] = [Level::Off, Level::One, Level::Two];

#[tokio::test]
async fn agents_work_at_every_level() {
    for level in LEVELS {
        let world = World::at_level(level).await;
        let report = world.acp("well-behaved").await.unwrap();
        assert_eq!(
            (report.ended, report.usage.turns),
            (Ended::Finished, 1),
            "{level}"
        );
        assert!(world.is_made(), "{level}");
        let world = World::at_level(level).await;
        let report = world.command("well-behaved", "{prompt}").await.unwrap();
        assert_eq!(
            (report.ended, report.usage.turns),
            (Ended::Finished, 1),
            "{level}"
        );
        assert!(world.is_made(), "{level}");
    }
}

#[tokio::test]
async fn nothing_outlives_its_run_at_any_level() {
    for level in LEVELS {
        let world = World::at_level(level).await;
        let report = world.acp("lingering").await.unwrap();
        assert_eq!(report.ended, Ended::Finished, "{level}");
        assert!(world.nobody_is_left(), "{level}");
        let mut world = World::at_level(level).await;
        world.limits.wall = Duration::from_secs(2);
        let report = world.command("never-ending", "{prompt}").await.unwrap();
        assert_eq!(report.ended, Ended::TimeLimit, "{level}");
        assert!(world.nobody_is_left(), "{level}");
    }
}

/// Says who it is and where its model is, and stays.
const TELLING: &str = "echo $$ \"$0\" > told; mv told started; exec sleep 1000";
/// Far more than a shell takes to start.
const STARTED_MAX: Duration = Duration::from_secs(30);

/// The port of the model, as the agent was told it.
fn port(started: &str) -> u16 {
    let (_, port) = started.trim().rsplit_once(':').expect("an address with a port");
    port.parse().expect("a port")
}

/// Waits until the agent has started, and returns what it told.
async fn told(tree: &Path) -> String {
    let started = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        loop {
            again.tick().await;
            if let Ok(told) = std::fs::read_to_string(tree.join("started")) {
                return told;
            }
        }
    };
    tokio::time::timeout(STARTED_MAX, started)
        .await
        .expect("it starts")
}

/// Waits until the port can be taken.
async fn given_back(port: u16) {
    let free = async {
        let mut again = tokio::time::interval(Duration::from_millis(1));
        while TcpListener::bind(("127.0.0.1", port)).is_err() {
            again.tick().await;
        }
    };
    tokio::time::timeout(STARTED_MAX, free)
        .await
        .expect("it is given back");
}

/// The process of this test that everything of the cell is below.
fn warden_of(process: u32) -> Pid {
    let parent = |process: u32| -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.expect("it has a parent").trim().parse().expect("a number")
    };
    let mut here = process;
    while parent(here) != std::process::id() {
        here = parent(here);
        assert!(here > 1, "it is not below this test");
    }
    Pid::from_raw(here.cast_signed()).expect("a process")
}

/// The port is the proxy's for as long as anything of the run could use it. At level 2 the run's network is its own.
#[tokio::test]
async fn a_port_is_given_back_after_the_kill_and_never_where_the_run_may_live_on() {
    let command = ["/bin/sh", "-c", TELLING, "{base_url}", "{prompt}"].map(str::to_owned);
    for level in [Level::Off, Level::One] {
        for is_certain in [true, false] {
            let world = World::at_level(level).await;
            let (tree, cancel) = (world.tree(), world.cancel.clone());
            let (ended, told) = tokio::join!(world.run(Kind::Command, command.to_vec()), async {
                let told = told(&tree).await;
                let process = told.split(' ').next().and_then(|number| number.parse().ok());
                let process: u32 = process.expect("a number");
                assert!(TcpListener::bind(("127.0.0.1", port(&told))).is_err(), "{level}");
                if is_certain {
                    cancel.cancel();
                    given_back(port(&told)).await;
                    // Looked at after the port, so that it cannot have died in between.
                    assert!(!Path::new(&format!("/proc/{process}")).exists(), "{level}");
                } else {
                    kill_process(warden_of(process), Signal::KILL).expect("it is there");
                }
                told
            });
            let again = TcpListener::bind(("127.0.0.1", port(&told)));
            if is_certain {
                assert_eq!(ended.expect("it was stopped").ended, Ended::Cancelled, "{level}");
                assert!(again.is_ok(), "{level}: {again:?}");
            } else {
                let error = ended.expect_err("nobody saw it die");
                assert!(error.may_live_on(), "{level}: {error:?}");
                assert!(matches!(error, Error::Command(_)));
                assert!(again.is_err(), "{level}: the port is given away");
            }
        }
    }
}
