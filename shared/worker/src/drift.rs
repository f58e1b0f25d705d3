//! Drift: where the live streams fall short of what this build needs. Wider is fine, narrower is not ready.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, UpdateStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode};
use async_nats::jetstream::{self, ErrorCode};
use futures::future::join_all;

use crate::streams::wanted;
use crate::{Error, Nats};

/// The first nats-server with atomic batches, the newest thing used here (crates.md section 3).
const SERVER_MIN: (i64, i64, i64) = (2, 12, 0);

/// Every way in which the live streams differ to the narrow side. Displayed one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Drift(Vec<String>);

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Drift {
    /// One sentence per difference.
    pub fn differences(&self) -> &[String] {
        &self.0
    }
}

impl Nats {
    /// Creates what is missing and widens what is too narrow; never narrows anything. What cannot be widened
    /// (retention, storage) is told. Streams that need nothing are not touched.
    pub async fn ensure(&self) -> Result<(), Drift> {
        self.is_recent_enough().map_err(|old| Drift(vec![old]))?;
        let ensured = join_all(
            wanted(self.replicas())
                .into_iter()
                .map(|config| self.ensure_stream(config)),
        )
        .await;
        all(ensured)
    }

    /// Whether work can go on: connected, and every stream at least as wide as needed. The sentence says why not.
    pub async fn check(&self) -> Result<(), String> {
        if !self.is_connected() {
            return Err("not connected to NATS".to_owned());
        }
        self.is_recent_enough()?;
        let checked = join_all(wanted(self.replicas()).into_iter().map(|config| async move {
            match self.live(&config.name).await {
                Ok(Some(live)) => differences(&config, &live),
                Ok(None) => vec![format!("{}: missing", config.name)],
                Err(error) => vec![error.to_string()],
            }
        }))
        .await;
        all(checked).map_err(|drift| drift.to_string())
    }

    fn is_recent_enough(&self) -> Result<(), String> {
        let (major, minor, patch) = SERVER_MIN;
        if self.client().is_server_compatible(major, minor, patch) {
            return Ok(());
        }
        let version = self.client().server_info().version;
        Err(format!(
            "nats-server is {version}, needed: {major}.{minor}.{patch} or newer"
        ))
    }

    async fn ensure_stream(&self, wanted: Config) -> Vec<String> {
        match self.try_ensure_stream(&wanted).await {
            Ok(live) => differences(&wanted, &live),
            Err(error) => vec![error.to_string()],
        }
    }

    async fn try_ensure_stream(&self, wanted: &Config) -> Result<Config, Error> {
        let live = match self.live(&wanted.name).await? {
            Some(live) => live,
            None => self.create(wanted).await?,
        };
        let wider = widened(&live, wanted);
        if wider == live {
            return Ok(live);
        }
        match self.jetstream().update_stream(wider).await {
            Ok(updated) => {
                tracing::info!(stream = wanted.name, "widened");
                Ok(updated.config)
            }
            Err(error) => match error.kind() {
                // Told as the differences that remain.
                UpdateStreamErrorKind::JetStream(refused) if refused.code() < 500 => {
                    tracing::warn!(stream = wanted.name, %refused, "cannot be widened");
                    Ok(live)
                }
                _ => Err(Error::unavailable(&wanted.name, error)),
            },
        }
    }

    /// Creates the stream. Another role may have been quicker, then its stream is the live one.
    async fn create(&self, wanted: &Config) -> Result<Config, Error> {
        let error = match self.jetstream().create_stream(wanted.clone()).await {
            Ok(created) => return Ok(created.cached_info().config.clone()),
            Err(error) => error,
        };
        match error.kind() {
            CreateStreamErrorKind::JetStream(refused)
                if refused.error_code() == ErrorCode::STREAM_NAME_EXIST =>
            {
                let live = self.live(&wanted.name).await?;
                live.ok_or_else(|| Error::unavailable(&wanted.name, "created and gone again"))
            }
            CreateStreamErrorKind::JetStream(refused) => Err(Error::of_server(&wanted.name, &refused)),
            _ => Err(Error::unavailable(&wanted.name, error)),
        }
    }

    async fn live(&self, name: &str) -> Result<Option<Config>, Error> {
        match self.jetstream().get_stream(name).await {
            Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refused) if is_not_found(&refused) => Ok(None),
                GetStreamErrorKind::JetStream(refused) => Err(Error::of_server(name, &refused)),
                _ => Err(Error::unavailable(name, error)),
            },
        }
    }
}

fn is_not_found(error: &jetstream::Error) -> bool {
    error.error_code() == ErrorCode::STREAM_NOT_FOUND
}

fn all(differences: Vec<Vec<String>>) -> Result<(), Drift> {
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Drift(differences))
    }
}

