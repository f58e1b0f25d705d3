use jiff::Timestamp;
use pipeline::job::Artifact;
use pipeline::mention::{Budget, Options};
use pipeline::run::Pushed;

use super::*;
use crate::lane::tests::mention;
use crate::records;

/// A run for comment `comment` that has ended.
fn run(comment: u64, verb: Verb, state: RunState) -> Run {
    let mut asked = mention(comment, 0, comment, None);
    asked.command = Some(Command::of_verb(verb, "x"));
    let id = RunId::derive(&asked.origin.instance, asked.comment, 0);
    let mut run = records::queued(&asked, &id, None, Timestamp::UNIX_EPOCH);
    run.started_at = Some(Timestamp::UNIX_EPOCH);
    records::ended(run, state, Outcome::default(), Timestamp::UNIX_EPOCH)
}

fn pushed(mut run: Run) -> Run {
    run.outcome = Some(Outcome {
        pushed: Some(Pushed {
            commit: CommitId::new("a".repeat(40)).unwrap(),
            branch: "refs/heads/x".to_owned(),
            files: 1,
            added: 1,
            removed: 0,
            threads: Vec::new(),
        }),
        ..Outcome::default()
    });
    run
}

/// The comment of the run that is found, or why there is none.
fn found(history: &[Run], command: &Command, parent: Option<u64>) -> Result<u64, FailureCode> {
    let found = earlier(history, command, parent.map(CommentId), &head());
    found.map(|run| run.comment.0).map_err(|report| report.code)
}

fn head() -> CommitId {
    CommitId::new("b".repeat(40)).unwrap()
}

fn at(mut run: Run, base: char) -> Run {
    run.base = Some(CommitId::new(base.to_string().repeat(40)).unwrap());
    run
}

fn with(verb: Verb, options: Options) -> Command {
    Command {
        options: Box::new(options),
        ..Command::of_verb(verb, "x")
    }
}

/// What `verb` with the options `typed` comes to after a run of `earlier` with the options `kept`.
fn over(verb: Verb, typed: Options, earlier: Verb, kept: Options) -> Result<Options, FailureReport> {
    let mut before = run(1, earlier, RunState::Done);
    before.command = with(earlier, kept);
    resolved(&with(verb, typed), Some(&before)).map(|resolved| *resolved.command.options)
}

fn named(verb: Verb, argument: &str) -> Command {
    Command {
        argument: Some(argument.to_owned()),
        ..Command::of_verb(verb, "")
    }
}

#[test]
fn retry_takes_the_last_run_that_ended_or_the_one_it_answers_and_never_what_was_refused() {
    let retry = Command::of_verb(Verb::Retry, "");
    let mut running = run(5, Verb::Fix, RunState::Done);
    running.state = RunState::Running;
    let mut replied = run(1, Verb::Test, RunState::Done);
    replied.reply.comment = Some(CommentId(100));
    let history = [
        running,
        run(4, Verb::Fix, RunState::Refused),
        run(3, Verb::Help, RunState::Answered),
        run(2, Verb::Fix, RunState::Failed),
        replied,
    ];
    assert_eq!(found(&history, &retry, None), Ok(2));
    assert_eq!(found(&history, &retry, Some(100)), Ok(1));
    assert_eq!(found(&history, &retry, Some(1)), Ok(1));
    assert_eq!(
        found(&history, &retry, Some(4)),
        Err(FailureCode::NothingToResume)
    );
    assert_eq!(
        found(&history, &retry, Some(999)),
        Err(FailureCode::RunUnclear),
        "in a thread of people it would be a guess"
    );
    assert_eq!(found(&history[..4], &retry, Some(999)), Ok(2), "there is but one");
    assert_eq!(
        found(&history[..3], &retry, None),
        Err(FailureCode::NothingToResume)
    );
}

#[test]
fn continue_takes_kept_work_or_open_questions() {
    let go_on = Command::of_verb(Verb::Continue, "");
    let patch = Artifact {
        key: "k".to_owned(),
        bytes: 1,
    };
    let mut kept = run(1, Verb::Fix, RunState::Expired);
    kept.patch = Some(patch.clone());
    let mut done = pushed(run(2, Verb::Fix, RunState::Done));
    done.patch = Some(patch);
    let mut asks = run(3, Verb::Fix, RunState::NeedsInput);
    asks.outcome = Some(Outcome {
        questions: vec!["which?".to_owned()],
        ..Outcome::default()
    });
    assert_eq!(found(&[done.clone(), kept.clone()], &go_on, None), Ok(1));
    assert_eq!(found(&[asks, done.clone(), kept], &go_on, None), Ok(3));
    assert_eq!(found(&[done], &go_on, None), Err(FailureCode::NothingToResume));
}

