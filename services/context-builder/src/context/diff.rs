//! A pull request's diff by file, so that what does not fit is left out file by file.

/// The diff of one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileDiff<'a> {
    /// The file, as the diff's header names it.
    pub(crate) path: &'a str,
    /// The diff with its header.
    pub(crate) text: &'a str,
    /// Whether it is the file the request is about.
    pub(crate) is_near: bool,
}

/// Splits a diff at its `diff --git` lines; the file at `near` comes first, the others stay in order. Lines of
/// content begin with a blank, `+`, `-` or `\`, so none passes for a header.
pub(crate) fn files<'a>(diff: &'a str, near: Option<&str>) -> Vec<FileDiff<'a>> {
    let mut starts: Vec<usize> = Vec::new();
    let mut offset = 0;
    for line in diff.split_inclusive('\n') {
        if line.starts_with("diff --git ") || (offset == 0 && !line.trim().is_empty()) {
            starts.push(offset);
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([diff.len()]);
    let mut files: Vec<FileDiff<'a>> = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| {
            let text = &diff[start..end];
            let path = path_of(text);
            FileDiff {
                path,
                text,
                is_near: near.is_some_and(|near| near == path),
            }
        })
        .collect();
    files.sort_by_key(|file| !file.is_near);
    files
}

/// The path behind the change, or before it for a removed file. Bitbucket writes `src://` and `dst://` where git
/// writes `a/` and `b/`.
fn path_of(text: &str) -> &str {
    let header = text.lines().take_while(|line| !line.starts_with("@@"));
    let mut path = "a file";
    for line in header {
        let named = line.strip_prefix("+++ ").or_else(|| line.strip_prefix("--- "));
        let named = named
            .or_else(|| line.strip_prefix("rename to "))
            .or_else(|| line.strip_prefix("copy to "));
        if let Some(named) = named
            .map(|name| name.trim_end_matches(['\t', '\r']))
            .filter(|name| *name != "/dev/null")
        {
            path = ["src://", "dst://", "a/", "b/"]
                .iter()
                .find_map(|prefix| named.strip_prefix(prefix))
                .unwrap_or(named);
        }
    }
    if path == "a file" {
        // Binary and mode-only changes name the file in the first line alone.
        let first = text.lines().next().unwrap_or_default();
        path = first
            .rsplit_once(" dst://")
            .or_else(|| first.rsplit_once(" b/"))
            .map_or(first, |(_, path)| path);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git src://a.rs dst://a.rs\n--- src://a.rs\n+++ dst://a.rs\n@@ -1 +1 @@\n-diff --git x\n+y\n\
        diff --git a/b.rs b/b.rs\ndeleted file mode 100644\n--- a/b.rs\n+++ /dev/null\n@@ -1 +0,0 @@\n-z\n\
        diff --git a/c.png b/c.png\nBinary files differ\n";

    #[test]
    fn a_diff_is_split_by_file_with_the_file_in_question_first() {
        let paths = |near| {
            files(DIFF, near)
                .iter()
                .map(|file| (file.path, file.is_near))
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(None), [("a.rs", false), ("b.rs", false), ("c.png", false)]);
        assert_eq!(
            paths(Some("b.rs")),
            [("b.rs", true), ("a.rs", false), ("c.png", false)]
        );
    }

    #[test]
    fn no_byte_is_lost_whatever_the_text() {
        for diff in [
            DIFF,
            "",
            "\n",
            "no header\n+x\n",
            "diff --git",
            "\n\ndiff --git a/x b/x\n",
        ] {
            let text: String = files(diff, None).iter().map(|file| file.text).collect();
            assert_eq!(text.trim(), diff.trim());
        }
    }
}
