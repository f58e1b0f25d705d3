//! The model is away, refuses, limits or talks nonsense: the run ends with words a person understands.

use serde_json::{Value, json};
use tests::setup::{ExternalModel, Setup};
use tests::world::{scenario, scenario_in};

async fn ends_with(script: Value, code: &str) {
    scenario(async |world| {
        world.script(script);
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains(code),
            "{code}: {}",
            reply.text
        );
        assert!(reply.text.contains("r-"), "the run id is named: {}", reply.text);
        assert_eq!(pr.head().await, before, "nothing is pushed");
    })
    .await;
}

#[tokio::test]
async fn a_refused_key_is_told() {
    ends_with(json!([{"reply": {"status": 401}}]), "MODEL_UNAUTHORIZED").await;
}

#[tokio::test]
async fn what_was_used_before_the_model_failed_is_counted_and_in_the_transcript() {
    scenario(async |world| {
        let looks = json!({"tool_calls": [{"name": "bash", "arguments": {"command": "echo looked"}}]});
        world.script(json!([{"times": 1, "reply": looks}, {"reply": {"status": 401}}]));
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        for part in ["MODEL_UNAUTHORIZED", "1 model call · 2k tokens"] {
            assert!(reply.text.contains(part), "{part}: {}", reply.text);
        }
        let run = reply.text.split('`').find(|word| word.starts_with("r-")).unwrap();
        let config = world.path("resolver.toml").to_str().unwrap().to_owned();
        let arguments = ["runs", "show", run, "--transcript", "--config", &config];
        let (code, transcript, stderr) = crate::starting_and_stopping::executable(&arguments).await;
        assert!(
            code == 0 && transcript.contains("echo looked"),
            "{transcript}{stderr}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_model_that_keeps_limiting_is_told() {
    ends_with(
        json!([{"reply": {"status": 429, "retry_after": 0}}]),
        "MODEL_RATE_LIMITED",
    )
    .await;
}

#[tokio::test]
async fn a_model_that_says_when_it_takes_requests_again_is_told_with_the_time() {
    ends_with(
        json!([{"reply": {"status": 429, "retry_after": 14_400}}]),
        "It takes requests again in 4 h 0 min, at ",
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_told() {
    ends_with(
        json!([{"reply": {"garbage": "<html>502 Bad Gateway</html>"}}]),
        "MODEL_GARBLED",
    )
    .await;
}

#[tokio::test]
async fn tool_calls_that_make_no_sense_end_the_run() {
    let nonsense = json!({"tool_calls": [{"name": "fly", "arguments": "{not json"}]});
    ends_with(json!([{"reply": nonsense}]), "AGENT_CONFUSED").await;
}

#[tokio::test]
async fn a_model_endpoint_that_is_away_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let model = ExternalModel {
        base_url: format!("http://{nobody}/v1"),
        model: "m".into(),
        api_key: "k".into(),
    };
    scenario_in(
        Setup {
            model: Some(model),
            ..Setup::default()
        },
        async |world| {
            let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(reply.text.contains("MODEL_UNREACHABLE"), "{}", reply.text);
        },
    )
    .await;
}
