//! The repository, served by the simulated Bitbucket over git's smart HTTP, and the two ways to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bitbucket_sim::{Options, Payloads, Simulator};
use git::{Cache, CacheLimits, Mirror, Remote};
use pipeline::ids::{InstanceId, RepositoryId};
use serde_json::json;
use tempfile::TempDir;
use tests::git_cli::git;

use crate::repository;

/// The repository's id in the simulator.
const REPOSITORY: RepositoryId = RepositoryId(84);
/// The simulator unpacks the bundle within this.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// A running simulator with the repository, and a directory for whatever is made of it.
pub(crate) struct Served {
    simulator: Simulator,
    /// Removed at the end.
    pub(crate) directory: TempDir,
}

impl Served {
    /// Starts it.
    pub(crate) async fn start() -> Result<Self> {
        let bundle = repository::bundle().await?;
        let directory = tempfile::tempdir()?;
        let simulator = Simulator::start(Options {
            listen: "127.0.0.1:0".parse()?,
            data: directory.path().join("bitbucket"),
            context_path: String::new(),
            payloads: Payloads::V9,
        })
        .await?;
        let world = json!({
            "users": [{"name": "openhands", "tokens": [{"token": "bot-t", "permission": "REPO_WRITE"}]}],
            "projects": [{"key": "PROJ"}],
            "repositories": [{
                "project": "PROJ", "slug": "demo", "id": REPOSITORY.0, "bundle": bundle,
                "permissions": {"openhands": "REPO_WRITE"},
            }],
        });
        let http = reqwest::Client::builder().no_proxy().timeout(LOAD_MAX).build()?;
        let answer = http
            .post(format!("http://{}/sim/v1/world", simulator.addr()))
            .json(&world)
            .send()
            .await?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "the simulator refused the repository: {status} {}",
            answer.text().await?
        );
        Ok(Self { simulator, directory })
    }

    /// Where both sides fetch from and push to.
    pub(crate) fn url(&self) -> String {
        format!("{}/scm/proj/demo.git", self.simulator.base_url())
    }

    /// The product's way there.
    pub(crate) fn remote(&self) -> Remote {
        Remote {
            url: self.url(),
            token: "bot-t".to_owned().into(),
            ca_pem: None,
            proxy: None,
        }
    }

    /// A cache of mirrors in a directory of its own.
    pub(crate) fn cache(&self, name: &str) -> Cache {
        Cache::new(&self.path(name), CacheLimits::default())
    }

    /// The repository's mirror in a cache.
    pub(crate) fn mirror(&self, cache: &Cache) -> Result<Box<dyn Mirror>> {
        Ok(cache.mirror(&InstanceId::of_base_url(&self.simulator.base_url()), REPOSITORY)?)
    }

    /// A path for something new.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The git command in `directory`, with the same token. As a header, so that git need not ask twice: a name and
    /// password in the URL cost it a refused request first.
    pub(crate) async fn git(&self, directory: &Path, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["-c", "http.extraHeader=Authorization: Bearer bot-t"];
        all.extend(arguments);
        git(directory, &all).await
    }

    /// `git clone --depth 1 --single-branch` of a branch.
    pub(crate) async fn shallow_clone(&self, branch: &str, into: &Path) -> Result<()> {
        let into = into
            .to_str()
            .context("the directory of temporary files is not UTF-8")?;
        let url = self.url();
        let arguments = [
            "clone",
            "--quiet",
            "--depth",
            "1",
            "--single-branch",
            "--branch",
            branch,
            &url,
            into,
        ];
        self.git(self.directory.path(), &arguments).await.map(drop)
    }

    /// Makes branches at the head of `main`.
    pub(crate) async fn branch_off(&self, clone: &Path, branches: &[&str]) -> Result<()> {
        let refspecs: Vec<_> = branches
            .iter()
            .map(|branch| format!("HEAD:refs/heads/{branch}"))
            .collect();
        let mut arguments = vec!["push", "--quiet", "origin"];
        arguments.extend(refspecs.iter().map(String::as_str));
        self.git(clone, &arguments).await.map(drop)
    }

    /// The branch's head on the server.
    pub(crate) async fn head(&self, branch: &str) -> Result<String> {
        let url = self.url();
        let listed = self
            .git(
                self.directory.path(),
                &["ls-remote", &url, &format!("refs/heads/{branch}")],
            )
            .await?;
        Ok(listed
            .split_whitespace()
            .next()
            .with_context(|| format!("no branch {branch}"))?
            .to_owned())
    }

    /// Ends it.
    pub(crate) async fn end(self) {
        self.simulator.shutdown().await;
    }
}
