//! What every coding agent takes and gives.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::ids::RunId;
use pipeline::options::Effort;
use sandbox::{CellEnd, CellLimits, Needs};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{BrokenOff, Prices};

/// Something that changes a work tree as a brief asks.
#[async_trait]
pub trait CodingAgent: Send + Sync {
    /// Its name, for logs and replies: `builtin`, `opencode`.
    fn name(&self) -> &str;

    /// What it cannot work without; at sandbox level 1 some of it opens what nobody else gets.
    fn needs(&self) -> Needs;

    /// What its program reads beyond what every cell may: its installation, as it is found now.
    fn read_paths(&self) -> Vec<PathBuf>;

    /// Works on the task until it is finished, a limit is reached or it is cancelled.
    ///
    /// Limits and cancelling end it, with everything it started, and are a [`Report`]; an error means that the model,
    /// the agent's installation or the machine failed. In both cases the work tree may have changed, and nothing that
    /// was started is alive any more.
    async fn run(&self, task: Task, progress: mpsc::Sender<Progress>) -> Result<Report, BrokenOff>;
}

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    /// The run it belongs to, for the log.
    pub run: RunId,
    /// What is asked, with its context, as text for a model.
    pub brief: String,
    /// The checked-out tree to change; without `.git`.
    pub work_tree: PathBuf,
    /// A fresh directory that the agent and its commands see as their home.
    pub home: PathBuf,
    /// A fresh directory for its temporary files.
    pub tmp: PathBuf,
    /// The model to ask, where it is not the endpoint's usual one.
    pub model: Option<ModelChoice>,
    /// When to stop.
    pub limits: Limits,
    /// Stops it when cancelled.
    pub cancel: CancellationToken,
}

/// A model of the same endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelChoice {
    /// As [`crate::Endpoint::model`].
    pub name: String,
    /// As [`crate::Endpoint::prices`].
    pub prices: Option<Prices>,
    /// As [`crate::Endpoint::effort`].
    pub effort: Option<Effort>,
}

/// When an agent has to stop, and how much it may see at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Answers of the model.
    pub turns: u32,
    /// Tokens in and out, over all turns.
    pub tokens: u64,
    /// US dollars, over all turns; without it, or where the model has no price, money is not counted.
    pub usd: Option<f64>,
    /// Wall-clock time of the whole task.
    pub wall: Duration,
    /// Wall-clock time of one shell command.
    pub command_wall: Duration,
    /// Bytes of a command's output that the model gets to see, half from its start and half from its end.
    pub output_bytes: usize,
    /// What its processes may use; its time is [`Limits::wall`].
    pub cell: CellLimits,
}

impl Limits {
    /// Long enough for a test suite of moderate size; one that takes longer is better run in parts.
    pub const COMMAND_WALL: Duration = Duration::from_mins(2);

    /// About 2,500 tokens: enough for a compiler's complaint, little enough for a hundred commands in one context.
    pub const OUTPUT_BYTES: usize = 10_000;

    /// Limits of a task that has no budget in money, with [`Limits::COMMAND_WALL`] and [`Limits::OUTPUT_BYTES`] for its commands.
    pub fn new(turns: u32, tokens: u64, wall: Duration) -> Self {
        Self {
            turns,
            tokens,
            usd: None,
            wall,
            command_wall: Self::COMMAND_WALL,
            output_bytes: Self::OUTPUT_BYTES,
            cell: CellLimits::default(),
        }
    }
}

/// What an agent says while it works. May be lost when the receiver does not keep up; [`Report`] has the totals.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A step in a few words for people, on one line: ``ran `cargo test` ``, `edited src/a.rs`.
    Step(String),
    /// What was used so far.
    Usage(Usage),
}

/// What a task has used, counted where its model calls pass.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Answers of the model.
    pub turns: u32,
    /// Tokens sent to the model, cached ones included. Estimated for endpoints that do not count.
    pub input_tokens: u64,
    /// Those of them that the endpoint had cached.
    pub cached_input_tokens: u64,
    /// Tokens the model wrote.
    pub output_tokens: u64,
    /// US dollars, where the model has a price.
    pub usd: Option<f64>,
}

impl Usage {
    /// Tokens in and out, which is what [`Limits::tokens`] bounds.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// What came of a task. The texts are words of a model: to be shown as such, and never believed. The numbers are
/// measured outside the agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was done; where the model was stopped, the last thing it said.
    pub summary: String,
    /// What was asked and not done.
    pub not_done: Vec<String>,
    /// What it needs to know.
    pub questions: Vec<String>,
    /// What it used.
    pub usage: Usage,
    /// Why it ended.
    pub ended: Ended,
    /// How many model calls failed for good, whatever the agent made of them.
    pub model_errors: u32,
    /// The model calls as JSON lines, without secrets.
    pub transcript: Vec<u8>,
    /// How its processes ended; none where it was cancelled before anything was started.
    pub cell: Option<CellEnd>,
}

impl Report {
    /// Of a task that was cancelled before anything was started.
    pub(crate) fn cancelled() -> Self {
        Self {
            summary: String::new(),
            not_done: Vec::new(),
            questions: Vec::new(),
            usage: Usage::default(),
            ended: Ended::Cancelled,
            model_errors: 0,
            transcript: Vec::new(),
            cell: None,
        }
    }
}

/// Why an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It said it is finished, or ended by itself. Whether work was done is told by the work tree alone.
    Finished,
    /// [`Limits::turns`] was reached.
    TurnLimit,
    /// [`Limits::tokens`] was reached.
    TokenLimit,
    /// [`Limits::usd`] was reached.
    MoneyLimit,
    /// [`Limits::wall`] was reached.
    TimeLimit,
    /// [`Task::cancel`] was cancelled.
    Cancelled,
    /// It printed more than it may.
    OutputLimit,
    /// It used more memory than it may.
    MemoryLimit,
    /// It started more processes than it may.
    ProcessLimit,
    /// It wrote more to disk than it may.
    DiskLimit,
    /// The model called its tools wrongly, several times in a row.
    MalformedCalls,
    /// The model answered with neither a tool call nor a whole text, several times in a row.
    NoToolCalls,
    /// It broke off with an error of its own: killed by a signal, or gone in the middle of a conversation.
    Crashed,
}
