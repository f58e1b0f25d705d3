//! File name patterns: `*.rs`, `src/**/*.{ts,tsx}`.

use regex::{Regex, RegexBuilder};

/// The longest pattern; paths are not much longer.
const PATTERN_BYTES_MAX: usize = 1024;

/// The largest compiled pattern.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// A file name pattern.
#[derive(Debug)]
pub(super) struct Glob {
    matching: Regex,
    /// Whether it is about the whole path, and not only about the name at its end.
    whole_path: bool,
}

impl Glob {
    /// Reads a pattern: `*` and `?` stand for anything but `/`, `**` also for `/`, `{a,b}` for one of several, `[a-z]`
    /// for one character. Without a `/` it is about names in any directory.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("a glob has at most {PATTERN_BYTES_MAX} bytes"));
        }
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let matching = RegexBuilder::new(&expression(pattern))
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|_| format!("{pattern:?} is not a glob"))?;
        Ok(Self {
            matching,
            whole_path: pattern.contains('/'),
        })
    }

    /// Whether a path, relative to the root and without `./`, matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.matching.is_match(if self.whole_path { path } else { name })
    }
}

/// The pattern as a regular expression.
fn expression(pattern: &str) -> String {
    let mut expression = "(?s)^".to_owned();
    let mut rest = pattern.trim_start_matches('/');
    let mut braces = 0_usize;
    while let Some(next) = rest.chars().next() {
        let (taken, written) = match next {
            '*' if rest.starts_with("**/") => (3, "(?:.*/)?"),
            '*' if rest.starts_with("**") => (2, ".*"),
            '*' => (1, "[^/]*"),
            '?' => (1, "[^/]"),
            '{' => {
                braces += 1;
                (1, "(?:")
            }
            '}' if braces > 0 => {
                braces -= 1;
                (1, ")")
            }
            ',' if braces > 0 => (1, "|"),
            '[' if rest.starts_with("[!") => (2, "[^"),
            '[' => (1, "["),
            ']' => (1, "]"),
            '-' => (1, "-"),
            other => {
                expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4])));
                (other.len_utf8(), "")
            }
        };
        expression.push_str(written);
        rest = &rest[taken..];
    }
    expression.push('$');
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path, matches) in [
            ("*.rs", "a.rs", true),
            ("*.rs", "src/deep/a.rs", true),
            ("*.rs", "a.rs.txt", false),
            ("a.rs", "a-rs", false),
            ("src/*.rs", "src/a.rs", true),
            ("./src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/deep/a.rs", false),
            ("src/**/*.rs", "src/a.rs", true),
            ("src/**/*.rs", "src/very/deep/a.rs", true),
            ("src/**", "src/very/deep/a.rs", true),
            ("**/test/*", "a/test/b", true),
            ("*.{ts,tsx}", "a.tsx", true),
            ("*.{ts,tsx}", "a.tsv", false),
            ("a?.c", "ab.c", true),
            ("a?.c", "a.c", false),
            ("[a-c].x", "b.x", true),
            ("[!a-c].x", "b.x", false),
            ("a,b}", "a,b}", true),
            ("(+).^$|", "(+).^$|", true),
            ("ä*", "äö", true),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert_eq!(glob.matches(path), matches, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["[", "{a", &"*".repeat(2000)] {
            assert!(Glob::new(pattern).is_err(), "{pattern:.10}");
        }
    }
}
