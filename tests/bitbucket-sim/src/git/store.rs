//! Where the bare repositories are, their refs, and caches keyed by commit ids.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use super::command::{git, git_text, git_with_input, run};
use super::commits::{self, Commit};
use super::diff::{self, FileDiff};
use crate::state::ids::{PullRequestKey, RepositoryId};

/// The commit id that means "no commit".
pub(crate) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// More cached diffs than a scenario has pull requests; beyond that the cache starts anew.
const CACHED_DIFFS_MAX: usize = 512;

/// How a diff is asked for; part of its cache key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DiffOptions {
    pub(crate) context_lines: u32,
    pub(crate) ignore_whitespace: bool,
}

/// Bitbucket's default number of context lines.
pub(crate) const CONTEXT_LINES: u32 = 10;

impl Default for DiffOptions {
    fn default() -> DiffOptions {
        DiffOptions {
            context_lines: CONTEXT_LINES,
            ignore_whitespace: false,
        }
    }
}

/// A diff as text and as structure.
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) text: Vec<u8>,
    pub(crate) files: Vec<FileDiff>,
}

type DiffKey = (RepositoryId, String, String, DiffOptions);

/// The bare repositories under the data directory.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    diffs: Mutex<HashMap<DiffKey, Arc<Diff>>>,
    /// Pushes to one repository go one after the other, so that each sees its own ref changes.
    locks: Mutex<HashMap<RepositoryId, Arc<tokio::sync::Mutex<()>>>>,
}

