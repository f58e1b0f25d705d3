//! Item 11 and the control API's faults: limits, lost answers, closed connections.

use std::time::Duration;

use serde_json::{Value, json};

use crate::scene::{BOT, By, JANE, Scene};

async fn put(scene: &Scene, faults: Value) -> Value {
    scene.control("PUT", "faults", Some(faults)).await.is(200).json()
}

#[tokio::test]
async fn the_rate_limit_is_sixty_at_once_and_five_per_second_also_for_git() {
    let scene = Scene::start().await;
    scene
        .control("PUT", "clock", Some(json!({"running": false})))
        .await
        .is(200);
    put(&scene, json!([{"rate_limit": true}])).await;
    for _ in 0..60 {
        scene.pr(BOT, "GET", "", None).await.is(200);
    }
    let limited = scene.pr(BOT, "GET", "", None).await.is(429);
    assert_eq!(limited.headers["retry-after"], "1");
    assert!(limited.json()["errors"][0]["message"].is_string());
    scene
        .send(
            BOT,
            "GET",
            "/scm/proj/demo.git/info/refs?service=git-upload-pack",
            None,
        )
        .await
        .is(429);
    scene.pr(JANE, "GET", "", None).await.is(200);
    scene
        .control("PUT", "clock", Some(json!({"advance_ms": 1000})))
        .await
        .is(200);
    for _ in 0..5 {
        scene.pr(BOT, "GET", "", None).await.is(200);
    }
    put(&scene, json!([{"rate_limit": true, "omit_retry_after": true}])).await;
    let limited = scene.pr(BOT, "GET", "", None).await.is(429);
    assert!(!limited.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn an_administrator_switches_the_rate_limit_on_and_exempts_a_user() {
    let scene = Scene::start().await;
    let admin = By::Basic("root", "secret");
    let path = "/admin/rate-limit/settings";
    scene
        .control("PUT", "clock", Some(json!({"running": false})))
        .await
        .is(200);
    let settings = json!({"enabled": true, "defaultSettings": {"capacity": 2, "fillRate": 1}});
    scene.api(admin, "PUT", path, Some(settings)).await.is(200);
    scene
        .api(
            admin,
            "POST",
            &format!("{path}/users"),
            Some(json!({"usernames": ["openhands"], "whitelisted": true})),
        )
        .await
        .is(200);
    for status in [200, 200, 429] {
        scene.pr(JANE, "GET", "", None).await.is(status);
    }
    for _ in 0..5 {
        scene.pr(BOT, "GET", "", None).await.is(200);
    }
}

#[tokio::test]
async fn a_fault_before_leaves_no_effect_and_a_fault_after_only_loses_the_answer() {
    let scene = Scene::start().await;
    let comments = "*/pull-requests/*/comments";
    put(
        &scene,
        json!([{"method": "POST", "path": comments, "count": 1, "status": 503, "retry_after": 7}]),
    )
    .await;
    let failed = scene
        .pr(BOT, "POST", "/comments", Some(json!({"text": "one"})))
        .await
        .is(503);
    assert_eq!(failed.headers["retry-after"], "7");
    assert_eq!(scene.pr(BOT, "GET", "/activities", None).await.json()["size"], 1);
    put(
        &scene,
        json!([{"method": "POST", "path": comments, "count": 1, "status": 500, "when": "after"}]),
    )
    .await;
    scene
        .pr(BOT, "POST", "/comments", Some(json!({"text": "two"})))
        .await
        .is(500);
    assert_eq!(
        scene.pr(BOT, "GET", "/activities", None).await.json()["values"][0]["comment"]["text"],
        "two"
    );
    scene
        .pr(BOT, "POST", "/comments", Some(json!({"text": "three"})))
        .await
        .is(201);
}

#[tokio::test]
async fn a_dropped_connection_has_no_answer_and_is_logged_without_status() {
    let scene = Scene::start().await;
    put(&scene, json!([{"path": "/activities", "drop": true, "count": 1}])).await;
    let url = format!(
        "{}/rest/api/latest/projects/PROJ/repos/demo/pull-requests/7/activities",
        scene.simulator.base_url()
    );
    let error = scene
        .client
        .get(url)
        .bearer_auth("bot-t")
        .send()
        .await
        .unwrap_err();
    assert!(error.is_request(), "{error:?}");
    let logged = scene
        .control("GET", "requests?after=0&wait_ms=5000", None)
        .await
        .json();
    let entry = logged.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (entry["user"].as_str(), entry["token"].as_str(), &entry["status"]),
        (Some("openhands"), Some("bot"), &Value::Null)
    );
}

#[tokio::test]
async fn a_held_request_goes_on_when_released() {
    let scene = Scene::start().await;
    let faults = put(
        &scene,
        json!([{"method": "PUT", "user": "openhands", "hold": true}]),
    )
    .await;
    let id = faults[0]["id"].as_u64().unwrap();
    let comment = scene.comment(BOT, json!({"text": "one"})).await;
    let path = format!("/comments/{}", comment["id"]);
    let edit = scene.pr(BOT, "PUT", &path, Some(json!({"text": "two", "version": 0})));
    let release = async {
        let held = scene
            .control("GET", &format!("faults?held={id}&wait_ms=10000"), None)
            .await
            .json();
        assert_eq!(held[0]["held"], 1);
        assert_eq!(scene.pr(JANE, "GET", &path, None).await.json()["text"], "one");
        scene
            .control("POST", &format!("faults/{id}/release"), None)
            .await
            .is(204);
    };
    let (edited, ()) = tokio::join!(edit, release);
    assert_eq!(edited.is(200).json()["text"], "two");
    scene.control("POST", "faults/999/release", None).await.is(404);
}

#[tokio::test]
async fn a_fault_can_answer_html_and_faults_can_be_removed() {
    let scene = Scene::start().await;
    put(&scene, json!([{"path": "/rest/", "status": 200, "body": "<html>proxy</html>"}, {"path": "/activities", "delay_ms": 1}])).await;
    let answer = scene.pr(BOT, "GET", "", None).await.is(200);
    assert_eq!(
        (
            answer.text.as_str(),
            answer.headers["content-type"].to_str().unwrap()
        ),
        ("<html>proxy</html>", "text/html;charset=UTF-8")
    );
    scene.control("DELETE", "faults", None).await.is(204);
    scene.pr(BOT, "GET", "", None).await.is(200).json();
    scene
        .control("PUT", "faults", Some(json!([{"unknown": 1}])))
        .await
        .is(400);
}

#[tokio::test]
async fn the_request_log_can_be_waited_for() {
    let scene = Scene::start().await;
    let wait = scene.control("GET", "requests?after=0&wait_ms=10000", None);
    let call = async {
        tokio::task::yield_now().await;
        scene
            .pr(BOT, "POST", "/comments", Some(json!({"text": "hi"})))
            .await
            .is(201)
    };
    let (logged, _) = tokio::join!(wait, call);
    let entry = logged.json()[0].clone();
    assert_eq!(
        (
            entry["number"].as_u64(),
            entry["method"].as_str(),
            entry["status"].as_u64()
        ),
        (Some(1), Some("POST"), Some(201))
    );
    assert_eq!(
        (entry["scheme"].as_str(), entry["body"].as_str()),
        (Some("Bearer"), Some(r#"{"text":"hi"}"#))
    );
    assert_eq!(
        entry["path"],
        "/rest/api/latest/projects/PROJ/repos/demo/pull-requests/7/comments"
    );
    let started = std::time::Instant::now();
    let nothing = scene
        .control("GET", "requests?after=1&wait_ms=50", None)
        .await
        .json();
    assert_eq!(nothing, json!([]));
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_what_the_server_began() {
    let scene = Scene::start().await;
    let faults = put(
        &scene,
        json!([{"method": "POST", "path": "/comments", "hold": true}]),
    )
    .await;
    let id = faults[0]["id"].as_u64().unwrap();
    let url = format!(
        "{}/rest/api/latest/projects/PROJ/repos/demo/pull-requests/7/comments",
        scene.simulator.base_url()
    );
    let request = scene
        .client
        .post(url)
        .bearer_auth("bot-t")
        .json(&json!({"text": "late"}));
    let leaver = tokio::spawn(request.send());
    let held = scene
        .control("GET", &format!("faults?held={id}&wait_ms=10000"), None)
        .await
        .json();
    assert_eq!(held[0]["held"], 1);
    leaver.abort();
    scene
        .control("POST", &format!("faults/{id}/release"), None)
        .await
        .is(204);
    let logged = scene
        .control("GET", "requests?after=0&wait_ms=10000", None)
        .await
        .json();
    assert_eq!(logged[0]["status"], 201);
    assert_eq!(
        scene.pr(BOT, "GET", "/activities", None).await.json()["values"][0]["comment"]["text"],
        "late"
    );
}
