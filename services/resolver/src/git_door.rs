//! git for one job, off the async threads: each call locks the mirror for as long as it takes and no longer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{Connection, ConnectionSource, REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILE_PATH, RepositoryFile};
use git::{Cache, Conflicts, Depth, Mirror, Remote, TreeLimits};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommitId, InstanceId, RepositoryId};
use pipeline::job::Job;

use crate::commit_style;
use crate::instructions::{self, Instructions};

/// Commits fetched on the first attempt: nothing of ours can be on the branch yet.
const DEPTH_FIRST: u32 = 1;
/// Commits fetched on later attempts, to find out whether an earlier one has pushed; people who push more than this
/// on top of the bot within the minutes of a take-over are not expected.
pub(crate) const DEPTH_SEARCHED: u32 = 64;

/// The source repository and branch of a job, with the credential to reach it.
pub(crate) struct GitDoor {
    cache: Arc<Cache>,
    connections: Arc<dyn ConnectionSource>,
    clients: Arc<bitbucket::Clients>,
    connection: Arc<Connection>,
    url: String,
    proxy: config::Proxy,
    instance: InstanceId,
    repository: RepositoryId,
    branch: String,
    /// The source branch's name as people see it.
    shown: String,
    /// What is said where the source branch itself is not pushed to.
    aside: Option<Aside>,
    is_pinned: bool,
    target: TargetBranch,
    near: Option<String>,
}

/// Why a run's work goes beside the source branch, and what it starts from instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    /// A fact for the reply, where there is one.
    pub(crate) note: Option<String>,
    /// What the agent is told of its working directory, where it is not the source branch.
    pub(crate) told: Option<&'static str>,
}

/// The branch that the pull request is to be merged into.
#[derive(Debug, Clone)]
struct TargetBranch {
    /// Full ref name.
    name: String,
    /// Its name as people see it.
    shown: String,
    /// Where the target repository is cloned from, when the source is in a fork.
    elsewhere: Option<String>,
}

/// What a run starts from.
#[derive(Debug)]
pub(crate) struct CheckedOut {
    /// The source branch's head, on top of which the work goes.
    pub(crate) base: CommitId,
    /// What instructs the agent, and the tree in its work tree.
    pub(crate) instructions: Instructions,
    /// What people called their latest commits, as they wrote it, newest first.
    pub(crate) subjects: Vec<String>,
    /// What the repository asks of the resolver.
    pub(crate) configuration: RepositoryFile,
    /// The target branch's head; `None` when that branch is gone.
    pub(crate) target: Option<CommitId>,
    /// The merge that the work ends, where it is one; the tree then has its conflicts.
    pub(crate) merging: Option<Conflicts>,
    /// Why the work is not pushed to the source branch, where it is not.
    pub(crate) aside: Option<Aside>,
}

impl CheckedOut {
    /// Facts for the reply, whatever comes of the run.
    pub(crate) fn notes(&self) -> Vec<String> {
        let aside = self.aside.as_ref().and_then(|aside| aside.note.clone());
        let mut notes = Vec::from_iter(aside);
        notes.extend(self.instructions.notes.iter().cloned());
        notes.extend(self.configuration.notes.iter().cloned());
        notes
    }
}

impl GitDoor {
    pub(crate) fn new(
        cache: Arc<Cache>,
        connections: Arc<dyn ConnectionSource>,
        clients: Arc<bitbucket::Clients>,
        job: &Job,
        proxy: &config::Proxy,
    ) -> Result<Self, Failure> {
        let id = &job.credential.connection;
        let connection = connections.get(id).ok_or_else(|| {
            let cause = anyhow::anyhow!("connection {id} is no longer configured");
            Failure::abandon(FailureCode::Internal, None, cause)
        })?;
        let (source, target) = (&job.from_ref.repository, &job.to_ref);
        let client = clients.of(id)?;
        Ok(Self {
            url: client.clone_url(source),
            target: TargetBranch {
                name: target.id.clone(),
                shown: target.display_id.clone(),
                elsewhere: (target.repository.id != source.id).then(|| client.clone_url(&target.repository)),
            },
            near: job.near.clone(),
            proxy: proxy.clone(),
            cache,
            connections,
            clients,
            connection,
            instance: job.instance.clone(),
            repository: source.id,
            branch: job.from_ref.id.clone(),
            shown: job.from_ref.display_id.clone(),
            aside: None,
            is_pinned: job.expect_head.is_some(),
        })
    }

    /// The same run's door to what the target repository has under a full ref name, which is not pushed to.
    pub(crate) fn beside(self, job: &Job, branch: (&str, &str), aside: Aside) -> Result<Self, Failure> {
        let target = &job.to_ref.repository;
        Ok(Self {
            url: self.client()?.clone_url(target),
            repository: target.id,
            branch: branch.0.to_owned(),
            shown: branch.1.to_owned(),
            aside: Some(aside),
            target: TargetBranch {
                elsewhere: None,
                ..self.target
            },
            ..self
        })
    }

