//! What can go wrong between us and a repository. Messages never hold a token: the transport knows it only as a
//! header that is marked sensitive.

use std::time::Duration;

use pipeline::ids::CommitId;

/// A git operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The branch is not on the server (any more).
    #[error("branch {branch} is not on the server")]
    BranchGone {
        /// Full ref name.
        branch: String,
    },
    /// The server refused the token (401).
    #[error("the server refused the token")]
    Unauthorized,
    /// The token is good, the permission is missing (403).
    #[error("the server denied access to the repository")]
    Forbidden,
    /// There is no such repository, or the bot cannot see it (404).
    #[error("the server does not know the repository")]
    NotFound,
    /// The server limits our requests (429).
    #[error("the server limits requests")]
    RateLimited {
        /// `Retry-After`, where it was sent as seconds.
        after: Option<Duration>,
    },
    /// The server is broken or being upgraded (5xx and other statuses nobody expects).
    #[error("the server answered with status {status}")]
    Server {
        /// HTTP status.
        status: u16,
    },
    /// No connection: name, route, TLS.
    #[error("the server could not be reached: {cause}")]
    Unreachable {
        /// The chain of causes.
        cause: String,
    },
    /// Connected, and then silent for longer than the limit, or cut off.
    #[error("the connection broke: {cause}")]
    Interrupted {
        /// The chain of causes.
        cause: String,
    },
    /// A redirect; following it could carry the token elsewhere, so the configured URL has to be the final one.
    #[error("the server redirects ({status}); configure the final base URL")]
    Redirected {
        /// HTTP status.
        status: u16,
    },
    /// The answer is not git's protocol, or the server reported a problem in it.
    #[error("the server's answer could not be used: {cause}")]
    Protocol {
        /// The chain of causes.
        cause: String,
    },
    /// The connection's settings do not make a client: CA, proxy, URL.
    #[error("the connection's settings cannot be used: {cause}")]
    Settings {
        /// The chain of causes.
        cause: String,
    },
    /// A repository, a tree or an answer over its limit.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// An agent changed more than may be committed.
    #[error("{what} is over the limit of {limit}")]
    ChangeTooLarge {
        /// What.
        what: String,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// What an agent left in its work tree could not be read, or not in time.
    #[error("the work tree could not be read: {why}")]
    Unreadable {
        /// Why.
        why: String,
    },
    /// A path that must not be written: `..`, `.git` in any spelling, the same name twice.
    #[error("the tree has a path that must not be written: {path}: {why}")]
    HostileTree {
        /// The path, with what is not printable escaped.
        path: String,
        /// Why.
        why: String,
    },
    /// `stop` was raised.
    #[error("stopped on request")]
    Stopped,
    /// Another process or thread has held the mirror's lock for too long.
    #[error("the mirror is in use elsewhere")]
    Busy,
    /// An object that has to be there is missing or damaged. The mirror is made anew the next time it is asked for.
    #[error("the mirror is damaged: {cause}")]
    Damaged {
        /// The chain of causes.
        cause: String,
    },
    /// The commit to push does not descend from the head it replaces.
    #[error("{new} does not descend from {old}")]
    NotFastForward {
        /// The head.
        old: CommitId,
        /// The commit.
        new: CommitId,
    },
    /// What has been fetched of the history does not go back far enough: fetch more and try again.
    #[error("not enough of the history has been fetched")]
    TooShallow,
    /// A commit with several parents is not reverted: against the first, that would take back what others did on a branch
    /// that was merged in, and a later merge would not bring it again.
    #[error("{commit} is a merge and cannot be reverted")]
    OfMerge {
        /// The commit.
        commit: CommitId,
    },
    /// What the caller asked for makes no sense: a ref that is not a branch, a path that leaves the tree.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// The file system.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// A push did not happen, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The branch is not where it was expected: fetch, merge onto it, try again.
    #[error("the branch moved to {current:?}")]
    Moved {
        /// Its head now; `None` when it is gone.
        current: Option<CommitId>,
    },
    /// The server's hooks or rules refused it.
    #[error("the server refused the push: {messages}")]
    Rejected {
        /// What the server said, without control characters, at most 2 KiB. Data, not ours.
        messages: String,
    },
    /// The bot may read and not write (403).
    #[error("the bot may not push to the repository")]
    Forbidden,
    /// It was sent and the answer was lost: look before doing it again.
    #[error("the push was sent and its answer was lost: {cause}")]
    Ambiguous {
        /// The chain of causes.
        cause: String,
    },
    /// It was not sent.
    #[error(transparent)]
    Git(#[from] Error),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For reads and writes of the mirror's own objects: what fails there is damaged.
    pub(crate) fn damaged(cause: impl std::fmt::Display) -> Self {
        Self::Damaged {
            cause: one_line(cause),
        }
    }

    pub(crate) fn protocol(cause: impl std::fmt::Display) -> Self {
        Self::Protocol {
            cause: one_line(cause),
        }
    }
}

/// An error's chain on one line, short enough for a log line whatever a server put into it.
pub(crate) fn one_line(cause: impl std::fmt::Display) -> String {
    const CHARACTERS_MAX: usize = 600;
    let text = cause.to_string();
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    joined
        .chars()
        .filter(|c| !c.is_control())
        .take(CHARACTERS_MAX)
        .collect()
}

/// `std::error::Error`'s chain of sources, joined; Display of most errors shows the outermost only.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    one_line(text)
}
