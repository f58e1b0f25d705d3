//! Anchors of inline and file comments, checked against the diff (bitbucket-dc.md 3.6).

use serde::Deserialize;

use crate::app::App;
use crate::git::diff::FileDiff;
use crate::git::store::{Diff, DiffOptions};
use crate::http::answer::RestError;
use crate::state::comment::{Anchor, AnchorLine};
use crate::state::ids::PullRequestKey;

/// Enough context lines to have the whole file in its diff.
const WHOLE_FILE: u32 = 1_000_000;

/// An anchor as a request has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnchorBody {
    path: Option<PathBody>,
    src_path: Option<String>,
    diff_type: Option<String>,
    from_hash: Option<String>,
    to_hash: Option<String>,
    line: Option<u64>,
    line_type: Option<String>,
    file_type: Option<String>,
    multiline_marker: Option<MarkerBody>,
}

/// A path: a string, or the object that Bitbucket's own diffs have.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PathBody {
    Text(String),
    Object {
        #[serde(rename = "toString")]
        text: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkerBody {
    start_line: u64,
    start_line_type: String,
}

/// A checked anchor, and the hunk it is on.
pub(crate) struct Anchored {
    pub(crate) anchor: Anchor,
    pub(crate) diff: Option<FileDiff>,
}

/// Checks an anchor against the pull request's diff; 400 if the diff has no such line.
pub(crate) async fn check(app: &App, key: PullRequestKey, body: &AnchorBody) -> Result<Anchored, RestError> {
    let path = match &body.path {
        Some(PathBody::Text(text) | PathBody::Object { text }) if !text.is_empty() => text.clone(),
        _ => return Err(RestError::invalid("anchor.path", "A path is required.")),
    };
    let ends = {
        let world = app.world();
        let pr = world.pull_request(key)?;
        (pr.to.commit.clone(), pr.from.commit.clone())
    };
    let diff_type = body.diff_type.as_deref().unwrap_or("EFFECTIVE");
    let (from_hash, to_hash) = match (diff_type, &body.from_hash, &body.to_hash) {
        ("EFFECTIVE", _, _) => ends,
        ("COMMIT" | "RANGE", Some(from), Some(to)) => (from.clone(), to.clone()),
        ("COMMIT" | "RANGE", _, _) => {
            let message = "fromHash and toHash are required for this diffType.";
            return Err(RestError::invalid("anchor.diffType", message));
        }
        (other, _, _) => {
            return Err(RestError::invalid(
                "anchor.diffType",
                format!("{other} is no diff type"),
            ));
        }
    };
    let effective = diff_type == "EFFECTIVE";
    let whole = diff(app, key, effective, (&from_hash, &to_hash), WHOLE_FILE).await?;
    let file = whole.files.iter().find(|file| file.path() == path);
    let file =
        file.ok_or_else(|| RestError::invalid("anchor.path", format!("{path} is not part of the diff.")))?;
    let line = body
        .line
        .map(|number| checked_line(body, number, file))
        .transpose()?;
    let shown = diff(
        app,
        key,
        effective,
        (&from_hash, &to_hash),
        crate::git::store::CONTEXT_LINES,
    )
    .await?;
    let hunk = shown
        .files
        .iter()
        .find(|file| file.path() == path)
        .zip(line.as_ref());
    let hunk = hunk.map(|(file, line)| file.around(line.line, line.file_type == "FROM"));
    let src_path = body.src_path.clone();
    let diff_type = diff_type.to_owned();
    let anchor = Anchor {
        path,
        src_path,
        diff_type,
        from_hash,
        to_hash,
        line,
        orphaned: false,
    };
    Ok(Anchored { anchor, diff: hunk })
}

async fn diff(
    app: &App,
    key: PullRequestKey,
    effective: bool,
    (from, to): (&str, &str),
    context_lines: u32,
) -> Result<std::sync::Arc<Diff>, RestError> {
    let options = DiffOptions {
        context_lines,
        ..DiffOptions::default()
    };
    if effective {
        return Ok(app
            .store()
            .effective_diff(key.repository, from, to, &options)
            .await?);
    }
    for id in [from, to] {
        if app.store().resolve(key.repository, id).await?.is_none() {
            return Err(RestError::no_such_commit(
                id,
                &app.world().repository(key.repository)?.slug,
            ));
        }
    }
    Ok(app.store().plain_diff(key.repository, from, to, &options).await?)
}

fn checked_line(body: &AnchorBody, number: u64, file: &FileDiff) -> Result<AnchorLine, RestError> {
    let line_type = body.line_type.as_deref().unwrap_or("CONTEXT");
    let file_type = body
        .file_type
        .as_deref()
        .unwrap_or(if line_type == "REMOVED" { "FROM" } else { "TO" });
    let consistent = matches!(
        (line_type, file_type),
        ("ADDED", "TO") | ("REMOVED", "FROM") | ("CONTEXT", "FROM" | "TO")
    );
    if !consistent {
        let message = format!("A line of type {line_type} is not in a file of type {file_type}.");
        return Err(RestError::invalid("anchor.lineType", message));
    }
    let found = file
        .line(number, file_type == "FROM")
        .is_some_and(|line| line.kind.name() == line_type);
    if !found {
        let message = format!(
            "Line {number} of type {line_type} does not exist in the diff of {}.",
            file.path()
        );
        return Err(RestError::invalid("anchor.line", message));
    }
    let start = body
        .multiline_marker
        .as_ref()
        .map(|marker| (marker.start_line, marker.start_line_type.clone()));
    Ok(AnchorLine {
        line: number,
        line_type: line_type.to_owned(),
        file_type: file_type.to_owned(),
        start,
    })
}
