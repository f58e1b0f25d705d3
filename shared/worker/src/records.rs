//! Records: typed values in a KV bucket, changed by compare-and-swap only.
//!
//! Reads go to the stream's leader (not to the nearest replica), so that a record is read as it was last written.
//! Every write carries a random id in a header: when its acknowledgement is lost, the next read tells whether it
//! landed, so a change is never applied twice and never taken for someone else's.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use bytes::Bytes;
use pipeline::message::{Message, decode, encode};

use crate::publish::{Written, trace_headers};
use crate::{Error, Nats, StoredMessage};

/// How long a change may take, all tries together: shorter than any `ack_wait`, longer than a leader election.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// One write of a record.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// Losers of a race wait a random time up to this before the next try; it doubles with each lost race.
const RACE_PAUSE: Duration = Duration::from_millis(4);
const RACE_PAUSE_MAX: Duration = Duration::from_millis(250);
/// Records [`Records::list`] returns at most: thirty days of runs of a large site, and a bound on memory.
pub const LIST_MAX: usize = 20_000;
/// Records [`Records::visit`] holds at a time: at a few kilobytes each, a few megabytes.
const PAGE_MAX: usize = 2_000;

const WRITE_ID: &str = "Resolver-Write";

/// What [`Records::create`] found.
#[derive(Debug, Clone, PartialEq)]
pub enum Created<T> {
    /// There was none; it is ours.
    New,
    /// There is one, as it stands.
    Exists(T),
}

/// The records of one bucket.
#[derive(Clone)]
pub struct Records<T> {
    nats: Nats,
    bucket: &'static str,
    kind: PhantomData<fn() -> T>,
}

/// A record as it was last written. `value` is absent for a deleted one.
struct Stored<T> {
    revision: u64,
    value: Option<T>,
    write: Option<String>,
}

impl<T: Message> Records<T> {
    pub(crate) fn new(nats: Nats, bucket: &'static str) -> Self {
        Self {
            nats,
            bucket,
            kind: PhantomData,
        }
    }

