//! The streams, buckets and the object store as this build needs them (architecture, "Messages and state").

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use pipeline::subject;

/// Verified deliveries can be replayed for a week.
const EVENTS_AGE: Duration = days(7);
/// Everything else is kept for thirty days.
const AGE: Duration = days(30);
/// About 200,000 deliveries of 5 KiB. When it is full, ingest answers 503 instead of dropping the oldest.
const EVENTS_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// How long JetStream remembers dead letters' ids, so that burying a message twice leaves one letter.
const DEAD_DUPLICATE_WINDOW: Duration = Duration::from_hours(1);
/// A record that ages out leaves a marker for this long, so that followers see it go.
const MARKER_AGE: Duration = days(1);
/// Bookkeeping of waiting messages outlives the day a message may wait.
const WAITS_AGE: Duration = days(2);

/// Advisories that a consumer gave up on a message: nothing is silently dead.
const GIVEN_UP: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>";
/// The same for messages that were terminated, of the streams whose messages are work. Followers of records are left
/// out: a record that changes before its last change was followed counts as terminated there (nats-server 2.15.1).
const TERMINATED: [&str; 3] = [
    "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.EVENTS.>",
    "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.MENTIONS.>",
    "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.>",
];

/// Bucket of how often and since when messages waited for something that was away.
pub(crate) const WAITS: &str = "waits";

/// Everything this build needs, in pipeline order.
pub(crate) fn wanted(replicas: usize) -> Vec<Config> {
    let streams = [
        Config {
            max_age: EVENTS_AGE,
            max_bytes: EVENTS_BYTES_MAX,
            discard: DiscardPolicy::New,
            allow_atomic_publish: true,
            ..stream(subject::EVENTS, &[subject::EVENTS_ALL])
        },
        stream(subject::MENTIONS, &[subject::MENTIONS_ALL]),
        Config {
            retention: RetentionPolicy::WorkQueue,
            // A job waits for a worker as long as it takes; the watchdog ends its run.
            max_age: Duration::ZERO,
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            ..stream(subject::JOBS, &[subject::JOBS_ALL])
        },
        Config {
            duplicate_window: DEAD_DUPLICATE_WINDOW,
            ..stream(
                subject::DEAD,
                &[&[subject::DEAD_ALL, GIVEN_UP], &TERMINATED[..]].concat(),
            )
        },
        stream(subject::DECISIONS, &[subject::DECISIONS_ALL]),
        bucket(subject::LANES, AGE),
        bucket(subject::RUNS, AGE),
        bucket(subject::CONNECTIONS, AGE),
        // A pause lasts until somebody ends it.
        bucket(subject::PAUSES, Duration::ZERO),
        bucket(WAITS, WAITS_AGE),
        object_store(subject::ARTIFACTS),
    ];
    streams
        .into_iter()
        .map(|config| Config {
            num_replicas: replicas,
            ..config
        })
        .collect()
}

fn stream(name: &str, subjects: &[&str]) -> Config {
    Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        max_age: AGE,
        max_bytes: -1,
        allow_direct: true,
        ..Config::default()
    }
}

/// A KV bucket is a stream by convention: one message per key, roll-ups allowed, deletes only by marker.
fn bucket(name: &str, max_age: Duration) -> Config {
    Config {
        name: format!("KV_{name}"),
        max_age,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_message_ttl: true,
        subject_delete_marker_ttl: Some(MARKER_AGE),
        ..stream("", &[&format!("$KV.{name}.>")])
    }
}

/// An object store is a stream by convention: chunks and their descriptions on two subjects.
fn object_store(name: &str) -> Config {
    Config {
        name: format!("OBJ_{name}"),
        discard: DiscardPolicy::New,
        allow_rollup: true,
        ..stream("", &[&format!("$O.{name}.C.>"), &format!("$O.{name}.M.>")])
    }
}

const fn days(days: u64) -> Duration {
    Duration::from_hours(days * 24)
}
