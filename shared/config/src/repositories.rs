//! Which repositories a connection is for: `PROJECT/slug` globs with `*` and `?`, compared without regard to case, as
//! Bitbucket compares keys and slugs.
//!
//! The two wildcards are all that keys and slugs need, and with just these the question whether two connections
//! overlap has an exact answer.

use std::fmt;

use pipeline::ids::{ProjectKey, RepositorySlug};

/// Repositories by glob.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryGlobs(Vec<Glob>);

/// Why a text is not a repository glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {reason}")]
pub struct InvalidGlob {
    text: String,
    reason: &'static str,
}

/// One `PROJECT/slug` glob, in lower case.
#[derive(Clone, PartialEq, Eq)]
struct Glob {
    project: Vec<char>,
    slug: Vec<char>,
    written: String,
}

/// Longest glob; a key and a slug have at most 128 characters each.
const GLOB_CHARS_MAX: usize = 260;

impl RepositoryGlobs {
    /// Checks every glob; all the wrong ones are named.
    pub fn new<T: AsRef<str>>(globs: &[T]) -> Result<Self, Vec<InvalidGlob>> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for text in globs {
            match Glob::parse(text.as_ref()) {
                Ok(glob) => good.push(glob),
                Err(invalid) => bad.push(invalid),
            }
        }
        if bad.is_empty() { Ok(Self(good)) } else { Err(bad) }
    }

    /// Whether the repository is one of them.
    pub fn covers(&self, project: &ProjectKey, slug: &RepositorySlug) -> bool {
        let project: Vec<char> = project.as_str().to_lowercase().chars().collect();
        let slug: Vec<char> = slug.as_str().to_lowercase().chars().collect();
        self.0
            .iter()
            .any(|glob| matches(&glob.project, &project) && matches(&glob.slug, &slug))
    }

    /// A pair of globs, one of each side, that some repository could match both of.
    pub(crate) fn overlap<'a>(&'a self, other: &'a Self) -> Option<(&'a str, &'a str)> {
        self.0.iter().find_map(|ours| {
            let theirs = other.0.iter().find(|theirs| {
                intersect(&ours.project, &theirs.project) && intersect(&ours.slug, &theirs.slug)
            })?;
            Some((ours.written.as_str(), theirs.written.as_str()))
        })
    }
}

impl fmt::Display for RepositoryGlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<&str> = self.0.iter().map(|glob| glob.written.as_str()).collect();
        f.write_str(&written.join(", "))
    }
}

impl fmt::Debug for RepositoryGlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|glob| &glob.written))
            .finish()
    }
}

impl Glob {
    fn parse(text: &str) -> Result<Self, InvalidGlob> {
        let invalid = |reason| InvalidGlob {
            text: text.chars().take(80).collect(),
            reason,
        };
        if text.chars().count() > GLOB_CHARS_MAX {
            return Err(invalid("is too long"));
        }
        let Some((project, slug)) = text.split_once('/') else {
            return Err(invalid("must be PROJECT/repository, for example \"PROJ/*\""));
        };
        if project.is_empty() || slug.is_empty() || slug.contains('/') {
            return Err(invalid("must be PROJECT/repository with exactly one '/'"));
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "[]{}!\\".contains(c))
        {
            return Err(invalid(
                "has a character that no key or slug has; the wildcards are '*' and '?'",
            ));
        }
        let lower = |part: &str| part.to_lowercase().chars().collect();
        Ok(Self {
            project: lower(project),
            slug: lower(slug),
            written: text.to_owned(),
        })
    }
}

