//! Names of span and log fields. Dotted, the same in every role.
//!
//! `tracing` wants literal field names in its macros, so these constants are for code that records fields by name and
//! for tests; a macro writes the same text: `info_span!("delivery", delivery.id = %id)`.

/// Bitbucket's `X-Request-Id`.
pub const DELIVERY_ID: &str = "delivery.id";
/// Bitbucket's event key, such as `pr:comment:added`.
pub const EVENT_KEY: &str = "event.key";
/// The configured connection.
pub const CONNECTION_ID: &str = "connection.id";
/// The Bitbucket instance.
pub const INSTANCE_ID: &str = "instance.id";
/// `PROJECT/slug`.
pub const REPOSITORY: &str = "repository";
/// The pull request's number.
pub const PULL_REQUEST_ID: &str = "pr.id";
/// The comment.
pub const COMMENT_ID: &str = "comment.id";
/// The run.
pub const RUN_ID: &str = "run.id";
/// Which try of the run or message.
pub const ATTEMPT: &str = "attempt";
/// A NATS subject.
pub const SUBJECT: &str = "nats.subject";
/// A durable consumer.
pub const CONSUMER: &str = "nats.consumer";
/// A message's stream sequence.
pub const SEQUENCE: &str = "nats.sequence";
/// What was decided.
pub const VERDICT: &str = "verdict";
/// A failure code.
pub const CODE: &str = "code";
