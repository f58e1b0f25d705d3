//! Who may: what Bitbucket lets them do on the target repository, minus who is excluded by the operator or by the file
//! of the target branch.

use std::sync::Arc;

use bitbucket::{Access, Client, PullRequest};
use config::{Connection, Permission, REPOSITORY_FILE_PATH};
use pipeline::event::{Person, Repository};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::mention::{Class, Verb};
use pipeline::run::FailureReport;

use crate::repository_file::{RepositoryFiles, TargetFile};

/// What somebody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// `permission.change`.
    Change,
    /// `permission.read`.
    Read,
    /// Not to be excluded.
    Nothing,
}

impl Need {
    /// What a verb takes. Whoever may not stop everything may stop their own, so that `stop` takes nothing by itself.
    pub(crate) fn of(verb: Verb) -> Self {
        match (verb, verb.class()) {
            (Verb::Help | Verb::Ping | Verb::Stop, _) => Self::Nothing,
            (_, Class::Work | Class::Control) => Self::Change,
            (_, Class::Read | Class::Query) => Self::Read,
        }
    }

    /// The permission's name in Bitbucket.
    fn in_bitbucket(self, rules: &Permission) -> Option<&str> {
        match self {
            Self::Change => Some(&rules.change),
            Self::Read => Some(&rules.read),
            Self::Nothing => None,
        }
    }
}

/// Who may on one repository.
pub(crate) struct Gate {
    client: Client,
    rules: Permission,
    repository: Repository,
    /// What the target branch says; nothing where it was not asked.
    pub(crate) target: Arc<TargetFile>,
}

impl Gate {
    /// As the operator says; for what takes no permission.
    pub(crate) fn of_operator(client: &Client, connection: &Connection, repository: &Repository) -> Self {
        Self {
            client: client.clone(),
            rules: connection.permission.clone(),
            repository: repository.clone(),
            target: Arc::default(),
        }
    }

    /// As the operator says, narrowed by what the pull request's target branch says. The repository has the names it has
    /// now, since it may have been renamed after the event.
    pub(crate) async fn of(
        files: &RepositoryFiles,
        (connection, client): (&Connection, &Client),
        pull_request: &PullRequest,
    ) -> Result<Self, Failure> {
        let target = files.of(client, &connection.instance, pull_request).await?;
        Ok(Self {
            client: client.clone(),
            rules: config::narrowed(&connection.permission, &target.file),
            repository: pull_request.to_ref.repository.clone(),
            target,
        })
    }

    /// Why a person may not have `verb` done, which takes `need`; nothing where they may.
    pub(crate) async fn refusal(
        &self,
        author: &Person,
        (verb, need): (Verb, Need),
    ) -> Result<Option<FailureReport>, Failure> {
        let mut names = vec![author.name.as_str()];
        names.extend(author.slug.as_deref());
        if self.target.file.leaves_out(&names) {
            let detail = Some(format!("{REPOSITORY_FILE_PATH} of the target branch says so"));
            let code = FailureCode::PersonExcluded;
            return Ok(Some(FailureReport { code, detail }));
        }
        let needed = need.in_bitbucket(&self.rules);
        let access = self
            .client
            .access(&self.rules, &self.repository, author, needed)
            .await?;
        let code = match access {
            Access::Granted => return Ok(None),
            Access::PersonExcluded => FailureCode::PersonExcluded,
            Access::ProjectExcluded => FailureCode::ProjectExcluded,
            Access::Lacking => lacking(verb, need),
        };
        let detail = needed
            .filter(|_| access == Access::Lacking)
            .map(|needed| format!("{needed} on {} is needed", self.shown()));
        Ok(Some(FailureReport { code, detail }))
    }

    /// Whether the person may stop what others asked for: whoever may change the repository, and the pull request's
    /// author.
    pub(crate) async fn may_stop_all(
        &self,
        pull_request: &PullRequest,
        author: &Person,
    ) -> Result<bool, Failure> {
        let opened = pull_request.author.as_ref();
        if opened.is_some_and(|who| is_same(who, author)) {
            return Ok(true);
        }
        let refused = self.refusal(author, (Verb::Stop, Need::Change)).await?;
        Ok(refused.is_none())
    }

    /// What somebody lacks who may not stop what others asked for.
    pub(crate) fn cannot_stop(&self) -> FailureReport {
        let (needed, repository) = (&self.rules.change, self.shown());
        let detail = format!("{needed} on {repository} is needed to stop what others asked for");
        FailureReport {
            code: FailureCode::StopDenied,
            detail: Some(detail),
        }
    }

    /// Whether a plan must be approved by somebody else than who asked for it.
    pub(crate) fn plan_needs_second_person(&self) -> bool {
        self.rules.plan_needs_second_person
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.repository.project, self.repository.slug)
    }
}

fn lacking(verb: Verb, need: Need) -> FailureCode {
    match (verb, need) {
        (Verb::Stop, _) => FailureCode::StopDenied,
        (Verb::Pause | Verb::Resume, _) => FailureCode::PauseDenied,
        (_, Need::Change) => FailureCode::PermissionDenied,
        (_, Need::Read | Need::Nothing) => FailureCode::ReadDenied,
    }
}

/// By id, which stays when a user is renamed; by name where one has no id.
pub(crate) fn is_same(one: &Person, other: &Person) -> bool {
    match (one.id, other.id) {
        (Some(one), Some(other)) => one == other,
        _ => one.name == other.name,
    }
}

/// What a lane knows a person by, in the manner of [`is_same`].
pub(crate) fn key_of(person: Option<&Person>) -> String {
    match person {
        Some(Person { id: Some(id), .. }) => format!("#{id}"),
        Some(person) => person.name.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_needs_what_its_class_says_and_those_for_anyone_need_nothing() {
        for verb in Verb::all() {
            let expected = match verb {
                Verb::Help | Verb::Ping | Verb::Stop => Need::Nothing,
                Verb::Review | Verb::Ask | Verb::Explain | Verb::Status | Verb::Why | Verb::Config => {
                    Need::Read
                }
                _ => Need::Change,
            };
            assert_eq!(Need::of(verb), expected, "{verb:?}");
            assert!(!verb.may_push() || Need::of(verb) == Need::Change, "{verb:?}");
        }
    }
}
