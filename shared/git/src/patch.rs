//! What changed between two commits, as text that `git apply` takes, with the numbers for a reply.

use std::fmt::Write as _;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::{EntryKind, EntryMode};
use gix::objs::{FindExt as _, TreeRefIter};
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::tree_of;

mod binary;
mod hunks;

/// A blob with a NUL in its beginning is binary; git looks this far.
const BINARY_LOOK_BYTES: usize = 8_000;
/// Files with more bytes than this are not compared line by line.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// Lines of changed files, both sides together, that one patch compares: about a second's work where few of them are
/// distinct, for which comparing takes the square of their number. Files beyond are written as if they were binary.
const COMPARED_LINES_MAX: usize = 200_000;

/// A change between two commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Unified diff; bytes, because files need not be text.
    pub text: Vec<u8>,
    /// Files that changed.
    pub files: u32,
    /// Lines added, in files that are text.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// The new content of files that are binary, of which the text has a packed form only.
    pub binary: Vec<BinaryFile>,
}

/// A file without lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryFile {
    /// Below the work tree, with `/`; what is not text in it is replaced.
    pub path: String,
    /// What is in it now.
    pub content: Vec<u8>,
}

/// One side of a changed file.
struct Side {
    mode: EntryMode,
    id: gix::ObjectId,
    content: Vec<u8>,
}

/// The mirror's part of [`crate::Mirror::patch`].
pub(crate) fn patch(repo: &gix::Repository, old: &CommitId, new: &CommitId) -> Result<Patch, Error> {
    use gix_diff::tree::recorder::Change;
    let (mut old_bytes, mut new_bytes) = (Vec::new(), Vec::new());
    let (old, new) = (tree_of(repo, old)?, tree_of(repo, new)?);
    let old = repo
        .objects
        .find_tree_iter(&old, &mut old_bytes)
        .map_err(Error::damaged)?;
    let new: TreeRefIter<'_> = repo
        .objects
        .find_tree_iter(&new, &mut new_bytes)
        .map_err(Error::damaged)?;
    let mut recorder = gix_diff::tree::Recorder::default();
    gix_diff::tree(
        old,
        new,
        gix_diff::tree::State::default(),
        &repo.objects,
        &mut recorder,
    )
    .map_err(Error::damaged)?;
    let mut files: Vec<(BString, _, _)> = Vec::new();
    for change in recorder.records {
        match change {
            Change::Addition {
                entry_mode,
                oid,
                path,
                ..
            } => files.push((path, None, Some((entry_mode, oid)))),
            Change::Deletion {
                entry_mode,
                oid,
                path,
                ..
            } => files.push((path, Some((entry_mode, oid)), None)),
            Change::Modification {
                previous_entry_mode,
                previous_oid,
                entry_mode,
                oid,
                path,
            } => {
                files.push((
                    path,
                    Some((previous_entry_mode, previous_oid)),
                    Some((entry_mode, oid)),
                ));
            }
        }
    }
    files.retain(|(_, old, new)| {
        !old.or(*new).is_some_and(|(mode, _)| mode.is_tree()) || is_type_change(*old, *new)
    });
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let mut patch = Patch::default();
    let mut lines_left = COMPARED_LINES_MAX;
    for (path, old, new) in files {
        let not_tree = |side: Option<(EntryMode, gix::ObjectId)>| side.filter(|(mode, _)| !mode.is_tree());
        let (old, new) = (side(repo, not_tree(old))?, side(repo, not_tree(new))?);
        if old.is_some() || new.is_some() {
            patch.file(path.as_ref(), old, new, &mut lines_left)?;
        }
    }
    Ok(patch)
}

/// A tree that became a file or the other way round; the file's side counts, the tree's files come by themselves.
fn is_type_change(old: Option<(EntryMode, gix::ObjectId)>, new: Option<(EntryMode, gix::ObjectId)>) -> bool {
    matches!((old, new), (Some((old, _)), Some((new, _))) if old.is_tree() != new.is_tree())
}

fn side(repo: &gix::Repository, entry: Option<(EntryMode, gix::ObjectId)>) -> Result<Option<Side>, Error> {
    let Some((mode, id)) = entry else { return Ok(None) };
    let content = if mode.is_commit() {
        format!("Subproject commit {id}\n").into_bytes()
    } else {
        repo.find_blob(id).map_err(Error::damaged)?.take_data()
    };
    Ok(Some(Side { mode, id, content }))
}

impl Patch {
    fn file(
        &mut self,
        path: &BStr,
        old: Option<Side>,
        new: Option<Side>,
        lines_left: &mut usize,
    ) -> Result<(), Error> {
        self.files = self.files.saturating_add(1);
        match (old, new) {
            // `git apply` cannot turn a file into a link in one step.
            (Some(old), Some(new)) if kind(&old) != kind(&new) => {
                self.one(path, Some(old), None, false)?;
                self.one(path, None, Some(new), false)
            }
            (old, new) => {
                let too_long = !may_be_compared(old.as_ref(), new.as_ref(), lines_left);
                self.one(path, old, new, too_long)
            }
        }
    }