/// Runs before every push; the simulator's environment says what to refuse.
const PRE_RECEIVE: &str = "#!/bin/sh
if [ -n \"$BITBUCKET_SIM_REJECT\" ]; then
    printf '%s\\n' \"$BITBUCKET_SIM_REJECT\" >&2
    exit 1
fi
";

impl Store {
    /// Starts with no repository; what an earlier instance left in `data` is removed.
    pub(crate) fn create(data: &Path) -> anyhow::Result<Store> {
        let root = data.join("repositories");
        if root.exists() {
            std::fs::remove_dir_all(&root).with_context(|| format!("cannot empty {}", root.display()))?;
        }
        std::fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let root = root.canonicalize()?;
        Ok(Store {
            root,
            diffs: Mutex::default(),
            locks: Mutex::default(),
        })
    }

    /// The directory of a repository.
    pub(crate) fn dir(&self, repository: RepositoryId) -> PathBuf {
        self.root.join(format!("{repository}.git"))
    }

    /// The lock that serialises changes of a repository's refs.
    pub(crate) fn lock(&self, repository: RepositoryId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(repository).or_default().clone()
    }

    /// An empty bare repository with the pre-receive hook.
    pub(crate) async fn init(
        &self,
        repository: RepositoryId,
        default_branch: &str,
    ) -> anyhow::Result<PathBuf> {
        let dir = self.dir(repository);
        let path = dir.to_str().context("the data directory's path is not UTF-8")?;
        let branch = format!("--initial-branch={default_branch}");
        git(
            &self.root,
            &["init", "--quiet", "--bare", "--template=", &branch, path],
        )
        .await?;
        let hooks = dir.join("hooks");
        std::fs::create_dir_all(&hooks)?;
        let hook = hooks.join("pre-receive");
        std::fs::write(&hook, PRE_RECEIVE)?;
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(dir)
    }

    /// Removes a repository's directory.
    pub(crate) fn remove(&self, repository: RepositoryId) -> anyhow::Result<()> {
        let dir = self.dir(repository);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        Ok(())
    }

    /// Forgets cached diffs and locks, when all repositories are gone.
    pub(crate) fn forget(&self) {
        self.diffs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Branches and tags with the commit each points to.
    pub(crate) async fn refs(&self, repository: RepositoryId) -> anyhow::Result<BTreeMap<String, String>> {
        let args = [
            "for-each-ref",
            "--format=%(refname) %(objectname)",
            "refs/heads",
            "refs/tags",
        ];
        let text = git_text(&self.dir(repository), &args).await?;
        let pair = |line: &str| {
            line.split_once(' ')
                .map(|(name, id)| (name.to_owned(), id.to_owned()))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    /// Sets or (with [`NO_COMMIT`]) deletes a ref.
    pub(crate) async fn update_ref(
        &self,
        repository: RepositoryId,
        name: &str,
        commit: &str,
    ) -> anyhow::Result<()> {
        let dir = self.dir(repository);
        if commit == NO_COMMIT {
            git(&dir, &["update-ref", "-d", name]).await?;
        } else {
            git(&dir, &["update-ref", name, commit]).await?;
        }
        Ok(())
    }

    /// Points `refs/pull-requests/<id>/from` to the source head, fetching from a fork if need be.
    pub(crate) async fn set_from_ref(
        &self,
        key: PullRequestKey,
        source: RepositoryId,
        commit: &str,
    ) -> anyhow::Result<()> {
        if source != key.repository {
            let source = self.dir(source);
            let source = source
                .to_str()
                .context("the data directory's path is not UTF-8")?;
            git(
                &self.dir(key.repository),
                &["fetch", "--quiet", "--no-tags", source, commit],
            )
            .await?;
        }
        self.update_ref(
            key.repository,
            &format!("refs/pull-requests/{}/from", key.id),
            commit,
        )
        .await
    }

    /// The commit an `at` parameter names: a branch, a full ref or a commit id.
    pub(crate) async fn resolve(&self, repository: RepositoryId, at: &str) -> anyhow::Result<Option<String>> {
        let dir = self.dir(repository);
        for candidate in [
            format!("refs/heads/{at}"),
            format!("refs/tags/{at}"),
            at.to_owned(),
        ] {
            let name = format!("{candidate}^{{commit}}");
            let output = run(
                &dir,
                &["rev-parse", "--verify", "--quiet", "--end-of-options", &name],
                None,
            )
            .await?;
            if output.status.success() {
                return Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
            }
        }
        Ok(None)
    }

    /// One commit by its id.
    pub(crate) async fn commit(&self, repository: RepositoryId, id: &str) -> anyhow::Result<Commit> {
        let found = commits::log(&self.dir(repository), &["-1", id]).await?;
        found
            .into_iter()
            .next()
            .with_context(|| format!("no commit {id}"))
    }

    /// The best common ancestor, if any.
    pub(crate) async fn merge_base(
        &self,
        repository: RepositoryId,
        a: &str,
        b: &str,
    ) -> anyhow::Result<Option<String>> {
        let output = run(&self.dir(repository), &["merge-base", a, b], None).await?;
        let base = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && !base.is_empty()).then_some(base))
    }

    /// Whether `descendant` already contains `ancestor`.
    pub(crate) async fn contains(
        &self,
        repository: RepositoryId,
        descendant: &str,
        ancestor: &str,
    ) -> anyhow::Result<bool> {
        let args = ["merge-base", "--is-ancestor", ancestor, descendant];
        Ok(run(&self.dir(repository), &args, None).await?.status.success())
    }

    /// What `to` has that `from` lacks since their common ancestor; cached by the two commits.
    pub(crate) async fn effective_diff(
        &self,
        repository: RepositoryId,
        from: &str,
        to: &str,
        options: &DiffOptions,
    ) -> anyhow::Result<Arc<Diff>> {
        self.diff(repository, &format!("{from}..."), to, options).await
    }

    /// The difference between two commits; `since` may be [`NO_COMMIT`] for everything.
    pub(crate) async fn plain_diff(
        &self,
        repository: RepositoryId,
        since: &str,
        until: &str,
        options: &DiffOptions,
    ) -> anyhow::Result<Arc<Diff>> {
        if since == NO_COMMIT {
            let empty = git_with_input(&self.dir(repository), &["mktree"], Some(b"")).await?;
            let empty = String::from_utf8_lossy(&empty).trim().to_owned();
            return self.diff(repository, &format!("{empty} "), until, options).await;
        }
        self.diff(repository, &format!("{since}.."), until, options).await
    }

    /// `range` is the left side with git's operator (`a..`, `a...`), or with a space for two trees.
    async fn diff(
        &self,
        repository: RepositoryId,
        range: &str,
        to: &str,
        options: &DiffOptions,
    ) -> anyhow::Result<Arc<Diff>> {
        let key = (repository, range.to_owned(), to.to_owned(), options.clone());
        if let Some(diff) = self
            .diffs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(Arc::clone(diff));
        }
        let context = format!("--unified={}", options.context_lines);
        let mut args = vec![
            "-c",
            "core.quotePath=false",
            "diff",
            "--no-color",
            "--no-ext-diff",
            "-M",
            &context,
        ];
        args.extend(["--src-prefix=a/", "--dst-prefix=b/"]);
        if options.ignore_whitespace {
            args.push("--ignore-all-space");
        }
        let both = format!("{range}{to}");
        args.extend(both.split(' '));
        args.push("--");
        let text = git(&self.dir(repository), &args).await?;
        let files = diff::parse(&String::from_utf8_lossy(&text));
        let diff = Arc::new(Diff { text, files });
        let mut diffs = self.diffs.lock().unwrap_or_else(PoisonError::into_inner);
        if diffs.len() >= CACHED_DIFFS_MAX {
            diffs.clear();
        }
        diffs.insert(key, Arc::clone(&diff));
        Ok(diff)
    }
}
