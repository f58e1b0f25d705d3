//! The simulator's request log, followed by long-polling: what is in it has happened and can be seen.

use std::time::Duration;

use ::tests::thread::Comment;
use ::tests::world::World;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::Instant;

/// Longest wait for what should happen.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait of one poll, in milliseconds.
const POLL_MS: u128 = 2_000;

/// A reader of the log, at a place in it.
pub(crate) struct Requests<'a> {
    world: &'a World,
    after: u64,
}

impl<'a> Requests<'a> {
    /// At the log's beginning.
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, after: 0 }
    }

    /// Reads on until something is answered that `wanted` accepts; everything read.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Answer) -> bool) -> Result<Vec<Answer>> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            let new = self.poll(deadline).await?;
            let found = new.iter().any(&wanted);
            seen.extend(new);
            if found {
                return Ok(seen);
            }
        }
        let paths: Vec<_> = seen
            .iter()
            .map(|answer| format!("{} {}", answer.0["method"], answer.0["path"]))
            .collect();
        bail!("waited {WAIT_MAX:?} for a reply; meanwhile: {paths:#?}")
    }

    /// Reads everything that is answered within `duration`.
    pub(crate) async fn watch_for(&mut self, duration: Duration) -> Result<Vec<Answer>> {
        let deadline = Instant::now() + duration;
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            seen.extend(self.poll(deadline).await?);
        }
        Ok(seen)
    }

    async fn poll(&mut self, deadline: Instant) -> Result<Vec<Answer>> {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let path = format!(
            "/sim/v1/requests?after={}&wait_ms={}",
            self.after,
            left.clamp(1, POLL_MS)
        );
        let Value::Array(new) = self.world.control("GET", &path, Value::Null).await? else {
            bail!("{path} gave no list");
        };
        if let Some(last) = new.last() {
            self.after = last["number"].as_u64().context("a request has a number")?;
        }
        Ok(new.into_iter().map(Answer).collect())
    }
}

/// A request with the status it was answered with.
pub(crate) struct Answer(Value);

impl Answer {
    /// The bot asked or told Bitbucket something, git aside.
    pub(crate) fn is_bots_rest_call(&self) -> bool {
        self.text("user") == "openhands" && self.text("path").contains("/rest/")
    }

    /// The bot has set the build status of a commit.
    pub(crate) fn is_build_status(&self) -> bool {
        self.is_bots_rest_call() && self.text("method") == "POST" && self.text("path").ends_with("/builds")
    }

    /// The bot has replied to this comment.
    pub(crate) fn is_reply_to(&self, comment: u64) -> bool {
        self.0["status"] == 201
            && self.is_bots_write("POST")
            && self
                .written()
                .is_some_and(|written| written["parent"]["id"] == comment)
    }

    /// The bot's reply, new or edited, says how the run ended.
    pub(crate) fn is_final_reply(&self) -> bool {
        let written = if self.is_bots_write("POST") || self.is_bots_write("PUT") {
            self.written()
        } else {
            None
        };
        let Some(raw) = written.as_ref().and_then(|written| written["text"].as_str()) else {
            return false;
        };
        let shown = Comment {
            id: 0,
            parent: None,
            author: "openhands".to_owned(),
            text: raw.to_owned(),
            raw: raw.to_owned(),
            version: 0,
            reactions: Vec::new(),
        };
        self.0["status"].as_u64().is_some_and(|status| status < 300) && shown.is_final()
    }

    fn is_bots_write(&self, method: &str) -> bool {
        self.is_bots_rest_call() && self.text("method") == method && self.text("path").contains("/comments")
    }

    fn written(&self) -> Option<Value> {
        serde_json::from_str(self.0["body"].as_str()?).ok()
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(method: &str, status: u16, user: &str, body: &Value) -> Answer {
        let path = "/rest/api/latest/projects/PROJ/repos/demo/pull-requests/1/comments";
        Answer(
            json!({"method": method, "path": path, "status": status, "user": user, "body": body.to_string()}),
        )
    }

    #[test]
    fn only_the_bots_accepted_comment_under_the_comment_is_a_reply() {
        let body = json!({"text": "Working on it.", "parent": {"id": 7}});
        assert!(answer("POST", 201, "openhands", &body).is_reply_to(7));
        assert!(!answer("POST", 201, "openhands", &body).is_reply_to(8));
        assert!(!answer("POST", 409, "openhands", &body).is_reply_to(7));
        assert!(!answer("POST", 201, "alice", &body).is_reply_to(7));
    }

    #[test]
    fn a_reply_that_is_still_working_is_not_final() {
        let working = json!({"text": "**Working** on it.", "version": 1});
        assert!(!answer("PUT", 200, "openhands", &working).is_final_reply());
        let done = json!({"text": "**Done**: pushed.", "version": 1});
        assert!(answer("PUT", 200, "openhands", &done).is_final_reply());
        assert!(!answer("PUT", 409, "openhands", &done).is_final_reply());
        let reaction = Answer(json!({"method": "PUT", "path": "/rest/comment-likes/x", "user": "openhands"}));
        assert!(reaction.is_bots_rest_call() && !reaction.is_final_reply());
    }
}
