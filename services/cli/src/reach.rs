//! Whether each Bitbucket can be used: a wrong address, certificate or token is told at start and while it lasts, and
//! not by mentions that nobody answers. Roles stay ready meanwhile: what they cannot reach they try again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bitbucket::Clients;
use config::{Connection, ConnectionSource, Proxy};
use futures::future::join_all;
use lifecycle::{Health, Shutdown};

/// Between two looks at a Bitbucket that can be used.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// And at one that cannot, so that an operator who mends it soon sees that it is mended.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Asks every Bitbucket until shutdown, and warns in `/readyz` and in the log while one cannot be used.
pub(crate) async fn watch(
    connections: Arc<dyn ConnectionSource>,
    proxy: Proxy,
    health: Health,
    shutdown: Shutdown,
) -> Result<()> {
    let clients = Clients::new(connections.clone(), proxy);
    let all = connections.all();
    let watching = join_all(
        all.iter()
            .map(|connection| watch_one(connection, &clients, &health)),
    );
    tokio::select! {
        () = shutdown.soft.cancelled() => {}
        _ = watching => {}
    }
    Ok(())
}

async fn watch_one(connection: &Connection, clients: &Clients, health: &Health) {
    let id = &connection.id;
    let about = format!("connection {id}");
    let mut told: Option<String> = None;
    loop {
        let wrong = clients.check(id).await.err();
        match &wrong {
            Some(why) if wrong != told => {
                tracing::warn!(connection.id = %id, base_url = %connection.base_url, why, "Bitbucket cannot be used");
            }
            None if told.is_some() => tracing::info!(connection.id = %id, "Bitbucket can be used again"),
            _ => {}
        }
        health.set_warning(&about, wrong.as_ref().map(|why| format!("{about}: {why}")));
        let pause = if wrong.is_some() {
            LOOK_AGAIN
        } else {
            LOOK_INTERVAL
        };
        told = wrong;
        tokio::time::sleep(pause).await;
    }
}
