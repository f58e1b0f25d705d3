//! A NATS cluster that loses a server: whoever was connected to it goes on with another, within the time that a delivery
//! may take.

use std::time::Duration;

use pipeline::subject;
use serde_json::Value;
use tests::nats_server::NatsServer;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in};

/// What a delivery may take, all tries of publishing it together.
const BUDGET: Duration = Duration::from_secs(5);

fn on(cluster: &[NatsServer]) -> Setup {
    let urls: Vec<String> = cluster.iter().map(NatsServer::url).collect();
    let set = |key: &str, value: &str| (format!("OPENHANDS_RESOLVER__NATS__{key}"), value.to_owned());
    Setup {
        environment: vec![set("URL", &urls.join(",")), set("REPLICAS", "3")],
        // A cluster answers later than a server alone, and much later where the machine is busy.
        ack_wait_seconds: 10,
        ..Setup::default()
    }
}

/// The place of the server that the resolver is connected to.
async fn connected_to(cluster: &[NatsServer], world: &World) -> usize {
    let http = &world.http;
    let connected = until(WAIT_MAX, || async move {
        for (at, server) in cluster.iter().enumerate() {
            if !server.clients(http).await.ok()?.is_empty() {
                return Some(at);
            }
        }
        None
    });
    connected.await.expect("the resolver is connected to a server")
}

/// Has another server than this one lead the stream of deliveries. A leader that dies is missed for longer than a
/// delivery may take; what is looked at here is the connection.
async fn does_not_lead(server: &NatsServer, url: &str) {
    let client = &async_nats::connect(url).await.unwrap();
    let moved = until(WAIT_MAX, || async move {
        let stream = async_nats::jetstream::new(client.clone())
            .get_stream(subject::EVENTS)
            .await
            .ok()?;
        let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
        if leader != server.name() {
            return Some(());
        }
        let step_down = format!("$JS.API.STREAM.LEADER.STEPDOWN.{}", subject::EVENTS);
        client.request(step_down, "{}".into()).await.ok()?;
        None
    });
    moved.await.expect("another server leads");
}

#[tokio::test]
async fn a_delivery_that_comes_when_its_nats_server_has_died_reaches_another_within_the_time_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = &mut NatsServer::cluster(directory.path()).await.unwrap();
    scenario_in(on(cluster), async |world| {
        let dies = connected_to(cluster, world).await;
        let survivor = (dies + 1) % cluster.len();
        let url = cluster[survivor].url();
        does_not_lead(&cluster[dies], &url).await;
        cluster[dies].kill().await.unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        let delivered = until(WAIT_MAX, || async {
            let all = world
                .control("GET", "/sim/v1/deliveries", Value::Null)
                .await
                .ok()?;
            let is_it = |delivery: &&Value| delivery["event_key"] == "pr:comment:added";
            all.as_array()?.iter().find(is_it).cloned()
        });
        let delivered = delivered.await.expect("the delivery was sent");
        assert_eq!(delivered["answer"]["status"], 200, "{delivered}");
        let took = delivered["duration_us"].as_u64().map(Duration::from_micros);
        assert!(took < Some(BUDGET), "{took:?}");

        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        world.nats = Some(cluster.swap_remove(survivor));
    })
    .await;
}
