//! What the bot itself may do in a repository (bitbucket-dc.md 3.4): `repos?permission=…` lists where the caller has it.

use std::ops::ControlFlow;

use pipeline::event::Repository;

use crate::client::Client;
use crate::error::Error;
use crate::reading;
use crate::route;

/// Repositories per page; a personal project has a few.
const REPOSITORIES_PER_PAGE: u32 = 100;

impl Client {
    /// Whether the bot has a permission (`REPO_WRITE`, …) on a repository that is not archived, now. Names are searched by
    /// part and differ from slugs, so that the project is asked for and the repository is found by its id. A Bitbucket
    /// that ignores a parameter lists more: then the answer is yes, and the push tells.
    pub async fn bot_may(&self, repository: &Repository, permission: &str) -> Result<bool, Error> {
        let query = [
            ("projectkey", repository.project.as_str()),
            ("permission", permission),
            ("archived", "ACTIVE"),
        ];
        let mut may = false;
        self.pages(route::REPOSITORIES, &[], &query, REPOSITORIES_PER_PAGE, |found| {
            may = found.iter().any(|value| {
                let archived = reading::flag(value, "archived").unwrap_or(false);
                reading::repository(value).is_ok_and(|found| found.id == repository.id) && !archived
            });
            Ok(if may {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })
        .await?;
        Ok(may)
    }
}
