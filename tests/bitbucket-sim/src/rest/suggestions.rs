//! Applying a suggestion: a commit on the source branch, by the caller (bitbucket-dc.md 3.6).

use http::StatusCode;
use serde::Deserialize;

use super::comments::find;
use super::pull_requests::check_version;
use crate::effects;
use crate::git::command::{git_text, git_with_input};
use crate::git::merge::{Identity, commit_tree};
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::state::ids::{CommentId, PullRequestKey, RepositoryId};
use crate::state::permission::Level;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SuggestionBody {
    comment_version: Option<u64>,
    pull_request_version: Option<u64>,
    suggestion_index: Option<usize>,
    message: Option<String>,
}

/// What to change where.
struct Change {
    key: PullRequestKey,
    comment: CommentId,
    source: RepositoryId,
    branch: String,
    head: String,
    path: String,
    /// First and last line replaced, counted from 1.
    lines: (u64, u64),
    suggestion: String,
    author: (String, String),
}

/// `POST {PR}/comments/{id}/apply-suggestion`: 204. `message` is required (bitbucket-dc.md 1).
pub(crate) async fn apply(call: Call) -> Reply {
    let body: SuggestionBody = call.json()?;
    let index = body.suggestion_index.unwrap_or(0);
    let message = body.message.clone().filter(|message| !message.trim().is_empty());
    let message = message.ok_or_else(|| RestError::invalid("message", "A commit message is required."))?;
    let change = plan(&call, &body, index)?;
    let store = call.app.store();
    let lock = store.lock(change.source);
    let _one_at_a_time = lock.lock().await;
    let (repository, head) = (change.source, change.head.as_str());
    let file = store.file(repository, head, &change.path).await?;
    let file = file.and_then(|bytes| String::from_utf8(bytes).ok());
    let file = file.ok_or_else(|| RestError::invalid("suggestion", "The file no longer exists."))?;
    let new = replaced(&file, change.lines, &change.suggestion)
        .ok_or_else(|| RestError::invalid("suggestion", "The line no longer exists."))?;
    let commit = commit(&call, &change, &new, &message).await?;
    store.update_ref(repository, &change.branch, &commit).await?;
    effects::refs_may_have_changed(&call.app, repository, call.caller()?.user).await?;
    let mut world = call.app.change();
    if let Some(comment) = world
        .pull_request_mut(change.key)?
        .comments
        .get_mut(&change.comment)
    {
        comment.applied_suggestions.insert(index);
        comment.version += 1;
    }
    Ok(Answer::no_content())
}

fn plan(call: &Call, body: &SuggestionBody, index: usize) -> Result<Change, RestError> {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let pr = world.pull_request(key)?;
    let caller = call.caller()?;
    if world.caller_on_repository(caller, pr.from.repository) < Some(Level::Write) {
        return Err(RestError::not_permitted());
    }
    let comment = find(call, &world, key)?;
    if body.comment_version != Some(comment.version) {
        return Err(RestError::out_of_date(
            "comment",
            comment.version,
            body.comment_version,
        ));
    }
    check_version(pr, body.pull_request_version)?;
    if comment.applied_suggestions.contains(&index) {
        let message = "The suggestion has already been applied.";
        return Err(RestError::new(
            StatusCode::CONFLICT,
            "comment.SuggestionAlreadyAppliedException",
            message,
        ));
    }
    let suggestion = suggestions(&comment.text).into_iter().nth(index);
    let suggestion =
        suggestion.ok_or_else(|| RestError::invalid("suggestionIndex", "There is no such suggestion."))?;
    let anchor = comment
        .anchor
        .as_ref()
        .and_then(|anchor| anchor.line.as_ref().map(|line| (anchor, line)));
    let (anchor, line) =
        anchor.ok_or_else(|| RestError::invalid("comment", "Only inline comments have suggestions."))?;
    let user = world
        .users
        .get(&caller.user)
        .ok_or_else(RestError::bad_credentials)?;
    Ok(Change {
        key,
        comment: comment.id,
        source: pr.from.repository,
        branch: pr.from.name.clone(),
        head: pr.from.commit.clone(),
        path: anchor.path.clone(),
        lines: (
            line.start.as_ref().map_or(line.line, |(start, _)| *start),
            line.line,
        ),
        suggestion,
        author: (user.display_name.clone(), user.email.clone().unwrap_or_default()),
    })
}

