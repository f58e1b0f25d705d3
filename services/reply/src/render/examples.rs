//! An example reply for each verb, as `docs/commands.md` shows it: rendered here, so that the document cannot differ from
//! what people see.

use std::fmt::Write as _;

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
            answered("Title: Retry uploads\n\nUploads are tried three times."),
        ),
        Verb::Plan => (
            RunState::Answered,
            answered("1. Return the error from `send`.\n2. Test it."),
        ),
        Verb::Update => (RunState::Done, pushed("Merged `main` into `feature/x`.")),
        Verb::Undo => (
            RunState::Done,
            pushed("Reverted the commits of run `r-0123456789ab`."),
        ),
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
            what: answer(),
            progress: effect::Progress::Done {
                comment: Some(CommentId(320)),
                pull_request: None,
            },
        }];
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

/// The reply to each verb that works on something; to one that does not yet, what is said instead.
fn examples() -> String {
    let mut text = String::new();
    for verb in Verb::all() {
        let row = verb.row();
        let not_yet = reference::not_yet(&Command::of_verb(verb, ""));
        if matches!(row.class, Class::Control | Class::Query) && not_yet.is_none() {
            continue;
        }
        // Continued and approved runs, and repeated ones, end as what they do.
        let run = match not_yet {
            Some(said) => told(verb, said),
            None => worked(verb),
        };
        let reply = status_reply(&run, &scene(&run));
        let (reply, _marker) = reply.rsplit_once("\n\n").unwrap();
        let typed = match verb {
            Verb::Request => "@openhands return the error".to_owned(),
            _ => format!("@openhands {}", verb.name()),
        };
        writeln!(text, "`{typed}`\n\n````markdown\n{reply}\n````\n").unwrap();
    }
    text
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
