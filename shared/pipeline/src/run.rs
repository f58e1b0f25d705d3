//! Run: the record of one piece of work and its state machine. Changed by compare-and-swap only; ends exactly once.

mod evidence;
mod outcome;
mod reply_record;
mod state;
mod waited;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::event::{Person, Repository};
use crate::ids::{CommentId, CommitId, InstanceId, Lane, PullRequestId, RunId};
use crate::job::{Artifact, Credential};
use crate::mention::{Closed, Command, CommandDigest};
use crate::message::{Message, VERSION};

pub use evidence::{Check, Confinement, Measured, Plan, Pushed, Setup, THREAD_COMMITS_MAX, ThreadCommit};
pub use outcome::{FailureReport, Outcome, Usage};
pub use reply_record::{PostIntent, ReplyRecord};
pub use state::RunState;
pub use waited::Waited;

/// One piece of work for one mention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Message version.
    pub v: u32,
    /// Derived from instance, comment and comment version.
    pub id: RunId,
    /// The Bitbucket instance.
    pub instance: InstanceId,
    /// The target repository.
    pub repository: Repository,
    /// The pull request.
    pub pull_request: PullRequestId,
    /// What it is serialised by.
    pub lane: Lane,
    /// The comment that asked.
    pub comment: CommentId,
    /// The comment's version that asked.
    pub comment_version: u32,
    /// Who asked.
    pub requester: Option<Person>,
    /// Whose rights it uses.
    pub credential: Credential,
    /// What was asked.
    pub command: Command,
    /// The command's digest.
    pub digest: CommandDigest,
    /// Where it stands.
    pub state: RunState,
    /// Rises with every change a person should see; the status reply's marker carries it.
    pub n: u64,
    /// Raised by the worker that takes the job; the fencing token of everything it does.
    pub attempt: u32,
    /// Attempts that got as far as a work tree; the others only found that something was away.
    #[serde(default)]
    pub begun: u32,
    /// Runs before this one on its lane while queued, 0 when it is next.
    pub ahead: u32,
    /// When it was admitted.
    #[schemars(with = "String")]
    pub queued_at: Timestamp,
    /// When a worker first took it.
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schemars(with = "Option<String>")]
    pub ended_at: Option<Timestamp>,
    /// When the watchdog ends it; set while a worker has it.
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Timestamp>,
    /// The source branch's name as people see it.
    pub branch: Option<String>,
    /// The commit the work started from.
    pub base: Option<CommitId>,
    /// Whether the work is a commit, which may be on the branch from then on.
    #[serde(default)]
    pub committed: bool,
    /// The commits that the work is, noted before any of them is pushed: whatever else carries this run's trailer is not
    /// ours. The latest last; bounded by [`COMMITS_MAX`]. Empty beside `committed` where an older version worked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<CommitId>,
    /// Threads that no pushed commit is for, because the branch had their change already when the work was put onto its
    /// new head; noted before the push. Bounded by [`THREAD_COMMITS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contained: Vec<CommentId>,
    /// What the agent is doing, latest last; bounded by [`STEPS_MAX`].
    pub steps: Vec<String>,
    /// What the model used.
    pub usage: Usage,
    /// What came of it; set together with a terminal state.
    pub outcome: Option<Outcome>,
    /// The brief given to the agent.
    pub brief: Option<Artifact>,
    /// The work as a patch, kept where it could not be pushed.
    pub patch: Option<Artifact>,
    /// Every turn of the model and every tool call, as JSON lines, written by the proxy between agent and model.
    #[serde(default)]
    pub transcript: Option<Artifact>,
    /// The attempts whose transcripts are kept ([`crate::subject::transcript`]), the latest last; bounded by
    /// [`TRANSCRIPTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transcribed: Vec<u32>,
    /// Who works on it and how confined; of the last attempt that started an agent.
    #[serde(default)]
    pub setup: Option<Box<Setup>>,
    /// The plan it made, for the commit it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The earlier run that this one repeats, continues, approves or undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<RunId>,
    /// Later comments of the same person whose text was added to the command while the run waited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Merged>,
    /// Whether its comment was edited to ask for something else when work had begun: what came of it is told as that of
    /// the earlier words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited_late: bool,
    /// The newest version of its comment that came when work had begun; 0 where none did, for an edit is 1 at least.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_version: u32,
    /// How the pull request had ended when this was asked for. Such a run pushes to neither of its branches, and an event
    /// that tells of that end does not stop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_end: Option<Closed>,
    /// The wait that people are told of, where there was one; else what it waits for that is away, or waited for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
    /// What is to be done to the pull request beside commit and status reply; bounded by [`crate::effect::EFFECTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// Whether the target repository asks for no build status of ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub build_status_off: bool,
    /// The status reply, as `services/reply` left it.
    pub reply: ReplyRecord,
    /// W3C trace context of the delivery that started it.
    pub traceparent: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(version: &u32) -> bool {
    *version == 0
}

