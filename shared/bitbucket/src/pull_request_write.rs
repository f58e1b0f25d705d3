//! Opening pull requests and changing what they are called (bitbucket-dc.md 3.5).

use std::ops::ControlFlow;

use http::Method;
use pipeline::event::{GitRef, Repository};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::pull_request::{self, PullRequest};
use crate::route;

/// The longest title that Bitbucket takes, in characters; a database column.
pub const TITLE_MAX: usize = 255;

/// Pull requests per page when looking for one of a branch: a branch made for a run has one or none.
const PULL_REQUESTS_PER_PAGE: u32 = 25;

impl Client {
    /// Sets title and description and leaves all else as `seen`: Bitbucket takes a list of reviewers that is left out
    /// for an empty one. [`Error::Conflict`] when the pull request has changed since it was `seen`.
    pub async fn describe_pull_request(
        &self,
        seen: &PullRequest,
        title: &str,
        description: &str,
    ) -> Result<PullRequest, Error> {
        let reviewers: Vec<Value> = seen
            .reviewers
            .iter()
            .map(|name| json!({ "user": { "name": name } }))
            .collect();
        let body = json!({
            "version": seen.version,
            "title": title,
            "description": description,
            "reviewers": reviewers,
        });
        let [project, slug] = route::of(&seen.to_ref.repository);
        let values = [project, slug, &seen.id.to_string()];
        let written = self
            .write(Method::PUT, route::PULL_REQUEST, &values, &[], Some(&body))
            .await?;
        written_pull_request(written)
    }

    /// Opens a pull request, without reviewers, from one branch (`refs/heads/…`) onto another. Not repeated: after
    /// [`Error::Ambiguous`] look for it before opening it again. [`Error::Conflict`] where there is one already.
    pub async fn open_pull_request(
        &self,
        from: (&Repository, &str),
        to: (&Repository, &str),
        title: &str,
        description: &str,
    ) -> Result<PullRequest, Error> {
        let end = |(repository, branch): (&Repository, &str)| {
            json!({
                "id": branch,
                "repository": { "slug": repository.slug, "project": { "key": repository.project } },
            })
        };
        let body = json!({
            "title": title,
            "description": description,
            "fromRef": end(from),
            "toRef": end(to),
        });
        let written = self
            .write(
                Method::POST,
                route::PULL_REQUESTS,
                &route::of(to.0),
                &[],
                Some(&body),
            )
            .await?;
        written_pull_request(written)
    }

    /// The newest pull request from one branch onto another, open or not; `None` where there was none.
    pub async fn pull_request_between(
        &self,
        from: (&Repository, &str),
        to: (&Repository, &str),
    ) -> Result<Option<PullRequest>, Error> {
        let mut found = None;
        let query = [("at", from.1), ("direction", "OUTGOING"), ("state", "ALL")];
        self.pages(
            route::PULL_REQUESTS,
            &route::of(to.0),
            &query,
            PULL_REQUESTS_PER_PAGE,
            |pull_requests| {
                found = pull_requests
                    .iter()
                    .filter_map(|value| pull_request::read(value).ok())
                    .find(|pr| is_end(&pr.from_ref, from) && is_end(&pr.to_ref, to));
                Ok(if found.is_some() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            },
        )
        .await?;
        Ok(found)
    }
}

fn is_end(end: &GitRef, (repository, branch): (&Repository, &str)) -> bool {
    end.repository.id == repository.id && end.id == branch
}

/// A 2xx without the pull request leaves its number unknown, so it has to be looked for like one whose answer was lost.
fn written_pull_request(answer: Option<Value>) -> Result<PullRequest, Error> {
    pull_request::read(&answer.unwrap_or(Value::Null))
        .map_err(|unreadable| Error::from(unreadable).of_write())
}
