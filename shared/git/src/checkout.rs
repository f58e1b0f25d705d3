//! A commit's files in a plain directory, without `.git`.
//!
//! Every size is known before the first byte is written. Directories are made first, each of which must not exist;
//! then files, each of which must not exist; symbolic links come last, so nothing can be written through one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gix::bstr::BStr;
use gix::objs::FindExt as _;
use gix::odb::HeaderExt as _;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::limits::TreeLimits;
use crate::mirror::tree_of;
use crate::parallel::{self, Worker};
use crate::tree::{File, as_path, list};

/// Longest target of a symbolic link that Linux takes.
const LINK_BYTES_MAX: u64 = 4_095;

/// The mirror's part of [`crate::Mirror::check_out`].
pub(crate) fn check_out(
    repo: &gix::Repository,
    commit: &CommitId,
    directory: &Path,
    limits: &TreeLimits,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let tree = tree_of(repo, commit)?;
    let listing = list(&repo.objects, tree, limits)?;
    let total = AtomicU64::new(0);
    parallel::for_each(repo, None, &listing.files, stop, |worker, file| {
        count(
            worker.objects.header(file.id).map_err(Error::damaged)?.size(),
            &total,
            limits,
        )
    })?;
    for made in &listing.directories {
        fs::create_dir(path(directory, made.as_ref()))
            .map_err(Error::io("making a directory of the work tree"))?;
    }
    let attributes = listing.has_attributes.then_some(tree);
    parallel::for_each(repo, attributes, &listing.files, stop, |worker, file| {
        write(worker, directory, file)
    })?;
    for link in &listing.links {
        write_link(repo, directory, link)?;
    }
    Ok(())
}

/// Adds one file's size to what all threads have counted.
fn count(bytes: u64, total: &AtomicU64, limits: &TreeLimits) -> Result<(), Error> {
    if bytes > limits.blob_bytes {
        return Err(Error::TooLarge {
            what: "a file, in bytes,".to_owned(),
            limit: limits.blob_bytes,
        });
    }
    if total.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > limits.bytes {
        return Err(Error::TooLarge {
            what: "the tree, in bytes,".to_owned(),
            limit: limits.bytes,
        });
    }
    Ok(())
}

fn write(worker: &mut Worker<'_>, directory: &Path, file: &File) -> Result<(), Error> {
    let blob = worker
        .objects
        .find_blob(&file.id, &mut worker.buffer)
        .map_err(Error::damaged)?;
    let converted = match &mut worker.filter {
        Some(filter) => Some(filter.file_of(blob.data, file.path.as_ref())?),
        None => None,
    };
    let mode = if file.executable { 0o777 } else { 0o666 };
    let what = "writing a file of the work tree";
    let mut written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path(directory, file.path.as_ref()))
        .map_err(Error::io(what))?;
    written
        .write_all(converted.as_deref().unwrap_or(blob.data))
        .map_err(Error::io(what))
}

/// Links keep their target as it is, wherever it points: what follows them later is confined by the sandbox.
fn write_link(repo: &gix::Repository, directory: &Path, link: &File) -> Result<(), Error> {
    let size = repo.objects.header(link.id).map_err(Error::damaged)?.size();
    if size > LINK_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "a symbolic link's target, in bytes,".to_owned(),
            limit: LINK_BYTES_MAX,
        });
    }
    let blob = repo.find_blob(link.id).map_err(Error::damaged)?;
    if blob.data.is_empty() || blob.data.contains(&0) {
        return Err(Error::HostileTree {
            path: link.path.escape_ascii().to_string(),
            why: "a symbolic link needs a target without NUL".to_owned(),
        });
    }
    symlink(
        std::ffi::OsStr::from_bytes(&blob.data),
        path(directory, link.path.as_ref()),
    )
    .map_err(Error::io("making a symbolic link of the work tree"))
}

fn path(directory: &Path, relative: &BStr) -> PathBuf {
    directory.join(as_path(relative))
}
