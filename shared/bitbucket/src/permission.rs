//! Whether a person may, asked without admin rights (bitbucket-dc.md 3.4).
//!
//! `users?permission.1=…` lists who has a permission, through groups, projects and global grants. It fails open: a
//! Bitbucket that does not know a parameter ignores it and lists everyone. So the person must be in the list exactly,
//! and a control question about a repository that does not exist must be refused.

use std::ops::ControlFlow;

use pipeline::event::{Person, Repository};
use serde_json::Value;

use crate::client::Client;
use crate::error::{Error, Missing};
use crate::paging::Read;
use crate::reading;
use crate::route;

/// Users per page; people whose name contains the person's name come before or after.
const USERS_PER_PAGE: u32 = 100;

/// The parameter that names a group.
const GROUP: &str = "group";
/// A group that nobody makes.
const NO_GROUP: &str = "openhands-resolver!does!not!exist";

impl Client {
    /// Whether a person has a permission (`REPO_WRITE`, `REPO_READ`, …) on a repository, now.
    ///
    /// `PermissionUnknown` when Bitbucket's answer does not prove that it looked at the permission. The proof is kept
    /// for an hour; the answer about the person is not kept.
    pub async fn may(
        &self,
        repository: &Repository,
        person: &Person,
        permission: &str,
    ) -> Result<bool, Error> {
        self.prove_respected(repository, permission).await?;
        let [project, slug] = route::of(repository);
        let query = filter(&person.name, permission, project, slug);
        let mut has = false;
        self.pages(route::USERS, &[], &query, USERS_PER_PAGE, |users| {
            has = users
                .iter()
                .any(|user| is_active(user) && reading::person(user).is_some_and(|u| same(&u, person)));
            Ok(if has {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })
        .await?;
        Ok(has)
    }

    /// Whether a person is in a group of Bitbucket's, now; its name is compared as Bitbucket does.
    ///
    /// `PermissionUnknown` when Bitbucket's answer does not prove that it looked at the group, or is longer than is read.
    pub async fn is_in_group(&self, person: &Person, group: &str) -> Result<bool, Error> {
        self.inner
            .respected
            .get_or_learn(|known| known == GROUP, self.ask_about_no_group())
            .await?;
        let query = [("filter", person.name.as_str()), (GROUP, group)];
        let mut is_in = false;
        let read = self
            .pages(route::USERS, &[], &query, USERS_PER_PAGE, |users| {
                is_in = users
                    .iter()
                    .filter_map(reading::person)
                    .any(|user| same(&user, person));
                Ok(if is_in {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })
            .await?;
        match read {
            Read::Part if !is_in => Err(Error::PermissionUnknown {
                why: "it lists more members of a group than are read".to_owned(),
            }),
            Read::All | Read::Part => Ok(is_in),
        }
    }

    /// The control: a group that nobody has made has no members, or is an error.
    async fn ask_about_no_group(&self) -> Result<String, Error> {
        match self.get(route::USERS, &[], &[(GROUP, NO_GROUP)]).await {
            Ok(page)
                if page
                    .get("values")
                    .and_then(Value::as_array)
                    .is_some_and(Vec::is_empty) => {}
            Ok(_) => {
                return Err(Error::PermissionUnknown {
                    why: "it lists members of a group that does not exist".to_owned(),
                });
            }
            Err(Error::Invalid { .. } | Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(GROUP.to_owned())
    }

    async fn prove_respected(&self, repository: &Repository, permission: &str) -> Result<(), Error> {
        let proof = async {
            self.ask_about_nothing(repository, permission).await?;
            Ok(permission.to_owned())
        };
        self.inner
            .respected
            .get_or_learn(|known| known == permission, proof)
            .await
            .map(drop)
    }

    /// The control: a repository that cannot exist, since slugs have no such characters.
    async fn ask_about_nothing(&self, repository: &Repository, permission: &str) -> Result<(), Error> {
        let absent = format!("{}!does!not!exist", repository.slug);
        let query = filter("", permission, repository.project.as_str(), &absent);
        match self.get(route::USERS, &[], &query).await {
            Err(
                Error::Invalid { .. }
                | Error::NotFound {
                    what: Missing::Repository,
                    ..
                },
            ) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Error::PermissionUnknown {
                why: "it lists users for a repository that does not exist".to_owned(),
            }),
        }
    }
}

/// The numbering must begin at 1 and have no gaps, or it is ignored.
fn filter<'q>(
    name: &'q str,
    permission: &'q str,
    project: &'q str,
    slug: &'q str,
) -> Vec<(&'q str, &'q str)> {
    let mut query = vec![
        ("permission.1", permission),
        ("permission.1.projectKey", project),
        ("permission.1.repositorySlug", slug),
    ];
    if !name.is_empty() {
        query.insert(0, ("filter", name));
    }
    query
}

/// By id, which stays when a user is renamed; by exact name only where the event had no id.
fn same(listed: &Person, person: &Person) -> bool {
    match (listed.id, person.id) {
        (Some(listed), Some(wanted)) => listed == wanted,
        _ => listed.name == person.name,
    }
}

fn is_active(user: &Value) -> bool {
    reading::flag(user, "active") != Some(false)
}
