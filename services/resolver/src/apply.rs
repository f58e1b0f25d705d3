//! Apply: a kept patch put onto a tree that nobody else works in, all of it or nothing.
//!
//! Reads what `git::Patch` writes. What it cannot carry without doubt (binary files, links, names that need quoting, lines
//! that are no longer there) is refused, and the tree stays as it is.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

/// How far from where a hunk was its lines are looked for: as far as anybody moves code within a file.
const OFFSET_MAX: usize = 2_000;

/// Why a patch is not applied, in words.
#[derive(Debug)]
pub(crate) struct NotApplied(pub(crate) String);

/// One file of a patch.
#[derive(Debug, Default, PartialEq, Eq)]
struct FilePatch {
    path: String,
    is_new: bool,
    is_deleted: bool,
    /// Whether it is to be executable, where the patch says so.
    executable: Option<bool>,
    hunks: Vec<Hunk>,
}

/// Lines with their line ends; the last one of a file may have none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    /// Where the old lines begin, from 0.
    at: usize,
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
}

/// What becomes of one file.
struct Written {
    path: PathBuf,
    content: Option<Vec<u8>>,
    executable: Option<bool>,
}

/// Applies `patch` to the files below `tree`. An error leaves the tree as it is, unless the disk itself fails.
pub(crate) fn apply(patch: &[u8], tree: &Path) -> Result<(), NotApplied> {
    let files = parse(patch)?;
    let written: Vec<Written> = files
        .iter()
        .map(|file| changed(file, tree))
        .collect::<Result<_, _>>()?;
    for file in written {
        write(&file).map_err(|error| NotApplied(format!("{}: {error}", shown(&file.path, tree))))?;
    }
    Ok(())
}

fn shown(path: &Path, tree: &Path) -> String {
    path.strip_prefix(tree).unwrap_or(path).display().to_string()
}

fn write(file: &Written) -> io::Result<()> {
    let Some(content) = &file.content else {
        return std::fs::remove_file(&file.path);
    };
    if let Some(directory) = file.path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&file.path, content)?;
    if let Some(executable) = file.executable {
        let mode = if executable { 0o755 } else { 0o644 };
        std::fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// What a file is to be after the patch.
fn changed(file: &FilePatch, tree: &Path) -> Result<Written, NotApplied> {
    let path = below(tree, &file.path)?;
    let not = |why: &str| NotApplied(format!("{}: {why}", file.path));
    let written = |content| Written {
        path: path.clone(),
        content,
        executable: file.executable,
    };
    let before = match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.is_file() => return Err(not("it is not a file any more")),
        Ok(_) if file.is_new => return Err(not("it is there already")),
        Ok(_) => std::fs::read(&path).map_err(|error| not(&error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_new => Vec::new(),
        Err(_) => return Err(not("it is not there any more")),
    };
    let after = patched(&before, &file.hunks).ok_or_else(|| not("its lines have changed"))?;
    if file.is_deleted {
        return if after.is_empty() {
            Ok(written(None))
        } else {
            Err(not("its lines have changed"))
        };
    }
    Ok(written(Some(after)))
}

/// The path below the tree; no part of it may be a link, which could lead out of the tree.
fn below(tree: &Path, path: &str) -> Result<PathBuf, NotApplied> {
    let not = || NotApplied(format!("{path}: it is not a path below the tree"));
    let mut whole = tree.to_owned();
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else {
            return Err(not());
        };
        whole.push(name);
        match std::fs::symlink_metadata(&whole) {
            Ok(found) if found.is_symlink() => return Err(not()),
            _ => {}
        }
    }
    if whole == tree { Err(not()) } else { Ok(whole) }
}

/// The content with all hunks in their places; nothing where one has none.
fn patched(before: &[u8], hunks: &[Hunk]) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = before.split_inclusive(|&byte| byte == b'\n').collect();
    let mut after = Vec::with_capacity(before.len());
    // Where the next hunk may begin, and how far the last one was from where it was expected.
    let (mut from, mut moved) = (0_usize, 0_isize);
    for hunk in hunks {
        let expected = hunk.at.saturating_add_signed(moved).max(from);
        let at = place(&lines, &hunk.old, from, expected)?;
        moved = isize::try_from(at).ok()? - isize::try_from(hunk.at).ok()?;
        after.extend(lines[from..at].concat());
        after.extend(hunk.new.concat());
        from = at + hunk.old.len();
    }
    after.extend(lines[from..].concat());
    Some(after)
}

/// Where the old lines are, as near as possible to where they are expected.
fn place(lines: &[&[u8]], old: &[Vec<u8>], from: usize, expected: usize) -> Option<usize> {
    let last = lines.len().checked_sub(old.len())?;
    let fits = |at: usize| {
        (from..=last).contains(&at)
            && lines[at..at + old.len()]
                .iter()
                .zip(old)
                .all(|(have, want)| *have == want.as_slice())
    };
    if old.is_empty() {
        // Nothing to find the place by: only where it was said to be.
        return fits(expected).then_some(expected);
    }
    (0..=OFFSET_MAX).find_map(|offset| {
        let around = [expected.checked_sub(offset), expected.checked_add(offset)];
        around.into_iter().flatten().find(|&at| fits(at))
    })
}