/// A comment that added to a waiting run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Merged {
    /// The comment.
    pub comment: CommentId,
    /// What it added, Markdown.
    pub text: String,
}

impl Message for Run {
    const NAME: &'static str = "run";
}

/// Steps kept in a record: enough to show what goes on, small enough for a KV value.
pub const STEPS_MAX: usize = 8;

/// Attempts kept in [`Run::transcribed`]; a run is given up after fewer.
pub const TRANSCRIPTS_MAX: usize = 8;

/// Commits kept in [`Run::commits`]: three attempts may each merge onto a head that moves five times, some of them twice
/// where Bitbucket was away meanwhile; each time as many as there are threads.
pub const COMMITS_MAX: usize = 32 * THREAD_COMMITS_MAX;

/// A change was refused because the run has ended or another worker has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// Terminal states absorb.
    #[error("run has ended: {0}")]
    Ended(RunState),
    /// A newer attempt exists.
    #[error("attempt {ours} was overtaken by attempt {current}")]
    Overtaken {
        /// The attempt that asked.
        ours: u32,
        /// The attempt that has it.
        current: u32,
    },
}

/// What is asked for, by whom, where.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The Bitbucket instance.
    pub instance: InstanceId,
    /// The target repository.
    pub repository: Repository,
    /// The pull request, which is also the lane.
    pub pull_request: PullRequestId,
    /// The comment that asks.
    pub comment: CommentId,
    /// Its version.
    pub comment_version: u32,
    /// Who asks.
    pub requester: Option<Person>,
    /// Whose rights are used.
    pub credential: Credential,
    /// What for.
    pub command: Command,
}

impl Run {
    /// A run that was just admitted.
    pub fn queued(id: RunId, asked: Asked, now: Timestamp) -> Self {
        Self {
            v: VERSION,
            id,
            instance: asked.instance,
            repository: asked.repository,
            pull_request: asked.pull_request,
            lane: Lane::of_pull_request(asked.pull_request),
            comment: asked.comment,
            comment_version: asked.comment_version,
            requester: asked.requester,
            credential: asked.credential,
            digest: asked.command.digest(),
            command: asked.command,
            state: RunState::Queued,
            n: 1,
            attempt: 0,
            begun: 0,
            ahead: 0,
            queued_at: now,
            started_at: None,
            ended_at: None,
            deadline: None,
            branch: None,
            base: None,
            committed: false,
            commits: Vec::new(),
            contained: Vec::new(),
            steps: Vec::new(),
            usage: Usage::default(),
            outcome: None,
            brief: None,
            patch: None,
            transcript: None,
            transcribed: Vec::new(),
            setup: None,
            plan: None,
            about: None,
            merged: Vec::new(),
            edited_late: false,
            late_version: 0,
            after_end: None,
            waited: None,
            effects: Vec::new(),
            build_status_off: false,
            reply: ReplyRecord::default(),
            traceparent: None,
        }
    }

