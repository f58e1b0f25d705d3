//! Ids as Bitbucket numbers them; one type each, so that they cannot be mixed up.

use crate::json::Json;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub(crate) struct $name(pub(crate) u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Json {
            fn from(id: $name) -> Json {
                Json::from(id.0)
            }
        }
    )*};
}

id! {
    /// A user's stable number.
    UserId,
    /// A project's stable number.
    ProjectId,
    /// A repository's stable number.
    RepositoryId,
    /// A pull request's number inside its target repository.
    PullRequestId,
    /// A comment's number, unique in the instance.
    CommentId,
    /// A webhook's number, unique in the instance.
    WebhookId,
}

/// Where a pull request is: its target repository and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PullRequestKey {
    pub(crate) repository: RepositoryId,
    pub(crate) id: PullRequestId,
}
