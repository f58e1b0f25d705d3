//! Path patterns as people write them in `.gitignore`: `*` and `?` within a name, `**` over directories; a pattern
//! without a slash before its end means that name in any directory; what is below a path that matches, matches.
//! Letters of either case are the same: so they are on many a file system that a repository is checked out to.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    names: Vec<String>,
}

impl Glob {
    /// Every text is a pattern. For [folded](fold) paths.
    pub(super) fn new(pattern: &str) -> Self {
        Self::of(pattern, fold_name)
    }

    /// The same for paths as they are.
    pub(crate) fn exact(pattern: &str) -> Self {
        Self::of(pattern, str::to_owned)
    }

    fn of(pattern: &str, name: impl Fn(&str) -> String) -> Self {
        let trimmed = pattern.trim_end_matches('/');
        let rooted = trimmed.contains('/');
        let mut names: Vec<_> = trimmed
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(name)
            .collect();
        if !rooted && !names.is_empty() {
            names.insert(0, "**".to_owned());
        }
        Self { names }
    }

    /// Whether a path, or a directory it is in, matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let names: Vec<_> = path.split('/').collect();
        matches_names(&self.names, &names)
    }
}

/// A path as a file system sees it that does not tell cases apart: also without what HFS+ skips, and without the dots
/// and spaces that NTFS drops from a name's end. By way of the upper case, so that `ſ` is an `s` and `K` (U+212A) a `k`;
/// no other letters are taken for those of protected names.
pub(super) fn fold(path: &str) -> String {
    path.split('/').map(fold_name).collect::<Vec<_>>().join("/")
}

fn fold_name(name: &str) -> String {
    let folded: String = name
        .chars()
        .filter(|c| {
            !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
        })
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    let base = folded.trim_end_matches(['.', ' ']);
    if base.is_empty() { folded } else { base.to_owned() }
}

/// Whether the patterns match the names or the first of them. Goes through all pairs at most once: a pattern full of
/// `**` costs no more.
fn matches_names(patterns: &[String], names: &[&str]) -> bool {
    if patterns.is_empty() {
        return false;
    }
    // At the end `**` is everything below, so not the directory itself.
    let only_below = patterns.last().is_some_and(|last| last == "**");
    let patterns = &patterns[..patterns.len() - usize::from(only_below)];
    // reached[n]: the patterns so far match the first n names.
    let mut reached = vec![false; names.len() + 1];
    reached[0] = true;
    for pattern in patterns {
        let mut next = vec![false; names.len() + 1];
        if pattern == "**" {
            let mut any = false;
            for (at, was) in reached.iter().enumerate() {
                any |= was;
                next[at] = any;
            }
        } else {
            for at in 0..names.len() {
                next[at + 1] = reached[at] && matches_name(pattern, names[at]);
            }
        }
        reached = next;
    }
    reached[..=names.len() - usize::from(only_below)].contains(&true)
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for c in pattern {
        let mut next = vec![false; name.len() + 1];
        if c == '*' {
            let mut any = false;
            for (at, was) in reached.iter().enumerate() {
                any |= was;
                next[at] = any;
            }
        } else {
            for at in 0..name.len() {
                next[at + 1] = reached[at] && (c == '?' || c == name[at]);
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_an_ignore_file() {
        for (pattern, path, expected) in [
            ("Jenkinsfile", "Jenkinsfile", true),
            ("Jenkinsfile", "a/b/JENKINSFILE", true),
            ("Jenkinsfile", "Jenkinsfile/inside", true),
            ("Jenkinsfile", "Jenkinsfile2", false),
            (".github/", ".github/workflows/x.yml", true),
            (".github/", "sub/.github/x", true),
            (".github/", ".github", true),
            ("ci/*.yml", "ci/a.yml", true),
            ("ci/*.yml", "x/ci/a.yml", false),
            ("ci/*.yml", "ci/deep/a.yml", false),
            ("/ci/", "ci/a", true),
            ("ci/**", "ci/deep/a.yml", true),
            ("ci/**", "ci", false),
            ("**/x.yml", "x.yml", true),
            ("**/x.yml", "a/b/x.yml", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/x/y/c", false),
            ("**", "anything/at/all", true),
            ("?.rs", "a.rs", true),
            ("?.rs", "ab.rs", false),
            ("*", "a/b", true),
            ("", "a", false),
            ("/", "a", false),
            (".drone.yml", ".drone.yml. ", true),
            ("é*", "ÉTÉ", true),
            ("Jenkinsfile", "Jen\u{212a}insfile", true),
            ("Jenkinsfile", "Jenkin\u{17f}file", true),
            // The control: a letter that only looks alike.
            ("Jenkinsfile", "Jenkin\u{455}file", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(&fold(path)),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_made_to_take_long_takes_no_longer() {
        let pattern = "**/".repeat(200) + &"*a".repeat(200) + "b";
        let path = "a/".repeat(500) + &"a".repeat(1_000);
        assert!(!Glob::new(&pattern).matches(&path));
    }
}
