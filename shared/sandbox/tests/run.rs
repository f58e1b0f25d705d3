//! Real children: what they see, how they end, and that nothing of them stays.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Command, Ended, Error, Output, Stderr};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes; a test that reaches it has hung.
const LIMIT: Duration = Duration::from_secs(20);

/// How fast a child must be gone when it is stopped: what a person who says stop is promised.
const AT_ONCE: Duration = Duration::from_secs(1);

fn shell(work_dir: &Path, script: &str) -> Command {
    Command {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        work_dir: work_dir.into(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        time_limit: LIMIT,
        output_bytes_max: 1000,
        stderr: Stderr::Separate,
        cancel: CancellationToken::new(),
    }
}

async fn run(command: Command) -> Output {
    tokio::time::timeout(2 * LIMIT, sandbox::run(command))
        .await
        .expect("it ends")
        .expect("it runs")
}

/// True when the process is gone, or a zombie that waits for its parent.
fn is_dead(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

#[tokio::test]
async fn a_child_sees_only_the_environment_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = shell(dir.path(), "env | sort; pwd");
    command.env.push(("LANG".into(), "C.UTF-8".into()));
    let output = run(command).await;
    let dir = dir.path().canonicalize().unwrap();
    let expected = format!(
        "LANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nPWD={0}\n{0}\n",
        dir.display()
    );
    assert_eq!(output.stdout.text(), expected);
    assert_eq!(output.ended, Ended::Exited(0));
}

#[tokio::test]
async fn standard_input_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        run(shell(dir.path(), "cat; echo end")).await.stdout.text(),
        "end\n"
    );
}

#[tokio::test]
async fn a_child_leads_a_group_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(shell(dir.path(), "echo $$; cut -d' ' -f5 /proc/$$/stat"))
        .await
        .stdout
        .text();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], lines[1]);
}

#[tokio::test]
async fn exit_codes_signals_and_both_streams_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(shell(dir.path(), "echo out; echo err >&2; exit 3")).await;
    assert_eq!(output.ended, Ended::Exited(3));
    assert_eq!(
        (output.stdout.text().as_str(), output.stderr.text().as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(
        run(shell(dir.path(), "kill -9 $$")).await.ended,
        Ended::Signalled(9)
    );
}

#[tokio::test]
async fn both_streams_can_be_one_in_the_order_of_writing() {
    let dir = tempfile::tempdir().unwrap();
    let command = Command {
        stderr: Stderr::WithStdout,
        ..shell(dir.path(), "echo 1; echo 2 >&2; echo 3")
    };
    let output = run(command).await;
    assert_eq!(
        (output.stdout.text().as_str(), output.stderr.text().as_str()),
        ("1\n2\n3\n", "")
    );
}

#[tokio::test]
async fn a_flood_is_read_to_its_end_and_cut_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last";
    let output = run(shell(dir.path(), script)).await;
    assert_eq!(output.ended, Ended::Exited(0));
    assert_eq!(output.stdout.bytes_written(), 3_000_012);
    assert_eq!(output.stdout.bytes_cut(), 2_999_012);
    let text = output.stdout.text();
    assert!(
        text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"),
        "{text}"
    );
    assert!(text.contains("\n[2999012 bytes cut]\n"));
}

#[tokio::test]
async fn an_endless_flood_ends_at_the_time_limit() {
    let dir = tempfile::tempdir().unwrap();
    let command = Command {
        time_limit: Duration::from_millis(200),
        ..shell(dir.path(), "yes")
    };
    let output = run(command).await;
    assert_eq!(output.ended, Ended::TimeLimit);
    assert!(
        output.wall < Duration::from_millis(200) + AT_ONCE,
        "{:?}",
        output.wall
    );
    assert!(!output.escaped);
}

#[tokio::test]
async fn a_child_that_closes_its_output_is_still_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(shell(dir.path(), "exec >&- 2>&-; sleep 0.1; exit 7")).await;
    assert_eq!(output.ended, Ended::Exited(7));
}

#[tokio::test]
async fn background_children_end_with_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(shell(dir.path(), "sleep 300 &")).await;
    assert_eq!(output.ended, Ended::Exited(0));
    assert!(output.wall < AT_ONCE, "{:?}", output.wall);
    // The sleeper held the output open: only its death can have closed it.
    assert!(!output.escaped);
}

