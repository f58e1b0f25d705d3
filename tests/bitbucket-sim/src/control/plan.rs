//! Checks a world document against the world: every problem, before anything is done.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{BranchDoc, Document, RepositoryDoc};
use crate::state::permission::Permission;
use crate::state::world::World;

/// The names a document may refer to: those of the world and its own.
struct Names<'a> {
    world: &'a World,
    document: &'a Document,
}

/// Every problem of the document, in its order.
pub(crate) fn problems(world: &World, document: &Document) -> Vec<String> {
    let names = Names { world, document };
    let mut problems = Vec::new();
    names.users(&mut problems);
    names.groups(&mut problems);
    names.projects(&mut problems);
    names.repositories(&mut problems);
    names.pull_requests(&mut problems);
    problems
}

impl Names<'_> {
    fn has_user(&self, name: &str) -> bool {
        self.world.user_named(name).is_some()
            || self
                .document
                .users
                .iter()
                .any(|user| user.name.eq_ignore_ascii_case(name))
    }

    fn has_group(&self, name: &str) -> bool {
        self.world.groups.contains_key(name) || self.document.groups.iter().any(|group| group.name == name)
    }

    fn has_project(&self, key: &str) -> bool {
        self.world.project_by_key(key).is_some()
            || self
                .document
                .projects
                .iter()
                .any(|project| project.key.eq_ignore_ascii_case(key))
            || key.strip_prefix('~').is_some_and(|owner| self.has_user(owner))
    }

    fn repository_doc(&self, name: &str) -> Option<&RepositoryDoc> {
        let (key, slug) = name.split_once('/')?;
        self.document
            .repositories
            .iter()
            .find(|r| r.project.eq_ignore_ascii_case(key) && r.slug.eq_ignore_ascii_case(slug))
    }

    /// Whether the branch exists or will; unknown contents (bundle, directory, fork) are checked later.
    fn may_have_branch(&self, repository: &str, branch: &str) -> Option<bool> {
        let doc = self.repository_doc(repository);
        let in_world = repository
            .split_once('/')
            .and_then(|(key, slug)| self.world.repository_by_slug(key, slug));
        if doc.is_none() && in_world.is_none() {
            return None;
        }
        let full = format!("refs/heads/{branch}");
        let exists = in_world.is_some_and(|repository| repository.refs.contains_key(&full));
        let planned = doc.is_some_and(|doc| {
            let opaque = doc.bundle.is_some() || doc.directory.is_some() || doc.fork_of.is_some();
            opaque || doc.branches.contains_key(branch)
        });
        Some(exists || planned)
    }

    fn users(&self, problems: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for user in &self.document.users {
            if user.name.is_empty() {
                problems.push("a user has no name".to_owned());
            }
            if !seen.insert(user.name.to_ascii_lowercase()) {
                problems.push(format!("user {} is listed twice", user.name));
            }
            let owner = user
                .id
                .and_then(|id| self.world.users.values().find(|known| known.id.0 == id));
            if owner.is_some_and(|known| !known.name.eq_ignore_ascii_case(&user.name)) {
                problems.push(format!("user {}: the id is another user's", user.name));
            }
            for token in &user.tokens {
                if Permission::parse(&token.permission).is_none() {
                    problems.push(format!(
                        "user {}: {} is no permission of a token",
                        user.name, token.permission
                    ));
                }
            }
        }
    }

    fn groups(&self, problems: &mut Vec<String>) {
        for group in &self.document.groups {
            for member in group.members.iter().filter(|member| !self.has_user(member)) {
                problems.push(format!("group {}: there is no user {member}", group.name));
            }
        }
    }

    fn permissions(
        &self,
        what: &str,
        on_project: bool,
        grants: &BTreeMap<String, String>,
        problems: &mut Vec<String>,
    ) {
        for (who, permission) in grants {
            let known = match who.strip_prefix('@') {
                Some(group) => self.has_group(group),
                None => self.has_user(who),
            };
            if !known {
                problems.push(format!("{what}: there is no {who}"));
            }
            if Permission::parse(permission).is_none_or(|permission| permission.on_project != on_project) {
                problems.push(format!("{what}: {permission} cannot be granted here"));
            }
        }
    }

    fn projects(&self, problems: &mut Vec<String>) {
        for project in &self.document.projects {
            if project.key.is_empty() || project.key.contains(['/', ' ']) {
                problems.push(format!("project {:?}: this is no key", project.key));
            }
            if project
                .key
                .strip_prefix('~')
                .is_some_and(|owner| !self.has_user(owner))
            {
                problems.push(format!("project {}: there is no such user", project.key));
            }
            self.permissions(
                &format!("project {}", project.key),
                true,
                &project.permissions,
                problems,
            );
        }
    }

    fn repositories(&self, problems: &mut Vec<String>) {
        let mut ids = BTreeSet::new();
        for doc in &self.document.repositories {
            let what = format!("repository {}/{}", doc.project, doc.slug);
            if !self.has_project(&doc.project) {
                problems.push(format!("{what}: there is no project {}", doc.project));
            }
            if doc.slug.is_empty() || doc.slug.contains(['/', ' ']) {
                problems.push(format!("{what}: this is no slug"));
            }
            let existing = self.world.repository_by_slug(&doc.project, &doc.slug);
            if let Some(id) = doc.id {
                let other = self.world.repositories.values().find(|known| known.id.0 == id);
                let taken = other.is_some_and(|other| existing.is_none_or(|own| own.id != other.id));
                if taken || !ids.insert(id) {
                    problems.push(format!("{what}: the id {id} is another repository's"));
                }
            }
            let sources = [
                !doc.branches.is_empty(),
                doc.bundle.is_some(),
                doc.directory.is_some(),
                doc.fork_of.is_some(),
            ];
            if sources.iter().filter(|given| **given).count() > 1 {
                problems.push(format!(
                    "{what}: only one of branches, bundle, directory and fork_of"
                ));
            }
            if existing.is_some() && sources[1..].contains(&true) {
                problems.push(format!("{what}: it exists already, only branches can be added"));
            }
            for path in [&doc.bundle, &doc.directory].into_iter().flatten() {
                if !path.is_absolute() || !path.exists() {
                    problems.push(format!(
                        "{what}: there is no {} (the path must be absolute)",
                        path.display()
                    ));
                }
            }
            if let Some(origin) = &doc.fork_of
                && self.may_have_branch(origin, "").is_none()
            {
                problems.push(format!("{what}: there is no repository {origin}"));
            }
            if let Err(problem) = ordered(&doc.branches, existing.map(|repository| &repository.refs)) {
                problems.push(format!("{what}: {problem}"));
            }
            for author in doc.branches.values().filter_map(|branch| branch.author.as_ref()) {
                if !self.has_user(author) {
                    problems.push(format!("{what}: there is no user {author}"));
                }
            }
            self.permissions(&what, false, &doc.permissions, problems);
        }
    }

    fn pull_requests(&self, problems: &mut Vec<String>) {
        for doc in &self.document.pull_requests {
            let what = format!("pull request {:?} in {}", doc.title, doc.repository);
            if doc.title.is_empty() {
                problems.push(format!("{what}: it has no title"));
            }
            for name in doc
                .reviewers
                .iter()
                .chain([&doc.author])
                .filter(|name| !self.has_user(name))
            {
                problems.push(format!("{what}: there is no user {name:?}"));
            }
            let source = doc.from_repository.as_ref().unwrap_or(&doc.repository);
            for (repository, branch) in [(source, &doc.from), (&doc.repository, &doc.to)] {
                match self.may_have_branch(repository, branch) {
                    None => problems.push(format!("{what}: there is no repository {repository}")),
                    Some(false) => problems.push(format!("{what}: {repository} has no branch {branch}")),
                    Some(true) => {}
                }
            }
        }
    }
}

