//! What came of a run, and what it used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Pushed};
use crate::failure_code::FailureCode;

/// What came of a run. The facts are git's and ours; only `summary`, `not_done` and `questions` are the model's words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Outcome {
    /// Why it did not work out.
    pub failure: Option<FailureReport>,
    /// The commit that was pushed and read back.
    pub pushed: Option<Pushed>,
    /// Whether it is on another branch than the pull request's source branch, which has nothing of it then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pushed_aside: bool,
    /// Whether the worker ended the run knowing that nothing of it is on the branch.
    pub nothing_pushed: bool,
    /// What we answer ourselves, where no agent ran: Markdown of ours, shown as it is.
    pub answer: Option<String>,
    /// The model's account of what it did; data, to be sanitised.
    pub summary: Option<String>,
    /// What the model says is left; data.
    pub not_done: Vec<String>,
    /// What the model asks; data.
    pub questions: Vec<String>,
    /// Facts worth telling: the branch moved meanwhile, files were left out.
    pub notes: Vec<String>,
    /// What was left out of the brief, as its builder listed it.
    pub left_out: Vec<String>,
    /// The repository's checks, measured by the resolver before and after; never what the agent says of them.
    pub checks: Vec<Check>,
}

impl Outcome {
    /// Whether the pull request's source branch has the commit.
    pub fn is_on_source(&self) -> bool {
        self.pushed.is_some() && !self.pushed_aside
    }

    /// An outcome that is nothing but a failure.
    pub fn of_failure(code: FailureCode, detail: Option<String>) -> Self {
        Self {
            failure: Some(FailureReport { code, detail }),
            ..Self::default()
        }
    }
}

/// A failure as it reaches a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// The stable code.
    pub code: FailureCode,
    /// A fact for the sentence: a name, the server's words; data, to be sanitised.
    pub detail: Option<String>,
}

/// What the model used, summed over all attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Calls to the model.
    pub turns: u32,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Of those, read from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// What that cost, in USD; absent where the model has no prices.
    pub usd: Option<f64>,
}

impl Usage {
    /// Both together: what an earlier attempt used, and this one.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            turns: self.turns.saturating_add(more.turns),
            input_tokens: self.input_tokens.saturating_add(more.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(more.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(more.output_tokens),
            usd: match (self.usd, more.usd) {
                (Some(usd), Some(more)) => Some(usd + more),
                (one, other) => one.or(other),
            },
        }
    }
}
