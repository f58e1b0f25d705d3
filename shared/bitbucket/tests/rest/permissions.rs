//! Whether a person may, and when the answer is not to be trusted.

use bitbucket::Error;
use pipeline::event::Person;
use serde_json::json;

use crate::server::{Asked, Server, json, repository};

fn alice(id: Option<u64>) -> Person {
    Person {
        id,
        name: "alice".into(),
        slug: None,
        display_name: None,
        email: None,
        is_service: false,
    }
}

fn is_control(asked: &Asked) -> bool {
    asked.target.contains("does%21not%21exist")
}

/// Lists `users`; refuses the control question as Bitbucket does.
async fn listing(users: serde_json::Value) -> Server {
    Server::start(move |_, asked| {
        if is_control(asked) {
            return json(400, r#"{"errors": [{"message": "no such repository"}]}"#);
        }
        json(200, json!({"values": users, "isLastPage": true}).to_string())
    })
    .await
}

#[tokio::test]
async fn only_exactly_this_active_person_counts() {
    for (users, id, expected) in [
        (json!([{"id": 5, "name": "alice"}]), Some(5), true),
        (json!([{"id": 5, "name": "alice", "active": true}]), None, true),
        (json!([{"id": 5, "name": "alice-renamed"}]), Some(5), true),
        (
            json!([{"id": 6, "name": "alice2"}, {"id": 7, "name": "malice"}]),
            None,
            false,
        ),
        (json!([{"id": 6, "name": "alice"}]), Some(5), false),
        (
            json!([{"id": 5, "name": "alice", "active": false}]),
            Some(5),
            false,
        ),
        (json!([]), Some(5), false),
    ] {
        let server = listing(users.clone()).await;
        let may = server
            .client()
            .may(&repository(), &alice(id), "REPO_WRITE")
            .await
            .unwrap();
        assert_eq!(may, expected, "{users} {id:?}");
    }
}

#[tokio::test]
async fn the_question_is_numbered_from_one_and_the_control_is_asked_once() {
    let server = listing(json!([{"id": 5, "name": "alice"}])).await;
    let client = server.client();
    for _ in 0..3 {
        assert!(
            client
                .may(&repository(), &alice(Some(5)), "REPO_WRITE")
                .await
                .unwrap()
        );
    }
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|asked| is_control(asked)).count(), 1);
    assert_eq!(asked.len(), 4);
    let query = asked[3].target.split_once('?').unwrap().1;
    assert_eq!(
        query,
        "filter=alice&permission.1=REPO_WRITE&permission.1.projectKey=PROJ&permission.1.repositorySlug=demo&limit=100"
    );
    client
        .may(&repository(), &alice(Some(5)), "REPO_READ")
        .await
        .unwrap();
    assert_eq!(
        server.asked().iter().filter(|asked| is_control(asked)).count(),
        2,
        "another permission, another proof"
    );
}

#[tokio::test]
async fn a_bitbucket_that_ignores_the_filter_gives_no_permission() {
    let server = Server::start(|_, _| {
        json(
            200,
            json!({"values": [{"id": 5, "name": "alice"}], "isLastPage": true}).to_string(),
        )
    })
    .await;
    let client = server.client();
    for _ in 0..2 {
        let error = client
            .may(&repository(), &alice(Some(5)), "REPO_WRITE")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::PermissionUnknown { .. }), "{error:?}");
    }
    assert_eq!(
        server.asked().len(),
        2,
        "a failed proof is not remembered, and the person is never asked about"
    );
}

#[tokio::test]
async fn the_person_may_be_on_a_later_page() {
    let server = Server::start(|_, asked| {
        if is_control(asked) {
            return json(400, "{}");
        }
        let (users, next) = if asked.target.contains("start=100") {
            (json!([{"id": 5, "name": "alice"}]), json!(null))
        } else {
            (json!([{"id": 6, "name": "alice2"}]), json!(100))
        };
        json(
            200,
            json!({"values": users, "isLastPage": next.is_null(), "nextPageStart": next}).to_string(),
        )
    })
    .await;
    assert!(
        server
            .client()
            .may(&repository(), &alice(None), "REPO_WRITE")
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn whoever_is_listed_for_a_group_is_in_it() {
    for (users, expected) in [
        (json!([{"id": 5, "name": "alice"}]), true),
        (json!([{"id": 6, "name": "malice"}]), false),
        (json!([]), false),
    ] {
        let server = Server::start(move |_, asked| {
            let listed = if is_control(asked) {
                json!([])
            } else {
                users.clone()
            };
            json(200, json!({"values": listed, "isLastPage": true}).to_string())
        })
        .await;
        let client = server.client();
        for _ in 0..2 {
            assert_eq!(
                client.is_in_group(&alice(Some(5)), "bots").await.unwrap(),
                expected
            );
        }
        let asked = server.asked();
        assert_eq!(asked.iter().filter(|asked| is_control(asked)).count(), 1);
        assert!(
            asked[1].target.contains("filter=alice&group=bots"),
            "{}",
            asked[1].target
        );
    }
}

#[tokio::test]
async fn a_bitbucket_that_ignores_the_group_is_not_believed() {
    let server = Server::start(|_, _| {
        json(
            200,
            json!({"values": [{"id": 5, "name": "alice"}], "isLastPage": true}).to_string(),
        )
    })
    .await;
    let answer = server.client().is_in_group(&alice(Some(5)), "bots").await;
    assert!(
        matches!(answer, Err(Error::PermissionUnknown { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_bot_may_where_the_list_has_the_repository_and_it_is_not_archived() {
    let fork = pipeline::event::Repository {
        id: pipeline::ids::RepositoryId(85),
        project: pipeline::ids::ProjectKey::new("~ALICE").unwrap(),
        slug: pipeline::ids::RepositorySlug::new("demo").unwrap(),
    };
    let listed = |id: u64, archived: bool| json!({"id": id, "slug": "demo", "project": {"key": "~ALICE"}, "archived": archived});
    for (values, expected) in [
        (json!([listed(84, false), listed(85, false)]), true),
        (json!([listed(84, false)]), false),
        (json!([listed(85, true)]), false),
        (json!([]), false),
    ] {
        let server =
            Server::start(move |_, _| json(200, json!({"values": values, "isLastPage": true}).to_string()))
                .await;
        assert_eq!(
            server.client().bot_may(&fork, "REPO_WRITE").await.unwrap(),
            expected
        );
        let asked = &server.asked()[0].target;
        let query = "/repos?projectkey=%7EALICE&permission=REPO_WRITE&archived=ACTIVE";
        assert!(asked.contains(query), "{asked}");
    }
}