#[tokio::test]
async fn a_command_that_ignores_signals_ends_at_its_time_limit_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' TERM INT HUP; sh -c 'trap \"\" TERM; sleep 300' & sleep 300; wait";
    let command = Command {
        time_limit: Duration::from_millis(300),
        ..shell(dir.path(), script)
    };
    let output = run(command).await;
    assert_eq!(output.ended, Ended::TimeLimit);
    assert!(!output.escaped);
}

#[tokio::test]
async fn cancelling_ends_a_command_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (up, _) = lifeline(&dir.path().join("alive"));
    let command = shell(dir.path(), "exec 3>alive; echo up >&3; sleep 300");
    let cancel = command.cancel.clone();
    let running = tokio::spawn(run(command));
    assert_eq!(tokio::time::timeout(LIMIT, up).await.unwrap().unwrap(), "up\n");
    let asked = std::time::Instant::now();
    cancel.cancel();
    assert_eq!(running.await.unwrap().ended, Ended::Cancelled);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_command_cancelled_before_it_starts_does_no_work() {
    let dir = tempfile::tempdir().unwrap();
    let command = shell(dir.path(), "sleep 300; touch worked");
    command.cancel.cancel();
    assert_eq!(run(command).await.ended, Ended::Cancelled);
    assert!(!dir.path().join("worked").exists());
}

#[tokio::test]
async fn dropping_the_future_kills_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let (up, all_dead) = lifeline(&dir.path().join("alive"));
    let command = shell(dir.path(), "exec 3>alive; sleep 300 & echo up >&3; wait");
    tokio::select! {
        output = sandbox::run(command) => panic!("it ended by itself: {output:?}"),
        up = up => assert_eq!(up.unwrap(), "up\n"),
    }
    tokio::time::timeout(LIMIT, all_dead)
        .await
        .expect("the leader and its child are dead")
        .unwrap();
}

/// Makes a fifo that children open for writing. The first receiver gets the first line written to it, the second one
/// hears when the last process that holds it open is dead.
fn lifeline(path: &Path) -> (oneshot::Receiver<String>, oneshot::Receiver<()>) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo can be made");
    let path = path.to_owned();
    let ((up, is_up), (dead, is_dead)) = (oneshot::channel(), oneshot::channel());
    // A thread, as opening a fifo blocks until somebody writes; it ends with the processes that it waits for.
    std::thread::spawn(move || {
        let mut alive = BufReader::new(File::open(path)?);
        let mut line = String::new();
        alive.read_line(&mut line)?;
        // A test that has already failed does not listen any more.
        let _ = up.send(line);
        alive.read_to_string(&mut String::new())?;
        let _ = dead.send(());
        std::io::Result::Ok(())
    });
    (is_up, is_dead)
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hang_the_command_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mkfifo up; setsid sh -c 'echo $$ > up; exec sleep 300' & cat up";
    let output = run(shell(dir.path(), script)).await;
    let escapee = output.stdout.text().trim().parse().unwrap();
    let alive = !is_dead(escapee);
    kill_process(Pid::from_raw(escapee).unwrap(), Signal::KILL).unwrap();
    assert!(
        alive,
        "the escapee was expected to live; is the group kill now a full one?"
    );
    assert!(output.escaped);
    assert!(output.wall < AT_ONCE, "{:?}", output.wall);
}

#[tokio::test]
async fn what_cannot_be_started_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing_program = Command {
        program: OsString::from("/no/such/program"),
        ..shell(dir.path(), "true")
    };
    let missing_dir = Command {
        work_dir: dir.path().join("missing"),
        ..shell(dir.path(), "true")
    };
    for command in [missing_program, missing_dir] {
        let error = sandbox::run(command.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Start { .. }), "{error:?}");
        assert!(
            error.to_string().contains(&*command.work_dir.to_string_lossy()),
            "{error}"
        );
    }
}

#[test]
fn modes_are_read_as_they_are_written() {
    for mode in [sandbox::Mode::Enforce, sandbox::Mode::Off] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    let error = "on".parse::<sandbox::Mode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"on\" is not a sandbox mode; it is \"enforce\" or \"off\""
    );
}
