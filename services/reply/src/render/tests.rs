use insta::assert_snapshot;
use pipeline::command::{Command, NearMiss};
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::job::Artifact;
use pipeline::run::{Check, Confinement, Measured, Pushed, Setup, Usage};
use proptest::prelude::*;

use super::*;
use crate::sample;

fn scene() -> Scene<'static> {
    Scene {
        policy: Policy {
            base_url: "https://bitbucket.example.com",
            beyond_bmp: true,
        },
        name: Some("openhands".into()),
        commit_url: Some(
            "https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7/commits/9f8e7d6".into(),
        ),
        diff_url: Some("https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7/diff".into()),
        pull_request_url: Some(
            "https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7".into(),
        ),
        repository_url: Some("https://bitbucket.example.com/projects/PROJ/repos/demo".into()),
        described: None,
        patch: None,
        unsandboxed: false,
        alone: false,
        mentions: true,
    }
}

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

fn ended_as(state: RunState, outcome: Outcome) -> Run {
    let mut run = sample::running();
    run.end(Some(1), state, outcome, sample::at(123)).unwrap();
    run.usage = Usage {
        turns: 4,
        input_tokens: 30_000,
        cached_tokens: 0,
        output_tokens: 1_234,
        usd: None,
    };
    run
}

fn failed(state: RunState, code: FailureCode, detail: Option<&str>) -> Run {
    let failure = Some(FailureReport {
        code,
        detail: detail.map(str::to_owned),
    });
    ended_as(
        state,
        Outcome {
            failure,
            ..Outcome::default()
        },
    )
}

fn pushed() -> Pushed {
    let commit = CommitId::new("9f8e7d6c5b4a39281706f5e4d3c2b1a098765432").unwrap();
    Pushed {
        commit,
        branch: "refs/heads/feature/x".into(),
        files: 3,
        added: 41,
        removed: 7,
        threads: Vec::new(),
    }
}

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
fn a_done_run_says_what_git_says_and_mentions_the_requester_once() {
    let run = ended_as(
        RunState::Done,
        Outcome {
            pushed: Some(pushed()),
            summary: Some("Fixed the check, see @bob.\n\n- `a.rs`: no null".into()),
            not_done: vec!["a test for Windows".into()],
            notes: vec!["The branch moved meanwhile; the change was merged onto the new head.".into()],
            left_out: vec!["3 old resolved threads".into()],
            ..Outcome::default()
        },
    );
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Done for @alice in 2m 03s** · pushed `9f8e7d6c5b4` to `feature/x` · [commit](https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7/commits/9f8e7d6) · [diff](https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/7/diff) · undo: reply `@openhands undo`

    What changed: 3 files, +41 −7 (from git)

    In the agent's words:

    Fixed the check, see @&#8203;bob.

    - `a.rs`: no null

    Not done, in the agent's words; please look:

    - a test for Windows

    Good to know:

    - The branch moved meanwhile; the change was merged onto the new head.

    Left out of what the agent was shown:

    - 3 old resolved threads

    4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
}

#[test]
fn an_answer_of_ours_is_shown_as_it_is_and_the_reply_says_how_the_comment_was_read() {
    let mut run = ended_as(
        RunState::Refused,
        Outcome {
            answer: Some("`sotp` is not a command: did you mean `stop`?".into()),
            ..Outcome::default()
        },
    );
    run.usage = pipeline::run::Usage::default();
    run.command.ignored_verbs = vec![pipeline::mention::Verb::Review];
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Refused for @alice**

    The comment has further mentions; only one counts. Not done: `review`.

    `sotp` is not a command: did you mean `stop`?

    run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
}

