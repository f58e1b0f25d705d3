//! Files that instructions of the target branch name to be read with them: `@docs/rules.md` in `CLAUDE.md` and its like,
//! `instructions` of opencode, `read` of aider. An agent reads them as instructions, so they are the target branch's too.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use git::{Mirror, TreeLimits};
use pipeline::ids::CommitId;

use super::is_instruction;
use crate::policy::Glob;

/// How far imports lead from one file to the next: agents follow five.
const HOPS_MAX: u32 = 5;
/// Files read for imports. A repository with more cannot be worked on, rather than half of it be the source branch's.
const FILES_MAX: usize = 1_000;
/// Bytes of a file that are looked at: agents cut instructions far earlier.
const BYTES_MAX: usize = 256 * 1024;

/// What the target branch's instructions import.
#[derive(Debug, Default)]
pub(super) struct Imports {
    files: BTreeSet<String>,
    /// Of opencode, which takes patterns.
    patterns: Vec<Glob>,
}

impl Imports {
    /// Reads them at `head`. Fails with [`git::Error::TooLarge`] where there are more than anybody writes.
    pub(super) fn read(mirror: &dyn Mirror, head: &CommitId) -> Result<Self, git::Error> {
        let tree = Tree::list(mirror, head)?;
        let mut imports = Self::default();
        let mut waiting: VecDeque<(String, u32)> =
            tree.instructions.iter().cloned().map(|path| (path, 0)).collect();
        let mut read = 0;
        while let Some((path, hops)) = waiting.pop_front() {
            let Some(file) = mirror.read_file(head, &path, BYTES_MAX)? else {
                continue;
            };
            read += 1;
            if read > FILES_MAX {
                return Err(git::Error::TooLarge {
                    what: "the number of files that instruct agents".to_owned(),
                    limit: FILES_MAX as u64,
                });
            }
            let text = String::from_utf8_lossy(&file.bytes);
            let named = named(&path, &text);
            imports.patterns.extend(named.patterns);
            for import in named.files {
                // A folder is only mentioned: no agent imports one.
                let is_new = !tree.folders.contains(&import) && imports.files.insert(import.clone());
                if is_new && hops < HOPS_MAX {
                    waiting.push_back((import, hops + 1));
                }
            }
        }
        Ok(imports)
    }

    /// Whether a path is imported, on whichever branch it is.
    pub(super) fn have(&self, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        self.files.contains(&*path) || self.patterns.iter().any(|pattern| pattern.matches(&path))
    }
}

/// The target branch's tree, as far as it matters here.
struct Tree {
    /// Files that instruct agents, and those in folders that do.
    instructions: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Tree {
    fn list(mirror: &dyn Mirror, head: &CommitId) -> Result<Self, git::Error> {
        let paths = RefCell::new(Vec::new());
        let note = |path: &[u8]| {
            paths
                .borrow_mut()
                .push(String::from_utf8_lossy(path).into_owned());
            false
        };
        // An overlay of nothing is a walk through the tree.
        mirror.overlay(head, None, &note, &TreeLimits::default())?;
        let paths = paths.into_inner();
        let folders = paths.iter().filter_map(|path| path.rsplit_once('/'));
        let folders = folders.map(|(folder, _)| folder.to_owned()).collect();
        let instructions = paths.into_iter().filter(|path| instructs(path)).collect();
        Ok(Self {
            instructions,
            folders,
        })
    }
}

/// Whether the path, or a folder it is in, instructs agents.
fn instructs(path: &str) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end])
        .any(|part| is_instruction(part.as_bytes()))
}

/// What one file names.
#[derive(Debug, Default, PartialEq)]
struct Named {
    files: BTreeSet<String>,
    patterns: Vec<Glob>,
}

fn named(path: &str, text: &str) -> Named {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_repository = |import: &str| resolve(folder, import);
    match name {
        "opencode.json" | "opencode.jsonc" | ".opencode.json" => {
            let paths = strings_after(text, "\"instructions\"").filter_map(|import| in_repository(&import));
            Named {
                patterns: paths.map(|path| Glob::exact(&format!("/{path}"))).collect(),
                ..Named::default()
            }
        }
        _ if name.starts_with(".aider.conf") => Named {
            files: read_by_aider(text).filter_map(in_repository).collect(),
            ..Named::default()
        },
        _ => Named {
            files: mentioned(text)
                .filter_map(|import| in_repository(&import))
                .collect(),
            ..Named::default()
        },
    }
}

