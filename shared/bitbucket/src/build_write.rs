//! Setting the build result of a commit (bitbucket-dc.md 3.9).

use http::Method;
use pipeline::event::Repository;
use pipeline::ids::CommitId;
use serde_json::json;

use crate::client::Client;
use crate::error::{Error, Missing};
use crate::route;

/// What Bitbucket takes at most, in characters.
const URL_MAX: usize = 450;
const NAME_MAX: usize = 255;

/// A build's result, as it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBuild {
    /// The same key on the same commit replaces what was set before.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// `INPROGRESS`, `SUCCESSFUL`, `FAILED` or `CANCELLED`.
    pub state: &'static str,
    /// Where people are led.
    pub url: String,
    /// What is said about it.
    pub description: String,
}

impl Client {
    /// Sets a build's result, for which reading the repository is enough. An older Bitbucket, which lacks the endpoint of
    /// the repository, is asked by the one it has. It may be repeated after [`Error::Ambiguous`].
    /// [`Error::NotFound`] with `Missing::Route` where it has neither.
    pub async fn set_build(
        &self,
        repository: &Repository,
        commit: &CommitId,
        build: &NewBuild,
    ) -> Result<(), Error> {
        let body = json!({
            "key": cut(&build.key, NAME_MAX),
            "name": cut(&build.name, NAME_MAX),
            "state": build.state,
            "url": cut(&build.url, URL_MAX),
            "description": cut(&build.description, NAME_MAX),
        });
        let [project, slug] = route::of(repository);
        let values = [project, slug, commit.as_str()];
        let set = self
            .write(Method::POST, route::BUILDS, &values, &[], Some(&body))
            .await;
        let lacks_it = matches!(
            set,
            Err(Error::NotFound {
                what: Missing::Route,
                ..
            })
        );
        if !lacks_it {
            return set.map(drop);
        }
        self.write(
            Method::POST,
            route::BUILD_STATUSES,
            &[commit.as_str()],
            &[],
            Some(&body),
        )
        .await
        .map(drop)
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
