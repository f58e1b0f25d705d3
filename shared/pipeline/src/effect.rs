//! Effect: what a run does to the pull request beside its commit and its status reply. Planned by the resolver when the
//! run ends, done by `services/reply`, each exactly once (commands-and-replies.md, Terms).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{CommentId, CommitId, PullRequestId};

/// Effects of one run: more findings than a person reads, and a record that is still small.
pub const EFFECTS_MAX: usize = 50;
/// Text of one effect, in bytes.
pub const EFFECT_TEXT_MAX: usize = 8 * 1024;
/// Text of all effects together, in bytes: a run record is one value in the store.
pub const EFFECTS_TEXT_MAX: usize = 128 * 1024;

/// What the keys of the builds that the bot sets begin with; a pull request's is this and its numbers.
pub const BUILD_KEY: &str = "openhands-resolver";

/// One effect and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// What is to be done.
    pub what: What,
    /// How far it is.
    #[serde(default)]
    pub progress: Progress,
    /// The comment of an answer, noted as soon as it is written where a task is to be ticked after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<CommentId>,
}

/// What an effect does. Its texts are the model's words: data, to be sanitised where they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// Answers in a thread.
    Answer {
        /// The thread's first comment, one of [`crate::job::Job::threads`].
        thread: CommentId,
        /// What is answered.
        text: String,
        /// Whether the run's change does what the thread asks for.
        #[serde(default)]
        settled: bool,
        /// Whether the thread is a task that is to be ticked.
        #[serde(default)]
        tick: bool,
    },
    /// Comments on lines of the diff, as they are after the change.
    Finding {
        /// The file.
        path: String,
        /// The first line, from 1.
        first_line: u32,
        /// The last line; the comment stands under it.
        last_line: u32,
        /// Whether the first line is new in the diff; otherwise it is context. Bitbucket wants to be told.
        #[serde(default)]
        first_is_added: bool,
        /// The same of the last line.
        #[serde(default)]
        last_is_added: bool,
        /// What is said.
        text: String,
        /// What the lines should be instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suggestion: Option<String>,
    },
    /// Sets the pull request's title and description; what is absent stays.
    Describe {
        /// The title.
        title: Option<String>,
        /// The description, Markdown.
        description: Option<String>,
    },
    /// Opens a pull request.
    PullRequest {
        /// The branch with the work, `refs/heads/...`, in the repository named by `in_target`.
        from: String,
        /// Whether that branch is in the target repository; otherwise it is in the source repository.
        in_target: bool,
        /// Its title.
        title: String,
        /// Its description.
        description: String,
    },
}

/// What a pull request was called when an agent was told, kept as [`crate::subject::DESCRIBED`]: what an edit may replace,
/// and what it can be set back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its title.
    pub title: String,
    /// Its description; empty where there was none.
    pub description: String,
}

/// How far an effect is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Progress {
    /// Not begun.
    #[default]
    Planned,
    /// Someone is about to do it; it may have been done.
    Begun {
        /// A random name of who.
        poster: String,
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
    },
    /// Done.
    Done {
        /// The comment that was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<CommentId>,
        /// The pull request that was opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pull_request: Option<PullRequestId>,
    },
    /// Bitbucket does not let it be done.
    Failed {
        /// Why, in words of ours.
        why: String,
        /// The comment that was written all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<CommentId>,
    },
}

/// The build status of a run, as it was last set on a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// The commit.
    pub commit: CommitId,
    /// What was said of it.
    pub state: BuildState,
}

/// What a build status says, in the words Bitbucket has for it (bitbucket-dc.md 3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// The run works.
    InProgress,
    /// It did what was asked.
    Successful,
    /// It did not.
    Failed,
    /// Someone ended it.
    Cancelled,
}

impl Progress {
    /// What failed, and left nothing behind.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed {
            why: why.into(),
            comment: None,
        }
    }

    /// The comment that was written, whatever else came of it.
    pub fn comment(&self) -> Option<CommentId> {
        match self {
            Self::Done { comment, .. } | Self::Failed { comment, .. } => *comment,
            Self::Planned | Self::Begun { .. } => None,
        }
    }

    /// Whether nothing was begun.
    pub fn is_planned(&self) -> bool {
        *self == Self::Planned
    }
}

impl Effect {
    /// An effect that is to be done.
    pub fn planned(what: What) -> Self {
        Self {
            what,
            progress: Progress::Planned,
            written: None,
        }
    }

    /// Whether nothing is left to do for it.
    pub fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Done { .. } | Progress::Failed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_survives_json_and_an_old_one_is_planned() {
        let effect = Effect {
            what: What::Finding {
                path: "a.rs".into(),
                first_line: 1,
                last_line: 2,
                first_is_added: true,
                last_is_added: false,
                text: "off by one".into(),
                suggestion: Some("x".into()),
            },
            progress: Progress::Failed {
                why: "the line is not in the diff".into(),
                comment: None,
            },
            written: None,
        };
        let text = serde_json::to_string(&effect).unwrap();
        assert_eq!(serde_json::from_str::<Effect>(&text).unwrap(), effect);
        let old = r#"{"what":{"kind":"answer","thread":7,"text":"done"}}"#;
        let effect: Effect = serde_json::from_str(old).unwrap();
        assert_eq!(effect.progress, Progress::Planned);
        assert!(!effect.is_settled());
    }
}