/// `live`, widened where `wanted` needs more and JetStream allows the change.
fn widened(live: &Config, wanted: &Config) -> Config {
    let mut wider = live.clone();
    for subject in &wanted.subjects {
        if !wider.subjects.contains(subject) {
            wider.subjects.push(subject.clone());
        }
    }
    if is_shorter(live.max_age, wanted.max_age) {
        wider.max_age = wanted.max_age;
    }
    if is_less(live.max_bytes, wanted.max_bytes) {
        wider.max_bytes = wanted.max_bytes;
    }
    wider.num_replicas = live.num_replicas.max(wanted.num_replicas);
    if keeps_other_count(live, wanted) {
        wider.max_messages_per_subject = wanted.max_messages_per_subject;
        wider.discard_new_per_subject = wanted.discard_new_per_subject;
    }
    if forgets(live, wanted) {
        wider.discard = wanted.discard;
        wider.discard_new_per_subject |= wanted.discard_new_per_subject;
    }
    wider.duplicate_window = live.duplicate_window.max(wanted.duplicate_window);
    wider.allow_rollup |= wanted.allow_rollup;
    wider.allow_direct |= wanted.allow_direct;
    wider.allow_atomic_publish |= wanted.allow_atomic_publish;
    wider.allow_message_ttl |= wanted.allow_message_ttl;
    if wider.subject_delete_marker_ttl.is_none() {
        wider.subject_delete_marker_ttl = wanted.subject_delete_marker_ttl;
    }
    wider
}

/// One sentence for every way in which `live` is not enough.
fn differences(wanted: &Config, live: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut differs = |field: &str, live: &dyn fmt::Debug, needed: &dyn fmt::Debug| {
        found.push(format!(
            "{}: {field} is {live:?}, needed: {needed:?}",
            wanted.name
        ));
    };
    for subject in wanted
        .subjects
        .iter()
        .filter(|subject| !live.subjects.contains(subject))
    {
        differs("subjects", &live.subjects, subject);
    }
    if live.retention != wanted.retention {
        differs("retention", &live.retention, &wanted.retention);
    }
    if live.storage != wanted.storage {
        differs("storage", &live.storage, &wanted.storage);
    }
    if is_shorter(live.max_age, wanted.max_age) {
        differs("max_age", &live.max_age, &wanted.max_age);
    }
    if is_less(live.max_bytes, wanted.max_bytes) {
        differs("max_bytes", &live.max_bytes, &wanted.max_bytes);
    }
    if live.num_replicas < wanted.num_replicas {
        differs("num_replicas", &live.num_replicas, &wanted.num_replicas);
    }
    if keeps_other_count(live, wanted) {
        differs(
            "max_msgs_per_subject",
            &live.max_messages_per_subject,
            &wanted.max_messages_per_subject,
        );
    }
    if forgets(live, wanted) {
        let policy = |config: &Config| (config.discard, config.discard_new_per_subject);
        differs("discard, discard_new_per_subject", &policy(live), &policy(wanted));
    }
    for (field, live, needed) in [
        ("allow_rollup_hdrs", live.allow_rollup, wanted.allow_rollup),
        ("allow_direct", live.allow_direct, wanted.allow_direct),
        (
            "allow_atomic",
            live.allow_atomic_publish,
            wanted.allow_atomic_publish,
        ),
        ("allow_msg_ttl", live.allow_message_ttl, wanted.allow_message_ttl),
    ] {
        if needed && !live {
            differs(field, &live, &needed);
        }
    }
    // Asynchronous persistence acknowledges what is not yet stored (reliability-security.md section 3).
    if live.persist_mode == Some(PersistenceMode::Async) {
        differs("persist_mode", &live.persist_mode, &"default");
    }
    found
}

/// Zero is for ever.
fn is_shorter(live: Duration, wanted: Duration) -> bool {
    !live.is_zero() && (wanted.is_zero() || live < wanted)
}

/// Zero and less are no limit.
fn is_less(live: i64, wanted: i64) -> bool {
    live > 0 && (wanted <= 0 || live < wanted)
}

/// Whether a subject keeps fewer messages than wanted, or, where a second one must be refused, another number.
/// A later build may keep more of them; this one leaves that as it is.
fn keeps_other_count(live: &Config, wanted: &Config) -> bool {
    let (kept, needed) = (live.max_messages_per_subject, wanted.max_messages_per_subject);
    is_less(kept, needed) || (wanted.discard_new_per_subject && kept != needed)
}

/// Whether a full stream or subject drops its oldest message where the new one must be refused. Refusing where
/// dropping would do loses nothing.
fn forgets(live: &Config, wanted: &Config) -> bool {
    (wanted.discard == DiscardPolicy::New && live.discard != DiscardPolicy::New)
        || (wanted.discard_new_per_subject && !live.discard_new_per_subject)
}
