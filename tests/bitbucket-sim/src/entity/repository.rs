//! Projects, repositories and branches.

use sha2::{Digest, Sha256};

use super::{Render, self_link};
use crate::json::{Json, object};
use crate::state::ids::RepositoryId;
use crate::state::repository::{HttpClone, Project, Repository};

impl Render<'_> {
    /// A project entity; personal projects have an owner and live below `/users`.
    pub(crate) fn project(&self, project: &Project) -> Json {
        let entity = object! { "key": &project.key, "id": project.id, "name": &project.name }
            .with_some("description", project.description.as_ref());
        let links = self_link(format!("{}{}", self.base_url, self.project_path(project)));
        match project.owner {
            Some(owner) => entity
                .with("type", "PERSONAL")
                .with("owner", self.user(owner))
                .with("links", links),
            None => entity
                .with("public", false)
                .with("type", "NORMAL")
                .with("links", links),
        }
    }

    /// The web path of a project, below the base URL.
    fn project_path(&self, project: &Project) -> String {
        match project.owner.and_then(|owner| self.world.users.get(&owner)) {
            Some(owner) => format!("/users/{}", owner.slug),
            None => format!("/projects/{}", project.key),
        }
    }

    /// The web path of a repository, below the base URL.
    pub(crate) fn repository_path(&self, repository: &Repository) -> String {
        let project = self.world.projects.get(&repository.project);
        let project = project
            .map(|project| self.project_path(project))
            .unwrap_or_default();
        format!("{project}/repos/{}", repository.slug)
    }

    /// The entity of a repository that may have been deleted.
    pub(crate) fn repository_by_id(&self, id: RepositoryId) -> Json {
        self.world
            .repositories
            .get(&id)
            .map_or(Json::Null, |repository| self.repository(repository))
    }

    /// A repository entity.
    pub(crate) fn repository(&self, repository: &Repository) -> Json {
        let project = self.world.projects.get(&repository.project);
        let origin = repository.fork_of.and_then(|id| self.world.repositories.get(&id));
        object! { "slug": &repository.slug, "id": repository.id, "name": &repository.name }
            .with_some("description", repository.description.as_ref())
            .with("hierarchyId", hierarchy_id(self.oldest(repository)))
            .with("scmId", "git")
            .with("state", "AVAILABLE")
            .with("statusMessage", "Available")
            .with("forkable", true)
            .with_some("origin", origin.map(|origin| self.repository(origin)))
            .with("project", project.map(|project| self.project(project)))
            .with("public", repository.public)
            .with("archived", repository.archived)
            .with("links", self.links(repository))
    }

    fn oldest(&self, repository: &Repository) -> RepositoryId {
        let mut oldest = repository;
        while let Some(origin) = oldest.fork_of.and_then(|id| self.world.repositories.get(&id)) {
            oldest = origin;
        }
        oldest.id
    }

    fn links(&self, repository: &Repository) -> Json {
        let mut clone = Vec::new();
        if let Some(href) = self.http_clone(repository) {
            clone.push(object! { "href": href, "name": "http" });
        }
        let host = url::Url::parse(self.base_url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        let ssh = format!(
            "ssh://git@{}:7999/{}.git",
            host.unwrap_or_default(),
            self.scm_path(repository)
        );
        clone.push(object! { "href": ssh, "name": "ssh" });
        let page = format!("{}{}/browse", self.base_url, self.repository_path(repository));
        object! { "clone": clone, "self": vec![object! { "href": page }] }
    }

    /// The HTTP clone URL as this repository shows it.
    fn http_clone(&self, repository: &Repository) -> Option<String> {
        let plain = self.clone_url(repository);
        match (
            repository.http_clone,
            self.viewer.and_then(|viewer| self.world.users.get(&viewer)),
        ) {
            (HttpClone::Missing, _) => None,
            (HttpClone::UserInfo, Some(viewer)) => {
                Some(plain.replacen("://", &format!("://{}@", viewer.slug), 1))
            }
            (HttpClone::UserInfo | HttpClone::Plain, _) => Some(plain),
        }
    }

    /// The HTTP clone URL without decoration.
    pub(crate) fn clone_url(&self, repository: &Repository) -> String {
        format!("{}/scm/{}.git", self.base_url, self.scm_path(repository))
    }

    fn scm_path(&self, repository: &Repository) -> String {
        let key = self
            .world
            .projects
            .get(&repository.project)
            .map_or("", |project| project.key.as_str());
        format!("{}/{}", key.to_ascii_lowercase(), repository.slug)
    }
}

/// A branch entity.
pub(crate) fn branch(repository: &Repository, name: &str, commit: &str) -> Json {
    let display_id = name.strip_prefix("refs/heads/").unwrap_or(name);
    object! {
        "id": name,
        "displayId": display_id,
        "type": "BRANCH",
        "latestCommit": commit,
        "latestChangeset": commit,
        "isDefault": repository.default_branch == display_id,
    }
}

/// The same for a repository and all its forks.
fn hierarchy_id(oldest: RepositoryId) -> String {
    let digest = Sha256::digest(format!("hierarchy {oldest}"));
    hex::encode(&digest[..10])
}
