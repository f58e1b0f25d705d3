//! One file of a commit, read from the mirror: nothing of it has to be checked out, and no limit but the caller's
//! decides how much is read.

use gix::bstr::{BStr, BString};
use gix::objs::tree::EntryKind;
use gix::odb::HeaderExt as _;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::tree_of;
use crate::tree;

/// Symbolic links followed on the way to one file; the kernel follows 40, nobody needs more than two.
const LINKS_MAX: usize = 8;
/// Longest target of a symbolic link that Linux takes.
const LINK_BYTES_MAX: u64 = 4_095;
/// Longest way to a file, in names, links included: each costs the reading of one directory.
const STEPS_MAX: usize = 512;
/// A file larger than this is not read at all to be cut: git has no way to read the beginning of an object.
const CUT_FROM_BYTES_MAX: u64 = 16 << 20;

/// What was read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its beginning, or all of it; nothing of a file over 16 MiB. As committed: no conversion by attributes.
    pub bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub total: u64,
}

impl TreeFile {
    /// Whether something is missing at the end.
    pub fn is_cut(&self) -> bool {
        (self.bytes.len() as u64) < self.total
    }
}

/// The mirror's part of [`crate::Mirror::read_file`].
pub(crate) fn read_file(
    repo: &gix::Repository,
    commit: &CommitId,
    path: &str,
    bytes_max: usize,
) -> Result<Option<TreeFile>, Error> {
    let root = tree_of(repo, commit)?;
    let Some((EntryKind::Blob | EntryKind::BlobExecutable, id)) = find(&repo.objects, root, path.into())?
    else {
        return Ok(None);
    };
    let total = repo.objects.header(id).map_err(Error::damaged)?.size();
    if total > CUT_FROM_BYTES_MAX.max(bytes_max as u64) {
        return Ok(Some(TreeFile {
            bytes: Vec::new(),
            total,
        }));
    }
    let mut bytes = repo.find_blob(id).map_err(Error::damaged)?.take_data();
    bytes.truncate(bytes_max);
    Ok(Some(TreeFile { bytes, total }))
}

/// What a path of a tree leads to: a file or a directory. Symbolic links are followed as long as they stay in the
/// tree; what leads out of it, into a submodule, in circles or nowhere is `None`.
pub(crate) fn find(
    objects: &gix::OdbHandle,
    root: gix::ObjectId,
    path: &BStr,
) -> Result<Option<(EntryKind, gix::ObjectId)>, Error> {
    let mut directories = vec![root];
    let mut ahead: Vec<BString> = names_backwards(path).collect();
    let (mut links, mut steps) = (0, 0);
    let mut buffer = Vec::new();
    while let Some(name) = ahead.pop() {
        steps += 1;
        if steps > STEPS_MAX {
            return Ok(None);
        }
        if name.is_empty() || name == "." {
            continue;
        }
        if name == ".." {
            directories.pop();
            if directories.is_empty() {
                return Ok(None);
            }
            continue;
        }
        let here = directories.last().copied().unwrap_or(root);
        let entries = tree::read(objects, here, &mut buffer)?;
        let Some(entry) = entries.into_iter().find(|entry| entry.name == name) else {
            return Ok(None);
        };
        match entry.mode.kind() {
            EntryKind::Tree => directories.push(entry.id),
            EntryKind::Link => {
                links += 1;
                let Some(target) = target_of(objects, entry.id)?.filter(|_| links <= LINKS_MAX) else {
                    return Ok(None);
                };
                ahead.extend(names_backwards(&target));
            }
            kind @ (EntryKind::Blob | EntryKind::BlobExecutable) => {
                return Ok(ahead.is_empty().then_some((kind, entry.id)));
            }
            EntryKind::Commit => return Ok(None),
        }
    }
    Ok(directories.last().map(|id| (EntryKind::Tree, *id)))
}

fn names_backwards(path: &[u8]) -> impl Iterator<Item = BString> {
    path.rsplit(|byte| *byte == b'/').map(BString::from)
}

/// Where a link points, unless that is an absolute path or nothing the kernel would take.
fn target_of(objects: &gix::OdbHandle, link: gix::ObjectId) -> Result<Option<BString>, Error> {
    use gix::prelude::FindExt as _;
    if objects.header(link).map_err(Error::damaged)?.size() > LINK_BYTES_MAX {
        return Ok(None);
    }
    let mut buffer = Vec::new();
    let target = objects
        .find_blob(&link, &mut buffer)
        .map_err(Error::damaged)?
        .data;
    let leads_out = target.is_empty() || target.starts_with(b"/") || target.contains(&0);
    Ok((!leads_out).then(|| BString::from(target)))
}
