//! Which paths have to be looked at: a walk of the directory beside the commit's tree.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use rustix::fs::{AtFlags, FileType, OFlags};

use super::ignore::Ignores;
use super::names::{Folded, check_new, check_no_file};
use super::{Change, ChangeKind, Withheld, bare, open_beneath};
use crate::error::Error;
use crate::limits::TreeLimits;
use crate::tree::{self, Entry, join};

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) candidates: Vec<Candidate>,
    pub(super) removed: Vec<Change>,
    pub(super) left_out: Vec<String>,
    /// Whether the commit has a `.gitattributes` anywhere.
    pub(super) has_attributes: bool,
}

/// A file or link whose content has to be compared.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: BString,
    pub(super) is_link: bool,
    pub(super) old: Option<(EntryKind, gix::ObjectId)>,
}

/// Walks everything that is tracked or not ignored.
pub(super) fn walk(
    objects: &gix::OdbHandle,
    root: &OwnedFd,
    tree: gix::ObjectId,
    limits: &TreeLimits,
    withheld: &Withheld,
) -> Result<Walked, Error> {
    let mut walk = Walk {
        objects,
        root,
        limits,
        withheld,
        entries: 0,
        added: 0,
        ignores: Ignores::default(),
        buffer: Vec::new(),
        walked: Walked::default(),
    };
    walk.directory(Place {
        path: BString::default(),
        depth: 0,
        tree: Some(tree),
        ignored: false,
    })?;
    Ok(walk.walked)
}

struct Walk<'a> {
    objects: &'a gix::OdbHandle,
    root: &'a OwnedFd,
    limits: &'a TreeLimits,
    withheld: &'a Withheld,
    entries: u64,
    added: u64,
    ignores: Ignores,
    buffer: Vec<u8>,
    walked: Walked,
}

/// A directory to walk.
struct Place {
    path: BString,
    depth: usize,
    tree: Option<gix::ObjectId>,
    /// Only what is tracked counts below.
    ignored: bool,
}

/// What the names of one directory mean for each other.
struct NamesHere {
    folded: Folded,
    /// Together they would be taken for a repository.
    is_repository: bool,
}

