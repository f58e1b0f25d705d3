//! Loads a world document: all of it or nothing.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};

use anyhow::Context;

use super::document::{Document, PullRequestDoc, RepositoryDoc};
use super::plan::{ordered, problems};
use super::take::{settle, take};
use crate::app::App;
use crate::git::import::{self, BranchPlan};
use crate::json::Json;
use crate::state::ids::RepositoryId;
use crate::state::world::{World, next};

/// The default branch if nothing says otherwise.
const DEFAULT_BRANCH: &str = "main";
/// Who commits if the document names nobody.
const SIMULATOR: &str = "Simulator <simulator@localhost>";

/// What has been made in git and waits to be taken into the world.
pub(super) struct Staged {
    /// Key (lower case) of document repositories to their id.
    pub(super) ids: HashMap<String, RepositoryId>,
    created: Vec<RepositoryId>,
    pub(super) refs: BTreeMap<RepositoryId, BTreeMap<String, String>>,
}

/// Loads it; `Err` holds every problem.
pub(crate) async fn load(app: &App, document: Document) -> Result<Json, Vec<String>> {
    let _one_at_a_time = app.loading().await;
    let found = problems(&app.world(), &document);
    if !found.is_empty() {
        return Err(found);
    }
    let mut staged = Staged {
        ids: HashMap::new(),
        created: Vec::new(),
        refs: BTreeMap::new(),
    };
    let built = stage(app, &document, &mut staged).await;
    let missing = built.map_or_else(
        |error| vec![format!("{error:#}")],
        |()| missing_branches(app, &document, &staged),
    );
    if !missing.is_empty() {
        let removed = staged
            .created
            .iter()
            .map(|id| app.store().remove(*id))
            .collect::<anyhow::Result<Vec<()>>>();
        return Err(missing
            .into_iter()
            .chain(removed.err().map(|error| format!("{error:#}")))
            .collect());
    }
    let (answer, keys) = take(app, &document, &staged).map_err(|error| vec![format!("{error:#}")])?;
    for key in keys {
        settle(app, key)
            .await
            .map_err(|error| vec![format!("{error:#}")])?;
    }
    Ok(answer)
}

/// How [`Staged::ids`] names a repository.
pub(super) fn key_of(project: &str, slug: &str) -> String {
    format!("{project}/{slug}").to_ascii_lowercase()
}

/// Builds everything that git keeps; existing repositories come last, as they cannot be undone.
async fn stage(app: &App, document: &Document, staged: &mut Staged) -> anyhow::Result<()> {
    let mut existing = Vec::new();
    for doc in &document.repositories {
        let known = app
            .world()
            .repository_by_slug(&doc.project, &doc.slug)
            .map(|repository| repository.id);
        let key = key_of(&doc.project, &doc.slug);
        match (known, staged.ids.entry(key)) {
            (Some(id), Entry::Vacant(entry)) => {
                entry.insert(id);
                existing.push((id, doc));
            }
            (None, Entry::Vacant(entry)) => {
                let id = reserve(app, doc, document);
                entry.insert(id);
                staged.created.push(id);
                let refs = create(app, doc, id, &staged.ids, document).await?;
                staged.refs.insert(id, refs);
            }
            (_, Entry::Occupied(_)) => {
                anyhow::bail!("repository {}/{} is listed twice", doc.project, doc.slug)
            }
        }
    }
    for (id, doc) in existing {
        branches(app, doc, id, document).await?;
        staged.refs.insert(id, app.store().refs(id).await?);
    }
    Ok(())
}

/// The id it is given, or the next that is neither taken nor given to another of the document.
fn reserve(app: &App, doc: &RepositoryDoc, document: &Document) -> RepositoryId {
    let mut world = app.change();
    let given = |id| document.repositories.iter().any(|other| other.id == Some(id));
    let id = doc.id.unwrap_or_else(|| {
        let mut id = next(&mut world.last.repository);
        while world.repositories.contains_key(&RepositoryId(id)) || given(id) {
            id = next(&mut world.last.repository);
        }
        id
    });
    RepositoryId(id)
}

