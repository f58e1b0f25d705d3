//! A commit's tree as a list of what is to be written, checked before anything is: names that could leave the work
//! tree or reach into `.git`, and every limit.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::TreeRefIter;
use gix::objs::tree::{EntryKind, EntryMode};

use crate::error::Error;
use crate::limits::TreeLimits;

/// Everything in a tree. Directories come before what is in them.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) directories: Vec<BString>,
    pub(crate) files: Vec<File>,
    pub(crate) links: Vec<File>,
    /// Whether any file is called `.gitattributes`: if not, no filter can apply.
    pub(crate) has_attributes: bool,
}

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: BString,
    pub(crate) id: gix::ObjectId,
    pub(crate) executable: bool,
}

/// Reads the whole tree, directories first, within the limits on entries, depth and paths. Sizes are the reader's.
pub(crate) fn list(
    objects: &gix::OdbHandle,
    root: gix::ObjectId,
    limits: &TreeLimits,
) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut entries = 0;
    let mut waiting = vec![(BString::default(), root, 0_usize)];
    let mut buffer = Vec::new();
    while let Some((directory, id, depth)) = waiting.pop() {
        if depth > limits.depth {
            return Err(Error::TooLarge {
                what: "the tree's depth".to_owned(),
                limit: limits.depth as u64,
            });
        }
        let read = read(objects, id, &mut buffer)?;
        entries += read.len() as u64;
        if entries > limits.entries {
            return Err(Error::TooLarge {
                what: "the tree's number of entries".to_owned(),
                limit: limits.entries,
            });
        }
        for entry in read {
            let path = join(directory.as_bstr(), entry.name.as_bstr());
            if path.len() > limits.path_bytes {
                return Err(Error::TooLarge {
                    what: "a path, in bytes,".to_owned(),
                    limit: limits.path_bytes as u64,
                });
            }
            listing.has_attributes |= entry.name == ".gitattributes";
            let file = |executable| File {
                path: path.clone(),
                id: entry.id,
                executable,
            };
            match entry.mode.kind() {
                EntryKind::Tree => waiting.push((path.clone(), entry.id, depth + 1)),
                EntryKind::Blob => listing.files.push(file(false)),
                EntryKind::BlobExecutable => listing.files.push(file(true)),
                EntryKind::Link => listing.links.push(file(false)),
                EntryKind::Commit => listing.directories.push(path),
            }
        }
        if depth > 0 {
            listing.directories.push(directory);
        }
    }
    listing.directories.sort_unstable();
    Ok(listing)
}

/// One entry of one tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: BString,
    pub(crate) mode: EntryMode,
    pub(crate) id: gix::ObjectId,
}

/// Reads one tree object and refuses names that must not be written.
pub(crate) fn read(
    objects: &gix::OdbHandle,
    id: gix::ObjectId,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Entry>, Error> {
    use gix::prelude::FindExt as _;
    let tree: TreeRefIter<'_> = objects.find_tree_iter(&id, buffer).map_err(Error::damaged)?;
    let mut entries = Vec::new();
    for entry in tree {
        let entry = entry.map_err(Error::damaged)?;
        if let Err(why) = check_name(entry.filename, entry.mode.is_link()) {
            return Err(hostile(entry.filename, why.to_string()));
        }
        entries.push(Entry {
            name: entry.filename.to_owned(),
            mode: entry.mode,
            id: entry.oid.to_owned(),
        });
    }
    refuse_twice(&entries)?;
    Ok(entries)
}

/// A name may be in a directory once: a link and a directory of one name would write through the link. git sorts
/// a directory as if it ended in `/`, so equal names need not be neighbours.
fn refuse_twice(entries: &[Entry]) -> Result<(), Error> {
    if entries.windows(2).all(|pair| pair[0].name < pair[1].name) {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(entries.len());
    match entries.iter().find(|entry| !seen.insert(entry.name.as_bstr())) {
        Some(entry) => Err(hostile(entry.name.as_bstr(), "it is there twice".to_owned())),
        None => Ok(()),
    }
}

/// `..`, `.git` in every spelling some file system takes for it, and separators. Device names of Windows are fine.
pub(crate) fn check_name(name: &BStr, link: bool) -> Result<(), gix::validate::path::component::Error> {
    use gix::validate::path::component;
    if name.contains(&b'/') {
        return Err(component::Error::PathSeparator);
    }
    let options = component::Options {
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    gix::validate::path::component(name, link.then_some(component::Mode::Symlink), options).map(|_| ())
}

fn hostile(name: &BStr, why: String) -> Error {
    Error::HostileTree {
        path: name.as_bytes().escape_ascii().to_string(),
        why,
    }
}

/// `directory/name`, or the name alone at the top.
pub(crate) fn join(directory: &BStr, name: &BStr) -> BString {
    let mut path = BString::from(Vec::with_capacity(directory.len() + 1 + name.len()));
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A path of a tree as the file system's; on Unix both are bytes.
pub(crate) fn as_path(path: &BStr) -> &Path {
    Path::new(OsStr::from_bytes(path))
}
