//! Where a run stands.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a run stands. All but the first two are terminal and absorb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Admitted, waiting for its turn.
    Queued,
    /// A worker has it.
    Running,
    /// A commit was pushed.
    Done,
    /// The agent changed nothing.
    NoChange,
    /// A question was answered.
    Answered,
    /// The agent asks back.
    NeedsInput,
    /// The requester may not, or the pull request is not open.
    Refused,
    /// It went wrong.
    Failed,
    /// Someone ended it.
    Cancelled,
    /// A limit ended it.
    Expired,
    /// A newer request took its place.
    Superseded,
}

impl RunState {
    /// Whether the run has ended.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The state as messages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::NoChange => "no_change",
            Self::Answered => "answered",
            Self::NeedsInput => "needs_input",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
