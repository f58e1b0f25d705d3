//! Load: clients that each do one thing at a time.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::samples::Samples;

/// One thing that takes longer is stuck.
const ONCE_MAX: Duration = Duration::from_secs(10);

/// Someone who asks and waits for the answer.
pub(crate) trait Client: Send + 'static {
    /// Asks once. An answer that is not a success is an error: nothing else may be counted.
    fn once(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What came of a load.
pub(crate) struct Loaded<C> {
    /// To be used again.
    pub(crate) clients: Vec<C>,
    /// Successes, all clients together.
    pub(crate) per_second: f64,
    /// Of each success.
    pub(crate) latencies: Samples,
}

/// All clients at the same time, each asking again as soon as it is answered, for about `duration`.
pub(crate) async fn closed_loop<C: Client>(clients: Vec<C>, duration: Duration) -> Result<Loaded<C>> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < duration {
                latencies.push(timed(&mut client).await?);
            }
            anyhow::Ok((client, latencies))
        });
    }
    let mut clients = Vec::new();
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (client, found) = ended??;
        clients.push(client);
        latencies.extend(found);
    }
    // Until the last answer, so that nothing is counted that happened after the clock was stopped.
    let elapsed = started.elapsed();
    let count = u32::try_from(latencies.len())?;
    Ok(Loaded {
        clients,
        per_second: f64::from(count) / elapsed.as_secs_f64(),
        latencies: Samples::from_iter(latencies),
    })
}

/// One client, `count` times.
pub(crate) async fn one_after_the_other<C: Client>(client: &mut C, count: usize) -> Result<Samples> {
    let mut latencies = Vec::new();
    for _ in 0..count {
        latencies.push(timed(client).await?);
    }
    Ok(Samples::from_iter(latencies))
}

async fn timed<C: Client>(client: &mut C) -> Result<Duration> {
    let started = Instant::now();
    tokio::time::timeout(ONCE_MAX, client.once()).await??;
    Ok(started.elapsed())
}
