//! Effects on pull requests as such: what this one is called, and opening another one.

use bitbucket::{Error, PullRequest, TITLE_MAX};
use pipeline::effect::{Described, What};
use pipeline::event::{GitRef, Repository};
use pipeline::failure::Failure;
use pipeline::run::Run;
use pipeline::subject;

use super::{At, Made, NotDone};
use crate::sanitise::{self, markdown};
use crate::status::Status;

/// A description: as long as an effect's text may be, and as much again for its escapes.
const DESCRIPTION_UNITS_MAX: usize = 16_000;
/// Lost races for one edit: each loser reads what the winner wrote.
const EDIT_TRIES_MAX: usize = 5;

impl Status {
    /// Sets title and description, unless somebody has changed them since the agent was told what they are.
    pub(super) async fn describe(
        &self,
        at: At<'_>,
        title: Option<&str>,
        description: Option<&str>,
    ) -> Result<Made, NotDone> {
        let At { client, run, .. } = at;
        let Some(before) = self.described(run).await? else {
            return Err(NotDone::Refused(
                "it is not known any more what the title and the description were".to_owned(),
            ));
        };
        let policy = self.policy(client, &run.instance);
        let title = title.map(|title| one_line(title, policy.beyond_bmp));
        let description = description.map(|text| markdown(text, policy, DESCRIPTION_UNITS_MAX));
        for _ in 0..EDIT_TRIES_MAX {
            let now = client.pull_request(&run.repository, run.pull_request).await?;
            let wanted = (
                title.clone().unwrap_or_else(|| now.title.clone()),
                description.clone().unwrap_or_else(|| now.description.clone()),
            );
            if is_same(&wanted.0, &now.title) && is_same(&wanted.1, &now.description) {
                return Ok(Made::default());
            }
            if !now.open {
                return Err(NotDone::Refused(
                    "the pull request is not open any more".to_owned(),
                ));
            }
            if !is_same(&now.title, &before.title) || !is_same(&now.description, &before.description) {
                return Err(NotDone::Refused(
                    "somebody changed the title or the description meanwhile".to_owned(),
                ));
            }
            match client.describe_pull_request(&now, &wanted.0, &wanted.1).await {
                Ok(_) => return Ok(Made::default()),
                // Whatever it conflicts with: what is there now is looked at again.
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NotDone::Refused("the pull request kept changing".to_owned()))
    }

    /// What the pull request was called when the agent was told.
    pub(crate) async fn described(&self, run: &Run) -> Result<Option<Described>, Failure> {
        let key = subject::artifact(&run.id, subject::DESCRIBED);
        let Some(bytes) = self.artifacts.get(&key).await? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(described) => Ok(Some(described)),
            Err(error) => {
                tracing::warn!(run.id = %run.id, %error, "what the pull request was called is unreadable");
                Ok(None)
            }
        }
    }

    /// Opens a pull request for the branch with the work.
    pub(super) async fn open_pull_request(&self, at: At<'_>, look: bool) -> Result<Made, NotDone> {
        let At { client, run, .. } = at;
        let What::PullRequest {
            from,
            in_target,
            title,
            description,
        } = &run.effects[at.index].what
        else {
            return Err(NotDone::Refused("it is no pull request".to_owned()));
        };
        let about = client.pull_request(&run.repository, run.pull_request).await?;
        let (repository, onto) = ends(&about, *in_target, run.after_end.is_some());
        let (from, onto) = ((repository, from.as_str()), (&onto.repository, onto.id.as_str()));
        if look && let Some(known) = client.pull_request_between(from, onto).await? {
            return Ok(made(&known));
        }
        let policy = self.policy(client, &run.instance);
        let title = one_line(title, policy.beyond_bmp);
        let description = markdown(description, policy, DESCRIPTION_UNITS_MAX);
        match client.open_pull_request(from, onto, &title, &description).await {
            Ok(opened) => Ok(made(&opened)),
            Err(error @ Error::Conflict { .. }) => match client.pull_request_between(from, onto).await? {
                Some(known) => Ok(made(&known)),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Where the work is, and what it is to be merged into: the source branch; where the work could not go into the
/// repository of that one, or nobody merges that one any more, the target branch.
fn ends(about: &PullRequest, in_target: bool, after_end: bool) -> (&Repository, &GitRef) {
    if after_end || in_target && about.is_from_fork() {
        (&about.to_ref.repository, &about.to_ref)
    } else {
        (&about.from_ref.repository, &about.from_ref)
    }
}

fn made(pull_request: &PullRequest) -> Made {
    Made {
        pull_request: Some(pull_request.id),
        ..Made::default()
    }
}

/// Whether a text is what it was, as people read it: what was written may come back with other ends of lines, or without
/// the white space around it, and an edit of our own must not be taken for somebody else's.
fn is_same(one: &str, other: &str) -> bool {
    let lines = |text: &str| {
        let lines = text.trim().lines().map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n")
    };
    lines(one) == lines(other)
}

/// A title: text that Bitbucket shows as it is, on one line.
fn one_line(title: &str, beyond_bmp: bool) -> String {
    let clean = sanitise::clean(title, beyond_bmp);
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TITLE_MAX).collect()
}