    /// Whether the source branch itself can be pushed to; otherwise a branch of the target repository can.
    pub(crate) fn reaches_source(&self) -> bool {
        self.aside.is_none()
    }

    /// Whether the work is meant for one head of the source branch, and for no other that it may move to.
    pub(crate) fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    /// The REST client of the same connection, with the bot's token as it is now.
    pub(crate) fn client(&self) -> Result<bitbucket::Client, Failure> {
        self.clients.of(&self.connection.id)
    }

    /// Who may, as the operator says.
    pub(crate) fn rules(&self) -> &config::Permission {
        &self.connection.permission
    }

    /// Where and as whom, with the bot's token as it is now: an agent may work for longer than a token lives.
    fn remote(&self) -> Result<Remote, Failure> {
        // A missing or empty file may be a rotation in progress.
        let token = self
            .connections
            .bot_token(&self.connection.id)
            .map_err(|cause| Failure::unavailable(FailureCode::BitbucketUnauthorized, None, cause.into()))?;
        Ok(Remote {
            proxy: self.connection.proxy_url(&self.proxy),
            url: self.url.clone(),
            token,
            ca_pem: self.connection.ca_pem.clone(),
        })
    }

    /// What this door knows that nobody else may: it must not leave in a commit or a reply.
    pub(crate) fn secret(&self) -> Result<secrecy::SecretString, Failure> {
        Ok(self.remote()?.token)
    }

    /// The branch's full ref name.
    pub(crate) fn branch(&self) -> &str {
        &self.branch
    }

    /// Fetches both branches and puts the source's files into `directory`, with the target's instructions. `None` when
    /// the source branch is gone.
    pub(crate) async fn check_out(
        &self,
        directory: &Path,
        attempt: u32,
    ) -> Result<Option<CheckedOut>, Failure> {
        let (directory, target, near) = (directory.to_owned(), self.target.clone(), self.near.clone());
        let depth = Depth::Shallow(if attempt == 1 { DEPTH_FIRST } else { DEPTH_SEARCHED });
        let aside = self.aside.clone();
        if target.elsewhere.is_some() {
            // A fork's target is in another repository, which is asked as well.
            self.client()?.admit_git().await;
        }
        let start = self.with_remote(move |mirror, remote, branch, stop| {
            let (base, head) = match fetch_both(mirror, (remote, branch), &target, depth, stop) {
                Err(git::Error::BranchGone { .. }) => return Ok(None),
                fetched => fetched?,
            };
            let from = instructions::Target {
                head: head.as_ref(),
                branch: &target.shown,
            };
            let instructions = instructions::read(mirror, &base, &from, near.as_deref())?;
            let file = match &head {
                Some(head) => mirror.read_file(head, REPOSITORY_FILE_PATH, REPOSITORY_FILE_BYTES_MAX)?,
                None => None,
            };
            let configuration = file
                .map(|file| RepositoryFile::read(&file.bytes, file.is_cut(), &target.shown))
                .unwrap_or_default();
            let seen = &instructions.overlay.commit;
            mirror.check_out(seen, &directory, &TreeLimits::default(), stop)?;
            let subjects = commit_style::examples(mirror, &base, head.as_ref())?;
            Ok(Some(CheckedOut {
                base,
                instructions,
                subjects,
                configuration,
                target: head,
                merging: None,
                aside,
            }))
        });
        match start.await? {
            Some(start) => Ok(Some(self.with_changed_notes(start).await?)),
            None => Ok(None),
        }
    }

    /// Leaves out of the notes what the source branch did not change itself: instructions that are only older than the
    /// target's surprise nobody. Where the common history is too long to tell, all of them are told.
    async fn with_changed_notes(&self, mut start: CheckedOut) -> Result<CheckedOut, Failure> {
        let Some(head) = start.target.clone() else {
            return Ok(start);
        };
        if start.instructions.notes.is_empty() {
            return Ok(start);
        }
        self.deepen(Depth::Shallow(DEPTH_SEARCHED)).await?;
        let (base, overlay) = (start.base.clone(), start.instructions.overlay.clone());
        let branch = self.target.shown.clone();
        start.instructions.notes = self
            .with_mirror(move |mirror, _, _, _| {
                let overlaid = match mirror.merge_base(&base, &head) {
                    Ok(Some(parted)) => mirror.changed_by(&parted, &base, overlay.overlaid)?,
                    Ok(None) | Err(git::Error::TooShallow) => overlay.overlaid,
                    Err(error) => return Err(error.into()),
                };
                let target = instructions::Target {
                    head: Some(&head),
                    branch: &branch,
                };
                Ok(instructions::notes(&overlaid, &target))
            })
            .await?;
        Ok(start)
    }

