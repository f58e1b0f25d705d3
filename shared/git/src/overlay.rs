//! A work tree in which some paths are another branch's: the source commit with everything a predicate selects made
//! equal to the target commit, as a commit of its own that is never pushed. An agent works on that; what it changed is
//! read against that; and the commit that is pushed goes on top of the source, which never saw the other branch's.

use std::collections::BTreeMap;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use pipeline::ids::CommitId;

use crate::change::Change;
use crate::commit::{CommitRequest, Identity, write_commit};
use crate::error::Error;
use crate::limits::TreeLimits;
use crate::mirror::tree_of;
use crate::tree::{self, Entry, join};

mod expand;

use expand::{Expansion, expand};

/// What an agent gets to see, and in which paths that is not what the source branch has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The commit to check out; the source commit itself where nothing differs.
    pub commit: CommitId,
    /// The selected paths that differ between the branches, the outermost of each, in order.
    pub overlaid: Vec<Overlaid>,
}

/// A selected file or directory that is the target's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlaid {
    /// What was done.
    pub how: How,
    path: BString,
}

/// What was done to a path of the source branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Both branches have it, and the target's is used.
    Replaced,
    /// Only the target branch has it.
    Added,
    /// Only the source branch has it, or the target's leads out of its tree: there is none.
    Removed,
}

impl Overlay {
    /// The overlaid path that a change made on the overlay cannot be told apart from: the change is below it, is it,
    /// or put a file where its directory was. On the source branch such a change would mean something else.
    pub fn covering(&self, change: &Change) -> Option<&Overlaid> {
        self.overlaid.iter().find(|overlaid| {
            is_or_below(&change.path, &overlaid.path)
                || (change.blob.is_some() && is_or_below(&overlaid.path, &change.path))
        })
    }
}

impl Overlaid {
    /// The path below the work tree as text, for people.
    pub fn path_lossy(&self) -> String {
        self.path.to_str_lossy().into_owned()
    }
}

fn is_or_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The mirror's part of [`crate::Mirror::overlay`].
pub(crate) fn overlay(
    repo: &gix::Repository,
    source: &CommitId,
    target: Option<&CommitId>,
    selects: &dyn Fn(&[u8]) -> bool,
    limits: &TreeLimits,
) -> Result<Overlay, Error> {
    let objects = &repo.objects;
    let source_root = tree_of(repo, source)?;
    let target_root = target.map(|target| tree_of(repo, target)).transpose()?;
    let mut editor = repo.edit_tree(source_root).map_err(Error::damaged)?;
    let mut overlaid = Vec::new();
    for selected in select(objects, source_root, target_root, selects, limits)? {
        let path = selected.path.as_bstr();
        let expanded = |root, entry: &Entry| expand(objects, root, path, entry, limits);
        let ours = selected
            .source
            .as_ref()
            .map(|entry| expanded(source_root, entry))
            .transpose()?;
        let theirs = match (&selected.target, target_root) {
            (Some(entry), Some(root)) => Some(whole(expanded(root, entry)?, path)?),
            _ => None,
        };
        if matches!((&ours, &theirs), (Some(Some(ours)), Some(theirs)) if ours == theirs) {
            continue;
        }
        if selected.source.is_some() {
            editor.remove(path.as_bstr()).map_err(Error::damaged)?;
        }
        let files = theirs.map(|theirs| theirs.files).unwrap_or_default();
        let how = match (selected.source.is_some(), files.is_empty()) {
            (true, false) => How::Replaced,
            (false, false) => How::Added,
            (true, true) => How::Removed,
            // A link of the target's that leads nowhere: neither branch has a file there.
            (false, true) => continue,
        };
        for (path, kind, id) in files {
            editor.upsert(path.as_bstr(), kind, id).map_err(Error::damaged)?;
        }
        let path = selected.path;
        overlaid.push(Overlaid { how, path });
    }
    if overlaid.is_empty() {
        let commit = source.clone();
        return Ok(Overlay { commit, overlaid });
    }
    overlaid.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = editor.write().map_err(Error::damaged)?.detach();
    let commit = write_commit(repo, &as_seen(source), tree, source)?;
    Ok(Overlay { commit, overlaid })
}