/// Whether the text matches the pattern. Linear, with one step back to the last star.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            p = after + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether some text matches both patterns: reachability in the product of the two, quadratic in their lengths.
fn intersect(left: &[char], right: &[char]) -> bool {
    // reach[l][r]: some text is matched by the first l of the left and the first r of the right.
    let mut reach = vec![vec![false; right.len() + 1]; left.len() + 1];
    reach[0][0] = true;
    for l in 0..=left.len() {
        for r in 0..=right.len() {
            let left_star = l > 0 && left[l - 1] == '*';
            let right_star = r > 0 && right[r - 1] == '*';
            reach[l][r] |= (left_star && reach[l - 1][r]) || (right_star && reach[l][r - 1]);
            // A star also takes whatever the other side consumes.
            reach[l][r] |=
                (left_star && r > 0 && reach[l][r - 1]) || (right_star && l > 0 && reach[l - 1][r]);
            if l > 0 && r > 0 && !left_star && !right_star {
                let (a, b) = (left[l - 1], right[r - 1]);
                reach[l][r] |= (a == b || a == '?' || b == '?') && reach[l - 1][r - 1];
            }
        }
    }
    reach[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(globs: &[&str], repository: &str) -> bool {
        let (project, slug) = repository.split_once('/').unwrap();
        let globs = RepositoryGlobs::new(globs).unwrap();
        globs.covers(
            &ProjectKey::new(project).unwrap(),
            &RepositorySlug::new(slug).unwrap(),
        )
    }

    #[test]
    fn globs_match_as_people_expect() {
        for (glob, repository, expected) in [
            ("PROJ/*", "PROJ/demo", true),
            ("PROJ/*", "proj/Demo", true),
            ("proj/*", "PROJ/demo", true),
            ("PROJ/*", "PROJECT/demo", false),
            ("PROJ*/*", "PROJECT/demo", true),
            ("TOOLS/web", "TOOLS/web", true),
            ("TOOLS/web", "TOOLS/web2", false),
            ("TOOLS/web?", "TOOLS/web2", true),
            ("TOOLS/web?", "TOOLS/web", false),
            ("TOOLS/*-service", "TOOLS/a-service-service", true),
            ("TOOLS/*-service", "TOOLS/a-service-x", false),
            ("~alice/*", "~ALICE/dotfiles", true),
            ("~*/*", "~bob/x", true),
            ("~alice/*", "alice/dotfiles", false),
            ("*/*", "ANY/thing", true),
            ("*/infra", "ANY/infra", true),
            ("a*b*c/x", "aXbYbZc/x", true),
            ("a*b*c/x", "aXcYb/x", false),
            ("P/a.b", "P/aXb", false),
            ("STRASSE/ö*", "strasse/ÖL", true),
        ] {
            assert_eq!(covers(&[glob], repository), expected, "{glob} on {repository}");
        }
        assert!(!covers(&[], "PROJ/demo"));
        assert!(covers(&["A/b", "PROJ/*"], "PROJ/demo"));
    }

    #[test]
    fn every_bad_glob_is_named() {
        for text in [
            "PROJ",
            "",
            "/x",
            "x/",
            "a/b/c",
            "PROJ/[ab]",
            "PROJ/{a,b}",
            "PROJ /x",
            "PROJ/!x",
            "a\\b/x",
        ] {
            assert!(RepositoryGlobs::new(&[text]).is_err(), "{text:?}");
        }
        assert_eq!(RepositoryGlobs::new(&["a", "b/c", "d"]).unwrap_err().len(), 2);
        assert!(RepositoryGlobs::new(&[format!("P/{}", "a".repeat(GLOB_CHARS_MAX))]).is_err());
    }

    #[test]
    fn overlap_is_found_exactly_where_a_repository_could_match_both() {
        for (left, right, expected) in [
            ("PROJ/*", "proj/web", true),
            ("PROJ/*", "TOOLS/*", false),
            ("*/web", "PROJ/*", true),
            ("PROJ/a*", "PROJ/*b", true),
            ("PROJ/a*", "PROJ/b*", false),
            ("PROJ/a?", "PROJ/?b", true),
            ("PROJ/a?", "PROJ/a", false),
            ("PROJ/a*c", "PROJ/ab", false),
            ("PROJ/*x*", "PROJ/*y*", true),
            ("P*/x", "~*/x", false),
            ("P/a*b", "P/ab", true),
            ("P/ab", "P/a*b", true),
            ("P/a**b", "P/a?b", true),
        ] {
            let (a, b) = (
                RepositoryGlobs::new(&[left]).unwrap(),
                RepositoryGlobs::new(&[right]).unwrap(),
            );
            assert_eq!(a.overlap(&b).is_some(), expected, "{left} and {right}");
            assert_eq!(b.overlap(&a).is_some(), expected, "{right} and {left}");
        }
    }
}
