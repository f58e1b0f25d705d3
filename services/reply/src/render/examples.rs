//! An example reply for each verb, as `docs/commands.md` shows it. Rendered here, so that the document cannot differ from
//! how a record is shown; what `services/context-builder` answers at once is `config`'s and `help`'s own, else its words.

mod not_by_verb;

use pipeline::ids::{CommentId, CommitId};
use pipeline::job::Artifact;
use pipeline::mention::{Class, Command, Verb};
use pipeline::run::{Check, Confinement, Measured, Outcome, Plan, Pushed, Run, RunState, Setup, Usage};
use pipeline::{effect, reference};

use super::{Scene, status_reply};
use crate::sample;
use crate::sanitise::Policy;

const BASE: &str = "https://bitbucket.example.com";

fn scene(run: &Run) -> Scene<'static> {
    let page = format!("{BASE}/projects/PROJ/repos/demo/pull-requests/7");
    let pushed = run.outcome.as_ref().and_then(|outcome| outcome.pushed.as_ref());
    Scene {
        policy: Policy {
            base_url: BASE,
            beyond_bmp: true,
        },
        name: Some("openhands".into()),
        commit_url: pushed.map(|pushed| format!("{page}/commits/{}", pushed.commit.short())),
        diff_url: pushed.map(|_| format!("{page}/diff")),
        pull_request_url: Some(page),
        repository_url: Some(format!("{BASE}/projects/PROJ/repos/demo")),
        described: None,
        patch: None,
        unsandboxed: false,
        alone: false,
        mentions: true,
    }
}

/// How the run of a verb that works may end.
fn ending(verb: Verb) -> (RunState, Outcome) {
    let says = |text: &str| Some(text.to_owned());
    let pushed = |summary: &str| Outcome {
        pushed: Some(Pushed {
            commit: CommitId::new("9f8e7d6c5b4a39281706f5e4d3c2b1a098765432").unwrap(),
            branch: "refs/heads/feature/x".into(),
            files: 2,
            added: 9,
            removed: 3,
            threads: Vec::new(),
        }),
        summary: says(summary),
        ..Outcome::default()
    };
    let answered = |summary: &str| Outcome {
        summary: says(summary),
        nothing_pushed: true,
        ..Outcome::default()
    };
    match verb {
        Verb::Review => (
            RunState::Answered,
            answered("One branch of the retry swallows the error."),
        ),
        Verb::Ask => (RunState::Answered, answered("Yes: `send` is tried three times.")),
        Verb::Explain => (
            RunState::Answered,
            answered("The queue keeps one message for each lane, because …"),
        ),
        Verb::Describe => (
            RunState::Answered,
            answered(
                "The change is about uploads alone.\n\n**Title:** Retry uploads\n\n**Description:**\n\nUploads are tried three times.",
            ),
        ),
        Verb::Plan => (
            RunState::Answered,
            answered("1. Return the error from `send`.\n2. Test it."),
        ),
        Verb::Update | Verb::Undo => (RunState::Done, by_git(verb, pushed(""))),
        Verb::Test => {
            let exited = |code, milliseconds| Measured::Exited { code, milliseconds };
            let check = Check {
                name: "test".into(),
                command: "cargo test -p upload".into(),
                before: exited(101, 12_000),
                after: exited(0, 38_000),
            };
            let outcome = Outcome {
                checks: vec![check],
                ..pushed("Added a test for the third try.")
            };
            (RunState::Done, outcome)
        }
        _ => (
            RunState::Done,
            pushed("`send` returns the error instead of dropping it."),
        ),
    }
}

/// The same where no agent has worked, which says nothing then.
fn by_git(verb: Verb, outcome: Outcome) -> Outcome {
    let note = if verb == Verb::Undo {
        "Reverted `abc1234abc1` of run `r-0123456789ab`; later commits were kept"
    } else {
        "`main` at `1234567890a` was merged in; history is never rewritten, nor would `rebase` do it"
    };
    Outcome {
        summary: None,
        notes: vec![note.to_owned()],
        ..outcome
    }
}

/// The record of what is answered at once.
fn told(verb: Verb, said: String) -> Run {
    let mut run = sample::queued();
    run.command = Command::of_verb(verb, "");
    let outcome = Outcome {
        answer: Some(said),
        ..Outcome::default()
    };
    run.end(None, RunState::Answered, outcome, sample::at(1)).unwrap();
    run
}

fn worked(verb: Verb) -> Run {
    let mut run = sample::running();
    run.command = Command::of_verb(verb, "");
    run.branch = Some("feature/x".into());
    run.base = Some(CommitId::new("abc1234abc1234abc1234abc1234abc1234abc12").unwrap());
    let (state, outcome) = ending(verb);
    if verb == Verb::Plan {
        let kept = Artifact {
            key: "k".into(),
            bytes: 1,
        };
        run.plan = Some(Plan::of(kept, b"plan"));
    }
    if verb == Verb::Address {
        run.effects = vec![effect::Effect {
            progress: effect::Progress::Done {
                comment: Some(CommentId(320)),
                pull_request: None,
            },
            ..effect::Effect::planned(answer())
        }];
    }
    if verb == Verb::Review {
        run.effects = vec![effect::Effect {
            progress: effect::Progress::Done {
                comment: Some(CommentId(321)),
                pull_request: None,
            },
            ..effect::Effect::planned(finding())
        }];
    }
    if matches!(verb, Verb::Update | Verb::Undo) {
        run.end(Some(1), state, outcome, sample::at(5)).unwrap();
        return run;
    }
    run.usage = Usage {
        turns: 4,
        input_tokens: 30_000,
        output_tokens: 1_200,
        usd: Some(0.42),
        ..Usage::default()
    };
    run.setup = Some(Box::new(Setup {
        agent: "builtin".into(),
        model: "default".into(),
        tokens_max: None,
        usd_max: Some(5.0),
        sandbox: Confinement {
            level: 2,
            name: String::new(),
            residue: Vec::new(),
        },
    }));
    run.end(Some(1), state, outcome, sample::at(123)).unwrap();
    run
}

