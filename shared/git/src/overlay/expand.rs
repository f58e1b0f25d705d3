//! A selected file or directory as the files it comes down to, with symbolic links replaced by what they lead to in
//! the same commit: a link of the target branch would otherwise be read in a tree whose rest is the source branch's.

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;

use super::check_depth;
use crate::error::Error;
use crate::limits::TreeLimits;
use crate::tree::{self, Entry, join};
use crate::tree_file::find;

/// Files and links below one selected path: agents' folders have dozens. A circle of links ends here, too.
pub(super) const ENTRIES_MAX: usize = 10_000;
/// Links within linked directories.
const LINKS_WITHIN_MAX: usize = 2;

/// What a selected path comes down to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expansion {
    /// Path, kind and content of each file.
    pub(super) files: Vec<(BString, EntryKind, gix::ObjectId)>,
    /// Links that lead out of the tree or nowhere, and submodules.
    unusable: Vec<(BString, gix::ObjectId)>,
}

/// Expands the entry at `path` of the commit's tree `root`. `None` when there are more than [`ENTRIES_MAX`].
pub(super) fn expand(
    objects: &gix::OdbHandle,
    root: gix::ObjectId,
    path: &BStr,
    entry: &Entry,
    limits: &TreeLimits,
) -> Result<Option<Expansion>, Error> {
    let mut expansion = Expansion::default();
    let mut buffer = Vec::new();
    let mut waiting = vec![Place {
        path: path.to_owned(),
        kind: entry.mode.kind(),
        id: entry.id,
        depth: path.split_str("/").count(),
        links: 0,
    }];
    while let Some(place) = waiting.pop() {
        check_depth(place.depth, limits)?;
        if expansion.files.len() + expansion.unusable.len() + waiting.len() >= ENTRIES_MAX {
            return Ok(None);
        }
        match place.kind {
            EntryKind::Blob | EntryKind::BlobExecutable => {
                expansion.files.push((place.path, place.kind, place.id));
            }
            EntryKind::Commit => expansion.unusable.push((place.path, place.id)),
            EntryKind::Link => {
                let found = if place.links < LINKS_WITHIN_MAX {
                    find(objects, root, place.path.as_bstr())?
                } else {
                    None
                };
                match found {
                    Some((kind, id)) => waiting.push(Place {
                        kind,
                        id,
                        links: place.links + 1,
                        ..place
                    }),
                    None => expansion.unusable.push((place.path, place.id)),
                }
            }
            EntryKind::Tree => {
                for entry in tree::read(objects, place.id, &mut buffer)? {
                    waiting.push(Place {
                        path: join(place.path.as_bstr(), entry.name.as_bstr()),
                        kind: entry.mode.kind(),
                        id: entry.id,
                        depth: place.depth + 1,
                        links: place.links,
                    });
                }
            }
        }
    }
    expansion.files.sort();
    expansion.unusable.sort();
    Ok(Some(expansion))
}

/// Something still to be expanded.
struct Place {
    path: BString,
    kind: EntryKind,
    id: gix::ObjectId,
    depth: usize,
    /// Links followed on the way.
    links: usize,
}