#[test]
fn approve_takes_the_plan_for_the_head_or_the_one_it_names() {
    let mut first = run(1, Verb::Plan, RunState::Answered);
    first.base = Some(CommitId::new("abc1".repeat(10)).unwrap());
    let second = at(run(2, Verb::Plan, RunState::Answered), 'b');
    let failed = run(3, Verb::Plan, RunState::Failed);
    let history = [failed, run(4, Verb::Fix, RunState::Done), second, first.clone()];
    let approve = Command::of_verb(Verb::Approve, "");
    assert_eq!(found(&history, &approve, None), Ok(2));
    assert_eq!(
        found(&history, &named(Verb::Approve, first.id.as_str()), None),
        Ok(1)
    );
    assert_eq!(found(&history, &named(Verb::Approve, "abc1abc"), None), Ok(1));
    assert_eq!(
        found(&history, &named(Verb::Approve, "fff"), None),
        Err(FailureCode::NoPlan)
    );
}

#[test]
fn undo_takes_what_was_pushed_last_and_steps_back_when_it_is_repeated() {
    let first = pushed(run(1, Verb::Fix, RunState::Done));
    let second = pushed(run(2, Verb::Fix, RunState::Done));
    let undo = Command::of_verb(Verb::Undo, "");
    let mut undone = pushed(run(3, Verb::Undo, RunState::Done));
    undone.about = Some(second.id.clone());
    let history = [undone, second, first.clone()];
    assert_eq!(found(&history[1..], &undo, None), Ok(2));
    assert_eq!(found(&history, &undo, None), Ok(1));
    assert_eq!(
        found(&history, &named(Verb::Undo, first.id.as_str()), None),
        Ok(1)
    );
    assert_eq!(
        found(&[run(1, Verb::Fix, RunState::NoChange)], &undo, None),
        Err(FailureCode::NothingToUndo)
    );
}

#[test]
fn a_retry_does_what_the_earlier_run_did_about_what_that_was_about() {
    let retry = Command::of_verb(Verb::Retry, "");
    let fix = run(1, Verb::Fix, RunState::Done);
    let again = resolved(&retry, Some(&fix)).unwrap();
    assert_eq!(
        (again.command, again.about),
        (fix.command.clone(), Some(fix.id.clone()))
    );
    let mut undo = run(2, Verb::Undo, RunState::Failed);
    undo.about = Some(fix.id.clone());
    assert_eq!(resolved(&retry, Some(&undo)).unwrap().about, Some(fix.id));
}

#[test]
fn an_approval_that_may_mean_another_plan_asks_which() {
    let approve = Command::of_verb(Verb::Approve, "");
    let mut first = at(run(1, Verb::Plan, RunState::Answered), 'b');
    first.reply.comment = Some(CommentId(100));
    let second = at(run(2, Verb::Plan, RunState::Answered), 'b');
    let old = at(run(3, Verb::Plan, RunState::Answered), 'c');
    let all = [old.clone(), second.clone(), first.clone()];
    assert_eq!(found(&all, &approve, Some(100)), Ok(1), "below the plan");
    assert_eq!(
        found(&all, &approve, Some(150)),
        Err(FailureCode::RunUnclear),
        "below a remark in its thread"
    );
    assert_eq!(found(&all, &approve, None), Err(FailureCode::RunUnclear));
    assert_eq!(
        found(&all, &named(Verb::Approve, "bbb"), None),
        Err(FailureCode::RunUnclear)
    );
    assert_eq!(found(&[old.clone(), second.clone()], &approve, None), Ok(2));
    assert_eq!(
        found(std::slice::from_ref(&old), &approve, None),
        Ok(3),
        "its commit is compared when the work begins"
    );
    let asked = earlier(&all, &approve, None, &head()).unwrap_err();
    let choice = format!("`approve {}` or `approve {}`", second.id, first.id);
    assert_eq!(asked.detail, Some(choice));
}

#[test]
fn an_undo_that_names_none_leaves_merges_and_other_branches_alone() {
    let undo = Command::of_verb(Verb::Undo, "");
    let fix = pushed(run(1, Verb::Fix, RunState::Done));
    let update = pushed(run(2, Verb::Update, RunState::Done));
    let mut aside = pushed(run(3, Verb::Fix, RunState::Done));
    aside.outcome.as_mut().unwrap().pushed_aside = true;
    let history = [aside.clone(), update, fix];
    assert_eq!(found(&history, &undo, None), Ok(1));
    assert_eq!(found(&history[..2], &undo, None), Err(FailureCode::NothingToUndo));
    assert_eq!(
        found(&history, &named(Verb::Undo, aside.id.as_str()), None),
        Ok(3)
    );
}

