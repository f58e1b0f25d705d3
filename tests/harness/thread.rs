//! A pull request's comments as a person reads them.

use serde_json::Value;

/// One comment.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// Id.
    pub id: u64,
    /// The comment it replies to.
    pub parent: Option<u64>,
    /// User name of its author.
    pub author: String,
    /// Text as rendered: without the hidden marker.
    pub text: String,
    /// Text as stored.
    pub raw: String,
    /// Rises with every edit.
    pub version: u64,
    /// Names of reactions that someone gave.
    pub reactions: Vec<String>,
}

impl Comment {
    /// Whether the bot wrote it.
    pub fn is_bots(&self) -> bool {
        self.author == "openhands"
    }

    /// Whether it tells how a run ended.
    pub fn is_final(&self) -> bool {
        let first = self.text.lines().next().unwrap_or_default();
        let waiting = ["**Queued", "Queued", "**Working", "Working", "**Starting"];
        !waiting.iter().any(|beginning| first.starts_with(beginning))
    }
}

/// All comments of an activities listing, oldest first, each once, deleted ones left out.
pub fn comments(activities: &[Value]) -> Vec<Comment> {
    let mut all = Vec::new();
    let deleted: Vec<_> = activities
        .iter()
        .filter(|activity| activity["commentAction"] == "DELETED")
        .filter_map(|activity| activity["comment"]["id"].as_u64())
        .collect();
    let roots = activities
        .iter()
        .filter(|activity| activity["action"] == "COMMENTED");
    for activity in roots {
        collect(&activity["comment"], None, &mut all);
    }
    // A reply is an activity of its own, too, and there it does not say what it replies to.
    all.sort_by_key(|comment| (comment.id, comment.parent.is_none()));
    all.dedup_by_key(|comment| comment.id);
    all.retain(|comment| !deleted.contains(&comment.id));
    all
}

/// The bot's reply to `comment`, once it tells how the run ended.
pub fn final_reply(comments: &[Comment], comment: u64) -> Option<Comment> {
    let mut replies = comments
        .iter()
        .filter(|c| c.is_bots() && c.parent == Some(comment));
    replies.find(|reply| reply.is_final()).cloned()
}

fn collect(comment: &Value, parent: Option<u64>, all: &mut Vec<Comment>) {
    let Some(id) = comment["id"].as_u64() else { return };
    let raw = comment["text"].as_str().unwrap_or_default().to_owned();
    let reactions = comment["properties"]["reactions"]
        .as_array()
        .into_iter()
        .flatten();
    all.push(Comment {
        id,
        parent,
        author: comment["author"]["name"].as_str().unwrap_or_default().to_owned(),
        text: raw
            .lines()
            .filter(|line| !line.starts_with("[//]: # ("))
            .collect::<Vec<_>>()
            .join("\n")
            .trim()
            .to_owned(),
        raw,
        version: comment["version"].as_u64().unwrap_or_default(),
        reactions: reactions
            .filter_map(|r| r["emoticon"]["shortcut"].as_str().map(str::to_owned))
            .collect(),
    });
    for reply in comment["comments"].as_array().into_iter().flatten() {
        collect(reply, Some(id), all);
    }
}

/// The thread as text, for messages of waits that expired.
pub fn print(comments: &[Comment]) -> String {
    let entry = |c: &Comment| {
        format!(
            "#{} by {} (reply to {:?}, v{}):\n{}\n",
            c.id, c.author, c.parent, c.version, c.raw
        )
    };
    comments.iter().map(entry).collect::<Vec<_>>().concat()
}