impl NamesHere {
    /// Says why a name may not be taken. What the repository has already may stay.
    fn check(&mut self, name: &BStr, kind: FileType, old: Option<&Entry>) -> Result<(), String> {
        if let Some(old) = old {
            let as_it_was = match kind {
                FileType::Symlink => old.mode.is_link(),
                FileType::Directory => old.mode.is_tree() || old.mode.is_commit(),
                _ => true,
            };
            return if as_it_was { Ok(()) } else { check_no_file(name) };
        }
        check_new(name, kind == FileType::RegularFile)?;
        if self.is_repository && bare::is_part(name) {
            return Err("git would take its directory for a repository".to_owned());
        }
        if !self.folded.add(name) {
            return Err("other systems take it for the same as another name here".to_owned());
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Recursion is bounded by the limit on depth.
    fn directory(&mut self, place: Place) -> Result<(), Error> {
        if place.depth > self.limits.depth || place.path.len() > self.limits.path_bytes {
            self.leave_out(place.path.as_ref(), "it is too deep");
            return Ok(());
        }
        let Some(names) = self.names(place.path.as_ref())? else {
            return Ok(());
        };
        let mut tracked: BTreeMap<BString, Entry> = BTreeMap::new();
        if let Some(tree) = place.tree {
            let entries = tree::read(self.objects, tree, &mut self.buffer)?;
            tracked = entries
                .into_iter()
                .map(|entry| (entry.name.clone(), entry))
                .collect();
        }
        let is_repository = bare::is_repository(names.iter().map(|(name, _)| name));
        if is_repository && place.tree.is_none() {
            self.leave_out(place.path.as_ref(), "it is a git repository of its own");
            return Ok(());
        }
        self.walked.has_attributes |= tracked.contains_key(".gitattributes".as_bytes().as_bstr());
        let ignoring = !place.ignored
            && names
                .iter()
                .any(|(name, kind)| name == ".gitignore" && *kind == FileType::RegularFile)
            && self.ignores.enter(self.root, place.path.as_ref());
        let mut folded = Folded::default();
        for (name, _) in names.iter().filter(|(name, _)| tracked.contains_key(name)) {
            folded.add(name.as_ref());
        }
        let mut names_here = NamesHere {
            folded,
            is_repository,
        };
        for (name, kind) in names {
            let old = tracked.remove(&name);
            self.entry(&place, &mut names_here, &name, kind, old)?;
        }
        for (name, entry) in tracked {
            self.gone(join(place.path.as_ref(), name.as_ref()), &entry, place.depth)?;
        }
        if ignoring {
            self.ignores.leave();
        }
        Ok(())
    }

    /// What is in a directory, by name. `None` if it cannot be opened any more.
    fn names(&mut self, path: &BStr) -> Result<Option<Vec<(BString, FileType)>>, Error> {
        let io = |error: rustix::io::Errno| Error::io("reading a directory of the work tree")(error.into());
        let at: &[u8] = if path.is_empty() { b"." } else { path };
        let Ok(opened) = open_beneath(self.root, at, OFlags::RDONLY | OFlags::DIRECTORY) else {
            self.leave_out(path, "it cannot be opened");
            return Ok(None);
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&opened).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > self.limits.entries {
                let what = "the number of files in the work tree".to_owned();
                return Err(Error::ChangeTooLarge {
                    what,
                    limit: self.limits.entries,
                });
            }
            let kind = match entry.file_type() {
                FileType::Unknown => rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                kind => kind,
            };
            names.push((BString::from(name.to_bytes()), kind));
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(names))
    }

    fn entry(
        &mut self,
        place: &Place,
        names_here: &mut NamesHere,
        name: &BString,
        kind: FileType,
        old: Option<Entry>,
    ) -> Result<(), Error> {
        let path = join(place.path.as_ref(), name.as_ref());
        if name == ".git" {
            if place.depth > 0 && !place.ignored {
                self.leave_out(
                    path.as_ref(),
                    "it belongs to a nested repository; the files beside it are kept",
                );
            }
            return Ok(());
        }
        let is_directory = kind == FileType::Directory;
        let ignored = place.ignored
            || ((is_directory || old.is_none()) && self.ignores.matches(path.as_ref(), is_directory));
        if ignored && old.is_none() {
            return Ok(());
        }
        if let Some(why) = self.withheld.get(&path).cloned() {
            self.leave_out(path.as_ref(), &why);
            return Ok(());
        }
        if let Err(why) = names_here.check(name.as_ref(), kind, old.as_ref()) {
            self.leave_out(path.as_ref(), &why);
            return Ok(());
        }
        match kind {
            FileType::Directory => self.found_directory(place, path, ignored, old),
            FileType::RegularFile | FileType::Symlink => {
                self.found_file(path, kind == FileType::Symlink, old, place.depth)
            }
            _ => {
                self.leave_out(
                    path.as_ref(),
                    "it is neither a file nor a directory nor a symbolic link",
                );
                Ok(())
            }
        }
    }

    fn found_directory(
        &mut self,
        place: &Place,
        path: BString,
        ignored: bool,
        old: Option<Entry>,
    ) -> Result<(), Error> {
        let depth = place.depth + 1;
        match old {
            // A submodule: its content is another repository's.
            Some(entry) if entry.mode.is_commit() => Ok(()),
            Some(entry) if entry.mode.is_tree() => self.directory(Place {
                path,
                depth,
                tree: Some(entry.id),
                ignored,
            }),
            Some(entry) => {
                self.gone(path.clone(), &entry, place.depth)?;
                if ignored {
                    Ok(())
                } else {
                    self.directory(Place {
                        path,
                        depth,
                        tree: None,
                        ignored,
                    })
                }
            }
            None => self.directory(Place {
                path,
                depth,
                tree: None,
                ignored,
            }),
        }
    }

    fn found_file(
        &mut self,
        path: BString,
        is_link: bool,
        old: Option<Entry>,
        depth: usize,
    ) -> Result<(), Error> {
        let old = match old {
            Some(entry) if entry.mode.is_commit() => {
                self.leave_out(path.as_ref(), "it stands where a submodule is");
                return Ok(());
            }
            Some(entry) if entry.mode.is_tree() => {
                self.gone(path.clone(), &entry, depth)?;
                None
            }
            old => old.map(|entry| (entry.mode.kind(), entry.id)),
        };
        if old.is_none() {
            self.added += 1;
            if self.added > self.limits.changed_files {
                let what = "the number of added files".to_owned();
                return Err(Error::ChangeTooLarge {
                    what,
                    limit: self.limits.changed_files,
                });
            }
        }
        self.walked.candidates.push(Candidate { path, is_link, old });
        Ok(())
    }

    /// Tracked and not there any more. A submodule's directory means nothing: nobody has filled it.
    fn gone(&mut self, path: BString, entry: &Entry, depth: usize) -> Result<(), Error> {
        if let Some(why) = self.withheld.get(&path).cloned() {
            self.leave_out(path.as_ref(), &why);
            return Ok(());
        }
        match entry.mode.kind() {
            EntryKind::Commit => {}
            EntryKind::Tree => {
                if depth > self.limits.depth {
                    return Err(Error::TooLarge {
                        what: "the tree's depth".to_owned(),
                        limit: self.limits.depth as u64,
                    });
                }
                for below in tree::read(self.objects, entry.id, &mut self.buffer)? {
                    self.walked.has_attributes |= below.name == ".gitattributes";
                    self.gone(join(path.as_ref(), below.name.as_ref()), &below, depth + 1)?;
                }
            }
            EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                self.walked.removed.push(Change {
                    kind: ChangeKind::Removed,
                    bytes: 0,
                    path,
                    blob: None,
                });
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &BStr, why: &str) {
        self.walked.left_out.push(format!(
            "`{}` was left out: {why}",
            path.as_bytes().escape_ascii()
        ));
    }
}
