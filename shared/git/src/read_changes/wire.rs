//! What goes to the reading process and what comes back, as JSON. Paths are hex: not every path is text.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pipeline::ids::CommitId;
use serde::{Deserialize, Serialize};

use super::ReadRequest;
use crate::change::{Change, ChangeKind, Changes, Mode};
use crate::error::{Error, chain};
use crate::limits::TreeLimits;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    mirror: String,
    directory: String,
    commit: CommitId,
    limits: Limits,
    withheld: Vec<(String, String)>,
}

/// [`TreeLimits`].
#[derive(Debug, Serialize, Deserialize)]
struct Limits {
    entries: u64,
    bytes: u64,
    blob_bytes: u64,
    depth: usize,
    path_bytes: usize,
    changed_files: u64,
    changed_bytes: u64,
}

impl Request {
    pub(super) fn new(mirror: &Path, request: &ReadRequest) -> Self {
        let limits = &request.limits;
        Self {
            mirror: hex::encode(mirror.as_os_str().as_bytes()),
            directory: hex::encode(request.directory.as_os_str().as_bytes()),
            commit: request.commit.clone(),
            limits: Limits {
                entries: limits.entries,
                bytes: limits.bytes,
                blob_bytes: limits.blob_bytes,
                depth: limits.depth,
                path_bytes: limits.path_bytes,
                changed_files: limits.changed_files,
                changed_bytes: limits.changed_bytes,
            },
            withheld: request
                .withheld
                .iter()
                .map(|(path, why)| (hex::encode(path), why.clone()))
                .collect(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    pub(super) fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(bytes).context("the request cannot be read")
    }

    /// The mirror's directory and the request.
    pub(super) fn decoded(&self) -> Result<(PathBuf, ReadRequest), Error> {
        let path = |hex: &str| Ok::<_, Error>(PathBuf::from(OsString::from_vec(bytes(hex)?)));
        let limits = &self.limits;
        let request = ReadRequest {
            commit: self.commit.clone(),
            directory: path(&self.directory)?,
            limits: TreeLimits {
                entries: limits.entries,
                bytes: limits.bytes,
                blob_bytes: limits.blob_bytes,
                depth: limits.depth,
                path_bytes: limits.path_bytes,
                changed_files: limits.changed_files,
                changed_bytes: limits.changed_bytes,
            },
            withheld: self
                .withheld
                .iter()
                .map(|(path, why)| Ok((bytes(path)?, why.clone())))
                .collect::<Result<_, Error>>()?,
        };
        Ok((path(&self.mirror)?, request))
    }
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Read {
        changes: Vec<One>,
        left_out: Vec<String>,
    },
    TooLarge {
        what: String,
        limit: u64,
    },
    ChangeTooLarge {
        what: String,
        limit: u64,
    },
    HostileTree {
        path: String,
        why: String,
    },
    Damaged {
        cause: String,
    },
    Unreadable {
        why: String,
    },
}

/// A [`Change`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct One {
    path: String,
    kind: Kind,
    bytes: u64,
    blob: Option<(BlobMode, String)>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Added,
    Modified,
    Removed,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum BlobMode {
    File,
    Executable,
    Symlink,
}

impl Answer {
    pub(super) fn of(read: Result<Changes, Error>) -> Self {
        match read {
            Ok(Changes { changes, left_out }) => Self::Read {
                changes: changes.iter().map(One::of).collect(),
                left_out,
            },
            Err(Error::TooLarge { what, limit }) => Self::TooLarge { what, limit },
            Err(Error::ChangeTooLarge { what, limit }) => Self::ChangeTooLarge { what, limit },
            Err(Error::HostileTree { path, why }) => Self::HostileTree { path, why },
            Err(Error::Damaged { cause }) => Self::Damaged { cause },
            Err(error) => Self::Unreadable { why: chain(&error) },
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    pub(super) fn into_result(self) -> Result<Changes, Error> {
        match self {
            Self::Read { changes, left_out } => Ok(Changes {
                changes: changes.into_iter().map(One::change).collect::<Result<_, _>>()?,
                left_out,
            }),
            Self::TooLarge { what, limit } => Err(Error::TooLarge { what, limit }),
            Self::ChangeTooLarge { what, limit } => Err(Error::ChangeTooLarge { what, limit }),
            Self::HostileTree { path, why } => Err(Error::HostileTree { path, why }),
            Self::Damaged { cause } => Err(Error::Damaged { cause }),
            Self::Unreadable { why } => Err(Error::Unreadable { why }),
        }
    }
}

/// Reads an answer.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    serde_json::from_slice(bytes).context("the reading process did not answer as agreed")
}

impl One {
    fn of(change: &Change) -> Self {
        Self {
            path: hex::encode(&change.path),
            kind: match change.kind {
                ChangeKind::Added => Kind::Added,
                ChangeKind::Modified => Kind::Modified,
                ChangeKind::Removed => Kind::Removed,
            },
            bytes: change.bytes,
            blob: change.blob.map(|(mode, id)| {
                let mode = match mode {
                    Mode::File => BlobMode::File,
                    Mode::Executable => BlobMode::Executable,
                    Mode::Symlink => BlobMode::Symlink,
                };
                (mode, id.to_string())
            }),
        }
    }

    fn change(self) -> Result<Change, Error> {
        let blob = match self.blob {
            None => None,
            Some((mode, id)) => {
                let mode = match mode {
                    BlobMode::File => Mode::File,
                    BlobMode::Executable => Mode::Executable,
                    BlobMode::Symlink => Mode::Symlink,
                };
                let id = gix::ObjectId::from_hex(id.as_bytes()).map_err(|error| Error::Unreadable {
                    why: format!("an object id in the answer is none: {error}"),
                })?;
                Some((mode, id))
            }
        };
        Ok(Change {
            kind: match self.kind {
                Kind::Added => ChangeKind::Added,
                Kind::Modified => ChangeKind::Modified,
                Kind::Removed => ChangeKind::Removed,
            },
            bytes: self.bytes,
            path: bytes(&self.path)?.into(),
            blob,
        })
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, Error> {
    hex::decode(text).map_err(|error| Error::Unreadable {
        why: format!("a path is not spelled as agreed: {error}"),
    })
}
