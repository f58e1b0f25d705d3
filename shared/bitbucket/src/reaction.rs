//! Reactions to comments (bitbucket-dc.md 3.7).

use http::Method;
use pipeline::event::Repository;
use pipeline::ids::{CommentId, PullRequestId};

use crate::client::Client;
use crate::comment::values;
use crate::error::Error;
use crate::route;

impl Client {
    /// Sets a reaction by its shortcut without colons (`eyes`). Setting it again changes nothing, so it may be
    /// repeated after [`Error::Ambiguous`]. [`Error::NotFound`] with `Missing::Route` where Bitbucket has none.
    pub async fn add_reaction(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        comment: CommentId,
        emoticon: &str,
    ) -> Result<(), Error> {
        self.react(Method::PUT, repository, pull_request, comment, emoticon)
            .await
    }

    /// Takes a reaction back; also may be repeated.
    pub async fn remove_reaction(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        comment: CommentId,
        emoticon: &str,
    ) -> Result<(), Error> {
        self.react(Method::DELETE, repository, pull_request, comment, emoticon)
            .await
    }

    async fn react(
        &self,
        method: Method,
        repository: &Repository,
        pull_request: PullRequestId,
        comment: CommentId,
        emoticon: &str,
    ) -> Result<(), Error> {
        let (pull_request, comment) = (pull_request.to_string(), comment.to_string());
        let [project, slug, pull_request, comment] = values(repository, &pull_request, &comment);
        let values = [project, slug, pull_request, comment, emoticon];
        self.write(method, route::REACTION, &values, &[], None)
            .await
            .map(drop)
    }
}