/// Every `@path`, also within code, where agents leave it alone: what is not a file is nothing. A mark of punctuation at its end
/// may belong to the sentence, so both are taken.
fn mentioned(text: &str) -> impl Iterator<Item = String> + '_ {
    const PUNCTUATION: [char; 15] = [
        '.', ',', ';', ':', '!', '?', ')', ']', '}', '>', '\'', '"', '`', '*', '_',
    ];
    text.match_indices('@').flat_map(|(at, _)| {
        let mut word = String::new();
        let mut chars = text[at + 1..].chars();
        while let Some(c) = chars.next() {
            match c {
                // A space in a name is written so.
                '\\' => word.extend(chars.next()),
                c if c.is_whitespace() => break,
                c => word.push(c),
            }
        }
        let bare = word.trim_end_matches(PUNCTUATION).to_owned();
        [word, bare]
    })
}

/// The strings of the array or the one string that follows a key of JSON, with or without comments.
fn strings_after(text: &str, key: &str) -> impl Iterator<Item = String> {
    let after = text.split_once(key).map_or("", |(_, after)| after);
    let value = after.trim_start().trim_start_matches(':').trim_start();
    let value = match value.strip_prefix('[') {
        Some(array) => array.split(']').next().unwrap_or_default(),
        None => value.lines().next().unwrap_or_default(),
    };
    let strings: Vec<_> = value.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    strings.into_iter()
}

/// `read: a.md`, `read: [a.md, b.md]`, or a list on the lines that follow.
fn read_by_aider(text: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    let lines = text.lines().filter_map(move |line| {
        if let Some(value) = line.strip_prefix("read:") {
            within = true;
            return Some(value);
        }
        let item = line.trim_start().strip_prefix('-').filter(|_| within);
        within &= item.is_some() || line.trim().is_empty();
        item
    });
    lines
        .flat_map(|value| value.split(['[', ']', ',']))
        .map(|word| word.trim().trim_matches(['"', '\'']))
        .filter(|word| !word.is_empty())
}

/// The path in the repository that a file in `folder` names. `None` where it leads out of it.
fn resolve(folder: &str, import: &str) -> Option<String> {
    if import.starts_with(['/', '~']) {
        return None;
    }
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in import.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    (!names.is_empty()).then(|| names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str, text: &str) -> Vec<String> {
        named(path, text).files.into_iter().collect()
    }

    #[test]
    fn imports_are_found_wherever_they_stand() {
        let text = "See @docs/rules.md, @./style.md.\n- @../shared/a\\ b.md\n(@x/y.md) me@home `@code`";
        let found = files("sub/CLAUDE.md", text);
        for path in ["sub/docs/rules.md", "sub/style.md", "shared/a b.md", "sub/x/y.md"] {
            assert!(found.contains(&path.to_owned()), "{path}: {found:?}");
        }
        assert_eq!(files("CLAUDE.md", "no imports here, and none @ all"), [""; 0]);
    }

    #[test]
    fn what_leads_out_of_the_repository_is_no_import() {
        for import in ["@/etc/passwd", "@~/x.md", "@../x.md", "@sub/../../x.md", "@."] {
            assert_eq!(files("CLAUDE.md", import), [""; 0], "{import}");
        }
    }

    #[test]
    fn aider_reads_one_file_or_several() {
        for text in [
            "model: m\nread: [a.md, \"b.md\"]\nlint-cmd: x",
            "read:\n  - a.md\n\n  - 'b.md'\nauto: true\n  - c.md",
            "read:\n- a.md\n- b.md",
        ] {
            assert_eq!(files(".aider.conf.yml", text), ["a.md", "b.md"], "{text}");
        }
        assert_eq!(files(".aider.conf.yml", "read: a.md\n"), ["a.md"]);
    }

    #[test]
    fn opencode_takes_patterns() {
        let imports = Imports {
            patterns: named(
                "opencode.json",
                "{\"instructions\": [\"rules/*.md\", // all\n \"STYLE.md\"], \"model\": \"other.md\"}",
            )
            .patterns,
            ..Imports::default()
        };
        for (path, wanted) in [
            ("rules/a.md", true),
            ("STYLE.md", true),
            ("rules", false),
            ("rules/a.txt", false),
            ("sub/STYLE.md", false),
            ("style.md", false),
            ("other.md", false),
        ] {
            assert_eq!(imports.have(path.as_bytes()), wanted, "{path}");
        }
    }
}
