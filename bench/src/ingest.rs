//! Signed deliveries into JetStream, against a raw loop that publishes the same messages and waits for each
//! acknowledgement.
//!
//! Both write to the same stream of the same nats-server (`sync_interval: always`), in turns, and it is emptied in
//! between. The raw loop publishes what ingest stored for its deliveries: same subjects, same bytes.

mod delivery;
mod http_client;
mod load;
mod raw;
mod role;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::ingest::delivery::Deliveries;
use crate::ingest::http_client::HttpClient;
use crate::ingest::load::{Client, closed_loop, one_after_the_other};
use crate::ingest::raw::{Events, RawPublisher};
use crate::ingest::role::IngestRole;
use crate::samples::Samples;
use crate::table::{Goal, Row, spread};

/// Bitbuckets, or connections of one, that deliver at the same time.
const CONNECTIONS: usize = 64;
/// How long one side is under load in one round.
const LOAD: Duration = Duration::from_secs(3);
const LOAD_QUICK: Duration = Duration::from_secs(1);
/// Before the first round: connections are opened, files made, caches filled.
const WARM_UP: Duration = Duration::from_secs(1);
/// Lone deliveries in one round.
const LONE: usize = 100;

/// What one side did in all rounds.
#[derive(Default)]
struct Side {
    per_second: Samples,
    /// Of each round under load, in milliseconds.
    p99: Samples,
    /// Of each round of lone ones, in milliseconds.
    lone_p50: Samples,
}

/// All rows of ingest.
pub(crate) async fn measure(rounds: usize, quick: bool) -> Result<Vec<Row>> {
    let duration = if quick { LOAD_QUICK } else { LOAD };
    let role = IngestRole::start().await?;
    let deliveries = Deliveries::signed(role.address())?;
    let events = Events::connect(&role.nats_url()).await?;
    let stored = {
        let mut client = HttpClient::connect(role.address(), &deliveries, 0).await?;
        one_after_the_other(&mut client, deliveries.len()).await?;
        events.stored(deliveries.len()).await?
    };
    let stored_bytes = stored.iter().map(|message| message.payload.len()).sum::<usize>() / stored.len();

    let mut product = Vec::new();
    for number in 0..CONNECTIONS {
        product.push(HttpClient::connect(role.address(), &deliveries, number).await?);
    }
    let mut baseline: Vec<_> = (0..CONNECTIONS)
        .map(|number| RawPublisher::new(&events, &stored, number))
        .collect();
    product = closed_loop(product, WARM_UP).await?.clients;
    baseline = closed_loop(baseline, WARM_UP).await?.clients;

    let (mut ingest, mut raw) = (Side::default(), Side::default());
    let mut memory = Samples::default();
    for round in 0..rounds {
        // Who goes first alternates.
        for ingest_now in [round % 2 == 0, round % 2 == 1] {
            events.purge().await?;
            if ingest_now {
                let watched = role.watch_memory(ingest.round(product, duration));
                let (clients, resident) = watched.await?;
                product = clients;
                memory.add(resident);
            } else {
                baseline = raw.round(baseline, duration).await?;
            }
        }
    }
    role.end().await?;
    Ok(rows(&ingest, &raw, &memory, stored_bytes))
}

impl Side {
    /// One round under load and one of lone ones. Gives the clients back.
    async fn round<C: Client>(&mut self, clients: Vec<C>, duration: Duration) -> Result<Vec<C>> {
        let mut loaded = closed_loop(clients, duration).await?;
        self.per_second.add(loaded.per_second);
        self.p99.add(loaded.latencies.percentile(99));
        let client = loaded.clients.first_mut().context("there are clients")?;
        self.lone_p50
            .add(one_after_the_other(client, LONE).await?.median());
        Ok(loaded.clients)
    }
}

fn rows(ingest: &Side, raw: &Side, memory: &Samples, stored_bytes: usize) -> Vec<Row> {
    let throughput = format!(
        "{} rounds, {} against {}; {CONNECTIONS} connections, {stored_bytes} bytes stored per delivery on both sides",
        ingest.per_second.len(),
        spread(&ingest.per_second),
        spread(&raw.per_second),
    );
    vec![
        Row::of_rounds(
            "signed deliveries accepted, 64 connections",
            "/s",
            &ingest.per_second,
            &raw.per_second,
            Goal::AtLeast(1.0),
        )
        .noting(throughput),
        Row::of_rounds(
            "signed deliveries, 64 connections, p99",
            "ms",
            &ingest.p99,
            &raw.p99,
            Goal::AtMost(1.5),
        ),
        Row::of_rounds(
            "a lone delivery, p50",
            "ms",
            &ingest.lone_p50,
            &raw.lone_p50,
            Goal::AtMost(2.0),
        ),
        Row::value(
            "resident memory of webhook-ingest under load",
            "MB",
            memory.max(),
            Goal::AtMost(25.0),
        )
        .noting("the largest seen"),
    ]
}
