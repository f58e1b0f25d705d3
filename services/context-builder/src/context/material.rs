//! Material: everything a brief may be made of, as it was read from Bitbucket. All of it but the request is data.

use bitbucket::{Anchor, BuildStatus, ChangedFile, Hunk};
use jiff::Timestamp;
use pipeline::command::Command;
use pipeline::ids::{CommentId, CommitId, PullRequestId, RunId};

use crate::context::open_threads::Open;

/// What is known when a run is dispatched.
#[derive(Debug, Clone)]
pub(crate) struct Material {
    /// `PROJECT/slug` of the target repository.
    pub(crate) repository: String,
    /// The pull request.
    pub(crate) pull_request: PullRequestId,
    /// Its title.
    pub(crate) title: String,
    /// Its description; empty where there is none.
    pub(crate) description: String,
    /// Who opened it.
    pub(crate) author: Option<String>,
    /// Source branch, as people see it.
    pub(crate) from: String,
    /// Target branch.
    pub(crate) to: String,
    /// The source branch's head.
    pub(crate) head: CommitId,
    /// The command, which says what is to be done with the request.
    pub(crate) command: Command,
    /// What is asked for: the only instruction.
    pub(crate) request: Request,
    /// The whole triggering comment, where it says more than the request.
    pub(crate) trigger: Option<Remark>,
    /// The thread the trigger is in, from the first comment.
    pub(crate) thread: Vec<Remark>,
    /// Whether that thread is resolved.
    pub(crate) thread_resolved: bool,
    /// The place the thread is about.
    pub(crate) place: Option<Place>,
    /// The other threads.
    pub(crate) others: Vec<Conversation>,
    /// The threads that are to be worked through, where the request asks for that.
    pub(crate) open: Vec<Open>,
    /// The pull request's diff, as far as it was read.
    pub(crate) diff: String,
    /// How much of the diff was not read, in words.
    pub(crate) diff_unread: Option<String>,
    /// The changed files, where the diff does not show them all.
    pub(crate) files: Vec<ChangedFile>,
    /// The newest build of each key.
    pub(crate) builds: Vec<BuildStatus>,
    /// What could not be read, in words.
    pub(crate) unread: Vec<String>,
    /// The run that is carried on.
    pub(crate) earlier: Option<Box<Earlier>>,
}

/// A run that did not get to an end. Its texts are a model's words.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    /// Its id.
    pub(crate) run: RunId,
    /// What it was asked.
    pub(crate) asked: String,
    /// What it said at its end; empty where it said nothing.
    pub(crate) said: String,
    /// What it asked back.
    pub(crate) questions: Vec<String>,
    /// What it said it left undone.
    pub(crate) not_done: Vec<String>,
    /// Its work, where it was kept.
    pub(crate) patch: Option<String>,
}

/// The instruction.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its text.
    pub(crate) text: String,
    /// Who asked.
    pub(crate) requester: String,
    /// The comment whose text is the request, where the trigger only pointed at the one it replies to.
    pub(crate) pointed_at: Option<CommentId>,
}

/// One comment.
#[derive(Debug, Clone)]
pub(crate) struct Remark {
    /// Its id.
    pub(crate) comment: CommentId,
    /// How deep in the thread.
    pub(crate) depth: usize,
    /// Who wrote it.
    pub(crate) author: Option<String>,
    /// Whether the bot did.
    pub(crate) by_bot: bool,
    /// When.
    pub(crate) at: Option<Timestamp>,
    /// Markdown.
    pub(crate) text: String,
    /// Whether it is the trigger.
    pub(crate) is_trigger: bool,
    /// Whether it was there when the request was made.
    pub(crate) age: Age,
    /// Whether it is a task, and one that is done.
    pub(crate) task: Option<Done>,
}

/// How a comment stands to the moment of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It was there as it is.
    Before,
    /// It was there, and was changed since.
    EditedAfter,
    /// It was written since.
    WrittenAfter,
}

/// Whether a task is ticked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done(pub(crate) bool);

/// Where an inline thread stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// File and line.
    pub(crate) anchor: Anchor,
    /// The diff around it.
    pub(crate) hunk: Option<Hunk>,
}

/// A thread other than the trigger's.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    /// Its comments, the first one first.
    pub(crate) remarks: Vec<Remark>,
    /// File and line with the diff around it, for an inline thread.
    pub(crate) place: Option<Place>,
    /// Whether it is a task.
    pub(crate) is_task: bool,
    /// Whether it is resolved.
    pub(crate) resolved: bool,
}
