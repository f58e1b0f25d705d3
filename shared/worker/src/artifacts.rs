//! Artifacts: what is too big for a message. Briefs, transcripts and patches, in JetStream's object store.

use std::time::Duration;

use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use pipeline::job::Artifact;
use pipeline::subject;
use tokio::io::AsyncReadExt;

use crate::{Error, Nats};

/// An artifact is at most a few megabytes; a store that needs longer is as good as away.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest artifact that is stored or read: a bound on memory, well above the brief's and the patch's limits.
pub const ARTIFACT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The object store `artifacts`.
#[derive(Clone)]
pub struct Artifacts {
    nats: Nats,
}

impl Artifacts {
    pub(crate) fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Stores `bytes` as `key` (made by `pipeline::subject::artifact`), replacing what was there.
    pub async fn put(&self, key: &str, bytes: &[u8]) -> Result<Artifact, Error> {
        let size = bytes.len() as u64;
        if size > ARTIFACT_BYTES_MAX {
            return Err(Error::TooLarge {
                subject: key.to_owned(),
            });
        }
        let mut reader = bytes;
        let transfer = async {
            let store = self.store().await?;
            store
                .put(key, &mut reader)
                .await
                .map_err(|error| Error::unavailable(key, error))
        };
        within(key, transfer).await?;
        Ok(Artifact {
            key: key.to_owned(),
            bytes: size,
        })
    }

    /// The bytes stored as `key`, if there are any. Their digest is checked on the way.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        within(key, async {
            let mut object = match self.store().await?.get(key).await {
                Ok(object) => object,
                Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::unavailable(key, error)),
            };
            if object.info().size as u64 > ARTIFACT_BYTES_MAX {
                return Err(Error::TooLarge {
                    subject: key.to_owned(),
                });
            }
            let mut bytes = Vec::with_capacity(object.info().size);
            object
                .read_to_end(&mut bytes)
                .await
                .map_err(|error| Error::unavailable(key, error))?;
            Ok(Some(bytes))
        })
        .await
    }

    async fn store(&self) -> Result<ObjectStore, Error> {
        self.nats
            .jetstream()
            .get_object_store(subject::ARTIFACTS)
            .await
            .map_err(|error| Error::unavailable(subject::ARTIFACTS, error))
    }
}

async fn within<R>(key: &str, transfer: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
    tokio::time::timeout(TRANSFER_TIMEOUT, transfer)
        .await
        .map_err(|_| Error::unavailable(key, "the object store took too long"))?
}
