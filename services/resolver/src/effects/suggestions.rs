//! An agent's change as suggestions: each replaced piece of a file becomes a comment on the lines it replaces, for a
//! person to apply.

use super::diff::{Commentable, FileDiff, Hunk, Kind, Line, files};
use crate::result::Remark;

/// A change, as far as it can be suggested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Suggestions {
    /// Pieces that lie on lines of the pull request's diff.
    pub(crate) remarks: Vec<Remark>,
    /// Files with pieces that do not, or that have no lines to stand on.
    pub(crate) elsewhere: Vec<String>,
}

/// Cuts a patch into suggestions. Its old side is what the pull request's diff has as its new one.
pub(crate) fn of_patch(patch: &str, commentable: &Commentable) -> Suggestions {
    let mut found = Suggestions::default();
    let mut elsewhere = |path: &str| {
        if !found.elsewhere.iter().any(|known| known == path) {
            found.elsewhere.push(path.to_owned());
        }
    };
    let mut remarks = Vec::new();
    for file in files(patch) {
        if file.is_whole {
            elsewhere(&file.path);
            continue;
        }
        for piece in file.hunks.iter().flat_map(|hunk| pieces(&file, hunk)) {
            match piece.filter(|piece| commentable.range(&piece.path, piece.first, piece.last).is_some()) {
                Some(piece) => remarks.push(piece),
                None => elsewhere(&file.path),
            }
        }
    }
    found.remarks = remarks;
    found
}

/// The pieces of a hunk: runs of removed and added lines. `None` for one that cannot be suggested.
fn pieces(file: &FileDiff, hunk: &Hunk) -> Vec<Option<Remark>> {
    let lines = &hunk.lines;
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].kind == Kind::Context {
            at += 1;
            continue;
        }
        let length = lines[at..]
            .iter()
            .take_while(|line| line.kind != Kind::Context)
            .count();
        let end = at + length;
        let before = at.checked_sub(1).and_then(|before| lines.get(before));
        pieces.push(piece(&file.path, &lines[at..end], before, lines.get(end)));
        at = end;
    }
    pieces
}

/// Lines that are only added replace a neighbour by itself and them, since a suggestion replaces at least one line.
fn piece(path: &str, run: &[Line], before: Option<&Line>, behind: Option<&Line>) -> Option<Remark> {
    // A suggestion has no way to say that the file's last newline comes or goes.
    if run.iter().any(|line| line.is_cut) {
        return None;
    }
    let of = |kind| run.iter().filter(move |line| line.kind == kind);
    let mut instead: Vec<&str> = of(Kind::Added).map(|line| line.text.as_str()).collect();
    let (first, last) = match (of(Kind::Removed).next(), of(Kind::Removed).next_back()) {
        (Some(first), Some(last)) => (first.old, last.old),
        _ => match (before, behind) {
            (Some(before), _) => {
                instead.insert(0, &before.text);
                (before.old, before.old)
            }
            (None, Some(behind)) => {
                instead.push(&behind.text);
                (behind.old, behind.old)
            }
            (None, None) => return None,
        },
    };
    Some(Remark {
        path: path.to_owned(),
        first,
        last,
        text: String::new(),
        suggestion: Some(instead.join("\n")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the pull request shows of `a`: its lines 1 to 6.
    fn commentable() -> Commentable {
        Commentable::of("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,5 +1,6 @@\n 1\n 2\n+3\n 4\n 5\n 6\n")
    }

    fn suggested(hunks: &str) -> (Vec<(u32, u32, String)>, Vec<String>) {
        let patch = format!("diff --git a/a b/a\n--- a/a\n+++ b/a\n{hunks}");
        let found = of_patch(&patch, &commentable());
        let remarks = found
            .remarks
            .into_iter()
            .map(|remark| (remark.first, remark.last, remark.suggestion.unwrap()));
        (remarks.collect(), found.elsewhere)
    }

    #[test]
    fn replaced_lines_are_suggested_on_themselves() {
        let (remarks, elsewhere) = suggested("@@ -2,4 +2,3 @@\n 2\n-3\n-4\n+drei\n 5\n");
        assert_eq!(remarks, [(3, 4, "drei".to_owned())]);
        assert!(elsewhere.is_empty());
    }

    #[test]
    fn added_lines_stand_on_a_neighbour_and_removed_ones_leave_nothing() {
        let (remarks, _) = suggested("@@ -2,4 +2,4 @@\n 2\n+2a\n 3\n-4\n 5\n");
        assert_eq!(remarks, [(2, 2, "2\n2a".to_owned()), (4, 4, String::new())]);
        let (remarks, _) = suggested("@@ -1,2 +1,3 @@\n+0\n 1\n 2\n");
        assert_eq!(remarks, [(1, 1, "0\n1".to_owned())]);
    }

    #[test]
    fn what_is_not_in_the_diff_is_named_once() {
        let (remarks, elsewhere) = suggested(
            "@@ -20 +20 @@\n-20\n+zwanzig\n@@ -30 +30 @@\n-30\n+dreissig\n\\ No newline at end of file\n\
diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n",
        );
        assert!(remarks.is_empty());
        assert_eq!(elsewhere, ["a", "new"]);
    }
}