fn parse(patch: &[u8]) -> Result<Vec<FilePatch>, NotApplied> {
    let mut files: Vec<FilePatch> = Vec::new();
    let mut lines = patch.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if let Some(names) = line.strip_prefix(b"diff --git ") {
            files.push(FilePatch {
                path: name(names)?,
                ..FilePatch::default()
            });
            continue;
        }
        let Some(file) = files.last_mut() else {
            return Err(NotApplied("it does not begin with a file".to_owned()));
        };
        if let Some(header) = line.strip_prefix(b"@@ -") {
            let (at, old_count, new_count) = range(header)?;
            let mut hunk = Hunk {
                at,
                ..Hunk::default()
            };
            while hunk.old.len() < old_count || hunk.new.len() < new_count {
                let line = lines.next().ok_or_else(broken)?;
                // The mark behind a line says that it is its file's last one and has no end.
                let ends = lines.next_if(|next| next.starts_with(b"\\")).is_none();
                hunk.take(if ends {
                    line
                } else {
                    line.strip_suffix(b"\n").unwrap_or(line)
                })?;
            }
            file.hunks.push(hunk);
        } else {
            file.header(line)?;
        }
    }
    Ok(files)
}

fn broken() -> NotApplied {
    NotApplied("it cannot be read".to_owned())
}

impl FilePatch {
    /// One line between `diff --git` and the first hunk.
    fn header(&mut self, line: &[u8]) -> Result<(), NotApplied> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if let Some(mode) = text.strip_prefix("new file mode ") {
            self.is_new = true;
            self.executable = Some(self.mode(mode)?);
        } else if let Some(mode) = text.strip_prefix("new mode ") {
            self.executable = Some(self.mode(mode)?);
        } else if let Some(mode) = text.strip_prefix("deleted file mode ") {
            self.mode(mode)?;
            self.is_deleted = true;
        } else if text.starts_with("GIT binary patch") {
            return Err(NotApplied(format!("{}: it is binary", self.path)));
        } else if !["old mode ", "index ", "--- ", "+++ "]
            .iter()
            .any(|known| text.starts_with(known))
        {
            return Err(broken());
        }
        Ok(())
    }

    /// Whether the mode is that of a program; links and submodules are none that lines can be put into.
    fn mode(&self, mode: &str) -> Result<bool, NotApplied> {
        match mode {
            "100644" => Ok(false),
            "100755" => Ok(true),
            _ => Err(NotApplied(format!("{}: it is not a file", self.path))),
        }
    }
}

impl Hunk {
    fn take(&mut self, line: &[u8]) -> Result<(), NotApplied> {
        let (sign, text) = line.split_first().ok_or_else(broken)?;
        match sign {
            b' ' => {
                self.old.push(text.to_vec());
                self.new.push(text.to_vec());
            }
            b'-' => self.old.push(text.to_vec()),
            b'+' => self.new.push(text.to_vec()),
            _ => return Err(broken()),
        }
        Ok(())
    }
}

/// `a/path b/path`, both the same.
fn name(names: &[u8]) -> Result<String, NotApplied> {
    let names = String::from_utf8(names.to_vec()).map_err(|_| broken())?;
    let names = names.trim_end_matches('\n');
    if names.starts_with('"') {
        return Err(NotApplied(format!("{names}: a name of this kind is not taken")));
    }
    let path = names
        .len()
        .checked_sub("a/ b/".len())
        .and_then(|both| names.get("a/".len()..)?.get(..both / 2))
        .ok_or_else(broken)?;
    if names == format!("a/{path} b/{path}") {
        Ok(path.to_owned())
    } else {
        Err(broken())
    }
}

/// Of `1,2 +3,4 @@ ...`: where the old lines begin, from 0, and how many old and new ones there are.
fn range(header: &[u8]) -> Result<(usize, usize, usize), NotApplied> {
    let text = String::from_utf8_lossy(header);
    let read = || -> Option<(usize, usize, usize)> {
        let (old, rest) = text.split_once(" +")?;
        let (new, _) = rest.split_once(" @@")?;
        let side = |side: &str| -> Option<(usize, usize)> {
            let (start, count) = side.split_once(',').unwrap_or((side, "1"));
            Some((start.parse().ok()?, count.parse().ok()?))
        };
        let ((start, old), (_, new)) = (side(old)?, side(new)?);
        // Without old lines the number is that of the line before.
        let at = if old == 0 { start } else { start.checked_sub(1)? };
        Some((at, old, new))
    };
    read().ok_or_else(broken)
}

#[cfg(test)]
mod tests;