#[test]
fn endings_without_a_push_say_why_and_what_next() {
    let summary = Some("The check is there already.".to_owned());
    let no_change = ended_as(
        RunState::NoChange,
        Outcome {
            summary: summary.clone(),
            ..Outcome::default()
        },
    );
    assert_snapshot!(status_reply(&no_change, &scene()), @"
    **No change needed for @alice** — the agent left every file as it was.

    In the agent's words:

    The check is there already.

    4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
    let answered = ended_as(
        RunState::Answered,
        Outcome {
            summary,
            ..Outcome::default()
        },
    );
    assert_snapshot!(status_reply(&answered, &scene()), @"
    **Answered for @alice in 2m 03s**

    In the agent's words:

    The check is there already.

    4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
    let asks = ended_as(
        RunState::NeedsInput,
        Outcome {
            questions: vec!["Which of the two?".into()],
            ..Outcome::default()
        },
    );
    assert_snapshot!(status_reply(&asks, &scene()), @"
    **I need an answer from @alice** — nothing goes on until then.

    Questions:

    - Which of the two?

    To answer, reply `@openhands continue` and your answer.

    4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
}

#[test]
fn a_refusal_says_why_although_nothing_ran() {
    let mut run = sample::queued();
    let failure = Some(FailureReport {
        code: FailureCode::PermissionDenied,
        detail: Some("REPO_WRITE on PROJ/demo".into()),
    });
    run.end(
        None,
        RunState::Refused,
        Outcome {
            failure,
            ..Outcome::default()
        },
        sample::at(1),
    )
    .unwrap();
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Refused for @alice** — You need write access to this repository to ask for changes.

    > REPO_WRITE on PROJ/demo

    What to do: Ask a repository admin for write access, or ask someone who has it to repeat the request.

    `PERMISSION_DENIED` · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=2)
    ");
}

#[test]
fn a_rejected_push_shows_the_servers_words_and_the_patch() {
    let mut run = failed(
        RunState::Failed,
        FailureCode::PushRejected,
        Some("hook: expected committer\n\u{1b}[31m@all ``` look\u{1b}[0m"),
    );
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: 20,
    });
    assert_snapshot!(status_reply(&run, &Scene { patch: Some("--- a/x\n+++ b/x\n".into()), ..scene() }), @"
    **Failed for @alice after 2m 03s** — The server refused the push. Nothing was pushed.

    ````
    hook: expected committer
    @all ``` look
    ````

    What to do: Read the server's message, change what it names, then repeat the request.

    The work, as a patch:

    ```diff
    --- a/x
    +++ b/x
    ```

    To try the same again, reply `@openhands retry`.

    `PUSH_REJECTED` · 4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
    assert_snapshot!(status_reply(&run, &scene()), @"
    **Failed for @alice after 2m 03s** — The server refused the push. Nothing was pushed.

    ````
    hook: expected committer
    @all ``` look
    ````

    What to do: Read the server's message, change what it names, then repeat the request.

    The work is kept as a patch. An administrator gets it with `openhands-resolver runs show r-8y96vrdbhdtg --patch`.

    To try the same again, reply `@openhands retry`.

    `PUSH_REJECTED` · 4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
}

#[test]
fn other_endings_have_a_verdict_of_their_own() {
    let stopped = failed(RunState::Cancelled, FailureCode::CommentDeleted, None);
    assert_snapshot!(status_reply(&stopped, &Scene { alone: true, ..scene() }), @"
    *(The comment this answers was deleted.)*

    **Stopped for @alice after 2m 03s** — The comment that asked was deleted. Nothing was pushed.

    What to do: Write a new comment to ask again.

    `COMMENT_DELETED` · 4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
    assert_snapshot!(status_reply(&failed(RunState::Expired, FailureCode::TimeLimit, None), &scene()), @"
    **Out of time or budget for @alice after 2m 03s** — The run used up its time. Nothing was pushed.

    What to do: Ask for a smaller step, or ask an administrator about the limit.

    `TIME_LIMIT` · 4 model calls · 31k tokens · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
    assert_snapshot!(status_reply(&ended_as(RunState::Superseded, Outcome::default()), &Scene { unsandboxed: true, ..scene() }), @"
    **Superseded for @alice** — a newer request took its place.

    4 model calls · 31k tokens · unsandboxed · run `r-8y96vrdbhdtg`

    [//]: # (openhands-resolver run=r-8y96vrdbhdtg n=3)
    ");
}

fn setup(level: u8, residue: &[&str]) -> Setup {
    Setup {
        agent: "builtin".into(),
        model: "default".into(),
        tokens_max: None,
        usd_max: Some(5.0),
        sandbox: Confinement {
            level,
            name: String::new(),
            residue: residue.iter().map(|&text| text.to_owned()).collect(),
        },
    }
}

#[test]
fn a_run_says_what_the_resolver_measured_what_it_cost_and_how_it_was_confined() {
    let one = Check {
        name: "test".into(),
        command: "cargo test -p parser".into(),
        before: Measured::Exited {
            code: 1,
            milliseconds: 12_000,
        },
        after: Measured::Exited {
            code: 0,
            milliseconds: 38_000,
        },
    };
    let mut run = ended_as(
        RunState::Done,
        Outcome {
            pushed: Some(pushed()),
            checks: vec![one.clone()],
            ..Outcome::default()
        },
    );
    run.usage.usd = Some(0.42);
    run.setup = Some(Box::new(setup(2, &["the shared kernel"])));
    assert_snapshot!(status_reply(&run, &scene()));
    let other = Check {
        name: "serve".into(),
        command: "make `serve` @all".into(),
        before: Measured::NotRun {
            why: "the time for checks was used up".into(),
        },
        after: Measured::NotMeasurable {
            why: "bind was refused".into(),
        },
    };
    let slow = Check {
        name: "slow".into(),
        command: "make all".into(),
        before: Measured::TimedOut {
            milliseconds: 600_000,
        },
        after: Measured::Stopped {
            limit: "memory".into(),
            milliseconds: 1_500,
        },
    };
    let broken = Check {
        name: "lint".into(),
        command: "make lint".into(),
        before: Measured::Exited {
            code: 0,
            milliseconds: 900,
        },
        after: Measured::Exited {
            code: 2,
            milliseconds: 900,
        },
    };
    run.outcome.as_mut().unwrap().checks = vec![one, other, slow, broken];
    let residue = ["the shared kernel", "some <b>"];
    run.setup = Some(Box::new(setup(1, &residue)));
    assert_snapshot!(status_reply(&run, &scene()));
}

#[test]
fn a_run_that_was_cut_off_shows_what_it_spent_and_how_to_go_on() {
    let mut run = failed(RunState::Expired, FailureCode::MoneyLimit, None);
    run.usage.usd = Some(5.004);
    run.setup = Some(Box::new(setup(0, &[])));
    run.outcome.as_mut().unwrap().nothing_pushed = true;
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: 20,
    });
    let with_patch = Scene {
        patch: Some("--- a/x\n+++ b/x\n".into()),
        ..scene()
    };
    assert_snapshot!(status_reply(&run, &with_patch));
}

#[test]
fn every_code_has_an_ending_with_the_run_the_code_and_the_next_step() {
    for code in FailureCode::ALL {
        let text = status_reply(&failed(RunState::Failed, *code, None), &scene());
        for part in [code.as_str(), code.sentence(), code.next_step(), "r-"] {
            assert!(text.contains(part), "{code}: {text}");
        }
    }
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
fn a_running_run_says_what_it_has_spent() {
    let mut run = sample::running();
    run.usage = Usage {
        turns: 2,
        input_tokens: 9_600,
        output_tokens: 400,
        ..Usage::default()
    };
    assert!(status_reply(&run, &scene()).contains("10k tokens so far · run"));
    run.usage.usd = Some(0.1);
    run.setup = Some(Box::new(setup(2, &[])));
    let text = status_reply(&run, &scene());
    assert!(text.contains("$0.10 of $5.00 so far · "), "{text}");
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

proptest! {
    /// Of any words, those of surrogate pairs among them. A lone surrogate is no character of Rust's and comes in no text.
    #[test]
    fn whatever_the_agent_says_fits_and_leaves_the_marker_at_the_end(
        summary in "([a-z @<>`~*_#|!\\[\\]()\n>-]|````|~~~|```rust\n|> |- |🎉|\u{10ffff}|\u{202e}|<!--|<script>|&#x1F389;|    ){0,200}",
        times in 1_usize..200,
        points in proptest::collection::vec("([a-z`@🎉\n#>-]|```|<b>){0,60}", 0..30),
        detail in "([a-z`\n@🎉]|```){0,200}",
        state in 0_usize..4,
    ) {
        let outcome = Outcome {
            failure: (state == 0).then_some(FailureReport {
                code: FailureCode::PushRejected,
                detail: Some(detail),
            }),
            summary: Some(summary.repeat(times)),
            not_done: points.clone(),
            questions: points.clone(),
            notes: points.clone(),
            left_out: points,
            ..Outcome::default()
        };
        let states = [RunState::Failed, RunState::Answered, RunState::NeedsInput, RunState::NoChange];
        let run = ended_as(states[state], outcome);
        for beyond_bmp in [true, false] {
            let mut scene = scene();
            scene.policy.beyond_bmp = beyond_bmp;
            let text = status_reply(&run, &scene);
            prop_assert!(sanitise::units(&text) <= limit::UNITS_MAX);
            let fits = beyond_bmp || text.chars().all(|c| c.len_utf16() == 1);
            prop_assert!(fits);
            let marker = Marker { run: run.id.clone(), n: run.n };
            prop_assert_eq!(Marker::of(&text), Some(marker));
            // Where a fence were open, the footer would be code.
            let footer = details::footer(&run, &scene);
            let (_, end) = text.rsplit_once(&footer).unwrap();
            let at = text.len() - end.len() - footer.len();
            let mut parser = pulldown_cmark::Parser::new(&text).into_offset_iter();
            let is_paragraph = parser.any(|(event, range)| {
                matches!(event, pulldown_cmark::Event::Start(pulldown_cmark::Tag::Paragraph)) && range.start == at
            });
            prop_assert!(is_paragraph, "{}", text);
        }
    }
}

#[test]
fn the_longest_possible_reply_fits() {
    let long = "@ <b> ".repeat(5_000);
    let many = vec![long.clone(); 50];
    let mut run = ended_as(
        RunState::Failed,
        Outcome {
            failure: Some(FailureReport {
                code: FailureCode::PushRejected,
                detail: Some(long.clone()),
            }),
            answer: None,
            pushed: None,
            pushed_aside: false,
            nothing_pushed: true,
            summary: Some(long.clone()),
            not_done: many.clone(),
            questions: many.clone(),
            notes: many.clone(),
            left_out: many,
            checks: Vec::new(),
        },
    );
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: 8192,
    });
    let text = status_reply(
        &run,
        &Scene {
            patch: Some("`".repeat(8192)),
            ..scene()
        },
    );
    assert!(sanitise::units(&text) <= limit::UNITS_MAX);
    assert_eq!(
        Marker::of(&text),
        Some(Marker {
            run: run.id.clone(),
            n: run.n
        })
    );
}

#[test]
fn a_patch_that_would_not_apply_as_shown_is_not_shown() {
    let run = failed(RunState::Failed, FailureCode::BranchConflict, None);
    let shown = |patch: &[u8]| showable(patch.to_vec(), &run, scene().policy);
    assert!(shown(b"+ok\n").is_some());
    assert!(shown("+a\u{202e}b\n".as_bytes()).is_none());
    assert!(shown(b"+\r\n").is_none());
    assert!(shown(&[0xff]).is_none());
    assert!(shown(&[b'x'; 9000]).is_none());
}

#[test]
fn a_dry_run_shows_a_long_patch_as_far_as_there_is_room_for_hunks() {
    let mut run = ended_as(RunState::Answered, Outcome::default());
    run.command.options.dry_run = true;
    let hunk = |n: usize| format!("@@ -{n},1 +{n},1 @@\n-a\n+{}\n", "b".repeat(1000));
    let head = "diff --git a/x b/x\n--- a/x\n+++ b/x\n";
    let whole = format!("{head}{}", (1..15).map(hunk).collect::<String>());
    let shown = |run: &Run, patch: &str| showable(patch.as_bytes().to_vec(), run, scene().policy);
    assert_eq!(shown(&run, &whole).as_deref(), Some(whole.as_str()));
    let long = format!("{head}{}", (1..60).map(hunk).collect::<String>());
    let beginning = shown(&run, &long).unwrap();
    let hunks = beginning.matches("@@ -").count();
    assert_eq!(
        beginning,
        format!("{head}{}", (1..=hunks).map(hunk).collect::<String>())
    );
    assert!((20..=22).contains(&hunks), "{hunks}");
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: long.len() as u64,
    });
    let scene = Scene {
        patch: Some(beginning),
        ..scene()
    };
    let reply = status_reply(&run, &scene);
    assert!(
        reply.contains("The beginning of the work, as a patch") && reply.contains("@@ -20,1"),
        "{}",
        reply.len()
    );
    // One hunk that is longer than that, and what is no dry run.
    assert_eq!(
        shown(&run, &format!("{head}@@ -1 +1 @@\n+{}", "b".repeat(30_000))),
        None
    );
    run.command.options.dry_run = false;
    assert_eq!(shown(&run, &whole), None);
}

#[test]
fn that_nothing_was_pushed_is_said_only_where_it_is_known() {
    let mut stopped = failed(RunState::Cancelled, FailureCode::PullRequestClosed, None);
    let says_so = |run: &Run| status_reply(run, &scene()).contains("Nothing was pushed.");
    assert!(says_so(&stopped), "there was no commit yet");
    stopped.committed = true;
    assert!(
        !says_so(&stopped),
        "it may have been stopped in the middle of its push"
    );
    stopped.outcome.as_mut().unwrap().nothing_pushed = true;
    assert!(says_so(&stopped), "the worker that pushes says so itself");
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
