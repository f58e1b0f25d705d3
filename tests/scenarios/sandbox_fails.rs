//! A sandbox that does not hold, and a run that nobody saw die: nothing is started, repeated or given away.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tests::child::signal;
use tests::inside;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, scenario_in};

use crate::looking_in::page;
use crate::repository_says::configured;

/// Puts a link in the place of another.
fn link(to: &Path, at: &Path) {
    let new = at.with_extension("new");
    symlink(to, &new).unwrap();
    std::fs::rename(&new, at).unwrap();
}

#[tokio::test]
async fn a_sandbox_that_leaks_starts_nothing_until_it_holds_again() {
    let directory = tempfile::tempdir().unwrap();
    let (harmless, secret) = (directory.path().join("harmless"), directory.path().join("secret"));
    for open in [directory.path(), &harmless, &secret] {
        std::fs::create_dir_all(open).unwrap();
        // The user that agents run as must not be kept out by these: the sandbox is to be what keeps it out.
        std::fs::set_permissions(open, PermissionsExt::from_mode(0o755)).unwrap();
    }
    // What an operator lets agents read, and where the self-test plants what they must not.
    let readable = directory.path().join("readable");
    link(&harmless, &readable);
    let setup = Setup {
        config: format!(
            "[sandbox]\nnamespaces = \"never\"\nread_paths = [\"{}\"]\n",
            readable.display()
        ),
        environment: vec![("TMPDIR".to_owned(), secret.display().to_string())],
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "the control: {}", reply.text);
        // What it says of level 1 is what holds for this agent, which has no needs.
        assert!(
            reply.text.contains("the shared kernel") && !reply.text.contains("that a preset needs"),
            "{}",
            reply.text
        );
        let asked = world.model.requests().len();

        link(&secret, &readable);
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.contains("`SANDBOX_LEAK`"), "{}", reply.text);
        let ready = page(world, "/readyz").await;
        assert!(
            ready.contains("\"ready\":false")
                && ready.contains("the sandbox leaks: ")
                && ready.contains("read_other_run (read the canary)"),
            "{ready}"
        );
        // Whoever asks meanwhile waits, and neither asks in vain nor reaches the model.
        let comment = world.alice().comments(1, "@openhands fix it now").await.unwrap();
        let nats = inside::connect(world).await.unwrap();
        let is_waiting = || async {
            let waiting = world.logs().contains("did not hold when it was last tested");
            waiting.then_some(())
        };
        until(WAIT_MAX, is_waiting).await.expect("the job waits");
        assert_eq!(world.model.requests().len(), asked, "the model was asked");
        let runs = inside::runs(&nats).await.unwrap();
        let begun = runs.iter().filter(|run| run.attempt > 0).count();
        assert_eq!((runs.len(), begun), (3, 2), "{runs:#?}");

        link(&harmless, &readable);
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let ready = page(world, "/readyz").await;
        assert!(ready.contains("\"ready\":true"), "{ready}");
    })
    .await;
}

/// A file of a process in `/proc`; empty when it has ended.
fn of_process(id: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default()
}

