//! What an agent has changed, read back from a directory that may be hostile: walked and opened beneath one
//! descriptor without following any link, compared with the commit by content. Times and sizes are not believed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use gix::bstr::{BString, ByteSlice};
use gix::objs::Write as _;
use gix::objs::tree::EntryKind;
use pipeline::ids::CommitId;
use rustix::fs::{FileType, Mode as FileMode, OFlags, ResolveFlags};

use crate::error::Error;
use crate::limits::TreeLimits;
use crate::mirror::tree_of;
use crate::parallel::{self, Worker};

mod bare;
mod ignore;
mod names;
mod submodules;
mod walk;

use walk::Candidate;

/// Paths of which nothing may be taken, and why: what is tracked there stays as it is.
pub(crate) type Withheld = BTreeMap<BString, String>;

/// What is different in a work tree.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// What can be committed, by path.
    pub changes: Vec<Change>,
    /// What cannot, as sentences for the reply; paths in them are escaped.
    pub left_out: Vec<String>,
}

/// One path that is different. Its content is in the mirror already: what was judged is what is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Bytes of the new content.
    pub bytes: u64,
    pub(crate) path: BString,
    pub(crate) blob: Option<(Mode, gix::ObjectId)>,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Content, executable bit or type are different.
    Modified,
    /// It is gone.
    Removed,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symbolic link.
    Symlink,
}

impl Change {
    /// The path below the work tree, with `/`; not every path is text.
    pub fn path_bytes(&self) -> &[u8] {
        &self.path
    }

    /// The path as text, for people and for comparing with names that are text.
    pub fn path_lossy(&self) -> String {
        self.path.to_str_lossy().into_owned()
    }

    /// What the path is now; `None` when it is gone.
    pub fn mode(&self) -> Option<Mode> {
        self.blob.map(|(mode, _)| mode)
    }
}

impl Mode {
    pub(crate) fn entry_kind(self) -> EntryKind {
        match self {
            Self::File => EntryKind::Blob,
            Self::Executable => EntryKind::BlobExecutable,
            Self::Symlink => EntryKind::Link,
        }
    }
}

/// The mirror's part of [`crate::Mirror::changes`].
pub(crate) fn changes(
    repo: &gix::Repository,
    commit: &CommitId,
    directory: &Path,
    limits: &TreeLimits,
    withheld: &Withheld,
) -> Result<Changes, Error> {
    let tree = tree_of(repo, commit)?;
    let root = rustix::fs::open(
        directory,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY,
        FileMode::empty(),
    )
    .map_err(|error| Error::io("opening the work tree")(error.into()))?;
    let walked = walk::walk(&repo.objects, &root, tree, limits, withheld)?;
    let found = Mutex::new(Changes {
        changes: walked.removed,
        left_out: walked.left_out,
    });
    let written = AtomicU64::new(0);
    let attributes = walked.has_attributes.then_some(tree);
    let never = AtomicBool::new(false);
    parallel::for_each(
        repo,
        attributes,
        &walked.candidates,
        &never,
        |worker, candidate| {
            let read = read(&root, candidate, limits)?;
            let change = match read {
                Ok(content) => compare(worker, candidate, &content, &written, limits)?,
                Err(why) => {
                    let note = format!("`{}` was left out: {why}", candidate.path.escape_ascii());
                    found
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .left_out
                        .push(note);
                    None
                }
            };
            found
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .changes
                .extend(change);
            Ok(())
        },
    )?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.changes.sort_by(|a, b| a.path.cmp(&b.path));
    restore_submodules(repo, tree, &mut found)?;
    if found.changes.len() as u64 > limits.changed_files {
        return Err(Error::ChangeTooLarge {
            what: "the number of changed files".to_owned(),
            limit: limits.changed_files,
        });
    }
    found.left_out.sort();
    found.left_out.dedup();
    Ok(found)
}

/// Takes `.gitmodules` as it was where the new one may not be taken.
fn restore_submodules(repo: &gix::Repository, tree: gix::ObjectId, found: &mut Changes) -> Result<(), Error> {
    const PATH: &str = ".gitmodules";
    let Some(at) = found.changes.iter().position(|change| change.path == PATH) else {
        return Ok(());
    };
    let blob = |id| {
        repo.find_blob(id)
            .map(|mut blob| blob.take_data())
            .map_err(Error::damaged)
    };
    let tree = repo.find_tree(tree).map_err(Error::damaged)?;
    let old = tree
        .find_entry(PATH)
        .filter(|entry| entry.mode().is_blob())
        .map(|entry| blob(entry.object_id()))
        .transpose()?;
    let new = found.changes[at].blob.map(|(_, id)| blob(id)).transpose()?;
    if let Err(why) = submodules::check(old.as_deref(), new.as_deref()) {
        found.changes.remove(at);
        found.left_out.push(format!("`{PATH}` was left out: {why}"));
    }
    Ok(())
}