fn answer() -> effect::What {
    serde_json::from_value(serde_json::json!({"kind": "answer", "thread": 305, "text": "Done."})).unwrap()
}

fn finding() -> effect::What {
    serde_json::from_value(serde_json::json!({
        "kind": "finding", "path": "src/upload.rs", "first_line": 40, "last_line": 42, "text": "The error is dropped."
    }))
    .unwrap()
}

/// What `config` answers where little is configured and the repository has no file.
fn configured() -> String {
    let directory = tempfile::tempdir().unwrap();
    let (file, token) = (
        directory.path().join("resolver.toml"),
        directory.path().join("token"),
    );
    std::fs::write(&token, "t").unwrap();
    let text = format!(
        "data_dir = {data:?}\n[llm]\nbase_url = \"http://127.0.0.1:1/v1\"\n[[model]]\nalias = \"default\"\nmodel = \"m\"\n\
         [[connection]]\nid = \"main\"\nbase_url = \"{BASE}\"\nbot_token_file = {token:?}\n\
         webhook_secret_files = [{token:?}]\nrepositories = [\"PROJ/*\"]\n[connection.mention]\nnames = [\"openhands\"]\n",
        data = directory.path(),
    );
    std::fs::write(&file, text).unwrap();
    let config = config::load(&file).unwrap();
    config::shown(&config::Shown {
        config: &config,
        connection: &config.connections[0],
        file: &config::RepositoryFile::default(),
        branch: "main",
        at: None,
    })
}

/// What `services/context-builder` answers at once, in its words: a scenario compares each with what is really answered.
fn at_once(verb: Verb) -> Option<String> {
    const RUN: &str = "r-0123456789ab";
    Some(match verb {
        // A repair ends as `fix` does.
        Verb::FixCi => "Bitbucket has no failed build for commit `abc1234abc1`, so nothing was started. Logs of builds are \
             not read yet: if a build that Bitbucket does not know fails, paste its failing lines behind `fix`."
            .to_owned(),
        Verb::Stop => format!("Stopped `{RUN}`."),
        Verb::Status => format!(
            "- Working for 1 min 12 s: `{RUN}`, `fix` for `alice`, step `edited src/lib.rs`; $0.12, 14k tokens so far\n\n\
             Spent on this pull request so far: $0.54, 45k tokens in 2 runs."
        ),
        Verb::Why => format!(
            "About `305`:\n\n- 2025-06-15 15:06:40 UTC `mention-parser`, comment 305: passed on, the comment mentions the bot\n\
             - 2025-06-15 15:06:40 UTC `context-builder`, comment 305: queued, the requester may, the pull request is open\n\
             - Run `{RUN}` is done; its reply is comment 306"
        ),
        Verb::Pause => "The bot is paused on this pull request, by `alice` since 2025-06-15 15:06:40 UTC: requests start \
             nothing until somebody who may write types `resume`. What runs or waits goes on; questions about it, `stop` \
             and `resume` still count."
            .to_owned(),
        Verb::Resume => "The bot listens on this pull request. If something was asked while it was paused, ask again: \
             that is not remembered."
            .to_owned(),
        Verb::Config => configured(),
        Verb::Help => reference::help("openhands"),
        Verb::Ping => format!(
            "I am here: openhands-resolver {}. Connection `main` reaches Bitbucket as `openhands`, which answered within \
             12 ms.",
            env!("CARGO_PKG_VERSION")
        ),
        _ => return None,
    })
}

/// The reply to each verb; to one that is not built yet, what is said instead.
fn examples() -> String {
    let mut text = String::new();
    for verb in Verb::all() {
        let row = verb.row();
        let said = reference::not_yet(&Command::of_verb(verb, "")).or_else(|| at_once(verb));
        if matches!(row.class, Class::Control | Class::Query) && said.is_none() {
            continue;
        }
        // Continued and approved runs, and repeated ones, end as what they do.
        let run = match said {
            Some(said) => told(verb, said),
            None => worked(verb),
        };
        let typed = match verb {
            Verb::Request => "`@openhands return the error`".to_owned(),
            _ => format!("`@openhands {}`", verb.name()),
        };
        text.push_str(&example(&typed, &run));
    }
    for (typed, run) in not_by_verb::all() {
        text.push_str(&example(typed, &run));
    }
    text
}

fn example(typed: &str, run: &Run) -> String {
    let reply = status_reply(run, &scene(run));
    let (reply, _marker) = reply.rsplit_once("\n\n").unwrap();
    format!("{typed}\n\n````markdown\n{reply}\n````\n\n")
}

#[test]
fn the_documentation_shows_what_is_rendered() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (start, end) = (
        "<!-- examples: rendered by services/reply -->\n",
        "<!-- end of examples -->",
    );
    let from = document.find(start).expect(start) + start.len();
    let to = document.find(end).expect(end);
    let rendered = format!("{}\n{}{}", &document[..from], examples(), &document[to..]);
    if document != rendered {
        std::fs::write(path, rendered).unwrap();
        panic!("{path} was rewritten: look at the difference and commit");
    }
}
