//! Run records for the tests of this crate.

use jiff::Timestamp;
use pipeline::event::{Person, Repository};
use pipeline::ids::{
    CommentId, ConnectionId, InstanceId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug, RunId,
};
use pipeline::job::{Actor, Credential};
use pipeline::mention::Command;
use pipeline::run::{Asked, Run};

/// Seconds after the epoch.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Who asks.
pub(crate) fn alice() -> Person {
    Person {
        id: Some(101),
        name: "alice".into(),
        slug: Some("alice".into()),
        display_name: Some("Alice".into()),
        email: None,
        is_service: false,
    }
}

/// A run that was just admitted, at 0 s.
pub(crate) fn queued() -> Run {
    let asked = Asked {
        instance: InstanceId::of_base_url("https://bitbucket.example.com"),
        repository: Repository {
            id: RepositoryId(84),
            project: ProjectKey::new("PROJ").unwrap(),
            slug: RepositorySlug::new("demo").unwrap(),
        },
        pull_request: PullRequestId(7),
        comment: CommentId(310),
        comment_version: 0,
        requester: Some(alice()),
        credential: Credential {
            connection: ConnectionId::new("main").unwrap(),
            actor: Actor::Bot,
        },
        command: Command::request("fix it"),
    };
    Run::queued(RunId::derive(&asked.instance, asked.comment, 0), asked, at(0))
}

/// The same, taken by a worker at 0 s.
pub(crate) fn running() -> Run {
    let mut run = queued();
    run.take(at(0), at(1800)).unwrap();
    run
}
