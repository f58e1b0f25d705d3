//! Directories that git takes for a bare repository: whoever enters one runs what its configuration says
//! (reliability-security.md row 21).

use gix::bstr::{BStr, BString};

/// What a repository is made of. Committed, these are what git looks for.
const PARTS: [&str; 6] = ["HEAD", "config", "hooks", "objects", "refs", "commondir"];

/// Whether a directory with these names would be taken for a repository, or for most of one.
pub(super) fn is_repository<'a>(names: impl Iterator<Item = &'a BString> + Clone) -> bool {
    let has = |part: &str| {
        names
            .clone()
            .any(|name| name.eq_ignore_ascii_case(part.as_bytes()))
    };
    has("HEAD") && (has("commondir") || has("objects") && has("refs") || has("config") && has("hooks"))
}

/// Whether a name is one of a repository's parts.
pub(super) fn is_part(name: &BStr) -> bool {
    PARTS
        .iter()
        .any(|part| name.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(names: &[&str]) -> bool {
        let names: Vec<BString> = names.iter().map(|name| (*name).into()).collect();
        is_repository(names.iter())
    }

    #[test]
    fn whatever_git_would_enter_is_a_repository() {
        for names in [
            ["HEAD", "config", "hooks", "objects", "refs"].as_slice(),
            &["HEAD", "objects", "refs"],
            &["head", "OBJECTS", "refs", "other"],
            &["HEAD", "commondir"],
            &["HEAD", "config", "hooks"],
        ] {
            assert!(seen(names), "{names:?}");
        }
    }

    #[test]
    fn directories_with_some_of_the_names_are_not() {
        for names in [
            ["config", "hooks"].as_slice(),
            &["HEAD", "config"],
            &["objects", "refs"],
            &["HEAD"],
            &[],
        ] {
            assert!(!seen(names), "{names:?}");
        }
    }
}
