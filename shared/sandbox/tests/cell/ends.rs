//! How a run ends, and that nothing of it stays.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{CellSpec, Error, How, OutputStream, Running};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::processes::{chained_forkers, gone, hog_path, marked, marker, parent_of, stays};
use crate::world::{LEVELS, LIMIT, World, executable, run, sandbox, shell};

/// How much later than its limit a run may be dead (`sandbox.md Limits`), on a machine that does something else too.
const AT_MOST_LATER: Duration = Duration::from_secs(2);

fn with_hog(world: &World) -> CellSpec {
    CellSpec {
        read_paths: vec![hog_path().into()],
        ..world.spec()
    }
}

/// Waits for the word that a hog says when it is under way.
async fn under_way(stdout: &mut OutputStream) {
    let mut word = [0; 5];
    tokio::time::timeout(LIMIT, stdout.read_exact(&mut word))
        .await
        .expect("it gets under way")
        .expect("it says so");
    assert_eq!(&word, b"over\n");
}

async fn ended(running: &mut Running, cancel: &CancellationToken) -> sandbox::CellEnd {
    tokio::time::timeout(LIMIT, running.ended(cancel))
        .await
        .expect("it ends")
        .expect("the kill is confirmed")
}

#[tokio::test]
async fn chained_forkers_leave_no_survivor() {
    const TRIALS: usize = 10;
    for level in LEVELS {
        for trial in 0..TRIALS {
            let (world, marker, cancel) = (World::new(), marker(), CancellationToken::new());
            let cell = sandbox(level).await.cell(with_hog(&world)).await.unwrap();
            let mut running = cell.start(chained_forkers(&marker)).await.unwrap();
            under_way(&mut running.stdout.take().unwrap()).await;
            assert!(!marked(&marker).is_empty(), "the search finds what runs");
            cancel.cancel();
            let end = ended(&mut running, &cancel).await;
            let found = marked(&marker);
            assert_eq!(
                (end.how, found),
                (How::Cancelled, vec![]),
                "{level}, trial {trial}"
            );
        }
    }
}

#[tokio::test]
async fn a_program_that_ends_by_itself_takes_what_it_left_behind_with_it() {
    for level in LEVELS {
        let (world, marker) = (World::new(), marker());
        let script = format!(
            "setsid {} {marker} busy & read word < /dev/zero & wait $!; exit 3",
            hog_path().display()
        );
        let script = script.replace("read word < /dev/zero & wait $!", "for i in 1 2 3; do :; done");
        let output = run(level, with_hog(&world), shell(&script)).await;
        assert_eq!(output.end.how, How::Exited(3));
        assert_eq!(output.end.left_behind, 1, "{level}");
        assert_eq!(marked(&marker), Vec::<u32>::new(), "{level}");
    }
}

