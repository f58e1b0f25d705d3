//! The role on a real nats-server: events go in, mentions, controls and decisions come out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::FileConnections;
use jiff::Timestamp;
use lifecycle::{Health, Shutdown};
use pipeline::event::{Comment, Event, EventBody, GitRef, Person, PullRequest, Repository};
use pipeline::ids::{
    CommentId, CommitId, ConnectionId, DeliveryId, InstanceId, ProjectKey, PullRequestId, RepositoryId,
    RepositorySlug,
};
use pipeline::mention::Mention;
use pipeline::message::{VERSION, decode};
use pipeline::subject;
use tokio_util::sync::CancellationToken;
use worker::managed::ManagedServer;
use worker::{Nats, Publication, ReadFrom, StoredMessage};

/// No wait takes longer when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

const SETTINGS: &str = r#"
data_dir = "DIRECTORY/data"
[nats]
ack_wait_seconds = 3
[sandbox]
mode = "off"
[llm]
base_url = "http://127.0.0.1:1"
[[model]]
alias = "default"
model = "none"
[[connection]]
id = "main"
base_url = "http://127.0.0.1:7990"
bot_token_file = "DIRECTORY/none"
webhook_secret_files = ["DIRECTORY/none"]
repositories = ["PROJ/*"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_delivery_is_decided_and_every_mention_is_passed_on_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("resolver.toml");
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(
        &file,
        SETTINGS.replace("DIRECTORY", &directory.path().display().to_string()),
    )
    .unwrap();
    let settings = Arc::new(config::load_with(&file, BTreeMap::new()).unwrap());
    let server = ManagedServer::start(&settings.data_dir, None, CancellationToken::new())
        .await
        .unwrap();
    let nats = Nats::connect(&server.settings(&settings.nats), "test")
        .await
        .unwrap();
    nats.ensure().await.unwrap();
    let shutdown = Shutdown::new();
    let connections = Arc::new(FileConnections::new(&settings));
    let role = mention_parser::run(
        Arc::clone(&settings),
        connections,
        nats.clone(),
        Health::new(),
        shutdown.clone(),
    );
    let role = tokio::spawn(role);

    let events = deliveries();
    for event in &events {
        nats.publish(Publication::repeatable(subject::event(event), event))
            .await
            .unwrap();
    }
    let decisions = until(&nats, subject::DECISIONS, events.len()).await;
    let mut decisions: Vec<(String, String)> = decisions.iter().map(decided).collect();
    decisions.sort();
    assert_eq!(
        decisions,
        [
            ("d-1", "the comment mentions the bot"),
            ("d-2", "the comment mentions the bot"),
            ("d-3", "no mention"),
            ("d-4", "the repository is not one of the connection's"),
            ("d-5", "the connection is no longer configured"),
            ("d-6", "the comment was deleted"),
        ]
        .map(|(delivery, reason)| (delivery.to_owned(), reason.to_owned()))
    );
    let passed_on = until(&nats, subject::MENTIONS, 2).await;
    let mut subjects: Vec<&str> = passed_on.iter().map(|message| message.subject.as_str()).collect();
    subjects.sort_unstable();
    assert!(
        subjects[0].ends_with(".84.pr-7.comment.1.0") && subjects[1].ends_with(".84.pr-7.deleted.5"),
        "{subjects:?}"
    );
    let mention = passed_on
        .iter()
        .find(|message| message.subject.contains(".comment."))
        .unwrap();
    let mention: Mention = decode(&mention.payload).unwrap();
    assert_eq!(mention.command.unwrap().asked(), "fix it");
    assert!((1..=2).contains(&mention.origin.event_sequence));

    shutdown.soft.cancel();
    tokio::time::timeout(PATIENCE, role)
        .await
        .expect("the role ends")
        .unwrap()
        .unwrap();
    server.stop().await;
}

fn deliveries() -> [Event; 6] {
    [
        event("d-1", "main", "PROJ", 1, "@openhands fix it"),
        event("d-2", "main", "PROJ", 1, "@openhands fix it"), // a second webhook
        event("d-3", "main", "PROJ", 2, "looks good"),
        event("d-4", "main", "OTHER", 3, "@openhands fix it"),
        event("d-5", "gone", "PROJ", 4, "@openhands fix it"),
        deleted("d-6", 5),
    ]
}

/// Waits until a stream holds `count` messages.
async fn until(nats: &Nats, stream: &str, count: usize) -> Vec<StoredMessage> {
    let look = async {
        loop {
            let found = nats
                .read_stream(stream, "resolver.>", ReadFrom::Start, 100)
                .await
                .expect("a readable stream");
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("the messages arrive")
}

/// The delivery and the reason of a decision.
fn decided(message: &StoredMessage) -> (String, String) {
    let decision: pipeline::decision::Decision = decode(&message.payload).expect("a decision");
    (decision.delivery.to_string(), decision.reason)
}

fn event(delivery: &str, connection: &str, project: &str, comment: u64, text: &str) -> Event {
    let parts = || -> Result<Event, pipeline::ids::InvalidId> {
        let repository = Repository {
            id: RepositoryId(84),
            project: ProjectKey::new(project)?,
            slug: RepositorySlug::new("demo")?,
        };
        let git_ref = GitRef {
            id: "refs/heads/x".to_owned(),
            display_id: "x".to_owned(),
            latest_commit: CommitId::new("a".repeat(40))?,
            repository: repository.clone(),
        };
        Ok(Event {
            v: VERSION,
            delivery: DeliveryId::new(delivery)?,
            connection: ConnectionId::new(connection)?,
            instance: InstanceId::of_base_url("http://127.0.0.1:7990"),
            received_at: Timestamp::now(),
            repository,
            actor: None,
            pull_request: Some(PullRequest {
                id: PullRequestId(7),
                version: 1,
                state: "OPEN".to_owned(),
                from_ref: git_ref.clone(),
                to_ref: git_ref,
            }),
            body: EventBody::CommentAdded {
                comment: comment_by("alice", comment, text),
            },
        })
    };
    parts().expect("well-formed ids")
}

fn deleted(delivery: &str, comment: u64) -> Event {
    let body = EventBody::CommentDeleted {
        comment: comment_by("alice", comment, "gone"),
    };
    Event {
        body,
        ..event(delivery, "main", "PROJ", comment, "")
    }
}

fn comment_by(author: &str, id: u64, text: &str) -> Comment {
    Comment {
        id: CommentId(id),
        version: 0,
        text: text.to_owned(),
        author: Some(Person {
            id: None,
            name: author.to_owned(),
            slug: None,
            display_name: None,
            email: None,
            is_service: false,
        }),
        parent: None,
        created_at: None,
        updated_at: None,
    }
}