    /// The record, if there is one.
    pub async fn get(&self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.read(key).await?.value)
    }

    /// Writes the record unless there is one.
    pub async fn create(&self, key: &str, value: &T) -> Result<Created<T>, Error> {
        let payload = Bytes::from(encode(value));
        let until = Instant::now() + CHANGE_TIMEOUT;
        let mut ours = Vec::new();
        let (mut lost, mut revision) = (0, 0);
        loop {
            let id = new_write_id();
            match self.write(key, payload.clone(), revision, &id).await {
                Ok(Written::Stored(_)) => return Ok(Created::New),
                Ok(Written::WrongLastSequence) => {}
                Err(Error::Unavailable(_)) => ours.push(id),
                Err(error) => return Err(error),
            }
            let Some(stored) = self.read_if_available(key).await? else {
                self.wait_for_next_try(key, until, &mut lost).await?;
                continue;
            };
            match stored.value {
                Some(_) if stored.write.is_some_and(|id| ours.contains(&id)) => return Ok(Created::New),
                Some(found) => return Ok(Created::Exists(found)),
                // A deleted record may be created again, on top of the marker that says so.
                None => revision = stored.revision,
            }
            self.wait_for_next_try(key, until, &mut lost).await?;
        }
    }

    /// Changes an existing record: reads it, lets `change` work on it and writes it if nobody else has meanwhile,
    /// for at most 10 s. A change that leaves the value as it was writes nothing; one that fails changes nothing.
    pub async fn update<R, E>(
        &self,
        key: &str,
        change: impl FnMut(&mut T) -> Result<R, E>,
    ) -> Result<Result<(T, R), E>, Error> {
        self.change(key, || None, change).await
    }

    /// Like [`Records::update`]; a missing record starts from its default.
    pub async fn update_or_default<R, E>(
        &self,
        key: &str,
        change: impl FnMut(&mut T) -> Result<R, E>,
    ) -> Result<Result<(T, R), E>, Error>
    where
        T: Default,
    {
        self.change(key, || Some(T::default()), change).await
    }

    /// All records, at most [`LIST_MAX`], in the order of their last change. Unreadable ones are left out and logged.
    pub async fn list(&self) -> Result<Vec<T>, Error> {
        let stream = format!("KV_{}", self.bucket);
        let filter = format!("$KV.{}.>", self.bucket);
        let messages = self
            .nats
            .read(&stream, &filter, DeliverPolicy::LastPerSubject, LIST_MAX)
            .await?;
        if messages.len() == LIST_MAX {
            tracing::warn!(
                bucket = self.bucket,
                LIST_MAX,
                "only the records that have not changed for longest are listed"
            );
        }
        Ok(messages.iter().filter_map(readable).collect())
    }

    /// Shows every record to `look`, however many there are, in the order of their last change. One that changes
    /// meanwhile may be shown again, as it is then. Unreadable ones are left out and logged.
    pub async fn visit(&self, mut look: impl FnMut(T)) -> Result<(), Error> {
        let stream = format!("KV_{}", self.bucket);
        let filter = format!("$KV.{}.>", self.bucket);
        let mut from = DeliverPolicy::All;
        loop {
            let page = self.nats.read(&stream, &filter, from, PAGE_MAX).await?;
            page.iter().filter_map(readable).for_each(&mut look);
            // A bucket holds one message for each key, so that the rest of the stream is the rest of the records.
            match page.last() {
                Some(last) if page.len() == PAGE_MAX => {
                    from = DeliverPolicy::ByStartSequence {
                        start_sequence: last.sequence + 1,
                    };
                }
                _ => return Ok(()),
            }
        }
    }

    async fn change<R, E>(
        &self,
        key: &str,
        missing: impl Fn() -> Option<T>,
        mut change: impl FnMut(&mut T) -> Result<R, E>,
    ) -> Result<Result<(T, R), E>, Error> {
        let until = Instant::now() + CHANGE_TIMEOUT;
        let mut unsure: Vec<(String, T, R)> = Vec::new();
        let mut lost = 0;
        loop {
            let Some(stored) = self.read_if_available(key).await? else {
                self.wait_for_next_try(key, until, &mut lost).await?;
                continue;
            };
            if let Some(i) = unsure
                .iter()
                .position(|(id, ..)| Some(id) == stored.write.as_ref())
            {
                let (_, value, result) = unsure.swap_remove(i);
                return Ok(Ok((value, result)));
            }
            let found = stored.value.or_else(&missing);
            let mut value = found.ok_or_else(|| Error::NotFound {
                key: self.subject(key),
            })?;
            let before = encode(&value);
            let result = match change(&mut value) {
                Ok(result) => result,
                Err(error) => return Ok(Err(error)),
            };
            let after = encode(&value);
            if after == before && stored.revision != 0 {
                return Ok(Ok((value, result)));
            }
            let id = new_write_id();
            match self.write(key, Bytes::from(after), stored.revision, &id).await {
                Ok(Written::Stored(_)) => return Ok(Ok((value, result))),
                Ok(Written::WrongLastSequence) => {}
                Err(Error::Unavailable(_)) => unsure.push((id, value, result)),
                Err(error) => return Err(error),
            }
            self.wait_for_next_try(key, until, &mut lost).await?;
        }
    }

    async fn wait_for_next_try(&self, key: &str, until: Instant, lost: &mut u32) -> Result<(), Error> {
        if Instant::now() >= until {
            let key = self.subject(key);
            return Err(if self.nats.is_connected() {
                Error::Contended { key }
            } else {
                Error::unavailable(&key, "the connection is down")
            });
        }
        let most = RACE_PAUSE.saturating_mul(1 << (*lost).min(8)).min(RACE_PAUSE_MAX);
        *lost += 1;
        tokio::time::sleep(most.mul_f64(rand::random_range(0.1..1.0))).await;
        Ok(())
    }

    /// Nothing while the server is away: a change outlasts its restart.
    async fn read_if_available(&self, key: &str) -> Result<Option<Stored<T>>, Error> {
        match self.read(key).await {
            Ok(stored) => Ok(Some(stored)),
            Err(Error::Unavailable(why)) => {
                tracing::debug!(key, why, "reading again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, key: &str) -> Result<Stored<T>, Error> {
        let subject = self.subject(key);
        let Some(message) = self
            .nats
            .last_on_subject(&format!("KV_{}", self.bucket), &subject)
            .await?
        else {
            return Ok(Stored {
                revision: 0,
                value: None,
                write: None,
            });
        };
        let write = message.headers.get(WRITE_ID).map(|id| id.as_str().to_owned());
        let value = if is_marker(Some(&message.headers)) {
            None
        } else {
            Some(decode(&message.payload).map_err(|cause| Error::Undecodable { key: subject, cause })?)
        };
        Ok(Stored {
            revision: message.sequence,
            value,
            write,
        })
    }

    async fn write(&self, key: &str, payload: Bytes, revision: u64, id: &str) -> Result<Written, Error> {
        let mut headers = trace_headers();
        headers.insert(WRITE_ID, id);
        self.nats
            .write(
                &self.subject(key),
                headers,
                payload,
                Some(revision),
                WRITE_TIMEOUT,
            )
            .await
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket)
    }
}

/// The record in a bucket's message, if it holds one.
fn readable<T: Message>(message: &StoredMessage) -> Option<T> {
    if is_marker(Some(&message.headers)) {
        return None;
    }
    decode(&message.payload)
        .inspect_err(|error| tracing::warn!(subject = message.subject, %error, "an unreadable record"))
        .ok()
}

/// Whether a bucket's message says that a record is gone, rather than holding one.
pub(crate) fn is_marker(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| {
        headers.get("Nats-Marker-Reason").is_some()
            || headers
                .get("KV-Operation")
                .is_some_and(|operation| operation.as_str() != "PUT")
    })
}

fn new_write_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