#[test]
fn continue_takes_no_run_that_was_continued_already() {
    let go_on = Command::of_verb(Verb::Continue, "");
    let kept = |comment| {
        let mut kept = run(comment, Verb::Fix, RunState::Expired);
        kept.patch = Some(Artifact {
            key: "k".to_owned(),
            bytes: 1,
        });
        kept
    };
    let (old, new) = (kept(1), kept(2));
    let mut went_on = pushed(run(3, Verb::Continue, RunState::Done));
    went_on.about = Some(new.id.clone());
    let history = [went_on, new.clone(), old];
    assert_eq!(found(&history, &go_on, None), Ok(1));
    assert_eq!(
        found(&history, &named(Verb::Continue, new.id.as_str()), None),
        Ok(2)
    );
    assert_eq!(
        found(&history[..2], &go_on, None),
        Err(FailureCode::NothingToResume)
    );
}

#[test]
fn what_limited_a_run_limits_what_goes_back_to_it() {
    let limits = Options {
        paths: vec!["src/**".to_owned()],
        new_pr: true,
        branch: Some("b".to_owned()),
        no_test: true,
        reference: Some("abc".to_owned()),
        budget: Some(Budget::Tokens(9)),
        time_seconds: Some(60),
        sign_off: true,
        lang: Some("de".to_owned()),
        ..Options::default()
    };
    for verb in [Verb::Retry, Verb::Continue] {
        let again = over(verb, Options::default(), Verb::Fix, limits.clone());
        assert_eq!(again.as_ref(), Ok(&limits), "{verb:?}");
    }
    let plan = Options {
        paths: limits.paths.clone(),
        budget: limits.budget,
        ..Options::default()
    };
    let approved = over(Verb::Approve, Options::default(), Verb::Plan, plan.clone());
    assert_eq!(approved, Ok(plan));
    let dry = Options {
        dry_run: true,
        ..limits.clone()
    };
    assert_eq!(
        over(Verb::Retry, Options::default(), Verb::Fix, dry.clone()),
        Ok(dry.clone())
    );
    assert_eq!(
        over(Verb::Continue, Options::default(), Verb::Fix, dry),
        Ok(limits),
        "to continue a dry run is to push it"
    );
}

#[test]
fn what_is_typed_with_a_repetition_counts() {
    let typed = Options {
        dry_run: true,
        quiet: true,
        model: Some("small".to_owned()),
        paths: vec!["src/**".to_owned()],
        budget: Some(Budget::Tokens(9)),
        ..Options::default()
    };
    let kept = Options {
        model: Some("big".to_owned()),
        budget: Some(Budget::Tokens(1)),
        sign_off: true,
        ..Options::default()
    };
    let expected = Options {
        sign_off: true,
        ..typed.clone()
    };
    for verb in [Verb::Retry, Verb::Continue] {
        let again = over(verb, typed.clone(), Verb::Fix, kept.clone());
        assert_eq!(again.as_ref(), Ok(&expected), "{verb:?}");
    }
}

#[test]
fn what_is_typed_against_a_limit_is_refused_in_words() {
    let paths = |path: &str| Options {
        paths: vec![path.to_owned()],
        ..Options::default()
    };
    let budget = |budget| Options {
        budget: Some(budget),
        ..Options::default()
    };
    let detail = |verb, typed, earlier, kept| {
        let report = over(verb, typed, earlier, kept).unwrap_err();
        assert_eq!(report.code, FailureCode::OptionContradicts);
        report.detail.unwrap()
    };
    for verb in [Verb::Retry, Verb::Continue, Verb::Approve] {
        let earlier = if verb == Verb::Approve {
            Verb::Plan
        } else {
            Verb::Fix
        };
        assert_eq!(
            detail(verb, paths("docs/**"), earlier, paths("src/**")),
            "`--path`: it is limited to `src/**` already"
        );
        let same = over(verb, paths("src/**"), earlier, paths("src/**"));
        assert_eq!(same, Ok(paths("src/**")));
    }
    let plan = budget(Budget::Tokens(5));
    for more in [Budget::Tokens(6), Budget::UsdCents(1)] {
        assert_eq!(
            detail(Verb::Approve, budget(more), Verb::Plan, plan.clone()),
            "`--budget`: the plan was made for less"
        );
    }
    let less = budget(Budget::Tokens(4));
    assert_eq!(over(Verb::Approve, less.clone(), Verb::Plan, plan), Ok(less));
    let dry = Options {
        dry_run: true,
        ..Options::default()
    };
    for verb in [Verb::Update, Verb::Ask] {
        let kept = Options::default();
        assert!(detail(Verb::Retry, dry.clone(), verb, kept).starts_with("`--dry-run`: "));
    }
}
