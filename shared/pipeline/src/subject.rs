//! Names of streams, buckets and subjects. Built here and nowhere else.

use crate::decision::Decision;
use crate::event::Event;
use crate::ids::{CommentId, InstanceId, Lane, RepositoryId, RunId};
use crate::job::Job;
use crate::mention::{Change, Control, Mention, Origin};

/// Stream of verified deliveries.
pub const EVENTS: &str = "EVENTS";
/// Stream of mentions and controls.
pub const MENTIONS: &str = "MENTIONS";
/// Work queue of jobs, one message per lane.
pub const JOBS: &str = "JOBS";
/// Stream of dead letters.
pub const DEAD: &str = "DEAD";
/// Stream of decisions.
pub const DECISIONS: &str = "DECISIONS";
/// Bucket of lanes.
pub const LANES: &str = "lanes";
/// Bucket of run records.
pub const RUNS: &str = "runs";
/// Bucket of what ingest has seen of each connection.
pub const CONNECTIONS: &str = "connections";
/// Bucket of pull requests on which the bot is paused; nothing in it expires.
pub const PAUSES: &str = "pauses";
/// Object store of briefs, transcripts and patches.
pub const ARTIFACTS: &str = "artifacts";

/// Everything in `EVENTS`.
pub const EVENTS_ALL: &str = "resolver.v1.events.>";
/// Everything in `MENTIONS`.
pub const MENTIONS_ALL: &str = "resolver.v1.mentions.>";
/// Mentions only.
pub const MENTIONS_COMMENTS: &str = "resolver.v1.mentions.*.*.*.comment.>";
/// Controls only: deleted comments.
pub const MENTIONS_DELETED: &str = "resolver.v1.mentions.*.*.*.deleted.>";
/// Controls only: closed pull requests.
pub const MENTIONS_CLOSED: &str = "resolver.v1.mentions.*.*.*.closed.>";
/// Controls only: moved source branches.
pub const MENTIONS_MOVED: &str = "resolver.v1.mentions.*.*.*.moved.>";
/// Everything in `JOBS`.
pub const JOBS_ALL: &str = "resolver.v1.jobs.>";
/// Everything in `DEAD`.
pub const DEAD_ALL: &str = "resolver.v1.dead.>";
/// Everything in `DECISIONS`.
pub const DECISIONS_ALL: &str = "resolver.v1.decisions.>";

/// `resolver.v1.events.<connection>.<repo>.<lane>.<kind>`
pub fn event(event: &Event) -> String {
    format!(
        "resolver.v1.events.{}.{}.{}.{}",
        event.connection,
        event.repository.id,
        event.lane(),
        event.body.kind()
    )
}

/// `resolver.v1.mentions.<instance>.<repo>.<lane>.comment.<comment id>.<version>`
pub fn mention(mention: &Mention) -> String {
    format!(
        "{}.comment.{}.{}",
        mentions_of(&mention.origin),
        mention.comment,
        mention.comment_version
    )
}

/// `....deleted.<comment id>`, `....closed.<pr version>`, `....moved.<sha>`
pub fn control(control: &Control) -> String {
    let lane = mentions_of(&control.origin);
    match &control.change {
        Change::CommentDeleted { comment } => format!("{lane}.deleted.{comment}"),
        Change::Closed { version, .. } => format!("{lane}.closed.{version}"),
        Change::Moved { to } => format!("{lane}.moved.{to}"),
    }
}

/// `resolver.v1.jobs.<instance>.<repo>.<lane>`
pub fn job(job: &Job) -> String {
    job_of_lane(&job.instance, job.repository.id, &job.lane)
}

/// The one subject that a lane's job can be on.
pub fn job_of_lane(instance: &InstanceId, repository: RepositoryId, lane: &Lane) -> String {
    format!("resolver.v1.jobs.{instance}.{repository}.{lane}")
}

/// `resolver.v1.dead.<service>`
pub fn dead(service: &str) -> String {
    format!("resolver.v1.dead.{service}")
}

/// `resolver.v1.decisions.<instance>.<repo>.<lane>`; `-` where no repository was named.
pub fn decision(decision: &Decision) -> String {
    let repository = decision
        .repository
        .as_ref()
        .map_or_else(|| "-".to_owned(), |r| r.id.to_string());
    format!(
        "resolver.v1.decisions.{}.{repository}.{}",
        decision.instance,
        decision.lane()
    )
}

/// Key of a lane in the bucket `lanes`.
pub fn lane_key(instance: &InstanceId, repository: RepositoryId, lane: &Lane) -> String {
    format!("{instance}.{repository}.{lane}")
}

/// `resolver.v1.decisions.<instance>.<repo>.<lane>`, of one lane.
pub fn decisions_of_lane(instance: &InstanceId, repository: RepositoryId, lane: &Lane) -> String {
    format!("resolver.v1.decisions.{instance}.{repository}.{lane}")
}

/// Key of a run in the bucket `runs`.
pub fn run_key(run: &RunId) -> String {
    run.to_string()
}

/// The artifact with a run's work as a patch.
pub const PATCH: &str = "patch.diff";

/// The artifact with the plan that a run made.
pub const PLAN: &str = "plan.md";

/// The artifact with what a repository's checks printed.
pub const CHECKS: &str = "checks.txt";

/// Name of the transcript of one of a run's attempts: each has its own, so that a repeated attempt loses nothing.
pub fn transcript(run: &RunId, attempt: u32) -> String {
    artifact(run, &format!("transcript-{attempt}.jsonl"))
}

/// The artifact with what the pull request was called before a run described it, a [`crate::effect::Described`].
pub const DESCRIBED: &str = "described.json";

/// Name of one of a run's artifacts.
pub fn artifact(run: &RunId, name: &str) -> String {
    format!("{run}/{name}")
}

/// The subject a deleted comment's control has; used to look it up.
pub fn deleted_comment(origin: &Origin, comment: CommentId) -> String {
    format!("{}.deleted.{comment}", mentions_of(origin))
}

fn mentions_of(origin: &Origin) -> String {
    format!(
        "resolver.v1.mentions.{}.{}.{}",
        origin.instance,
        origin.repository.id,
        origin.lane()
    )
}
