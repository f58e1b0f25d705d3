//! What a run record keeps beside the outcome: who worked and how confined, and what the resolver measured itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{CommentId, CommitId};
use crate::job::Artifact;

/// Who works on a run, with what, and how confined; noted before the agent is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setup {
    /// The coding agent: `builtin`, a preset's name, or an own program's.
    pub agent: String,
    /// The model's alias, as the configuration calls it.
    pub model: String,
    /// What the run may spend, in USD; absent where the model has no prices and money is not counted.
    pub usd_max: Option<f64>,
    /// What the run may spend, in tokens, where it may spend fewer than the operator lets every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_max: Option<u64>,
    /// How the agent is confined.
    pub sandbox: Confinement,
}

/// A push that the server acknowledged and that was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pushed {
    /// The new head.
    pub commit: CommitId,
    /// The branch, `refs/heads/...`.
    pub branch: String,
    /// Files changed, from git.
    pub files: u32,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// The commits that were made for a thread each, the first one first; bounded by [`THREAD_COMMITS_MAX`]. Empty where
    /// the work is one commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<ThreadCommit>,
}

/// Threads that one run makes a commit each for: each takes the agent a pass of its own, and the record has to name every
/// commit that may be pushed.
pub const THREAD_COMMITS_MAX: usize = 16;

/// A commit that does what one thread asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCommit {
    /// The thread's first comment.
    pub thread: CommentId,
    /// The commit.
    pub commit: CommitId,
}

impl Pushed {
    /// The commit that was made for this thread.
    pub fn of_thread(&self, thread: CommentId) -> Option<&CommitId> {
        let own = self.threads.iter().find(|one| one.thread == thread)?;
        Some(&own.commit)
    }
}

/// A plan that a person may approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Its text, as people were shown it.
    pub text: Artifact,
    /// The text's SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Plan {
    /// The plan that is kept under `text`, whose bytes are these.
    pub fn of(text: Artifact, bytes: &[u8]) -> Self {
        Self {
            text,
            sha256: hex::encode(Sha256::digest(bytes)),
        }
    }

    /// Whether these are the bytes that were kept.
    pub fn is(&self, bytes: &[u8]) -> bool {
        Self::of(self.text.clone(), bytes) == *self
    }
}

/// How an agent is confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confinement {
    /// 0 is not at all; higher is stronger.
    pub level: u8,
    /// In words: `level 2 (landlock, seccomp, namespaces)`.
    pub name: String,
    /// What this level does not protect from, in a few words each; `/readyz` has the sentences.
    #[serde(default)]
    pub residue: Vec<String>,
}

/// One of the repository's checks, run by the resolver on the commit the work started from and on the one it ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What the repository calls it.
    pub name: String,
    /// The command line, as the repository writes it; data, to be sanitised.
    pub command: String,
    /// On the commit the work started from.
    pub before: Measured,
    /// On the commit the work ends with.
    pub after: Measured,
}

/// What came of running a check on one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "measured", rename_all = "snake_case")]
pub enum Measured {
    /// It ended by itself; 0 is passed.
    Exited {
        /// Its exit code; 128 and more where a signal ended it.
        code: i32,
        /// How long it took.
        milliseconds: u64,
    },
    /// It reached its time-out and was ended.
    TimedOut {
        /// How long it ran.
        milliseconds: u64,
    },
    /// It reached another limit and was ended.
    Stopped {
        /// Which one: `memory`.
        limit: String,
        /// How long it ran.
        milliseconds: u64,
    },
    /// It failed in a way that says more about the sandbox than about the code.
    NotMeasurable {
        /// Why, in a few words.
        why: String,
    },
    /// It was not run.
    NotRun {
        /// Why, in a few words.
        why: String,
    },
}
