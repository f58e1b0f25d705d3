//! Answers that are no answers.

use std::num::NonZeroU32;
use std::time::Duration;

use bitbucket::Error;
use tokio::time::timeout;

use crate::server::{PR, Server, TOKEN, answer, client, connection, json, repository};

const PULL_REQUEST: &str = include_str!("../../fixtures/rest_pull_request.json");

#[tokio::test]
async fn a_read_is_tried_again_when_bitbucket_is_briefly_away() {
    for status in [429, 500, 502, 503] {
        let server = Server::start(move |before, _| match before {
            0 | 1 => answer(status, &[], ""),
            _ => json(200, PULL_REQUEST),
        })
        .await;
        server.client().pull_request(&repository(), PR).await.unwrap();
        assert_eq!(server.asked().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn a_read_is_given_up_after_three_tries() {
    let server = Server::start(|_, _| answer(503, &[], "")).await;
    let error = server.client().pull_request(&repository(), PR).await.unwrap_err();
    assert_eq!(error, Error::Server { status: 503 });
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_read_that_was_refused_is_not_repeated() {
    for status in [400, 401, 403, 404, 409, 418] {
        let server = Server::start(move |_, _| answer(status, &[], "")).await;
        server.client().pull_request(&repository(), PR).await.unwrap_err();
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn nobody_asks_again_before_a_retry_after() {
    let server = Server::start(|_, _| answer(429, &[("retry-after", "300")], "")).await;
    let client = server.client();
    let first = client.pull_request(&repository(), PR).await.unwrap_err();
    assert_eq!(
        first,
        Error::RateLimited {
            after: Some(Duration::from_mins(5))
        }
    );
    // Another client of the same bot, and a write: neither reaches Bitbucket.
    let second = server
        .client()
        .add_comment(&repository(), PR, "x", None)
        .await
        .unwrap_err();
    assert!(matches!(second, Error::RateLimited { after: Some(after) } if after > Duration::from_secs(290)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    let server = Server::start(|before, _| match before {
        0 => answer(429, &[("retry-after", "1")], ""),
        _ => json(200, PULL_REQUEST),
    })
    .await;
    let started = std::time::Instant::now();
    server.client().pull_request(&repository(), PR).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_page_in_place_of_json_is_told_from_json_of_another_shape() {
    let page =
        Server::start(|_, _| answer(200, &[("content-type", "text/html")], "<html>Log in</html>")).await;
    let error = page.client().pull_request(&repository(), PR).await.unwrap_err();
    assert_eq!(
        error,
        Error::NotJson {
            content_type: "text/html".into()
        }
    );
    for body in ["{}", "[]", "{\"id\": 7", "null"] {
        let shape = Server::start(move |_, _| json(200, body)).await;
        let error = shape.client().pull_request(&repository(), PR).await.unwrap_err();
        assert!(matches!(error, Error::Garbled { .. }), "{body}: {error:?}");
    }
    let error = page.client().diff(&repository(), PR, 100).await.unwrap_err();
    assert!(matches!(error, Error::NotJson { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let endless = || {
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
        let mut response = http::Response::new(axum::body::Body::from_stream(chunks));
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static("application/json"));
        response
    };
    let server = Server::start(move |_, _| endless()).await;
    let error = server.client().pull_request(&repository(), PR).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn no_error_shows_the_token_or_a_whole_body() {
    for status in [301, 400, 401, 403, 404, 409, 418, 500] {
        let server = Server::start(move |_, asked| {
            let echoed = asked.header("authorization").unwrap().to_owned();
            let body = serde_json::json!({"errors": [{"message": format!("{echoed} {}", "x".repeat(9000))}]});
            let location = format!("https://elsewhere.example.com/{echoed}?{echoed}");
            answer(
                status,
                &[("content-type", "application/json"), ("location", &location)],
                body.to_string(),
            )
        })
        .await;
        let error = server.client().pull_request(&repository(), PR).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN), "{shown}");
        assert!(!format!("{:?}", server.client()).contains(TOKEN));
        assert!(shown.len() < 700, "{shown}");
    }
}

#[tokio::test]
async fn a_renamed_repository_is_followed_within_the_rest_api_only() {
    let renamed = Server::start(|_, asked| {
        if asked.target.contains("/repos/demo/") {
            let to = asked.target.replace("/repos/demo/", "/repos/renamed/");
            return answer(307, &[("location", &to)], "");
        }
        json(200, PULL_REQUEST)
    })
    .await;
    renamed.client().pull_request(&repository(), PR).await.unwrap();
    assert_eq!(renamed.asked().len(), 2);
    assert!(renamed.asked()[1].header("authorization").is_some());

    for location in [
        "https://elsewhere.example.com/bitbucket/rest/api",
        "/bitbucket/login?next=/x",
        "/rest/api/x",
        "https://",
    ] {
        let server = Server::start(move |_, _| answer(302, &[("location", location)], "")).await;
        let error = server.client().pull_request(&repository(), PR).await.unwrap_err();
        assert!(matches!(error, Error::Redirected { .. }), "{location}: {error:?}");
        assert_eq!(server.asked().len(), 1, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_in_circles_ends() {
    let server = Server::start(|_, asked| answer(307, &[("location", &asked.target)], "")).await;
    let error = server.client().pull_request(&repository(), PR).await.unwrap_err();
    assert!(matches!(error, Error::Redirected { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn git_takes_its_turn_among_the_bots_requests() {
    let server = Server::start(|_, _| json(200, PULL_REQUEST)).await;
    let mut connection = connection(&format!("http://{}", server.address));
    connection.request_burst = const { NonZeroU32::new(4).unwrap() };
    connection.requests_per_minute = NonZeroU32::MIN;
    let client = client(&connection);
    client.admit_git().await;
    client.pull_request(&repository(), PR).await.unwrap();
    // A burst of four is used up: three by git, one by the read.
    let next = timeout(Duration::from_millis(50), client.pull_request(&repository(), PR)).await;
    assert!(next.is_err(), "git's requests were not counted");
    assert_eq!(server.asked().len(), 1);
}