    fn one(
        &mut self,
        path: &BStr,
        old: Option<Side>,
        new: Option<Side>,
        too_long: bool,
    ) -> Result<(), Error> {
        let (a, b) = (quoted("a/", path), quoted("b/", path));
        let mut header = BString::from("diff --git ");
        header.extend_from_slice(&a);
        header.push(b' ');
        header.extend_from_slice(&b);
        header.push(b'\n');
        let mut modes = String::new();
        match (&old, &new) {
            (None, Some(new)) => writeln!(modes, "new file mode {}", octal(new)),
            (Some(old), None) => writeln!(modes, "deleted file mode {}", octal(old)),
            (Some(old), Some(new)) if old.mode != new.mode => {
                writeln!(modes, "old mode {}\nnew mode {}", octal(old), octal(new))
            }
            _ => Ok(()),
        }
        .expect("writing to a string");
        header.extend_from_slice(modes.as_bytes());
        self.text.extend_from_slice(&header);
        let id = |side: &Option<Side>| {
            side.as_ref()
                .map_or(gix::ObjectId::null(gix::hash::Kind::Sha1), |side| side.id)
        };
        if id(&old) == id(&new) {
            return Ok(());
        }
        let index = format!("index {}..{}", id(&old), id(&new));
        self.text.extend_from_slice(index.as_bytes());
        if let (Some(old), Some(new)) = (&old, &new)
            && old.mode == new.mode
        {
            self.text.extend_from_slice(format!(" {}", octal(old)).as_bytes());
        }
        self.text.push(b'\n');
        let is_binary_side = |side: &Option<Side>| side.as_ref().is_some_and(|side| is_binary(&side.content));
        let without_lines = too_long || is_binary_side(&old) || is_binary_side(&new);
        if let Some(side) = &new
            && without_lines
        {
            self.binary.push(BinaryFile {
                path: path.to_str_lossy().into_owned(),
                content: side.content.clone(),
            });
        }
        self.content((a, b), old.as_ref(), new.as_ref(), without_lines)
    }

    fn content(
        &mut self,
        (a, b): (BString, BString),
        old: Option<&Side>,
        new: Option<&Side>,
        without_lines: bool,
    ) -> Result<(), Error> {
        let bytes = |side: Option<&Side>| side.map(|side| side.content.clone()).unwrap_or_default();
        let (old_bytes, new_bytes) = (bytes(old), bytes(new));
        if without_lines {
            return binary::write(&mut self.text, &old_bytes, &new_bytes);
        }
        if old_bytes.is_empty() && new_bytes.is_empty() {
            return Ok(());
        }
        for (sign, name, side) in [("--- ", a, old), ("+++ ", b, new)] {
            self.text.extend_from_slice(sign.as_bytes());
            if side.is_some() {
                self.text.extend_from_slice(&name);
                // git ends a name with a tab where a space in it could be taken for the beginning of a date.
                if name.contains(&b' ') {
                    self.text.push(b'\t');
                }
            } else {
                self.text.extend_from_slice(b"/dev/null");
            }
            self.text.push(b'\n');
        }
        let counted = hunks::write(&mut self.text, &old_bytes, &new_bytes)?;
        self.added = self.added.saturating_add(counted.added);
        self.removed = self.removed.saturating_add(counted.removed);
        Ok(())
    }
}

/// Whether two texts may still be compared line by line; if so, their lines are taken from what is left.
fn may_be_compared(old: Option<&Side>, new: Option<&Side>, lines_left: &mut usize) -> bool {
    // A text beside nothing is not compared.
    let (Some(old), Some(new)) = (old, new) else {
        return true;
    };
    if is_binary(&old.content) || is_binary(&new.content) {
        return true;
    }
    let lines = [old, new].map(|side| side.content.lines().count());
    match lines_left.checked_sub(lines.iter().sum()) {
        Some(left) => {
            *lines_left = left;
            true
        }
        None => false,
    }
}

fn kind(side: &Side) -> EntryKind {
    match side.mode.kind() {
        EntryKind::BlobExecutable => EntryKind::Blob,
        kind => kind,
    }
}

fn octal(side: &Side) -> String {
    format!("{:06o}", side.mode.value())
}

fn is_binary(content: &[u8]) -> bool {
    content.len() > TEXT_BYTES_MAX || content[..content.len().min(BINARY_LOOK_BYTES)].contains(&0)
}

/// A path as git writes it in a header: in quotes with C escapes where it has anything special.
fn quoted(prefix: &str, path: &BStr) -> BString {
    let special = |byte: u8| !(0x20..0x7f).contains(&byte) || matches!(byte, b'"' | b'\\');
    let mut text = BString::from(prefix);
    if !path.bytes().any(special) {
        text.extend_from_slice(path);
        return text;
    }
    text.insert(0, b'"');
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            byte if special(byte) => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            byte => text.push(byte),
        }
    }
    text.push(b'"');
    text
}
