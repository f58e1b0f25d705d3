use config::{Mention as Rules, Position};
use jiff::Timestamp;
use pipeline::event::{GitRef, Repository};
use pipeline::ids::{
    CommitId, ConnectionId, DeliveryId, InstanceId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug,
};

use super::*;

fn person(name: &str) -> Person {
    Person {
        id: Some(1),
        name: name.to_owned(),
        slug: Some(name.to_lowercase()),
        display_name: None,
        email: None,
        is_service: false,
    }
}

fn comment(author: Option<&str>, version: u32, text: &str) -> Comment {
    Comment {
        id: CommentId(310),
        version,
        text: text.to_owned(),
        author: author.map(person),
        parent: Some(CommentId(305)),
        created_at: Some(Timestamp::UNIX_EPOCH),
        updated_at: None,
    }
}

fn event(body: EventBody) -> Event {
    let repository = Repository {
        id: RepositoryId(84),
        project: ProjectKey::new("PROJ").unwrap(),
        slug: RepositorySlug::new("demo").unwrap(),
    };
    let git_ref = |name: &str| GitRef {
        id: format!("refs/heads/{name}"),
        display_id: name.to_owned(),
        latest_commit: CommitId::new("a".repeat(40)).unwrap(),
        repository: repository.clone(),
    };
    Event {
        v: VERSION,
        delivery: DeliveryId::new("d-1").unwrap(),
        connection: ConnectionId::new("main").unwrap(),
        instance: InstanceId::of_base_url("http://127.0.0.1"),
        received_at: Timestamp::UNIX_EPOCH,
        actor: Some(person("alice")),
        pull_request: Some(PullRequest {
            id: PullRequestId(7),
            version: 3,
            state: "OPEN".to_owned(),
            from_ref: git_ref("feature/x"),
            to_ref: git_ref("main"),
        }),
        repository,
        body,
    }
}

fn decided(body: EventBody) -> Decided {
    let rules = Rules {
        names: vec!["openhands".to_owned()],
        position: Position::Anywhere,
    };
    decide(
        &event(body),
        41,
        Listener {
            rules: &rules,
            bot_user: Some("svc-coder"),
        },
    )
}

/// One word for what is passed on: the command's text in quotes, `withdrawn`, the change, or nothing.
fn passed_on(body: EventBody) -> String {
    match decided(body).output {
        None => "nothing".to_owned(),
        Some(Output::Mention(mention)) => mention
            .command
            .map_or("withdrawn".to_owned(), |command| format!("{:?}", command.asked())),
        Some(Output::Control(control)) => match control.change {
            Change::CommentDeleted { comment } => format!("deleted {comment}"),
            Change::Closed { version, how } => format!("closed {how:?} {version}"),
            Change::Moved { to } => format!("moved {}", to.short()),
        },
    }
}

fn added(author: &str, text: &str) -> EventBody {
    EventBody::CommentAdded {
        comment: comment(Some(author), 0, text),
    }
}

fn edited(before: Option<&str>, now: &str) -> EventBody {
    EventBody::CommentEdited {
        comment: comment(Some("alice"), 1, now),
        previous_text: before.map(str::to_owned),
    }
}

#[test]
fn a_new_comment_is_passed_on_when_it_mentions_one_of_the_names() {
    assert_eq!(passed_on(added("alice", "@openhands fix it")), "\"fix it\"");
    assert_eq!(passed_on(added("alice", "@svc-coder fix it")), "\"fix it\"");
    assert_eq!(passed_on(added("alice", "looks good")), "nothing");
    let nobody = EventBody::CommentAdded {
        comment: comment(None, 0, "@openhands fix it"),
    };
    assert_eq!(passed_on(nobody), "\"fix it\"");
}

#[test]
fn the_bots_own_comments_never_trigger() {
    for name in ["svc-coder", "SVC-Coder", "openhands", "OpenHands"] {
        assert_eq!(passed_on(added(name, "@openhands fix it")), "nothing", "{name}");
    }
    let gone = EventBody::CommentDeleted {
        comment: comment(Some("svc-coder"), 0, "Done."),
    };
    assert_eq!(passed_on(gone), "nothing");
}

#[test]
fn an_edit_is_passed_on_when_it_changes_what_is_asked_for() {
    let fix = "@openhands fix a";
    assert_eq!(passed_on(edited(Some(fix), "@openhands fix b")), "\"fix b\"");
    assert_eq!(passed_on(edited(Some("fix"), fix)), "\"fix a\"");
    assert_eq!(passed_on(edited(Some(fix), "never mind")), "withdrawn");
    assert_eq!(passed_on(edited(Some(fix), "`@openhands fix a`")), "withdrawn");
    assert_eq!(
        passed_on(edited(Some("helo, @openhands fix a"), "hello, @openhands fix a")),
        "nothing"
    );
    assert_eq!(passed_on(edited(Some(fix), fix)), "nothing");
    assert_eq!(passed_on(edited(Some("a"), "b")), "nothing");
}

#[test]
fn an_edit_without_its_previous_text_is_left_to_the_one_who_remembers() {
    assert_eq!(passed_on(edited(None, "@openhands fix a")), "\"fix a\"");
    assert_eq!(passed_on(edited(None, "no mention")), "withdrawn");
}

#[test]
fn deleted_comments_closed_pull_requests_and_moved_branches_are_controls() {
    assert_eq!(
        passed_on(EventBody::CommentDeleted {
            comment: comment(None, 0, "any")
        }),
        "deleted 310"
    );
    assert_eq!(passed_on(EventBody::PullRequestMerged), "closed Merged 3");
    assert_eq!(passed_on(EventBody::PullRequestDeclined), "closed Declined 3");
    assert_eq!(passed_on(EventBody::PullRequestDeleted), "closed Deleted 3");
    assert_eq!(
        passed_on(EventBody::SourceBranchMoved { previous: None }),
        "moved aaaaaaaaaaa"
    );
}

#[test]
fn other_events_pass_nothing_on_and_say_why() {
    let reviewers = EventBody::ReviewersChanged {
        added: vec![],
        removed: vec![],
        status: None,
    };
    for body in [
        EventBody::PullRequestOpened,
        EventBody::PullRequestModified,
        reviewers,
    ] {
        let decided = decided(body);
        assert_eq!((decided.output, decided.verdict), (None, Verdict::Ignored));
        assert!(
            decided.reason.starts_with("nothing follows from"),
            "{}",
            decided.reason
        );
    }
    let mut without = event(EventBody::RefsChanged { refs: vec![] });
    without.pull_request = None;
    let rules = Rules {
        names: vec![],
        position: Position::Anywhere,
    };
    assert_eq!(
        decide(
            &without,
            1,
            Listener {
                rules: &rules,
                bot_user: None
            }
        )
        .verdict,
        Verdict::Ignored
    );
}

#[test]
fn a_mention_says_where_it_comes_from_and_which_run_it_would_start() {
    let decided = decided(added("alice", "@openhands fix it"));
    let Some(Output::Mention(mention)) = decided.output else {
        panic!("no mention")
    };
    assert_eq!(
        (mention.origin.event_sequence, mention.origin.pull_request),
        (41, PullRequestId(7))
    );
    assert_eq!(
        (mention.comment, mention.comment_version, mention.parent),
        (CommentId(310), 0, Some(CommentId(305)))
    );
    assert_eq!(mention.written_at, Some(Timestamp::UNIX_EPOCH));
    assert_eq!(
        decided.run,
        Some(RunId::derive(&mention.origin.instance, CommentId(310), 0))
    );
}
