//! How each ending reads.

use insta::assert_snapshot;
use pipeline::failure_code::FailureCode;
use pipeline::job::Artifact;

use super::*;

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
