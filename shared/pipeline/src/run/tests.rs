use super::*;
use crate::ids::{ConnectionId, ProjectKey, RepositoryId, RepositorySlug};
use crate::job::Actor;

fn queued() -> Run {
    let instance = InstanceId::of_base_url("http://127.0.0.1");
    let asked = Asked {
        repository: Repository {
            id: RepositoryId(84),
            project: ProjectKey::new("PROJ").unwrap(),
            slug: RepositorySlug::new("demo").unwrap(),
        },
        pull_request: PullRequestId(7),
        comment: CommentId(1),
        comment_version: 0,
        requester: None,
        credential: Credential {
            connection: ConnectionId::new("main").unwrap(),
            actor: Actor::Bot,
        },
        command: Command::request("fix it"),
        instance,
    };
    Run::queued(
        RunId::derive(&asked.instance, asked.comment, 0),
        asked,
        Timestamp::UNIX_EPOCH,
    )
}

#[test]
fn a_worker_that_was_overtaken_changes_nothing() {
    let mut run = queued();
    let now = Timestamp::UNIX_EPOCH;
    let first = run.take(now, now).unwrap();
    let second = run.take(now, now).unwrap();
    assert_eq!(
        run.step(first, "late".into()),
        Err(Fenced::Overtaken { ours: 1, current: 2 })
    );
    assert_eq!(run.step(second, "edited a.rs".into()), Ok(()));
    assert!(
        run.end(Some(first), RunState::Done, Outcome::default(), now)
            .is_err()
    );
    assert_eq!(run.state, RunState::Running);
}

#[test]
fn an_ended_run_absorbs_everything() {
    let mut run = queued();
    let now = Timestamp::UNIX_EPOCH;
    run.end(None, RunState::Cancelled, Outcome::default(), now)
        .unwrap();
    let ended = run.clone();
    assert_eq!(run.take(now, now), Err(Fenced::Ended(RunState::Cancelled)));
    assert!(run.end(None, RunState::Failed, Outcome::default(), now).is_err());
    assert_eq!(run, ended);
}

#[test]
fn only_the_latest_steps_are_kept() {
    let mut run = queued();
    let attempt = run.take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).unwrap();
    for i in 0..20 {
        run.step(attempt, i.to_string()).unwrap();
    }
    assert_eq!(run.steps.len(), STEPS_MAX);
    assert_eq!(run.steps.last().map(String::as_str), Some("19"));
}

#[test]
fn a_job_that_goes_back_to_the_queue_has_no_deadline_until_it_is_taken_again() {
    let mut run = queued();
    let at = |second| Timestamp::from_second(second).unwrap();
    let first = run.take(at(0), at(10)).unwrap();
    let taken = run.clone();
    run.hand_back(first).unwrap();
    assert_eq!(
        run,
        Run {
            deadline: None,
            ..taken
        },
        "people see nothing of it"
    );
    let second = run.take(at(20), at(30)).unwrap();
    assert_eq!(run.deadline, Some(at(30)));
    assert_eq!(
        run.hand_back(first),
        Err(Fenced::Overtaken { ours: 1, current: 2 })
    );
    assert_eq!(run.deadline, Some(at(30)));
    run.end(Some(second), RunState::Done, Outcome::default(), at(25))
        .unwrap();
    let ended = run.clone();
    assert_eq!(
        run.hand_back(second),
        Ok(()),
        "the message is still to be settled"
    );
    assert_eq!(run, ended);
    assert!(run.hand_back(first).is_err());
}

#[test]
fn only_attempts_that_began_to_work_are_counted_for_people() {
    let mut run = queued();
    let now = Timestamp::UNIX_EPOCH;
    for _ in 0..40 {
        let attempt = run.take(now, now).unwrap();
        run.hand_back(attempt).unwrap();
    }
    let base = CommitId::new("0123456789012345678901234567890123456789").unwrap();
    run.begin(40, base.clone()).unwrap();
    assert!(run.begin(39, base.clone()).is_err());
    assert_eq!((run.attempt, run.begun, &run.base), (40, 1, &Some(base)));
}

#[test]
fn what_two_attempts_used_adds_up_and_money_that_was_not_counted_is_not_zero() {
    let uncounted = Usage {
        turns: 2,
        input_tokens: 900,
        cached_tokens: 100,
        output_tokens: 80,
        usd: None,
    };
    let counted = Usage {
        usd: Some(0.25),
        ..uncounted
    };
    assert_eq!(uncounted.plus(uncounted).usd, None);
    assert_eq!(counted.plus(uncounted).usd, Some(0.25));
    let both = counted.plus(counted);
    assert_eq!((both.turns, both.input_tokens, both.usd), (4, 1800, Some(0.5)));
    let most = Usage {
        turns: u32::MAX,
        ..counted
    };
    assert_eq!(most.plus(counted).turns, u32::MAX, "a count stays at its end");
}

#[test]
fn a_trailer_alone_makes_no_commit_a_runs_own() {
    let commit = |letter: &str| CommitId::new(letter.repeat(40)).unwrap();
    let mut run = queued();
    let attempt = run.take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).unwrap();
    assert!(!run.may_have_made(&commit("f")), "nothing was made yet");
    run.commit(attempt, &commit("a")).unwrap();
    run.commit(attempt, &commit("b")).unwrap();
    assert!(run.may_have_made(&commit("a")) && run.may_have_made(&commit("b")));
    assert!(!run.may_have_made(&commit("f")));
    assert!(run.commit(attempt + 1, &commit("f")).is_err());
    for _ in 0..2 * COMMITS_MAX {
        run.commit(attempt, &commit("b")).unwrap();
    }
    assert_eq!(run.commits, [commit("a"), commit("b")]);
    // An older version noted no more than that there is one.
    run.commits.clear();
    assert!(run.may_have_made(&commit("f")));
}

#[test]
fn threads_whose_change_is_there_already_are_noted_once_by_whoever_holds_the_run() {
    let mut run = queued();
    let attempt = run.take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).unwrap();
    for _ in 0..2 {
        run.contain(attempt, CommentId(7)).unwrap();
    }
    assert!(run.contain(attempt + 1, CommentId(8)).is_err());
    assert_eq!(run.contained, [CommentId(7)]);
}
