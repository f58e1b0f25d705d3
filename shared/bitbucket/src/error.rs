//! Everything that can go wrong with a call, told apart as far as someone decides by it.

use std::time::Duration;

use crate::reading::Unreadable;

/// Why a call did not give what was asked for. Texts are short, without control characters and without the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection: name, route, port or proxy. Nothing was sent.
    #[error("Bitbucket could not be reached: {cause}")]
    Unreachable {
        /// What the transport said.
        cause: String,
    },
    /// The connection broke after the request may have been sent.
    #[error("the connection to Bitbucket broke: {cause}")]
    Disconnected {
        /// What the transport said.
        cause: String,
    },
    /// No answer in time.
    #[error("Bitbucket did not answer in time")]
    Timeout,
    /// The certificate is not one to trust. Nothing was sent.
    #[error("no trust in Bitbucket's TLS certificate: {cause}")]
    Tls {
        /// What the verifier said.
        cause: String,
    },
    /// The token is not (or no longer) accepted: 401, or an answer to nobody.
    #[error("Bitbucket refused the access token: {message}")]
    Unauthorized {
        /// Bitbucket's words.
        message: String,
    },
    /// The bot is known but may not: 401 of that kind (bitbucket-dc.md 3.1), or 403.
    #[error("the bot lacks a permission: {message}")]
    Forbidden {
        /// Bitbucket's words.
        message: String,
    },
    /// 404.
    #[error("not found: {message}")]
    NotFound {
        /// What is missing.
        what: Missing,
        /// Bitbucket's words.
        message: String,
    },
    /// 409.
    #[error("conflict: {message}")]
    Conflict {
        /// What it conflicts with.
        with: ConflictWith,
        /// The version there is now, where Bitbucket says it.
        current_version: Option<u32>,
        /// Bitbucket's words.
        message: String,
    },
    /// 400: Bitbucket finds the request wrong, for example a text over 32,768 characters.
    #[error("Bitbucket refused the request: {message}")]
    Invalid {
        /// Bitbucket's words.
        message: String,
    },
    /// 429, or the client-side limiter's own wait got too long. Nothing was done.
    #[error("Bitbucket limits the bot's requests")]
    RateLimited {
        /// Not before this long, where Bitbucket said so.
        after: Option<Duration>,
    },
    /// 5xx.
    #[error("Bitbucket answered {status}")]
    Server {
        /// The status.
        status: u16,
    },
    /// Any other status.
    #[error("Bitbucket answered {status}: {message}")]
    Unexpected {
        /// The status.
        status: u16,
        /// Bitbucket's words.
        message: String,
    },
    /// A redirect that is not followed: to elsewhere, to a login page, or of a write.
    #[error("refused to follow a redirect to {to}")]
    Redirected {
        /// Origin and path of the target, without query.
        to: String,
    },
    /// A page in place of JSON: a login form, a maintenance page, a proxy's words.
    #[error("Bitbucket answered {content_type} in place of JSON")]
    NotJson {
        /// The answer's content type.
        content_type: String,
    },
    /// More than the answer may have.
    #[error("Bitbucket's answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// JSON of another shape.
    #[error("Bitbucket's answer was not understood: {what}")]
    Garbled {
        /// What is missing or wrong.
        what: String,
    },
    /// Whether a person may could not be found out: the answer does not prove that Bitbucket looked at the permission.
    #[error("Bitbucket gave no usable answer about the permission: {why}")]
    PermissionUnknown {
        /// Why the answer is not trusted.
        why: String,
    },
    /// A write that may have been done, or not: look before writing again.
    #[error("it is not known whether Bitbucket did it: {cause}")]
    Ambiguous {
        /// What happened to the answer.
        cause: Box<Error>,
    },
    /// The client cannot be made from this connection's settings.
    #[error("the connection's settings make no HTTP client: {cause}")]
    Settings {
        /// Why.
        cause: String,
    },
}

/// What a 404 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The project.
    Project,
    /// The repository.
    Repository,
    /// The pull request.
    PullRequest,
    /// The comment.
    Comment,
    /// The commit.
    Commit,
    /// The user.
    User,
    /// The path itself: an old Bitbucket, a missing plugin, or a base URL that is not Bitbucket's.
    Route,
    /// Something else.
    Other,
}

/// What a 409 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictWith {
    /// Someone changed the comment meanwhile: read it again.
    CommentVersion,
    /// Someone changed the pull request meanwhile: read it again.
    PullRequestVersion,
    /// The repository is archived: nothing can be written there until it is taken out again.
    Archived,
    /// Something else: a comment with replies, a closed pull request.
    State,
}

impl Error {
    /// Whether the same read may succeed in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Disconnected { .. }
                | Self::Timeout
                | Self::RateLimited { .. }
                | Self::Server { .. }
        )
    }

    /// Turns what happened to a write's answer into what is known about the write.
    pub(crate) fn of_write(self) -> Self {
        match self {
            Self::Disconnected { .. }
            | Self::Timeout
            | Self::Server { .. }
            | Self::NotJson { .. }
            | Self::TooLong { .. }
            | Self::Garbled { .. } => Self::Ambiguous {
                cause: Box::new(self),
            },
            known => known,
        }
    }
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::Garbled {
            what: unreadable.to_string(),
        }
    }
}
