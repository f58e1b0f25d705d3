//! Secret files: opened when used, read again when they change.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use secrecy::SecretString;

/// Longest secret file; tokens have some tens of characters, NATS credentials and keys some thousands.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A rotation that truncates and writes leaves the file empty for a moment: the last good value serves meanwhile.
const ROTATION_GRACE: Duration = Duration::from_secs(5);

/// Why a secret is not to be had. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file is not there or not readable.
    #[error("the secret file {path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// There is nothing in it.
    #[error("the secret file {path} is empty")]
    Empty {
        /// The file.
        path: String,
    },
    /// It is not one line of text.
    #[error("the secret file {path} must hold one line of text")]
    NotOneLine {
        /// The file.
        path: String,
    },
    /// It is not the PEM it should be.
    #[error("the file {path} does not hold a PEM {what}")]
    NotPem {
        /// The file.
        path: String,
        /// What it should hold.
        what: &'static str,
    },
    /// No connection has this id.
    #[error("there is no connection {id:?}")]
    UnknownConnection {
        /// The id asked for.
        id: String,
    },
}

/// Reads a file of one line; the line end does not count.
pub(crate) fn read_line(path: &Path) -> Result<SecretString, SecretError> {
    let text = read_text(path)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.chars().any(char::is_control) {
        return Err(SecretError::NotOneLine { path: shown(path) });
    }
    Ok(SecretString::from(line.to_owned()))
}

/// Reads a file of text that is not empty.
pub(crate) fn read_text(path: &Path) -> Result<String, SecretError> {
    let unreadable = |cause: String| SecretError::Unreadable {
        path: shown(path),
        cause,
    };
    let metadata = path.metadata().map_err(|cause| unreadable(cause.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(unreadable(format!("it is longer than {SECRET_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| unreadable(cause.to_string()))?;
    if text.trim().is_empty() {
        return Err(SecretError::Empty { path: shown(path) });
    }
    Ok(text)
}

/// Whether anyone on the machine may read it.
pub(crate) fn is_world_readable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// Secrets by file, read again when the file changes.
#[derive(Default)]
pub(crate) struct SecretCache(Mutex<HashMap<PathBuf, Cached>>);

struct Cached {
    stamp: Stamp,
    secret: SecretString,
    failing_since: Option<Instant>,
}

/// What a changed file changes: a rewrite its times and length, a replacement (also of a symbolic link) its inode.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl SecretCache {
    /// The file's line: from memory while the file is unchanged.
    pub(crate) fn line(&self, path: &Path) -> Result<SecretString, SecretError> {
        let stamp = Stamp::of(path);
        let mut cache = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (Some(cached), Some(stamp)) = (cache.get(path), stamp)
            && cached.stamp == stamp
        {
            return Ok(cached.secret.clone());
        }
        match (read_line(path), stamp) {
            (Ok(secret), Some(stamp)) => {
                let cached = Cached {
                    stamp,
                    secret: secret.clone(),
                    failing_since: None,
                };
                cache.insert(path.to_owned(), cached);
                Ok(secret)
            }
            // It appeared between the two looks; the next call remembers it.
            (Ok(secret), None) => Ok(secret),
            (Err(error), _) => {
                let Some(cached) = cache.get_mut(path) else {
                    return Err(error);
                };
                let failing_for = cached.failing_since.get_or_insert_with(Instant::now).elapsed();
                if failing_for < ROTATION_GRACE {
                    Ok(cached.secret.clone())
                } else {
                    Err(error)
                }
            }
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
