//! One file at a commit (bitbucket-dc.md 3.8).

use pipeline::event::Repository;
use pipeline::ids::CommitId;

use crate::client::Client;
use crate::error::{Error, Missing};
use crate::route;

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its bytes, as far as they were asked for.
    pub bytes: Vec<u8>,
    /// Whether it is longer.
    pub truncated: bool,
}

impl Client {
    /// The file at `path` in `commit`, up to `bytes_max`; `None` where the commit has none. Needs the right to read the
    /// repository.
    pub async fn file(
        &self,
        repository: &Repository,
        commit: &CommitId,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<File>, Error> {
        let [project, slug] = route::of(repository);
        let values = [project, slug, path];
        let query = [("at", commit.as_str())];
        match self.get_bytes(route::RAW, &values, &query, bytes_max).await {
            Ok(answer) => Ok(Some(File {
                bytes: answer.bytes,
                truncated: answer.truncated,
            })),
            // The exception for a missing path has no name among those that are branched on.
            Err(Error::NotFound {
                what: Missing::Other, ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