    /// Puts a merge that is not finished into `directory`, as [`check_out`](Self::check_out) does with the source.
    pub(crate) async fn check_out_merge(
        &self,
        directory: &Path,
        start: &CheckedOut,
        conflicts: Conflicts,
    ) -> Result<CheckedOut, Failure> {
        let (directory, target, near) = (directory.to_owned(), self.target.clone(), self.near.clone());
        let head = start.target.clone();
        let together = conflicts.merges.together.clone();
        let instructions = self
            .with_mirror(move |mirror, _, _, stop| {
                let from = instructions::Target {
                    head: head.as_ref(),
                    branch: &target.shown,
                };
                let instructions = instructions::read(mirror, &together, &from, near.as_deref())?;
                let seen = &instructions.overlay.commit;
                mirror.check_out(seen, &directory, &TreeLimits::default(), stop)?;
                Ok(instructions)
            })
            .await?;
        Ok(CheckedOut {
            base: start.base.clone(),
            instructions,
            subjects: start.subjects.clone(),
            configuration: start.configuration.clone(),
            target: start.target.clone(),
            merging: Some(conflicts),
            aside: start.aside.clone(),
        })
    }

    /// Fetches more of both branches' history.
    pub(crate) async fn deepen(&self, depth: Depth) -> Result<(), Failure> {
        let target = self.target.clone();
        if target.elsewhere.is_some() {
            self.client()?.admit_git().await;
        }
        self.with_remote(move |mirror, remote, branch, stop| {
            let Some(url) = &target.elsewhere else {
                return Ok(mirror.deepen(remote, &[branch, &target.name], depth, stop)?);
            };
            mirror.deepen(remote, &[branch], depth, stop)?;
            let upstream = Remote {
                url: url.clone(),
                ..remote.clone()
            };
            Ok(mirror.deepen(&upstream, &[&target.name], depth, stop)?)
        })
        .await
    }

    /// The source branch's and the target branch's names as people see them.
    pub(crate) fn names(&self) -> (&str, &str) {
        (&self.shown, &self.target.shown)
    }

    /// Puts a commit's files into `directory`; the commit is in the mirror.
    pub(crate) async fn files_of(&self, commit: &CommitId, directory: &Path) -> Result<(), Failure> {
        let (commit, directory) = (commit.clone(), directory.to_owned());
        self.with_mirror(move |mirror, _, _, stop| {
            Ok(mirror.check_out(&commit, &directory, &TreeLimits::default(), stop)?)
        })
        .await
    }

    /// Fetches the branch. `None` when it is gone.
    pub(crate) async fn fetch(&self) -> Result<Option<CommitId>, Failure> {
        self.with_remote(|mirror, remote, branch, stop| {
            match mirror.fetch(remote, branch, Depth::Shallow(DEPTH_SEARCHED), stop) {
                Err(git::Error::BranchGone { .. }) => Ok(None),
                head => Ok(Some(head?)),
            }
        })
        .await
    }

    /// Runs `work`, which asks the remote once, when Bitbucket's limit has room for that.
    pub(crate) async fn with_remote<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Mirror, &Remote, &str, &AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.client()?.admit_git().await;
        self.with_mirror(work).await
    }

    /// Runs `work` with the locked mirror on a thread that may block. Dropping the future asks git to stop.
    pub(crate) async fn with_mirror<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Mirror, &Remote, &str, &AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (cache, instance, repository) = (self.cache.clone(), self.instance.clone(), self.repository);
        let (remote, branch) = (self.remote()?, self.branch.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let _stop_when_dropped = StopWhenDropped(stop.clone());
        let working = tokio::task::spawn_blocking(move || {
            let mirror = cache.mirror(&instance, repository)?;
            work(mirror.as_ref(), &remote, &branch, &stop)
        });
        working.await.unwrap_or_else(|panicked| {
            Err(Failure::retry(
                FailureCode::GitFailed,
                anyhow::Error::new(panicked).context("git work panicked"),
            ))
        })
    }

    /// Who commits: as configured, else the bot as Bitbucket knows it, so that Verify Committer passes.
    pub(crate) async fn identity(&self) -> Result<git::Identity, Failure> {
        let bot = self.client()?.bot().await?;
        let name = self.connection.commit_name.clone().unwrap_or(bot.display_name);
        // A project's token has no address (bitbucket-dc.md 4.1); git needs one, and `.invalid` can reach nobody.
        let email = self
            .connection
            .commit_email
            .clone()
            .or(bot.email)
            .unwrap_or_else(|| format!("{}@bot.invalid", bot.name));
        Ok(git::Identity { name, email })
    }
}

/// The heads of source and target; one exchange where they are in one repository.
fn fetch_both(
    mirror: &dyn Mirror,
    (remote, branch): (&Remote, &str),
    target: &TargetBranch,
    depth: Depth,
    stop: &AtomicBool,
) -> Result<(CommitId, Option<CommitId>), git::Error> {
    let Some(url) = &target.elsewhere else {
        return mirror.fetch_both(remote, branch, &target.name, depth, stop);
    };
    let base = mirror.fetch(remote, branch, depth, stop)?;
    let upstream = Remote {
        url: url.clone(),
        ..remote.clone()
    };
    let head = mirror.fetch_foreign(&upstream, &target.name, depth, stop)?;
    Ok((base, head))
}

/// Raises the flag that gix looks at.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