    /// A worker takes the run: raises the attempt and returns it.
    pub fn take(&mut self, now: Timestamp, deadline: Timestamp) -> Result<u32, Fenced> {
        self.not_ended()?;
        self.attempt += 1;
        self.state = RunState::Running;
        self.started_at.get_or_insert(now);
        self.deadline = Some(deadline);
        self.ahead = 0;
        self.n += 1;
        Waited::end(&mut self.waited, now);
        Ok(self.attempt)
    }

    /// The worker that holds `attempt` has checked out the commit it works on.
    pub fn begin(&mut self, attempt: u32, base: CommitId) -> Result<(), Fenced> {
        self.held_by(attempt)?;
        self.base = Some(base);
        self.begun += 1;
        self.n += 1;
        Ok(())
    }

    /// The worker that holds `attempt` has made a commit of the work, which it may push from now on.
    pub fn commit(&mut self, attempt: u32, commit: &CommitId) -> Result<(), Fenced> {
        self.held_by(attempt)?;
        self.committed = true;
        self.commits.retain(|known| known != commit);
        self.commits.push(commit.clone());
        let surplus = self.commits.len().saturating_sub(COMMITS_MAX);
        self.commits.drain(..surplus);
        Ok(())
    }

    /// The worker that holds `attempt` has found that the branch has a thread's change already. What is pushed may be made
    /// of an earlier try as well, so a later one takes none of them back; a commit of the thread's own goes before this.
    pub fn contain(&mut self, attempt: u32, thread: CommentId) -> Result<(), Fenced> {
        self.held_by(attempt)?;
        if !self.contained.contains(&thread) && self.contained.len() < THREAD_COMMITS_MAX {
            self.contained.push(thread);
        }
        Ok(())
    }

    /// Whether a commit that carries this run's trailer and the bot's address may be its own: anyone who may push can
    /// write both. Of what an older version made, nothing else is known.
    pub fn may_have_made(&self, commit: &CommitId) -> bool {
        self.committed && (self.commits.is_empty() || self.commits.contains(commit))
    }

    /// The job of the worker that holds `attempt` goes back to the queue, where it may wait for longer than work may
    /// take: the run has no deadline until it is taken again. A run that has ended stays as it is.
    pub fn hand_back(&mut self, attempt: u32) -> Result<(), Fenced> {
        match self.held_by(attempt) {
            Ok(()) => {
                self.deadline = None;
                Ok(())
            }
            Err(Fenced::Ended(_)) if self.attempt == attempt => Ok(()),
            Err(fenced) => Err(fenced),
        }
    }

    /// The worker that holds `attempt` notes a step.
    pub fn step(&mut self, attempt: u32, step: String) -> Result<(), Fenced> {
        self.held_by(attempt)?;
        if self.steps.len() >= STEPS_MAX {
            self.steps.remove(0);
        }
        self.steps.push(step);
        self.n += 1;
        Ok(())
    }

    /// Ends the run. Whoever holds no attempt (admission, watchdog, a control) passes `None`.
    pub fn end(
        &mut self,
        attempt: Option<u32>,
        state: RunState,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), Fenced> {
        debug_assert!(state.is_terminal());
        match attempt {
            Some(attempt) => self.held_by(attempt)?,
            None => self.not_ended()?,
        }
        self.state = state;
        self.outcome = Some(outcome);
        self.ended_at = Some(now);
        self.n += 1;
        Waited::end(&mut self.waited, now);
        Ok(())
    }

    /// Whether `attempt` may still act for this run.
    pub fn held_by(&self, attempt: u32) -> Result<(), Fenced> {
        self.not_ended()?;
        if self.attempt == attempt {
            Ok(())
        } else {
            Err(Fenced::Overtaken {
                ours: attempt,
                current: self.attempt,
            })
        }
    }

    fn not_ended(&self) -> Result<(), Fenced> {
        if self.state.is_terminal() {
            Err(Fenced::Ended(self.state))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