fn processes() -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn parent_of(id: u32) -> Option<u32> {
    let status = of_process(id, "status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok()
}

/// The processes that the resolver watches its cells with.
fn wardens(world: &World) -> Vec<u32> {
    let resolver = world.child("up").unwrap().pid();
    processes()
        .filter(|id| parent_of(*id) == resolver)
        .filter(|id| of_process(*id, "cmdline").split('\0').nth(1) == Some("sandbox-exec"))
        .collect()
}

/// Whether a process below `ancestor` runs this.
fn runs(ancestor: u32, command: &[&str]) -> bool {
    let is_below = |id| std::iter::successors(Some(id), |id| parent_of(*id)).any(|id| id == ancestor);
    let is_it = |id: &u32| {
        of_process(*id, "cmdline")
            .split_terminator('\0')
            .eq(command.iter().copied())
    };
    processes().filter(is_it).any(is_below)
}

/// Whether there is one directory, and it is the one of this name, which a number of the process follows.
fn is_alone(world: &World, name: &str) -> bool {
    let numbered = |found: &String| found.strip_prefix(name)?.strip_prefix('-')?.parse::<u64>().ok();
    let found = attempts(world);
    found.len() == 1 && found.iter().all(|found| numbered(found).is_some())
}

/// The directories of attempts.
fn attempts(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for process in std::fs::read_dir(world.data_dir().join("work")).unwrap() {
        for attempt in std::fs::read_dir(process.unwrap().path()).unwrap() {
            let name = attempt.unwrap().file_name().into_string().unwrap();
            if name.starts_with("r-") {
                found.push(name);
            }
        }
    }
    found
}

#[tokio::test]
async fn a_run_that_nobody_saw_die_is_neither_repeated_nor_cleaned_away() {
    scenario(async |world| {
        world.expected.dead_letters = 1;
        world.agent_runs("sleep 1000", "Slept.");
        let comment = world.alice().comments(1, "@openhands sleep").await.unwrap();
        let is_at_work = || async { (!world.model.requests().is_empty()).then_some(()) };
        until(WAIT_MAX, is_at_work).await.expect("the agent works");
        let wardens = wardens(world);
        assert_eq!(wardens.len(), 1, "{wardens:?}");
        signal(wardens[0], rustix::process::Signal::KILL).unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.contains("`INTERNAL`"), "{}", reply.text);
        let nats = inside::connect(world).await.unwrap();
        let runs = inside::runs(&nats).await.unwrap();
        assert_eq!(runs[0].attempt, 1, "it was repeated");
        let run = runs[0].id.to_string();
        let ready = page(world, "/readyz").await;
        assert!(
            ready.contains("\"ready\":false")
                && ready.contains(&format!("processes of run {run} may still be alive")),
            "{ready}"
        );
        // The control: another run's directory goes, and the one of this run is still there then.
        world.agent_appends("// and more");
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let alone = || async { is_alone(world, &format!("{run}-1")).then_some(()) };
        let alone = until(WAIT_MAX, alone).await;
        assert!(alone.is_some(), "{:?}", attempts(world));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_cannot_be_watched_any_more_is_ended_once_and_the_next_one_is_served() {
    scenario(async |world| {
        world.agent_runs("sleep 1000", "Slept.");
        let comment = world.alice().comments(1, "@openhands sleep").await.unwrap();
        let is_at_work = || async { (!world.model.requests().is_empty()).then_some(()) };
        until(WAIT_MAX, is_at_work).await.expect("the agent works");
        let wardens = wardens(world);
        assert_eq!(wardens.len(), 1, "{wardens:?}");
        let none = Rlimit {
            current: Some(3),
            maximum: Some(3),
        };
        let warden = Pid::from_raw(wardens[0].cast_signed()).unwrap();
        prlimit(Some(warden), Resource::Nofile, none).unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.contains("`AGENT_UNWATCHED`") && reply.text.contains("What to do"),
            "{}",
            reply.text
        );
        let nats = inside::connect(world).await.unwrap();
        let runs = inside::runs(&nats).await.unwrap();
        assert_eq!(runs[0].attempt, 1, "it was repeated at the run's cost");
        // Everything of it is dead, so the process stays ready.
        let ready = page(world, "/readyz").await;
        assert!(ready.contains("\"ready\":true"), "{ready}");
        world.agent_appends("// and more");
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_pushed_while_a_check_may_still_be_alive() {
    let setup = configured("[checks]\nlong = { command = \"sleep 100\" }\n");
    scenario_in(setup, async |world| {
        world.expected.dead_letters = 1;
        let before = world.pull_request(1).head().await;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let nats = inside::connect(world).await.unwrap();
        let is_measured = || async {
            wardens(world)
                .into_iter()
                .find(|warden| runs(*warden, &["sleep", "100"]))
        };
        let warden = until(WAIT_MAX, is_measured).await.expect("the check runs");
        signal(warden, rustix::process::Signal::KILL).unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.contains("`INTERNAL`"), "{}", reply.text);
        assert_eq!(world.pull_request(1).head().await, before, "it was pushed");
        let run = inside::runs(&nats).await.unwrap().pop().unwrap();
        assert_eq!(run.attempt, 1, "it was repeated");
        // What the check ran in stays; what the agent did, which was seen to end, goes.
        let kept = || async { is_alone(world, &format!("{}-1-before", run.id)).then_some(()) };
        let kept = until(WAIT_MAX, kept).await;
        assert!(kept.is_some(), "{:?}", attempts(world));
        let ready = page(world, "/readyz").await;
        assert!(ready.contains("may still be alive"), "{ready}");
    })
    .await;
}
