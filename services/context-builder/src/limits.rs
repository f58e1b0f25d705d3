//! Every limit of this role, with its reason.

use jiff::SignedDuration;
use std::time::Duration;

/// Messages of one consumer in work at once in this process: mostly waits for Bitbucket. Enough for three connections
/// that hang and one that does not.
pub(crate) const CONCURRENCY: usize = 32;

/// Of those, how many may wait for one connection's Bitbucket at once, whose limit for a bot is five requests a second
/// anyway.
pub(crate) const SEATS: usize = 8;

/// How long one of them is waited for: a Bitbucket that answers has served a burst by then, in the order in which people
/// wrote, and one that hangs has taken a second of the hands that are left.
pub(crate) const SEAT_PATIENCE: Duration = Duration::from_secs(1);

/// When to come back where all of these are taken: each round of a long queue costs NATS a write for each message, and
/// a seat is free within a few seconds on a Bitbucket that answers.
pub(crate) const SEAT_RETRY: Duration = Duration::from_secs(3);

/// Messages of one consumer in work in all processes together. Those that wait count, for a Bitbucket that is away or
/// for room in a full queue: one such instance or pull request must not keep everybody else's messages from coming.
pub(crate) const IN_WORK_MAX: i64 = 10_000;

/// How often a message may fail where the dependency did answer.
pub(crate) const ATTEMPTS_MAX: u32 = 8;

/// Longest handling of one message: a handful of REST calls at the client's own limits.
pub(crate) const HANDLER_DEADLINE: Duration = Duration::from_secs(180);

/// A comment last edited longer ago never starts a run: a replayed history must not wake old requests.
pub(crate) const COMMENT_AGE_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long a refusal is not repeated to the same person on the same pull request.
pub(crate) const REFUSAL_SILENCE: SignedDuration = SignedDuration::from_hours(1);

/// Refusals remembered for each pull request: more people than are refused on one within an hour.
pub(crate) const REFUSALS_MAX: usize = 200;

/// What the limits of an hour are counted over.
pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Answers given at once to one person on one pull request within an hour: more than people ask, and an end to a program
/// that asks whenever it is answered. What controls runs does not count.
pub(crate) const ANSWERS_PER_HOUR_MAX: usize = 30;

/// Answers that are counted, to all people together: about 70 bytes each in the lane.
pub(crate) const ANSWERS_KEPT_MAX: usize = 1_000;

/// People whose `stop` is remembered for requests that arrive late.
pub(crate) const STOPPED_PEOPLE_MAX: usize = 100;

/// Comments that may be added to one waiting request,
pub(crate) const MERGED_MAX: usize = 20;

/// and the bytes that the request may grow to.
pub(crate) const MERGED_BYTES_MAX: usize = 64 * 1024;

/// Earlier runs of a pull request that are looked at, the latest comments' first: for what `retry` and the like are
/// about, and for what `status` adds up.
pub(crate) const HISTORY_MAX: usize = 100;

/// Versions of one comment before its last that are looked at for runs of their own: people edit a comment a few times,
/// and one that is edited by a program must not hide all others.
pub(crate) const VERSIONS_MAX: usize = 8;

/// Records that are looked for at most to find so many runs: as many as the latest comments can have asked for, when each was
/// edited as often as counts. Versions that never became runs hide nobody's.
pub(crate) const HISTORY_LOOKED_FOR_MAX: usize = HISTORY_MAX * (VERSIONS_MAX + 1);

/// Decisions about one pull request that `why` looks through.
pub(crate) const DECISIONS_MAX: usize = 5_000;

/// Decisions that `why` shows.
pub(crate) const DECISIONS_SHOWN_MAX: usize = 30;

/// Comments remembered for each pull request: about 150 bytes each, so that a lane stays far below NATS's 1 MiB.
pub(crate) const COMMENTS_MAX: usize = 1_000;

/// Runs that may wait on one pull request; more mentions wait in the stream.
pub(crate) const QUEUE_MAX: usize = 200;

/// How long to wait before asking again whether a full queue has room.
pub(crate) const QUEUE_FULL_RETRY: Duration = Duration::from_secs(60);

/// When to hear a mention again that was overtaken by another version of its comment: what it changes stands in the lane
/// already.
pub(crate) const OVERTAKEN_RETRY: Duration = Duration::from_millis(50);

/// How long a process may take to prepare a job before another one takes over. Preparing takes a second; on a
/// Bitbucket so slow that two prepare at once, work is done twice, but the lane's slot takes one job all the same.
pub(crate) const CLAIM_LEASE: SignedDuration = SignedDuration::from_secs(15);

/// How often a job that cannot be prepared is tried, where the dependency did answer.
pub(crate) const DISPATCH_TRIES_MAX: u32 = 8;

/// How long a job may be waited for while Bitbucket or the store is away.
pub(crate) const DISPATCH_WAIT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How long to wait for an edit that the lane knows and the run's record does not: its message is redelivered
/// well within this, unless it was given up.
pub(crate) const EDIT_WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

/// How often to look for the lane's job slot, which frees a moment after its run ended (0.2 s in a cluster),
pub(crate) const SLOT_LOOKS: u32 = 20;

/// and how long to pause between two looks.
pub(crate) const SLOT_PAUSE: Duration = Duration::from_millis(50);

/// When to come back for a slot that did not free: a resolver takes seconds to end an agent it was told to stop.
pub(crate) const SLOT_RETRY: Duration = Duration::from_millis(500);

/// How often the watchdog looks at every lane.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How long after its deadline a run may still be closing down, before the watchdog ends it.
pub(crate) const DEADLINE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long a queue entry may be without a run record: admission retries for a day, then writes a failed one.
pub(crate) const RECORD_MISSING_MAX: SignedDuration = SignedDuration::from_hours(25);

/// Activities read of a pull request: one page of the client.
pub(crate) const ACTIVITIES_MAX: usize = 200;

/// Changed files named in a brief.
pub(crate) const FILES_MAX: usize = 300;

/// Items listed as left out; the rest is a number.
pub(crate) const LEFT_OUT_MAX: usize = 20;

/// Longest item of that list: a path, mostly.
pub(crate) const LEFT_OUT_BYTES_MAX: usize = 200;

/// The list gets one part in this many of a brief's bytes,
pub(crate) const LEFT_OUT_SHARE: usize = 16;

/// and never more than this.
pub(crate) const LEFT_OUT_TOTAL_BYTES_MAX: usize = 4_000;

/// Bytes of a brief that are ours beside what the verb and its options say: all headings take about 2,400.
pub(crate) const FRAME_BYTES: usize = 2_800;

/// Bytes read of a diff: several times a brief, so that a huge generated file does not hide the files behind it.
pub(crate) const DIFF_BYTES_MAX: usize = 1024 * 1024;

/// A part of the brief is left out whole rather than cut shorter than this.
pub(crate) const PART_BYTES_MIN: usize = 200;

/// Template steps one brief may take: a loop over every part, far from endless.
pub(crate) const TEMPLATE_FUEL: u64 = 200_000;