/// A path's content as it is now.
struct Content {
    mode: Mode,
    bytes: Vec<u8>,
}

/// Why a path was not read; said to people.
type LeftOut = &'static str;

/// Opens beneath the root: no component may be a link, whatever has been swapped in meanwhile.
fn open_beneath(root: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(
        root.as_fd(),
        path,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        FileMode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

fn read(
    root: &OwnedFd,
    candidate: &Candidate,
    limits: &TreeLimits,
) -> Result<Result<Content, LeftOut>, Error> {
    const CHANGED: LeftOut = "it changed while it was read";
    let what = "reading a file of the work tree";
    let io = |error: rustix::io::Errno| Error::io(what)(error.into());
    let flags = if candidate.is_link {
        OFlags::PATH
    } else {
        OFlags::RDONLY | OFlags::NONBLOCK
    };
    let opened = match open_beneath(root, &candidate.path, flags) {
        Ok(opened) => opened,
        Err(
            rustix::io::Errno::NOENT
            | rustix::io::Errno::LOOP
            | rustix::io::Errno::NOTDIR
            | rustix::io::Errno::XDEV,
        ) => {
            return Ok(Err(CHANGED));
        }
        // The agent may have taken our right to read away; that must not lose the rest of its work.
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => return Ok(Err("it cannot be read")),
        Err(error) => return Err(io(error)),
    };
    let stat = rustix::fs::fstat(&opened).map_err(io)?;
    let mode = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink if candidate.is_link => {
            let target = rustix::fs::readlinkat(&opened, c"", Vec::new()).map_err(io)?;
            return Ok(Ok(Content {
                mode: Mode::Symlink,
                bytes: target.into_bytes(),
            }));
        }
        FileType::RegularFile if !candidate.is_link => {
            if stat.st_mode & 0o100 == 0 {
                Mode::File
            } else {
                Mode::Executable
            }
        }
        _ => return Ok(Err(CHANGED)),
    };
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > limits.blob_bytes {
        return Ok(Err("it is too large"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or_default());
    let file = std::fs::File::from(opened);
    file.take(limits.blob_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io(what))?;
    if bytes.len() as u64 > limits.blob_bytes {
        return Ok(Err("it is too large"));
    }
    Ok(Ok(Content { mode, bytes }))
}

/// The change, if there is one; its blob is written.
fn compare(
    worker: &mut Worker<'_>,
    candidate: &Candidate,
    content: &Content,
    written: &AtomicU64,
    limits: &TreeLimits,
) -> Result<Option<Change>, Error> {
    let old = candidate.old;
    let same_mode = old.is_some_and(|(mode, _)| mode == content.mode.entry_kind());
    let is_old =
        |bytes: &[u8]| Ok::<_, Error>(old.is_some_and(|(_, id)| hash(bytes).is_ok_and(|hash| hash == id)));
    let mut bytes = std::borrow::Cow::Borrowed(content.bytes.as_slice());
    let mut same = is_old(&bytes)?;
    if !same
        && content.mode != Mode::Symlink
        && let Some(filter) = &mut worker.filter
    {
        bytes = filter.blob_of(&content.bytes, candidate.path.as_ref())?.into();
        same = is_old(&bytes)?;
    }
    if same && same_mode {
        return Ok(None);
    }
    let id = match old {
        Some((_, id)) if same => id,
        _ => {
            let total = written.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
            if total > limits.changed_bytes {
                return Err(Error::ChangeTooLarge {
                    what: "all changed files, in bytes,".to_owned(),
                    limit: limits.changed_bytes,
                });
            }
            worker
                .objects
                .write_buf(gix::objs::Kind::Blob, &bytes)
                .map_err(Error::damaged)?
        }
    };
    let kind = if old.is_some() {
        ChangeKind::Modified
    } else {
        ChangeKind::Added
    };
    let path = candidate.path.clone();
    Ok(Some(Change {
        kind,
        bytes: bytes.len() as u64,
        path,
        blob: Some((content.mode, id)),
    }))
}

fn hash(bytes: &[u8]) -> Result<gix::ObjectId, Error> {
    gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, bytes).map_err(Error::damaged)
}
