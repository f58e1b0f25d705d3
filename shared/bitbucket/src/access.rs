//! Whether a person may have something done: what Bitbucket lets them, minus what the operator excludes.

use config::Permission;
use pipeline::event::{Person, Repository};

use crate::client::Client;
use crate::error::Error;

/// The answer for one person and one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// May.
    Granted,
    /// Lacks the permission in Bitbucket.
    Lacking,
    /// Excluded by the operator.
    PersonExcluded,
    /// The repository's project is excluded by the operator.
    ProjectExcluded,
}

impl Client {
    /// Whether a person has a permission (`REPO_WRITE`, …) on a repository and is not excluded, now. Without a permission
    /// it is asked for the exclusions alone. What Bitbucket's answer does not prove is an error, never a yes.
    pub async fn access(
        &self,
        rules: &Permission,
        repository: &Repository,
        person: &Person,
        needed: Option<&str>,
    ) -> Result<Access, Error> {
        if excludes_project(rules, repository.project.as_str()) {
            return Ok(Access::ProjectExcluded);
        }
        if rules.deny_users.iter().any(|name| is_named(person, name))
            || self.is_in_one_of(person, &rules.deny_groups).await?
        {
            return Ok(Access::PersonExcluded);
        }
        let everyone = rules.allow_users.is_empty() && rules.allow_groups.is_empty();
        let listed = everyone
            || rules.allow_users.iter().any(|name| is_named(person, name))
            || self.is_in_one_of(person, &rules.allow_groups).await?;
        if !listed {
            return Ok(Access::PersonExcluded);
        }
        match needed {
            Some(needed) if !self.may(repository, person, needed).await? => Ok(Access::Lacking),
            _ => Ok(Access::Granted),
        }
    }

    async fn is_in_one_of(&self, person: &Person, groups: &[String]) -> Result<bool, Error> {
        for group in groups {
            if self.is_in_group(person, group).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Project keys are compared without regard to case (bitbucket-dc.md 2.5).
fn excludes_project(rules: &Permission, key: &str) -> bool {
    let has = |keys: &[String]| keys.iter().any(|listed| listed.eq_ignore_ascii_case(key));
    has(&rules.deny_projects) || !rules.allow_projects.is_empty() && !has(&rules.allow_projects)
}

fn is_named(person: &Person, name: &str) -> bool {
    person.name.eq_ignore_ascii_case(name)
        || person
            .slug
            .as_deref()
            .is_some_and(|slug| slug.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_excluded_by_name_or_by_not_being_named() {
        let rules = |deny: &[&str], allow: &[&str]| Permission {
            deny_projects: deny.iter().map(ToString::to_string).collect(),
            allow_projects: allow.iter().map(ToString::to_string).collect(),
            ..Permission::default()
        };
        assert!(!excludes_project(&rules(&[], &[]), "PROJ"));
        assert!(excludes_project(&rules(&["proj"], &[]), "PROJ"));
        assert!(excludes_project(&rules(&[], &["OTHER"]), "PROJ"));
        assert!(!excludes_project(&rules(&[], &["OTHER", "proj"]), "PROJ"));
        assert!(
            excludes_project(&rules(&["PROJ"], &["PROJ"]), "PROJ"),
            "the narrower counts"
        );
    }

    #[test]
    fn a_person_is_named_by_name_or_slug() {
        let person = Person {
            id: Some(1),
            name: "jane@example".to_owned(),
            slug: Some("jane_example".to_owned()),
            display_name: None,
            email: None,
            is_service: false,
        };
        assert!(is_named(&person, "Jane@Example") && is_named(&person, "jane_example"));
        assert!(!is_named(&person, "jane"));
    }
}
