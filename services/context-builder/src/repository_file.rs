//! The target branch's `.openhands/resolver.toml`, as admission needs it: who may, and defaults of options.
//!
//! The commit of the target branch that the pull request names decides. A Bitbucket that does not give the file away
//! holds the mention up: whom the file leaves out is not known until then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitbucket::{Client, PullRequest};
use config::{REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILE_PATH, RepositoryFile};
use pipeline::failure::Failure;
use pipeline::ids::{CommitId, InstanceId, RepositoryId};

/// Files remembered. What a commit has never changes; beyond this many the oldest knowledge goes as a whole, which costs
/// one call for each repository that is still busy.
const FILES_MAX: usize = 1_000;

/// The files of all repositories that were asked for.
#[derive(Default)]
pub(crate) struct RepositoryFiles {
    known: Mutex<HashMap<(InstanceId, RepositoryId, CommitId), Arc<TargetFile>>>,
}

/// The file of one pull request's target branch.
#[derive(Debug, Default)]
pub(crate) struct TargetFile {
    /// What could be read of it.
    pub(crate) file: RepositoryFile,
    /// The branch as people see it.
    pub(crate) branch: String,
    /// The branch's commit, where it has the file.
    pub(crate) at: Option<CommitId>,
}

impl RepositoryFiles {
    /// The file that counts for the pull request.
    pub(crate) async fn of(
        &self,
        client: &Client,
        instance: &InstanceId,
        pull_request: &PullRequest,
    ) -> Result<Arc<TargetFile>, Failure> {
        let target = &pull_request.to_ref;
        let commit = &target.latest_commit;
        let key = (instance.clone(), target.repository.id, commit.clone());
        // Branches at one commit share the file, but not the name it is told by.
        if let Some(known) = self
            .known()
            .get(&key)
            .filter(|known| known.branch == target.display_id)
        {
            return Ok(Arc::clone(known));
        }
        let read = client
            .file(
                &target.repository,
                commit,
                REPOSITORY_FILE_PATH,
                REPOSITORY_FILE_BYTES_MAX,
            )
            .await?;
        let file = Arc::new(TargetFile {
            at: read.is_some().then(|| commit.clone()),
            file: read.map_or_else(RepositoryFile::default, |file| {
                RepositoryFile::read(&file.bytes, file.truncated, &target.display_id)
            }),
            branch: target.display_id.clone(),
        });
        let mut known = self.known();
        if known.len() >= FILES_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&file));
        Ok(file)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(InstanceId, RepositoryId, CommitId), Arc<TargetFile>>> {
        // Nothing panics while it is held; a poisoned map is still whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
