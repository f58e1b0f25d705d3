//! `search{pattern}`: the lines of the tree's files that match.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::{Dir, FileType};
use serde::Deserialize;

use super::Done;
use super::glob::Glob;
use super::tree::{Opened, PathError, Tree, TreeFile};

/// How many lines are shown; more are no answer.
const LINES_MAX: usize = 100;

/// How much of a line is shown.
const LINE_BYTES_MAX: usize = 240;

/// How many files and directories are looked at: more than the largest repositories have.
const ENTRIES_MAX: usize = 500_000;

/// How long a search may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The deepest directory that is looked into. Deeper ones are made to be in the way.
const DEPTH_MAX: usize = 100;

/// The largest compiled pattern.
const COMPILED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a file without text is recognised: a NUL among its first bytes.
const TEXT_PROBE_BYTES: usize = 8 * 1024;

/// Holds another program's objects, and nothing to be read.
const SKIPPED: &str = ".git";

#[derive(Deserialize)]
pub(super) struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    literal: Option<bool>,
    ignore_case: Option<bool>,
}

/// Searches and shows at most `bytes_max` bytes of what was found.
pub(super) fn run(tree: &Tree, arguments: Arguments, bytes_max: usize) -> Result<Done, String> {
    let step = format!("searched for `{}`", arguments.pattern.replace('`', "'"));
    let path = match arguments.path.as_deref() {
        None | Some("") => ".",
        Some(path) => path,
    };
    let mut search = Search {
        tree,
        pattern: compiled(&arguments)?,
        glob: arguments.glob.as_deref().map(Glob::new).transpose()?,
        shown: String::new(),
        bytes_max,
        lines: 0,
        files: 0,
        entries: 0,
        skipped: 0,
        until: Instant::now() + TIME_MAX,
        broken_off: None,
    };
    let start = clean(&tree.relative(path).map_err(|error| error.of(path))?);
    match tree.open_for_reading(path).map_err(|error| error.of(path))? {
        Opened::File(file) => search.file(&start, file),
        Opened::Directory(directory) => search.below(&start, directory),
    }
    Ok(Done {
        result: search.result(),
        step,
    })
}

fn compiled(arguments: &Arguments) -> Result<Regex, String> {
    let Arguments { pattern, .. } = arguments;
    if pattern.is_empty() {
        return Err("the pattern is empty".to_owned());
    }
    let expression = if arguments.literal == Some(true) {
        regex::escape(pattern)
    } else {
        pattern.clone()
    };
    RegexBuilder::new(&expression)
        .case_insensitive(arguments.ignore_case == Some(true))
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| format!("the pattern cannot be used: {error}\nFor plain text set literal to true"))
}

/// The path without `.` and `./`, as it is shown.
fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

struct Search<'a> {
    tree: &'a Tree,
    pattern: Regex,
    glob: Option<Glob>,
    shown: String,
    bytes_max: usize,
    lines: usize,
    files: usize,
    entries: usize,
    /// Files that could not be read, or are too large.
    skipped: usize,
    until: Instant,
    /// Why the rest was not searched.
    broken_off: Option<&'static str>,
}

impl Search<'_> {
    /// Searches everything below a directory, in the order of the names.
    fn below(&mut self, start: &Path, directory: OwnedFd) {
        let mut waiting = self.listed(start, &directory);
        drop(directory);
        while let Some(path) = waiting.pop() {
            if self.is_over() {
                return;
            }
            match self.tree.open_listed(&path) {
                Ok(Opened::File(file)) => {
                    if self
                        .glob
                        .as_ref()
                        .is_none_or(|glob| glob.matches(&path.to_string_lossy()))
                    {
                        self.file(&path, file);
                    }
                }
                Ok(Opened::Directory(directory)) => {
                    if path.components().count() < DEPTH_MAX {
                        waiting.append(&mut self.listed(&path, &directory));
                    } else {
                        self.skipped += 1;
                    }
                }
                // Links, devices and sockets hold no text of the repository.
                Err(PathError::NotAFile) => {}
                Err(_) => self.skipped += 1,
            }
        }
    }

    /// What a directory holds, last name first.
    fn listed(&mut self, path: &Path, directory: &OwnedFd) -> Vec<PathBuf> {
        let Ok(entries) = Dir::read_from(directory) else {
            self.skipped += 1;
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_bytes();
            if [b".".as_slice(), b"..", SKIPPED.as_bytes()].contains(&name)
                || entry.file_type() == FileType::Symlink
            {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                self.broken_off = Some("there are too many files");
                break;
            }
            found.push(path.join(OsStr::from_bytes(name)));
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found
    }

    fn file(&mut self, path: &Path, mut file: TreeFile) {
        let Ok(content) = file.read() else {
            self.skipped += 1;
            return;
        };
        self.files += 1;
        if content[..content.len().min(TEXT_PROBE_BYTES)].contains(&0) {
            return;
        }
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if self.pattern.is_match(line) {
                self.show(path, index + 1, line);
                if self.is_over() {
                    return;
                }
            }
        }
    }

    fn show(&mut self, path: &Path, number: usize, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
        let more = if line.len() > LINE_BYTES_MAX { "…" } else { "" };
        let shown = format!("{}:{number}: {text}{more}\n", path.display());
        if self.lines >= LINES_MAX || self.shown.len() + shown.len() > self.bytes_max {
            self.broken_off = Some("there are more matches than are shown; narrow the pattern, path or glob");
            return;
        }
        self.lines += 1;
        self.shown.push_str(&shown);
    }

    fn is_over(&mut self) -> bool {
        if self.broken_off.is_none() && Instant::now() > self.until {
            self.broken_off = Some("it took too long; give a path or a glob");
        }
        self.broken_off.is_some()
    }

    fn result(self) -> String {
        let Self {
            shown, lines, files, ..
        } = self;
        let mut notes = vec![
            format!("{lines} matching lines"),
            format!("{files} files searched"),
        ];
        if self.skipped > 0 {
            notes.push(format!("{} too large, too deep or unreadable", self.skipped));
        }
        notes.extend(self.broken_off.map(|why| format!("broken off: {why}")));
        format!("{shown}[{}]", notes.join("; "))
    }
}

#[cfg(test)]
mod tests;
