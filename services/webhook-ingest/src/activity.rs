//! What arrived on each connection, for `runs list`. Bitbucket's "Test connection" is unsigned, so a wrong secret shows
//! here and nowhere else.
//!
//! Requests count in memory; a task of its own writes, at most once a second per connection. Several ingests add to
//! the same record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pipeline::ids::ConnectionId;
use pipeline::message::{Message, VERSION};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use worker::{Created, Error, Records};

/// Between two writes of one connection's record.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// Deliveries of one connection, all ingests together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionActivity {
    /// Message version.
    pub v: u32,
    /// The connection; also the record's key.
    pub connection: ConnectionId,
    /// When a signed delivery last arrived.
    #[schemars(with = "Option<String>")]
    pub last_delivery_at: Option<Timestamp>,
    /// Its event key.
    pub last_event_key: Option<String>,
    /// Signed deliveries so far, also those with nothing for us.
    pub accepted: u64,
    /// Deliveries refused as 401 so far.
    pub refused_401: u64,
    /// When one was last refused.
    #[schemars(with = "Option<String>")]
    pub last_refused_at: Option<Timestamp>,
}

impl Message for ConnectionActivity {
    const NAME: &'static str = "connection activity";
}

impl ConnectionActivity {
    /// The bucket of these records.
    pub const BUCKET: &'static str = pipeline::subject::CONNECTIONS;

    /// Nothing has arrived.
    pub fn none(connection: ConnectionId) -> Self {
        Self {
            v: VERSION,
            connection,
            last_delivery_at: None,
            last_event_key: None,
            accepted: 0,
            refused_401: 0,
            last_refused_at: None,
        }
    }

    /// Adds what was counted since the last write.
    fn add(&mut self, news: &Self) {
        self.accepted += news.accepted;
        self.refused_401 += news.refused_401;
        if news.last_delivery_at > self.last_delivery_at {
            self.last_delivery_at = news.last_delivery_at;
            self.last_event_key.clone_from(&news.last_event_key);
        }
        self.last_refused_at = self.last_refused_at.max(news.last_refused_at);
    }
}

/// Counts; cheap, and never waits for the network. When it is dropped, what is left is written.
pub(crate) struct Ledger {
    news: Arc<News>,
    _ends_writer: DropGuard,
}

/// Not yet written, by connection. Only configured connections are counted, so the map is bounded.
#[derive(Default)]
struct News {
    counts: Mutex<HashMap<ConnectionId, ConnectionActivity>>,
    /// Wakes the writer.
    any: Notify,
}

impl Ledger {
    /// The ledger, and the task that writes; it ends after the ledger.
    pub(crate) fn start(records: Records<ConnectionActivity>) -> (Self, JoinHandle<()>) {
        let (ended, news) = (CancellationToken::new(), Arc::new(News::default()));
        let writer = tokio::spawn(write(records, news.clone(), ended.clone()));
        (
            Self {
                news,
                _ends_writer: ended.drop_guard(),
            },
            writer,
        )
    }

    /// A signed delivery arrived.
    pub(crate) fn accepted(&self, connection: &ConnectionId, event_key: &str) {
        self.count(connection, |activity| {
            activity.accepted += 1;
            activity.last_delivery_at = Some(Timestamp::now());
            activity.last_event_key = Some(event_key.to_owned()).filter(|key| !key.is_empty());
        });
    }

    /// A delivery was refused.
    pub(crate) fn refused(&self, connection: &ConnectionId) {
        self.count(connection, |activity| {
            activity.refused_401 += 1;
            activity.last_refused_at = Some(Timestamp::now());
        });
    }

    fn count(&self, connection: &ConnectionId, change: impl FnOnce(&mut ConnectionActivity)) {
        {
            let mut news = self.news.lock();
            change(
                news.entry(connection.clone())
                    .or_insert_with(|| ConnectionActivity::none(connection.clone())),
            );
        }
        self.news.any.notify_one();
    }
}

impl News {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, ConnectionActivity>> {
        // Counting cannot be left half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<ConnectionActivity> {
        self.lock().drain().map(|(_, activity)| activity).collect()
    }

    /// What could not be written counts again.
    fn put_back(&self, unwritten: ConnectionActivity) {
        let mut news = self.lock();
        let connection = unwritten.connection.clone();
        news.entry(connection.clone())
            .or_insert_with(|| ConnectionActivity::none(connection))
            .add(&unwritten);
    }
}

async fn write(records: Records<ConnectionActivity>, news: Arc<News>, ended: CancellationToken) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = news.any.notified() => {}
            () = tokio::time::sleep(WRITE_PAUSE), if failing => {}
            () = ended.cancelled() => {}
        }
        // Looked at before the counts are taken, so that the last round takes everything.
        let last = ended.is_cancelled();
        for activity in news.take() {
            if activity.refused_401 > 0 {
                tracing::warn!(
                    connection.id = %activity.connection,
                    refused = activity.refused_401,
                    "deliveries were refused: not signed with a secret of this connection",
                );
            }
            let result = add(&records, &activity).await;
            if let (Err(error), false) = (&result, failing) {
                tracing::warn!(error = %error, "counts of deliveries cannot be written; they are kept and written later");
            }
            failing = result.is_err();
            if failing {
                news.put_back(activity);
            }
        }
        if last {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(WRITE_PAUSE) => {}
            () = ended.cancelled() => {}
        }
    }
}

async fn add(records: &Records<ConnectionActivity>, news: &ConnectionActivity) -> Result<(), Error> {
    let key = news.connection.as_str();
    let add = |activity: &mut ConnectionActivity| {
        activity.add(news);
        Ok::<(), std::convert::Infallible>(())
    };
    match records.update(key, add).await {
        Ok(_) => return Ok(()),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    match records.create(key, news).await? {
        Created::New => Ok(()),
        // Another ingest was first.
        Created::Exists(_) => records.update(key, add).await.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_that_of_the_type() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/connection-activity.v1.json");
        let stale =
            pipeline::schema::keep(path.as_ref(), &schemars::schema_for!(ConnectionActivity)).unwrap();
        assert!(
            !stale,
            "{path} was rewritten: look at the difference and commit it"
        );
    }
}
