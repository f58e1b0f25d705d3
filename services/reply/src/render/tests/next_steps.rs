//! What is said first, to whom, and what may be done next.

use insta::assert_snapshot;
use pipeline::command::{Command, NearMiss};
use pipeline::failure_code::FailureCode;
use pipeline::job::Artifact;

use super::*;

#[test]
fn no_retry_is_offered_that_must_fail_again() {
    let told = |code| {
        let mut run = failed(RunState::Failed, code, None);
        run.patch = Some(Artifact {
            key: "k".into(),
            bytes: 20,
        });
        let reply = status_reply(&run, &scene());
        (
            reply.contains("`@openhands retry`"),
            reply.contains("`@openhands continue`"),
        )
    };
    for code in [
        FailureCode::OutsidePaths,
        FailureCode::UndoConflict,
        FailureCode::BranchExists,
    ] {
        assert_eq!(told(code), (false, false), "{code}");
    }
    assert_eq!(told(FailureCode::BranchConflict), (false, true));
    assert_eq!(told(FailureCode::PushRejected), (true, false));
}

#[test]
fn an_edit_that_came_too_late_is_told_at_the_end() {
    let told = |state, edited_late| {
        let mut run = ended_as(state, Outcome::default());
        run.edited_late = edited_late;
        status_reply(&run, &scene()).contains("edited after work had begun")
    };
    assert!(told(RunState::Done, true) && told(RunState::Failed, true) && told(RunState::NeedsInput, true));
    assert!(!told(RunState::Done, false) && !told(RunState::Cancelled, true));
}

#[test]
fn what_is_asked_beside_a_pushed_change_comes_before_what_was_done() {
    let run = ended_as(
        RunState::Done,
        Outcome {
            pushed: Some(pushed()),
            summary: Some("The upload is tried again.".to_owned()),
            questions: vec!["How often?".to_owned()],
            ..Outcome::default()
        },
    );
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Done for @alice in 2m 03s, and I need an answer** · pushed `9f8e7d6c5b4` to `feature/x` · [commit](https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7/commits/9f8e7d6) · [diff](https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7/diff) · undo: reply `@openhands undo`

    Questions:

    - How often?

    To answer, reply `@openhands continue` and your answer.

    What changed: 3 files, +41 −7 (from git)

    In the agent's words:

    The upload is tried again.

    4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
    assert!(finish(&run, "").starts_with("**It is done, and there is a question**"));
}

#[test]
fn how_a_comment_was_read_is_told_right_below_the_verdict() {
    let mut run = ended_as(
        RunState::Answered,
        Outcome {
            summary: Some("A plan.".to_owned()),
            ..Outcome::default()
        },
    );
    run.command.nearly = Some(Box::new(NearMiss {
        word: "plna".to_owned(),
        meant: "plan".to_owned(),
    }));
    let reply = status_reply(&run, &scene());
    let note = "`plna` was taken as free text; to use the verb, type `plan`.";
    assert_eq!(reply.lines().nth(2), Some(note), "{reply}");
}

#[test]
fn a_name_is_mentioned_so_that_it_reaches_its_person_or_not_at_all() {
    let of = |name: &str| {
        mention(&Person {
            name: name.into(),
            ..sample::alice()
        })
    };
    assert_eq!(of("alice.b-c_d").as_deref(), Some("@alice.b-c_d"));
    assert_eq!(of("name with space").as_deref(), Some("@\"name with space\""));
    assert_eq!(of("jane@example").as_deref(), Some("@\"jane@example\""));
    assert_eq!(of("_odd_").as_deref(), Some("@\"_odd_\""));
    assert_eq!(of("a\" @all"), None);
    assert_eq!(of(""), None);
}

#[test]
fn last_words_after_a_failure_are_not_taken_for_an_account_of_the_work() {
    let mut run = failed(RunState::Expired, FailureCode::MoneyLimit, None);
    run.outcome.as_mut().unwrap().summary = Some("Credit balance is too low".into());
    let text = status_reply(&run, &scene());
    assert!(
        text.contains(
            "The agent's last words, which may be about something else:\n\nCredit balance is too low"
        ),
        "{text}"
    );
    assert!(!text.contains("In the agent's words"));
}

#[test]
fn a_commit_on_a_branch_of_its_own_is_not_undone_here() {
    let mut run = ended_as(
        RunState::Done,
        Outcome {
            pushed: Some(pushed()),
            ..Outcome::default()
        },
    );
    let offers = |run: &Run| status_reply(run, &scene()).contains("undo: reply `@openhands undo`");
    run.branch = Some("feature/x".into());
    assert!(offers(&run));
    let merge = Run {
        command: Command::of_verb(Verb::Update, ""),
        ..run.clone()
    };
    assert!(!offers(&merge), "a merge is not taken back");
    run.branch = Some("feature/y".into());
    assert!(!offers(&run));
    let nameless = Scene {
        name: None,
        ..scene()
    };
    assert!(!status_reply(&run, &nameless).contains("undo"));
}

#[test]
fn the_requester_is_mentioned_once_and_where_people_are_notified() {
    let run = ended_as(RunState::NoChange, Outcome::default());
    let quietly = Scene {
        mentions: false,
        ..scene()
    };
    let reply = status_reply(&run, &quietly);
    assert!(
        reply.starts_with("**No change needed for alice**") && !reply.contains("@alice"),
        "{reply}"
    );
    assert_snapshot!(finish(&run, "[//]: # (end)"), @"
    **No change was needed**, @alice: see the reply above.

    [//]: # (end)
    ");
    let nobody = Run {
        requester: None,
        ..run
    };
    assert!(finish(&nobody, "x").starts_with("**No change was needed**: see the reply above."));
}

#[test]
fn a_new_pull_request_is_offered_for_what_can_be_had_on_one() {
    let mut stopped = failed(RunState::Cancelled, FailureCode::PullRequestClosed, None);
    stopped.command = Command::of_verb(Verb::Fix, "the sign");
    let offer = "To have it on a new pull request, reply `@openhands retry --new-pr`.";
    let text = status_reply(&stopped, &scene());
    assert!(text.contains(offer), "{text}");
    stopped.command.options.suggest = true;
    let text = status_reply(&stopped, &scene());
    assert!(
        !text.contains("To have it on"),
        "suggestions are refused there: {text}"
    );
}
