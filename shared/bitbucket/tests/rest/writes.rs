//! What writes send, and what is known about them afterwards.

use bitbucket::{ConflictWith, Error, Missing};
use http::Method;
use pipeline::ids::CommentId;
use serde_json::json;

use crate::server::{PR, Server, answer, json, repository};

const CREATED: &str = include_str!("../../fixtures/rest_comment_created.json");

#[tokio::test]
async fn a_comment_is_written_edited_and_deleted() {
    let server = Server::start(|_, asked| match asked.method {
        Method::POST => json(201, CREATED),
        Method::PUT => json(200, CREATED),
        _ => answer(204, &[], ""),
    })
    .await;
    let client = server.client();
    let comment = client
        .add_comment(&repository(), PR, "Working", Some(CommentId(310)))
        .await
        .unwrap();
    assert_eq!(comment.id, CommentId(320));
    client
        .edit_comment(&repository(), PR, comment.id, 3, "Done")
        .await
        .unwrap();
    client
        .delete_comment(&repository(), PR, comment.id, 4)
        .await
        .unwrap();

    let [post, put, delete] = server.asked().try_into().unwrap();
    let comments = "/bitbucket/rest/api/latest/projects/PROJ/repos/demo/pull-requests/7/comments";
    assert_eq!(post.target, comments);
    assert_eq!(post.json(), json!({"text": "Working", "parent": {"id": 310}}));
    assert_eq!(
        (put.target.as_str(), put.json()),
        (&*format!("{comments}/320"), json!({"version": 3, "text": "Done"}))
    );
    assert_eq!(delete.target, format!("{comments}/320?version=4"));
    for write in [post, put, delete] {
        assert_eq!(write.header("x-atlassian-token"), Some("no-check"));
        assert_eq!(write.header("accept"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_comment_without_a_parent_names_none() {
    let server = Server::start(|_, _| json(201, CREATED)).await;
    server
        .client()
        .add_comment(&repository(), PR, "Hello", None)
        .await
        .unwrap();
    assert_eq!(server.asked()[0].json(), json!({"text": "Hello"}));
}

#[tokio::test]
async fn reactions_are_set_and_taken_back() {
    let server = Server::start(|_, asked| match asked.method {
        Method::PUT => json(200, include_str!("../../fixtures/rest_reaction.json")),
        _ => answer(204, &[], ""),
    })
    .await;
    let client = server.client();
    client
        .add_reaction(&repository(), PR, CommentId(1), "eyes")
        .await
        .unwrap();
    client
        .remove_reaction(&repository(), PR, CommentId(1), "+1")
        .await
        .unwrap();
    let path =
        "/bitbucket/rest/comment-likes/latest/projects/PROJ/repos/demo/pull-requests/7/comments/1/reactions";
    let targets: Vec<_> = server.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, [format!("{path}/eyes"), format!("{path}/%2B1")]);
}

#[tokio::test]
async fn a_stale_version_is_a_conflict_with_the_comment() {
    let server = Server::start(|_, _| {
        json(
            409,
            include_str!("../../fixtures/rest_error_409_comment_version.json"),
        )
    })
    .await;
    let error = server
        .client()
        .edit_comment(&repository(), PR, CommentId(1), 0, "x")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Conflict {
                with: ConflictWith::CommentVersion,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_missing_reactions_plugin_is_a_missing_route() {
    let server =
        Server::start(|_, _| json(404, include_str!("../../fixtures/rest_error_404_unrouted.json"))).await;
    let error = server
        .client()
        .add_reaction(&repository(), PR, CommentId(1), "eyes")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotFound {
                what: Missing::Route,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_write_whose_answer_says_nothing_is_ambiguous_and_is_sent_once() {
    type Answer = fn() -> http::Response<axum::body::Body>;
    let answers: [Answer; 4] = [
        || answer(500, &[], ""),
        || answer(502, &[("content-type", "text/html")], "<html>"),
        || answer(200, &[("content-type", "text/html")], "<html>"),
        || json(201, "{}"),
    ];
    for bad in answers {
        let server = Server::start(move |_, _| bad()).await;
        let error = server
            .client()
            .add_comment(&repository(), PR, "x", None)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Ambiguous { .. }), "{error:?}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_write_that_was_refused_is_not_ambiguous() {
    for (status, is_expected) in [
        (
            400,
            (|e| matches!(e, Error::Invalid { .. })) as fn(&Error) -> bool,
        ),
        (403, |e| matches!(e, Error::Forbidden { .. })),
        (404, |e| matches!(e, Error::NotFound { .. })),
        (429, |e| matches!(e, Error::RateLimited { after: None })),
    ] {
        let server = Server::start(move |_, _| answer(status, &[], "")).await;
        let error = server
            .client()
            .add_comment(&repository(), PR, "x", None)
            .await
            .unwrap_err();
        assert!(is_expected(&error), "{status}: {error:?}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirected_write_is_not_sent_again() {
    let server =
        Server::start(|_, _| answer(307, &[("location", "/bitbucket/rest/api/latest/elsewhere")], "")).await;
    let error = server
        .client()
        .add_comment(&repository(), PR, "x", None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Redirected { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_write_may_be_answered_by_nothing() {
    let server = Server::start(|_, _| answer(200, &[], "")).await;
    server
        .client()
        .delete_comment(&repository(), PR, CommentId(1), 0)
        .await
        .unwrap();
    let error = server
        .client()
        .add_comment(&repository(), PR, "x", None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error:?}");
}
