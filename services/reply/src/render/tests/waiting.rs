//! What is said before the end.

use insta::assert_snapshot;
use pipeline::ids::CommitId;

use super::*;

#[test]
fn a_queued_run_says_its_place_and_how_to_stop_it() {
    let mut run = sample::queued();
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Queued** — next on this pull request. To stop it, reply `@openhands stop`, or edit your comment so that it no longer mentions the bot.

    run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=1)
    ");
    run.ahead = 1;
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Queued** — 2nd in line on this pull request. To stop it, reply `@openhands stop`, or edit your comment so that it no longer mentions the bot.

    run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=1)
    ");
}

#[test]
fn a_running_run_says_what_it_does() {
    let mut run = sample::running();
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Working** · To stop it, reply `@openhands stop`, or edit your comment so that it no longer mentions the bot.

    run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=2)
    ");
    run.base = Some(CommitId::new("abc1234abc1234abc1234abc1234abc1234abc12").unwrap());
    run.branch = Some("feature/x".into());
    run.step(1, "read `src/a.rs`".into()).unwrap();
    run.step(1, "ran cargo test -- @alice <b>".into()).unwrap();
    assert_snapshot!(status_reply(&run, &scene()), @r"
    **Working** on `abc1234abc1` of `feature/x` · To stop it, reply `@openhands stop`, or edit your comment so that it no longer mentions the bot.

    - read `src/a.rs`
    - ran cargo test -- @&#8203;alice \<b\> *(now)*

    run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=4)
    ");
}

#[test]
fn attempts_that_only_waited_are_not_told() {
    let mut run = sample::running();
    let base = CommitId::new("9f8e7d6c5b4a39281706f5e4d3c2b1a098765432").unwrap();
    for attempt in 2..=40 {
        run.hand_back(attempt - 1).unwrap();
        run.take(sample::at(0), sample::at(1800)).unwrap();
    }
    assert!(!status_reply(&run, &scene()).contains("attempt"));
    run.begin(40, base.clone()).unwrap();
    assert!(!status_reply(&run, &scene()).contains("attempt"));
    run.take(sample::at(0), sample::at(1800)).unwrap();
    run.begin(41, base).unwrap();
    assert!(status_reply(&run, &scene()).contains("attempt 2"));
}