#[tokio::test]
async fn dropping_a_run_kills_it_and_so_does_dropping_its_future() {
    for level in LEVELS {
        let (world, marker) = (World::new(), marker());
        let cell = sandbox(level).await.cell(with_hog(&world)).await.unwrap();
        let mut running = cell.start(stays(&marker)).await.unwrap();
        under_way(&mut running.stdout.take().unwrap()).await;
        assert_eq!(marked(&marker).len(), 1);
        drop(running);
        assert!(gone(&marker).await, "{level}");

        let sandbox = sandbox(level).await;
        let run = sandbox.run(with_hog(&world), stays(&marker), 1000, CancellationToken::new());
        let until_it_runs = async {
            let mut again = tokio::time::interval(Duration::from_millis(5));
            while marked(&marker).is_empty() {
                again.tick().await;
            }
        };
        tokio::select! {
            ended = run => panic!("{level}: {ended:?}"),
            () = until_it_runs => {}
        }
        assert!(gone(&marker).await, "{level}");
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_nothing() {
    for level in LEVELS {
        let (world, marker) = (World::new(), marker());
        #[expect(clippy::disallowed_methods, reason = "the worker is another process here")]
        let mut worker = tokio::process::Command::new(executable())
            .args(["worker", &level.as_u8().to_string()])
            .arg(world.dir.path())
            .arg(hog_path())
            .args([&marker, "chained_forkers"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(LIMIT, lines.next_line())
            .await
            .expect("it runs")
            .unwrap();
        assert_eq!(line.as_deref(), Some("over"), "{level}");
        assert!(!marked(&marker).is_empty());
        worker.start_kill().unwrap();
        worker.wait().await.unwrap();
        assert!(gone(&marker).await, "{level}");
    }
}

#[tokio::test]
async fn a_warden_that_is_killed_takes_the_run_along_and_the_worker_is_told() {
    for level in LEVELS {
        let (world, marker) = (World::new(), marker());
        let cell = sandbox(level).await.cell(with_hog(&world)).await.unwrap();
        let mut running = cell.start(stays(&marker)).await.unwrap();
        under_way(&mut running.stdout.take().unwrap()).await;
        let warden = parent_of(parent_of(marked(&marker)[0]));
        let warden = Pid::from_raw(warden.cast_signed()).unwrap();
        kill_process(warden, Signal::KILL).unwrap();
        let ended = tokio::time::timeout(LIMIT, running.ended(&CancellationToken::new())).await;
        assert!(
            matches!(ended, Ok(Err(Error::NotKilled { .. }))),
            "{level}: {ended:?}"
        );
        assert!(gone(&marker).await, "{level}");
    }
}

#[tokio::test]
async fn a_bystander_of_the_same_user_lives() {
    for level in LEVELS {
        let (world, marker) = (World::new(), marker());
        #[expect(clippy::disallowed_methods, reason = "a process outside of every cell")]
        let mut command = tokio::process::Command::new("/bin/sleep");
        command.arg("1000").kill_on_drop(true);
        if rustix::process::geteuid().is_root() && level != sandbox::Level::Off {
            command.uid(65534).gid(65534);
        }
        let mut bystander = command.spawn().unwrap();
        let (cell, cancel) = (
            sandbox(level).await.cell(with_hog(&world)).await.unwrap(),
            CancellationToken::new(),
        );
        let mut running = cell.start(chained_forkers(&marker)).await.unwrap();
        under_way(&mut running.stdout.take().unwrap()).await;
        cancel.cancel();
        ended(&mut running, &cancel).await;
        assert_eq!(bystander.try_wait().unwrap(), None, "{level}");
        bystander.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_run_ends_at_its_wall_clock() {
    for level in LEVELS {
        let (world, marker) = (World::new(), marker());
        let mut spec = with_hog(&world);
        spec.limits.wall = Duration::from_millis(300);
        let started = Instant::now();
        let cell = sandbox(level).await.cell(spec).await.unwrap();
        let mut running = cell.start(stays(&marker)).await.unwrap();
        let end = ended(&mut running, &CancellationToken::new()).await;
        assert_eq!(end.how, How::TimeLimit, "{level}");
        assert!(
            end.wall < Duration::from_millis(300) + AT_MOST_LATER,
            "{level}: {end:?}"
        );
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert_eq!(marked(&marker), Vec::<u32>::new());
        assert_eq!(
            ended(&mut running, &CancellationToken::new()).await,
            end,
            "asked again it says the same"
        );
    }
}

#[tokio::test]
async fn output_counts_whether_or_not_somebody_reads_it() {
    for level in LEVELS {
        for read in [true, false] {
            let world = World::new();
            let mut spec = world.spec();
            spec.limits.output_bytes = 1_000_000;
            let cell = sandbox(level).await.cell(spec).await.unwrap();
            let mut running = cell
                .start(shell("while :; do echo yes; echo no >&2; done"))
                .await
                .unwrap();
            let cancel = CancellationToken::new();
            let end = if read {
                let mut stdout = running.stdout.take().unwrap();
                let mut bytes = Vec::new();
                let (end, _) = tokio::join!(ended(&mut running, &cancel), stdout.read_to_end(&mut bytes));
                end
            } else {
                ended(&mut running, &cancel).await
            };
            assert_eq!(end.how, How::OutputLimit, "{level}");
        }
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_starts_ends_as_cancelled() {
    for level in LEVELS {
        let (world, cancel) = (World::new(), CancellationToken::new());
        cancel.cancel();
        let output = sandbox(level)
            .await
            .run(world.spec(), shell("sleep 1000"), 1000, cancel)
            .await
            .unwrap();
        assert_eq!(output.end.how, How::Cancelled, "{level}");
    }
}

#[tokio::test]
async fn a_warden_that_is_asked_to_end_stays_with_its_run() {
    for level in LEVELS {
        let (world, marker, cancel) = (World::new(), marker(), CancellationToken::new());
        let cell = sandbox(level).await.cell(with_hog(&world)).await.unwrap();
        let mut running = cell.start(stays(&marker)).await.unwrap();
        under_way(&mut running.stdout.take().unwrap()).await;
        let init = parent_of(marked(&marker)[0]);
        for pid in [parent_of(init), init] {
            kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
        }
        cancel.cancel();
        assert_eq!(ended(&mut running, &cancel).await.how, How::Cancelled, "{level}");
    }
}