/// The contents of the fenced blocks with the info string `suggestion`.
fn suggestions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in text.lines() {
        match (&mut open, line.trim()) {
            (None, "```suggestion") => open = Some(Vec::new()),
            (Some(lines), "```") => {
                found.push(lines.join("\n"));
                open = None;
            }
            (Some(lines), _) => lines.push(line),
            (None, _) => {}
        }
    }
    found
}

fn replaced(file: &str, (first, last): (u64, u64), suggestion: &str) -> Option<String> {
    let lines: Vec<&str> = file.split('\n').collect();
    let first = usize::try_from(first).ok()?.checked_sub(1)?;
    let last = usize::try_from(last).ok()?;
    let (before, after) = (lines.get(..first)?, lines.get(last..)?);
    let middle: Vec<&str> = if suggestion.is_empty() {
        Vec::new()
    } else {
        suggestion.split('\n').collect()
    };
    Some([before, &middle, after].concat().join("\n"))
}

/// A commit that differs from the head in this one file.
async fn commit(call: &Call, change: &Change, content: &str, message: &str) -> Result<String, RestError> {
    let dir = call.app.store().dir(change.source);
    let blob = git_with_input(&dir, &["hash-object", "-w", "--stdin"], Some(content.as_bytes())).await?;
    let blob = String::from_utf8_lossy(&blob).trim().to_owned();
    let listed = git_text(&dir, &["ls-tree", &change.head, "--", &change.path]).await?;
    let mode = listed
        .split(' ')
        .next()
        .filter(|mode| !mode.is_empty())
        .unwrap_or("100644")
        .to_owned();
    let index = format!("suggestion-{}.index", uuid::Uuid::new_v4().simple());
    let index = dir.join(index);
    let mut read = crate::git::command::command(&dir, "git");
    let read = read
        .env("GIT_INDEX_FILE", &index)
        .args(["read-tree", &change.head]);
    let mut update = crate::git::command::command(&dir, "git");
    let entry = format!("{mode},{blob},{}", change.path);
    let update = update
        .env("GIT_INDEX_FILE", &index)
        .args(["update-index", "--add", "--cacheinfo", &entry]);
    let mut write = crate::git::command::command(&dir, "git");
    let write = write.env("GIT_INDEX_FILE", &index).arg("write-tree");
    let mut tree = String::new();
    for step in [read, update, write] {
        let output = step.output().await.map_err(anyhow::Error::from)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(anyhow::anyhow!("the suggestion's tree was not written: {said}").into());
        }
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .clone_into(&mut tree);
    }
    std::fs::remove_file(&index).map_err(anyhow::Error::from)?;
    let at = format!("{} +0000", call.app.now() / 1000);
    let identity = Identity {
        name: &change.author.0,
        email: &change.author.1,
        at: &at,
    };
    Ok(commit_tree(&dir, &tree, &[&change.head], message, &identity).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_replaces_its_lines() {
        let text = include_str!("../../fixtures/rest_suggestion_comment_text.json");
        let text: serde_json::Value = serde_json::from_str(text).unwrap();
        let found = suggestions(text["text"].as_str().unwrap());
        assert_eq!(found, ["    r?;"]);
        assert_eq!(
            replaced("a\nb\nc\n", (2, 2), &found[0]).unwrap(),
            "a\n    r?;\nc\n"
        );
        assert_eq!(replaced("a\nb\nc\n", (1, 2), "").unwrap(), "c\n");
        assert!(replaced("a\n", (5, 5), "x").is_none());
    }
}
