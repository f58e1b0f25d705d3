//! Deliveries as Bitbucket sends them and as attackers do: twice, out of order, unsigned, endless.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tests::inside;
use tests::setup::Setup;
use tests::world::{SECRET, World, scenario, scenario_in};

#[tokio::test]
async fn duplicated_and_reordered_deliveries_change_nothing() {
    scenario_in(
        Setup {
            unruly: true,
            ..Setup::default()
        },
        async |world| {
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let first = alice.comments(1, "@openhands one").await.unwrap();
            pr.final_reply_to(first).await;
            let second = alice.comments(1, "@openhands two").await.unwrap();
            alice.edits(1, second, "@openhands two, really").await.unwrap();
            pr.final_reply_to(second).await;
        },
    )
    .await;
}

#[tokio::test]
async fn two_webhooks_for_one_comment_start_one_run() {
    scenario_in(
        Setup {
            webhooks: 2,
            ..Setup::default()
        },
        async |world| {
            let comment = world
                .alice()
                .comments(1, "@openhands once, please")
                .await
                .unwrap();
            world.pull_request(1).final_reply_to(comment).await;
            assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        },
    )
    .await;
}

#[tokio::test]
async fn test_connection_succeeds_without_a_signature() {
    scenario(async |world| {
        assert_eq!(
            world.root().tests_connection(&world.webhook_url()).await.unwrap(),
            200
        );
    })
    .await;
}

#[tokio::test]
async fn every_wrong_signature_gets_the_same_answer_and_publishes_nothing() {
    scenario(async |world| {
        let body = br#"{"eventKey":"pr:comment:added"}"#;
        let right = sign(SECRET, body);
        let wrong_secret = sign("another secret that is long enough", body);
        let mut answers = Vec::new();
        for signature in [
            None,
            Some(""),
            Some("sha256="),
            Some(right.trim_start_matches("sha256=")),
            Some(&right[..right.len() - 2]),
            Some(&right.replace("sha256=", "sha1=")),
            Some(&right[..right.len() - 1]),
            Some(&format!("{right}00")),
            Some("sha256=zz"),
            Some(&wrong_secret),
        ] {
            let headers = signature.map(|signature| vec![signature]).unwrap_or_default();
            answers.push(post(world, "main", &headers, body).await);
        }
        answers.push(post(world, "main", &[&right, &right], body).await);
        answers.push(post(world, "unknown", &[&right], body).await);
        answers.push(post(world, "main", &[], br#"{"test": true, "x": 1}"#).await);
        answers.push(post(world, "main", &[], br#"{"test":true}"#).await);
        let (status, text) = answers[0].clone();
        assert_eq!(status, 401);
        for answer in &answers {
            assert_eq!(answer, &(status, text.clone()));
        }
        let control = post(world, "main", &[&right], body).await;
        assert_eq!(
            control.0, 200,
            "the same body with the right signature passes: {control:?}"
        );
        let nats = inside::connect(world).await.unwrap();
        assert_eq!(
            inside::messages(&nats, pipeline::subject::EVENTS).await.unwrap(),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn signed_nonsense_is_told_apart_from_signed_events() {
    scenario(async |world| {
        for (body, status) in [
            (&b"not json"[..], 400),
            (b"[]", 200),
            (b"{}", 200),
            (br#"{"eventKey":"pr:comment:added"}"#, 200),
            (br#"{"eventKey":"repo:forked","actor":null}"#, 200),
            (br#"{"eventKey":"a:new:one"}"#, 200),
            (br#"{"eventKey":7}"#, 200),
            (br#"{"test": true}"#, 200),
        ] {
            let answer = post(world, "main", &[&sign(SECRET, body)], body).await;
            assert_eq!(answer.0, status, "{}: {answer:?}", String::from_utf8_lossy(body));
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    scenario(async |world| {
        let body = vec![b'x'; 1_048_577];
        let answer = post(world, "main", &[&sign(SECRET, &body)], &body).await;
        assert_eq!(answer.0, 413);
    })
    .await;
}

#[tokio::test]
async fn a_replayed_delivery_with_a_new_request_id_runs_nothing_again() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let comment = world.alice().comments(1, "@openhands once").await.unwrap();
        pr.final_reply_to(comment).await;
        let deliveries = world
            .control("GET", "/sim/v1/deliveries", Value::Null)
            .await
            .unwrap();
        let deliveries = deliveries
            .as_array()
            .or_else(|| deliveries["values"].as_array())
            .unwrap()
            .clone();
        let added = deliveries
            .iter()
            .find(|d| text_of(&d["body"]).contains("pr:comment:added"))
            .expect("it was sent");
        let body = text_of(&added["body"]);
        let answer = post(world, "main", &[&sign(SECRET, body.as_bytes())], body.as_bytes()).await;
        assert_eq!(answer.0, 200);
        // What would follow a new run is a reaction and a reply; a second mention's end proves that nothing is on its way.
        let second = world.alice().comments(1, "@openhands twice").await.unwrap();
        pr.final_reply_to(second).await;
        assert_eq!(pr.bots_commits().await.len(), 2);
    })
    .await;
}

/// A delivery's body as it was sent.
pub(crate) fn text_of(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_owned)
}

/// Posts a body as Bitbucket signs it; status and text of the answer.
pub(crate) async fn post_signed(world: &World, body: &[u8]) -> (u16, String) {
    post(world, "main", &[&sign(SECRET, body)], body).await
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Posts a body with these signature headers; status and text of the answer.
async fn post(world: &World, connection: &str, signatures: &[&str], body: &[u8]) -> (u16, String) {
    let url = world.webhook_url().replace("/main/", &format!("/{connection}/"));
    let mut request = world
        .http
        .post(url)
        .header("Content-Type", "application/json; charset=utf-8");
    for signature in signatures {
        request = request.header("X-Hub-Signature", *signature);
    }
    let answer = request.body(body.to_vec()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
