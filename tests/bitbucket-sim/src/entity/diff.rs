//! Paths, diffs and changes (bitbucket-dc.md 3.8).

use super::self_link;
use crate::git::diff::{FileDiff, Hunk, Line, LineKind};
use crate::git::files::RawChange;
use crate::json::{Json, object};

/// Lines of one file's diff beyond this are cut, and marked.
const FILE_LINES_MAX: usize = 10_000;
/// A longer line is cut, and marked.
const LINE_CHARS_MAX: usize = 5_000;

/// `{components, parent, name, extension?, toString}`
pub(crate) fn path(path: &str) -> Json {
    let components: Vec<Json> = path.split('/').map(Json::from).collect();
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    object! { "components": components, "parent": parent, "name": name }
        .with_some("extension", extension)
        .with("toString", path)
}

/// The diff of one file. `comments` gives the ids on a line, by number and side (`true`: the source side).
pub(crate) fn diff(file: &FileDiff, comments: &dyn Fn(&Line) -> Vec<Json>) -> Json {
    let mut left = FILE_LINES_MAX;
    let hunks: Vec<Json> = file.hunks.iter().map(|h| hunk(h, comments, &mut left)).collect();
    let truncated = left == 0;
    let entity = object! {
        "source": file.source.as_deref().map(path),
        "destination": file.destination.as_deref().map(path),
    };
    let entity = if file.binary {
        entity.with("binary", true)
    } else {
        entity.with("hunks", hunks)
    };
    entity.with("truncated", truncated)
}

fn hunk(hunk: &Hunk, comments: &dyn Fn(&Line) -> Vec<Json>, left: &mut usize) -> Json {
    let shown = &hunk.lines[..hunk.lines.len().min(*left)];
    let truncated = shown.len() < hunk.lines.len();
    *left -= shown.len();
    let segments: Vec<Json> = shown
        .chunk_by(|a, b| a.kind == b.kind)
        .map(|lines| {
            let kind = lines.first().map_or(LineKind::Context, |line| line.kind);
            let lines: Vec<Json> = lines.iter().map(|l| line(l, comments(l))).collect();
            object! { "type": kind.name(), "lines": lines, "truncated": truncated }
        })
        .collect();
    object! {
        "context": &hunk.context,
        "sourceLine": hunk.source_line,
        "sourceSpan": hunk.source_span,
        "destinationLine": hunk.destination_line,
        "destinationSpan": hunk.destination_span,
        "segments": segments,
        "truncated": truncated,
    }
}

fn line(line: &Line, comments: Vec<Json>) -> Json {
    let cut = line.text.char_indices().nth(LINE_CHARS_MAX).map(|(at, _)| at);
    object! {
        "source": line.source,
        "destination": line.destination,
        "line": &line.text[..cut.unwrap_or(line.text.len())],
        "truncated": cut.is_some(),
    }
    .with_some("commentIds", (!comments.is_empty()).then_some(comments))
}

/// One changed path; `page` is the web page of the diff.
pub(crate) fn change(change: &RawChange, page: &str) -> Json {
    let kind = match change.status {
        'A' => "ADD",
        'D' => "DELETE",
        'R' => "MOVE",
        'C' => "COPY",
        _ => "MODIFY",
    };
    object! {
        "contentId": &change.content,
        "fromContentId": &change.from_content,
        "path": path(&change.path),
        "executable": change.mode == "100755",
        "percentUnchanged": change.similarity.map_or(Json::Int(-1), Json::from),
        "type": kind,
        "nodeType": if change.mode == "160000" { "SUBMODULE" } else { "FILE" },
    }
    .with_some("srcPath", change.source.as_deref().map(path))
    .with("links", self_link(format!("{page}#{}", change.path)))
    .with("properties", object! { "gitChangeType": kind })
}
