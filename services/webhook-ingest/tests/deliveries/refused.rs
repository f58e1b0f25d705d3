//! What is not signed: one answer for all of it, and nothing stored.

use crate::wire::Wire;
use crate::world::{COMMENT_9X, SECRET, World, path, signature};

/// The whole answer to one request, without its date.
async fn answer(world: &World, connection: &str, headers: &[String]) -> String {
    let mut wire = Wire::connect(world.address).await;
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
        path(connection),
        COMMENT_9X.len()
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    wire.send(request.as_bytes()).await;
    wire.send(COMMENT_9X).await;
    wire.rest().await
}

#[tokio::test]
async fn every_wrong_signature_and_unknown_connection_gets_the_same_answer_byte_by_byte() {
    let world = World::start().await;
    let right = signature(SECRET, COMMENT_9X);
    let digits = right.strip_prefix("sha256=").unwrap();
    let header = |value: &str| vec![format!("x-hub-signature: {value}")];
    let long = "a".repeat(200);
    let refusals: Vec<(&str, Vec<String>)> = vec![
        ("main", vec![]),
        ("main", header("")),
        ("main", header("sha256=")),
        ("main", header(digits)),
        ("main", header(&right[..right.len() - 2])),
        ("main", header(&right[..right.len() - 1])),
        ("main", header(&format!("{right}00"))),
        ("main", header(&format!("sha1={digits}"))),
        ("main", header(&format!("SHA256={digits}"))),
        ("main", header(&format!("sha256={}", digits.to_uppercase()))),
        ("main", header(&format!("sha256={}", "zz".repeat(32)))),
        ("main", header(&format!("sha256={}", "00".repeat(32)))),
        ("main", header(&signature("wrong secret", COMMENT_9X))),
        ("main", header(&signature(SECRET, b"another body"))),
        ("main", [header(&right), header(&right)].concat()),
        ("main", [header(&right), header("sha256=00")].concat()),
        ("main", vec![format!("x-hub-signature-256: {right}")]),
        ("other", header(&right)),
        ("other", vec![]),
        ("MAIN", header(&right)),
        ("%6dain%2e%2e", header(&right)),
        ("%ff%fe", header(&right)),
        ("a.b", header(&right)),
        (&long, header(&right)),
    ];
    let first = answer(&world, "main", &[]).await;
    assert!(first.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{first}");
    for (connection, headers) in refusals {
        assert_eq!(
            answer(&world, connection, &headers).await,
            first,
            "{connection} {headers:?}"
        );
    }
    assert!(
        answer(&world, "main", &header(&right))
            .await
            .starts_with("HTTP/1.1 200"),
        "the right one is accepted"
    );
    assert_eq!(world.events().await.len(), 1);
    assert_eq!(world.decisions().await, []);
}

#[tokio::test]
async fn test_connection_is_answered_without_effect_and_nothing_else_unsigned_is() {
    let world = World::start().await;
    let ping = br#"{"test": true}"#;
    assert_eq!(
        world
            .post("main", &[("x-event-key", "diagnostics:ping")], ping)
            .await
            .status,
        200
    );
    assert_eq!(world.post("main", &[], ping).await.status, 200);
    for body in [
        br#"{"test":true}"#.as_slice(),
        b"{\"test\": true}\n",
        br#"{"test": true, "a": 1}"#,
        b"",
        COMMENT_9X,
    ] {
        let answered = world
            .post("main", &[("x-event-key", "diagnostics:ping")], body)
            .await;
        assert_eq!(answered.status, 401, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(
        world.post("other", &[], ping).await.status,
        401,
        "a wrong URL does not pass the test"
    );
    assert_eq!(world.events().await, []);
    assert_eq!(world.decisions().await, []);
    let activity = world.activity_at_the_end().await.unwrap();
    assert_eq!((activity.accepted, activity.refused_401), (0, 5));
}

#[tokio::test]
async fn deliveries_and_refusals_are_counted_for_each_connection() {
    let world = World::start().await;
    for _ in 0..3 {
        assert_eq!(world.deliver("d-1", COMMENT_9X).await.status, 200);
        assert_eq!(world.post("main", &[], COMMENT_9X).await.status, 401);
        assert_eq!(world.post("unknown", &[], COMMENT_9X).await.status, 401);
    }
    let activity = world.activity_at_the_end().await.unwrap();
    assert_eq!((activity.accepted, activity.refused_401), (3, 3));
    assert_eq!(activity.last_event_key.as_deref(), Some("pr:comment:added"));
    assert!(activity.last_delivery_at.is_some() && activity.last_refused_at.is_some());
}

#[tokio::test]
async fn there_is_one_route_and_it_takes_one_method() {
    let world = World::start().await;
    let url = |path: &str| format!("http://{}{path}", world.address);
    for path in [
        "/",
        "/metrics",
        "/livez",
        "/integration/bitbucket-dc/connections/main",
        &format!("{}/", path("main")),
    ] {
        assert_eq!(
            world.client.post(url(path)).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
    assert_eq!(
        world
            .client
            .get(url(&path("main")))
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    assert_eq!(
        world
            .client
            .put(url(&path("main")))
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
}
