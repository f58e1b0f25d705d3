//! Names that an agent may not add: what some system takes for something else than it is here. What is in the
//! repository already stays, whatever it is called.

use std::collections::HashSet;

use gix::bstr::{BStr, ByteSlice};
use gix::validate::path::component::{self, Mode};
use unicode_normalization::UnicodeNormalization as _;

/// Names that git acts upon, and that must be files: git refuses to read these through a link.
const FILES_ONLY: [&str; 4] = [".gitmodules", ".gitattributes", ".gitignore", ".mailmap"];

/// The names of one directory, as systems see them that tell neither upper from lower case nor a letter with an accent
/// from a letter and an accent.
#[derive(Default)]
pub(super) struct Folded(HashSet<String>);

impl Folded {
    /// Takes a name up; `false` if one that such a system takes for the same is there already.
    pub(super) fn add(&mut self, name: &BStr) -> bool {
        self.0.insert(fold(name))
    }
}

/// Why a name may not be added, as a file or as a link or directory.
pub(super) fn check_new(name: &BStr, is_file: bool) -> Result<(), String> {
    if name.contains(&b'\\') {
        return Err("its name has a backslash, which separates directories on Windows".to_owned());
    }
    if name.to_str_lossy().chars().any(char::is_control) {
        return Err("its name has control characters".to_owned());
    }
    let options = component::Options {
        protect_windows: true,
        protect_hfs: true,
        protect_ntfs: true,
    };
    let checked = |mode| gix::validate::path::component(name, mode, options);
    if let Err(why) = checked(None) {
        return Err(format!("its name cannot be used everywhere ({why})"));
    }
    // As a link it would be refused, so some system takes it for that file.
    if name != ".gitmodules"
        && matches!(
            checked(Some(Mode::Symlink)),
            Err(component::Error::SymlinkedGitModules)
        )
    {
        return Err("its name stands for `.gitmodules` on other systems".to_owned());
    }
    if is_file { Ok(()) } else { check_no_file(name) }
}

/// Why a name may not become a link or a directory.
pub(super) fn check_no_file(name: &BStr) -> Result<(), String> {
    if FILES_ONLY.contains(&fold(name).as_str()) {
        return Err("git acts upon this name, so it has to be a file".to_owned());
    }
    Ok(())
}

/// In one case and taken apart, without what HFS+ skips when it compares names. By way of the upper case, as letters like
/// `ſ` have no other lower one.
fn fold(name: &BStr) -> String {
    name.to_str_lossy()
        .chars()
        .filter(|c| {
            !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
        })
        .nfd()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfd()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_elsewhere_are_refused() {
        for name in [
            ".git",
            ".GIT",
            "git~1",
            ".g\u{200c}it",
            ".git ",
            "back\\slash",
            "..\\up",
            "con",
            "CON.txt",
            "aux.c",
            "lpt1",
            "a:b",
            "c:",
            "what?",
            "star*",
            "dot.",
            "space ",
            "bell\u{7}",
            "new\nline",
            "\u{85}",
            "..",
            ".",
            ".GITMODULES",
            ".gitmodules ",
            "gitmod~1",
            "gi7eba~1",
            ".git\u{200d}modules",
        ] {
            assert!(check_new(name.into(), true).is_err(), "{name:?}");
        }
    }

    #[test]
    fn ordinary_names_are_not() {
        for name in [
            "main.rs",
            ".gitignore",
            ".gitmodules",
            ".gitattributes",
            ".github",
            "README",
            "é.txt",
            "名前",
            "a b",
            "[id].tsx",
            "$x",
            "console.rs",
            "auxiliary",
            "com",
            "a~1",
            "it's",
            "{x}",
            "a,b",
            "#1",
            "@scope",
            "100%",
            "a&b",
            "-x",
        ] {
            assert_eq!(check_new(name.into(), true), Ok(()), "{name:?}");
        }
        assert_eq!(check_new(b"\xff\xfe".as_bstr(), true), Ok(()));
    }

    #[test]
    fn names_that_git_acts_upon_are_files() {
        for name in [
            ".gitmodules",
            ".gitattributes",
            ".gitignore",
            ".GitIgnore",
            ".mailmap",
        ] {
            assert!(
                check_new(name.into(), false).is_err() && check_no_file(name.into()).is_err(),
                "{name:?}"
            );
        }
        assert_eq!(check_new("link".into(), false), Ok(()));
    }

    #[test]
    fn names_that_differ_in_case_alone_are_seen() {
        let mut folded = Folded::default();
        assert!(folded.add("README.md".into()) && folded.add("Été".into()) && folded.add("readme".into()));
        assert!(
            !folded.add("Readme.md".into())
                && !folded.add("éTÉ".into())
                && !folded.add("read\u{200c}me".into())
        );
    }

    #[test]
    fn names_that_differ_in_how_their_letters_are_written_are_seen() {
        for (one, other) in [
            ("\u{e9}t\u{e9}", "e\u{301}te\u{301}"),
            ("\u{c9}", "e\u{301}"),
            ("\u{212a}", "k"),
            ("\u{17f}", "S"),
            ("\u{df}", "SS"),
            ("\u{1f600}\u{e9}", "\u{1f600}e\u{301}"),
            ("\u{ac00}", "\u{1100}\u{1161}"),
        ] {
            let mut folded = Folded::default();
            assert!(folded.add(one.into()), "{one}");
            assert!(!folded.add(other.into()), "{one} and {other}");
        }
        // The control: letters that only look alike.
        let mut folded = Folded::default();
        assert!(folded.add("\u{430}".into()) && folded.add("a".into()));
    }
}
