//! Values for this crate's tests.

use agent::{Ended, Report, Usage};
use pipeline::event::{Person, Repository};
use pipeline::ids::{
    CommentId, ConnectionId, InstanceId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug, RunId,
};
use pipeline::job::{Actor, Credential};
use pipeline::mention::Command;
use pipeline::run::{Asked, Run};

/// A queued run of alice's that asks for `text`.
pub(crate) fn run_asking(text: &str) -> Run {
    let asked = Asked {
        instance: InstanceId::of_base_url("http://127.0.0.1"),
        repository: Repository {
            id: RepositoryId(84),
            project: ProjectKey::new("PROJ").unwrap(),
            slug: RepositorySlug::new("demo").unwrap(),
        },
        pull_request: PullRequestId(7),
        comment: CommentId(310),
        comment_version: 0,
        requester: Some(Person {
            id: Some(1),
            name: "alice".into(),
            slug: Some("alice".into()),
            display_name: Some("Alice Liddell".into()),
            email: Some("alice@example.test".into()),
            is_service: false,
        }),
        credential: Credential {
            connection: ConnectionId::new("main").unwrap(),
            actor: Actor::Bot,
        },
        command: Command::request(text),
    };
    Run::queued(
        RunId::new("r-0123456789ab").unwrap(),
        asked,
        jiff::Timestamp::UNIX_EPOCH,
    )
}

/// What an agent reports that has finished after so many model calls, some of which failed.
pub(crate) fn report(turns: u32, model_errors: u32) -> Report {
    Report {
        summary: "Nothing to do.".to_owned(),
        not_done: Vec::new(),
        questions: Vec::new(),
        usage: Usage {
            turns,
            ..Usage::default()
        },
        ended: Ended::Finished,
        model_errors,
        transcript: Vec::new(),
        cell: None,
    }
}