/// The default branch of a new repository: as given, else `main` or `master` if there, else the first.
pub(super) fn default_branch(doc: &RepositoryDoc) -> String {
    let named = |name: &&str| doc.branches.contains_key(*name);
    let usual = || {
        [DEFAULT_BRANCH, "master"]
            .into_iter()
            .find(named)
            .map(str::to_owned)
    };
    doc.default_branch
        .clone()
        .or_else(usual)
        .or_else(|| doc.branches.keys().next().cloned())
        .unwrap_or_else(|| DEFAULT_BRANCH.to_owned())
}

async fn create(
    app: &App,
    doc: &RepositoryDoc,
    id: RepositoryId,
    ids: &HashMap<String, RepositoryId>,
    document: &Document,
) -> anyhow::Result<BTreeMap<String, String>> {
    let default = default_branch(doc);
    let dir = app.store().init(id, &default).await?;
    if let Some(bundle) = &doc.bundle {
        import::bundle(&dir, bundle).await.context("the bundle")?;
    }
    if let Some(directory) = &doc.directory {
        import::directory(&dir, directory, &default, SIMULATOR)
            .await
            .context("the directory")?;
    }
    if let Some(origin) = &doc.fork_of {
        let (key, slug) = origin.split_once('/').context("fork_of is KEY/slug")?;
        let known = app
            .world()
            .repository_by_slug(key, slug)
            .map(|repository| repository.id);
        let staged = ids.get(&key_of(key, slug)).copied();
        let origin = known
            .or(staged)
            .with_context(|| format!("{origin} must be listed before its fork"))?;
        import::fork(&dir, &app.store().dir(origin))
            .await
            .context("the fork")?;
    }
    branches(app, doc, id, document).await?;
    app.store().refs(id).await
}

async fn branches(
    app: &App,
    doc: &RepositoryDoc,
    id: RepositoryId,
    document: &Document,
) -> anyhow::Result<()> {
    if doc.branches.is_empty() {
        return Ok(());
    }
    let existing = app
        .world()
        .repositories
        .get(&id)
        .map(|repository| repository.refs.clone());
    let order = ordered(&doc.branches, existing.as_ref()).map_err(anyhow::Error::msg)?;
    let plans: Vec<BranchPlan> = order
        .into_iter()
        .map(|(name, branch)| BranchPlan {
            name: name.clone(),
            from: branch.from.clone(),
            files: branch.files.clone(),
            message: branch.message.clone().unwrap_or_else(|| format!("Add {name}")),
            identity: identity(&app.world(), document, branch.author.as_deref()),
        })
        .collect();
    import::branches(&app.store().dir(id), &plans).await
}

fn identity(world: &World, document: &Document, author: Option<&str>) -> String {
    let Some(author) = author else {
        return SIMULATOR.to_owned();
    };
    let doc = document
        .users
        .iter()
        .find(|user| user.name.eq_ignore_ascii_case(author));
    let known = world.user_named(author);
    let name = doc
        .and_then(|user| user.display_name.as_deref())
        .or(known.map(|user| user.display_name.as_str()));
    let email = doc
        .and_then(|user| user.email.as_deref())
        .or(known.and_then(|user| user.email.as_deref()));
    format!("{} <{}>", name.unwrap_or(author), email.unwrap_or_default())
}

/// Branches of pull requests that only git could tell.
fn missing_branches(app: &App, document: &Document, staged: &Staged) -> Vec<String> {
    let world = app.world();
    let missing = |repository: &String, branch: &String| {
        let full = format!("refs/heads/{branch}");
        let (key, slug) = repository.split_once('/')?;
        let id = staged.ids.get(&key_of(key, slug)).copied();
        let id = id.or_else(|| {
            world
                .repository_by_slug(key, slug)
                .map(|repository| repository.id)
        })?;
        let known = world.repositories.get(&id).map(|repository| &repository.refs);
        let refs = staged.refs.get(&id).or(known)?;
        (!refs.contains_key(&full)).then(|| format!("{repository} has no branch {branch}"))
    };
    let of = |doc: &PullRequestDoc| {
        let source = doc.from_repository.as_ref().unwrap_or(&doc.repository);
        [missing(source, &doc.from), missing(&doc.repository, &doc.to)]
    };
    document.pull_requests.iter().flat_map(of).flatten().collect()
}
