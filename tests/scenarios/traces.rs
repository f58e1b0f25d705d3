//! One trace from the delivery to the run, over every hop.

use pipeline::subject;
use serde_json::json;
use tests::inside;
use tests::waiting::WAIT_MAX;
use tests::world::{scenario, works};

#[tokio::test]
async fn one_trace_id_spans_every_hop_from_the_delivery_to_the_run() {
    scenario(async |world| {
        // A job is in its stream for as long as it is worked on.
        world.script(json!([{"reply": {"hold": true, "then": works("echo done >> work.txt", "Done.")}}]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();

        let nats = inside::connect(world).await.unwrap();
        let runs = inside::runs(&nats).await.unwrap();
        let [run] = runs.as_slice() else {
            panic!("not one run: {runs:#?}");
        };
        let trace = inside::trace_id(run.traceparent.as_deref().expect("a run knows its trace")).unwrap();
        assert!(
            trace.len() == 32 && trace.bytes().any(|digit| digit != b'0'),
            "{trace}"
        );
        let events = format!(
            "{}.*.*.*.comment-added",
            subject::EVENTS_ALL.trim_end_matches(".>")
        );
        for (stream, subjects) in [
            (subject::EVENTS, events.as_str()),
            (subject::MENTIONS, subject::MENTIONS_ALL),
            (subject::JOBS, subject::JOBS_ALL),
        ] {
            let first = inside::first_trace_id(&nats, stream, subjects).await.unwrap();
            assert_eq!(first, trace, "{stream}");
        }
        world.model.release();
        world.pull_request(1).final_reply_to(comment).await;
    })
    .await;
}
