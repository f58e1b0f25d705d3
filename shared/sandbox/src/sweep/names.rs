//! Names that some file system takes for `.git`.

/// Characters that HFS+ skips when it compares names.
fn is_ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Whether a name is `.git` here, on HFS+ or on NTFS.
pub(super) fn is_dot_git(name: &[u8]) -> bool {
    let seen_by_hfs: String = String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !is_ignored_by_hfs(*c))
        .collect();
    seen_by_hfs.eq_ignore_ascii_case(".git") || is_dot_git_on_ntfs(name)
}

/// NTFS drops dots and spaces at the end, names streams after a colon, has short names, and takes `\` for a separator.
fn is_dot_git_on_ntfs(name: &[u8]) -> bool {
    let base = name
        .split(|byte| matches!(byte, b':' | b'\\'))
        .next()
        .unwrap_or_default();
    let end = base
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' '))
        .map_or(0, |last| last + 1);
    [b".git".as_slice(), b"git~1"]
        .iter()
        .any(|spelling| base[..end].eq_ignore_ascii_case(spelling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_dot_git_is_known() {
        for name in [
            ".git",
            ".GIT",
            ".gIt",
            ".git ",
            ".git.",
            ".git . .",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{202e}t",
            ".git::$INDEX_ALLOCATION",
            ".git:stream",
            "git~1",
            "GIT~1",
            "git~1.",
            ".git\\config",
        ] {
            assert!(is_dot_git(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn names_that_only_resemble_it_are_not() {
        for name in [
            ".gitignore",
            ".gitattributes",
            ".gitmodules",
            ".github",
            "git",
            "x.git",
            ".git-blame-ignore-revs",
            "git~2",
            "a.git.",
            ".",
            "...",
        ] {
            assert!(!is_dot_git(name.as_bytes()), "{name:?}");
        }
        assert!(!is_dot_git(b"\xff.git"));
    }
}