/// The branches so that each comes after the one it starts from.
pub(crate) fn ordered<'d>(
    branches: &'d BTreeMap<String, BranchDoc>,
    existing: Option<&BTreeMap<String, String>>,
) -> Result<Vec<(&'d String, &'d BranchDoc)>, String> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut order = Vec::new();
    while order.len() < branches.len() {
        let before = order.len();
        for (name, branch) in branches {
            let ready = branch.from.as_deref().is_none_or(|from| {
                let exists = existing.is_some_and(|refs| refs.contains_key(&format!("refs/heads/{from}")));
                done.contains(from) || (exists && !branches.contains_key(from))
            });
            if ready && done.insert(name) {
                order.push((name, branch));
            }
        }
        if order.len() == before {
            let stuck: Vec<&str> = branches
                .keys()
                .map(String::as_str)
                .filter(|name| !done.contains(name))
                .collect();
            return Err(format!(
                "these branches start from one that does not exist: {}",
                stuck.join(", ")
            ));
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_document_is_listed() {
        let document: Document = serde_json::from_str(
            r#"{"users":[{"name":"a","tokens":[{"token":"t","permission":"ALL"}]}],
                "groups":[{"name":"g","members":["nobody"]}],
                "repositories":[{"project":"P","slug":"s","branches":{"x":{"from":"y"}}}],
                "pull_requests":[{"repository":"P/s","from":"x","to":"main","author":"b","title":"T"}]}"#,
        )
        .unwrap();
        let problems = problems(&World::default(), &document);
        assert_eq!(problems.len(), 6, "{problems:#?}");
    }

    #[test]
    fn branches_are_made_after_those_they_start_from() {
        let branches: BTreeMap<String, BranchDoc> =
            serde_json::from_str(r#"{"a":{"from":"c"},"b":{},"c":{"from":"b"}}"#).unwrap();
        let order: Vec<&str> = ordered(&branches, None)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(order, ["b", "c", "a"]);
    }
}
