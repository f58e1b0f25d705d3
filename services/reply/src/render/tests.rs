//! Replies as people read them.

use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::run::Usage;

mod endings;
mod measured;
mod next_steps;
mod room;
mod waiting;

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
