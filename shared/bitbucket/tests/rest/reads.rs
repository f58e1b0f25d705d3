//! What reads ask and how they understand the answers.

use bitbucket::Error;
use pipeline::event::Repository;
use pipeline::ids::{CommentId, CommitId, ProjectKey, RepositoryId, RepositorySlug};
use serde_json::json;

use crate::server::{PR, Server, TOKEN, answer, json, repository};

#[tokio::test]
async fn a_read_carries_the_token_and_stays_below_the_context_path() {
    let server = Server::start(|_, _| json(200, include_str!("../../fixtures/rest_pull_request.json"))).await;
    let pull_request = server.client().pull_request(&repository(), PR).await.unwrap();
    assert_eq!(pull_request.from_ref.id, "refs/heads/feature/retry");
    let [asked] = server.asked().try_into().unwrap();
    assert_eq!(
        asked.target,
        "/bitbucket/rest/api/latest/projects/PROJ/repos/demo/pull-requests/7"
    );
    assert_eq!(asked.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(asked.header("x-atlassian-token"), None);
}

#[tokio::test]
async fn a_personal_repository_keeps_its_tilde() {
    let server = Server::start(|_, _| json(200, include_str!("../../fixtures/rest_pull_request.json"))).await;
    let personal = Repository {
        id: RepositoryId(999),
        project: ProjectKey::new("~JCITIZEN").unwrap(),
        slug: RepositorySlug::new("sandbox").unwrap(),
    };
    let client = server.client();
    client.pull_request(&personal, PR).await.unwrap();
    assert!(
        server.asked()[0]
            .target
            .contains("/projects/~JCITIZEN/repos/sandbox/")
    );
    let base = client.base_url().to_owned();
    assert_eq!(
        client.clone_url(&personal),
        format!("{base}/scm/~jcitizen/sandbox.git")
    );
    let page = client.web_url_pull_request(&personal, PR);
    assert_eq!(
        page,
        format!("{base}/users/jcitizen/repos/sandbox/pull-requests/7")
    );
}

#[tokio::test]
async fn pages_are_followed_where_the_next_start_jumps() {
    let thread =
        |id: u64| json!({"commentAction": "ADDED", "comment": {"id": id, "version": 0, "text": "x"}});
    let server = Server::start(move |_, asked| {
        let page = if asked.target.contains("start=57") {
            json!({"values": [thread(2)], "isLastPage": true, "nextPageStart": null})
        } else {
            json!({"values": [thread(1)], "isLastPage": false, "nextPageStart": 57})
        };
        json(200, page.to_string())
    })
    .await;
    let activities = server.client().activities(&repository(), PR, 1000).await.unwrap();
    assert_eq!(
        activities
            .threads
            .iter()
            .map(|t| t.comment.id.0)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(!activities.cut);
    let first = server.client().activities(&repository(), PR, 1).await.unwrap();
    assert_eq!((first.threads.len(), first.cut), (1, true));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn pages_that_do_not_end_do_not_go_on_for_ever() {
    let stuck = Server::start(|_, _| {
        json(
            200,
            json!({"values": [], "isLastPage": false, "nextPageStart": 5}).to_string(),
        )
    })
    .await;
    let error = stuck
        .client()
        .activities(&repository(), PR, 1000)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Garbled { .. }), "{error:?}");
    assert_eq!(stuck.asked().len(), 2);

    let endless = Server::start(|before, _| {
        let next = (before + 1) * 10;
        json(
            200,
            json!({"values": [], "isLastPage": false, "nextPageStart": next}).to_string(),
        )
    })
    .await;
    let activities = endless
        .client()
        .activities(&repository(), PR, usize::MAX)
        .await
        .unwrap();
    assert!(activities.cut);
    assert_eq!(endless.asked().len(), 40);
}

#[tokio::test]
async fn a_diff_is_text_and_is_cut_at_the_limit() {
    let server =
        Server::start(|_, _| answer(200, &[("content-type", "text/plain")], "+one\n+two\n+three\n")).await;
    let client = server.client();
    let whole = client.diff(&repository(), PR, 1000).await.unwrap();
    assert_eq!(
        (whole.text.as_str(), whole.truncated, whole.bytes_total),
        ("+one\n+two\n+three\n", false, Some(17))
    );
    let exact = client.diff(&repository(), PR, 17).await.unwrap();
    assert!(!exact.truncated);
    let cut = client.diff(&repository(), PR, 12).await.unwrap();
    assert_eq!((cut.text.as_str(), cut.truncated), ("+one\n+two\n", true));
    assert_eq!(server.asked()[0].header("accept"), Some("text/plain"));
    assert!(server.asked()[0].target.ends_with("/pull-requests/7.diff"));
}

#[tokio::test]
async fn the_rest_of_the_fixtures_are_read() {
    let server = Server::start(|_, asked| {
        let path = asked.target.split('?').next().unwrap();
        json(
            200,
            match path.rsplit('/').next().unwrap() {
                "changes" => include_str!("../../fixtures/rest_pr_changes.json").to_owned(),
                "305" => include_str!("../../fixtures/rest_comment_inline.json").to_owned(),
                "branches" => include_str!("../../fixtures/rest_branches_page.json").to_owned(),
                _ => {
                    let build = include_str!("../../fixtures/rest_build_status.json");
                    format!(r#"{{"values": [{build}, {{"odd": 1}}], "isLastPage": true}}"#)
                }
            },
        )
    })
    .await;
    let client = server.client();
    assert_eq!(client.changes(&repository(), PR).await.unwrap().files.len(), 1);
    assert_eq!(
        client
            .comment(&repository(), PR, CommentId(305))
            .await
            .unwrap()
            .replies
            .len(),
        1
    );
    let commit = CommitId::new("70b0d7be6f073634f7910a2cb5bbed9ec1306dff").unwrap();
    assert_eq!(client.build_statuses(&commit).await.unwrap().len(), 1);
    assert_eq!(
        client
            .branch_head(&repository(), "refs/heads/main")
            .await
            .unwrap(),
        Some(commit)
    );
    assert_eq!(
        client.branch_head(&repository(), "refs/heads/mai").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn the_bot_is_whom_the_header_names_and_is_asked_for_once() {
    let server = Server::start(|_, asked| {
        if asked.target.ends_with("/application-properties") {
            let headers = [("content-type", "application/json"), ("x-ausername", "bot%40ci"), ("x-auserid", "202")];
            return answer(200, &headers, r#"{"version": "9.4.0"}"#);
        }
        let user = |id: u64, name: &str, slug: &str| {
            json!({"id": id, "name": name, "slug": slug, "displayName": "The Bot", "emailAddress": "bot@x.test"})
        };
        let users = [user(1, "bot@ci2", "bot_ci2"), user(202, "bot@ci", "bot_ci")];
        json(200, json!({"values": users, "isLastPage": true}).to_string())
    })
    .await;
    let client = server.client();
    let bot = client.bot().await.unwrap();
    assert_eq!(
        (bot.name.as_str(), bot.slug.as_deref(), bot.id),
        ("bot@ci", Some("bot_ci"), Some(202))
    );
    assert_eq!(
        (bot.display_name.as_str(), bot.email.as_deref()),
        ("The Bot", Some("bot@x.test"))
    );
    assert_eq!(client.clone().bot().await.unwrap(), bot);
    assert_eq!(server.asked().len(), 2);
    assert!(server.asked()[1].target.contains("filter=bot%40ci"));
}

#[tokio::test]
async fn a_project_tokens_bot_has_neither_slug_nor_email() {
    let server = Server::start(|_, asked| {
        if asked.target.ends_with("/application-properties") {
            let headers = [
                ("content-type", "application/json"),
                ("x-ausername", "ci-token"),
                ("x-auserid", "9"),
            ];
            return answer(200, &headers, "{}");
        }
        json(401, include_str!("../../fixtures/rest_error_401_permission.json"))
    })
    .await;
    let bot = server.client().bot().await.unwrap();
    assert_eq!(
        (bot.name.as_str(), bot.id, bot.slug, bot.email),
        ("ci-token", Some(9), None, None)
    );
    assert_eq!(bot.display_name, "ci-token");
}

#[tokio::test]
async fn an_answer_to_nobody_is_a_refused_token() {
    let server = Server::start(|_, _| json(200, r#"{"version": "9.4.0"}"#)).await;
    let error = server.client().bot().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}

#[tokio::test]
async fn a_check_asks_each_time_and_says_what_is_wrong_without_the_token() {
    let server = Server::start(|before, _| match before {
        0 => answer(
            200,
            &[("content-type", "application/json"), ("x-ausername", "bot")],
            "{}",
        ),
        1 => json(
            401,
            format!(r#"{{"errors": [{{"message": "no user has the token {TOKEN}"}}]}}"#),
        ),
        _ => answer(200, &[("content-type", "text/html")], "<html>Log in</html>"),
    })
    .await;
    let client = server.client();
    client.check().await.unwrap();
    let refused = client.check().await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized { .. }), "{refused:?}");
    assert!(!refused.to_string().contains(TOKEN), "{refused}");
    let page = client.check().await.unwrap_err();
    assert_eq!(page.to_string(), "Bitbucket answered text/html in place of JSON");
    assert_eq!(server.asked().len(), 3);
}