/// The mirror's part of [`crate::Mirror::changed_by`].
pub(crate) fn changed_by(
    repo: &gix::Repository,
    base: &CommitId,
    source: &CommitId,
    overlaid: Vec<Overlaid>,
) -> Result<Vec<Overlaid>, Error> {
    let (base, source) = (tree_of(repo, base)?, tree_of(repo, source)?);
    let at = |root: gix::ObjectId, path: &BString| -> Result<_, Error> {
        let tree = repo.find_tree(root).map_err(Error::damaged)?;
        let components = path.split_str("/");
        let entry = tree.lookup_entry(components).map_err(Error::damaged)?;
        Ok(entry.map(|entry| (entry.mode(), entry.object_id())))
    };
    let mut changed = Vec::new();
    for overlaid in overlaid {
        if at(base, &overlaid.path)? != at(source, &overlaid.path)? {
            changed.push(overlaid);
        }
    }
    Ok(changed)
}

/// The target's is used, so all of it has to be known.
fn whole(theirs: Option<Expansion>, path: &BStr) -> Result<Expansion, Error> {
    theirs.ok_or_else(|| Error::TooLarge {
        what: format!(
            "the number of files in {} of the target branch",
            path.escape_ascii()
        ),
        limit: expand::ENTRIES_MAX as u64,
    })
}

/// The same commit for the same trees, so that repeated attempts add nothing to the mirror.
fn as_seen(source: &CommitId) -> CommitRequest {
    let nobody = Identity {
        name: "resolver".to_owned(),
        email: "resolver@bot.invalid".to_owned(),
    };
    CommitRequest {
        parent: source.clone(),
        directory: std::path::PathBuf::new(),
        changes: Vec::new(),
        author: nobody.clone(),
        committer: nobody,
        message: "What an agent sees; never pushed\n".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        merges: None,
    }
}

/// A selected path and what each branch has there.
struct Selected {
    path: BString,
    source: Option<Entry>,
    target: Option<Entry>,
}

/// A directory of the source branch, and the target branch's of the same path.
struct Place {
    path: BString,
    depth: usize,
    source: gix::ObjectId,
    target: Option<gix::ObjectId>,
}

/// Walks the source's directories beside the target's. A directory that only the target has is not entered: where the
/// source branch has no such directory, its instructions are about nothing.
fn select(
    objects: &gix::OdbHandle,
    source: gix::ObjectId,
    target: Option<gix::ObjectId>,
    selects: &dyn Fn(&[u8]) -> bool,
    limits: &TreeLimits,
) -> Result<Vec<Selected>, Error> {
    let mut selected = Vec::new();
    let mut buffer = Vec::new();
    let mut entries = 0;
    let mut waiting = vec![Place {
        path: BString::default(),
        depth: 0,
        source,
        target,
    }];
    while let Some(place) = waiting.pop() {
        check_depth(place.depth, limits)?;
        let ours = tree::read(objects, place.source, &mut buffer)?;
        entries += ours.len() as u64;
        if entries > limits.entries {
            return Err(Error::TooLarge {
                what: "the tree's number of entries".to_owned(),
                limit: limits.entries,
            });
        }
        let mut theirs = match place.target {
            Some(target) if target == place.source => by_name(ours.clone()),
            Some(target) => by_name(tree::read(objects, target, &mut buffer)?),
            None => BTreeMap::new(),
        };
        for entry in ours {
            let path = join(place.path.as_bstr(), entry.name.as_bstr());
            let beside = theirs.remove(&entry.name);
            if selects(&path) {
                selected.push(Selected {
                    path,
                    source: Some(entry),
                    target: beside,
                });
            } else if entry.mode.kind() == EntryKind::Tree {
                waiting.push(Place {
                    path,
                    depth: place.depth + 1,
                    source: entry.id,
                    target: beside
                        .filter(|beside| beside.mode.is_tree())
                        .map(|beside| beside.id),
                });
            }
        }
        for (name, entry) in theirs {
            let path = join(place.path.as_bstr(), name.as_bstr());
            if selects(&path) {
                selected.push(Selected {
                    path,
                    source: None,
                    target: Some(entry),
                });
            }
        }
    }
    Ok(selected)
}

fn by_name(entries: Vec<Entry>) -> BTreeMap<BString, Entry> {
    entries
        .into_iter()
        .map(|entry| (entry.name.clone(), entry))
        .collect()
}

fn check_depth(depth: usize, limits: &TreeLimits) -> Result<(), Error> {
    if depth <= limits.depth {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "the tree's depth".to_owned(),
        limit: limits.depth as u64,
    })
}
