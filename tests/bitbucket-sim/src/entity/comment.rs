//! Comments with their replies, anchors and reactions.

use super::Render;
use crate::json::{Json, object};
use crate::state::comment::{Anchor, Comment, Stamp};
use crate::state::ids::{PullRequestKey, UserId};
use crate::state::permission::Level;
use crate::state::pull_request::PullRequest;

impl Render<'_> {
    /// A comment as REST shows it: replies nested, anchor on the root, permitted operations.
    pub(crate) fn comment(&self, key: PullRequestKey, pr: &PullRequest, comment: &Comment) -> Json {
        let replies: Vec<Json> = pr
            .replies(comment.id)
            .filter(|reply| reply.visible_to(self.viewer))
            .map(|reply| self.comment(key, pr, reply))
            .collect();
        self.comment_fields(key, comment, replies)
            .with_some("anchor", comment.anchor.as_ref().map(anchor))
            .with("permittedOperations", self.permitted(key, comment))
    }

    /// A comment as just created: as [`Render::comment`], and its state can be changed.
    pub(crate) fn created_comment(&self, key: PullRequestKey, comment: &Comment) -> Json {
        let permitted = self.permitted(key, comment).with("transitionable", true);
        self.comment_fields(key, comment, Vec::new())
            .with_some("anchor", comment.anchor.as_ref().map(anchor))
            .with("permittedOperations", permitted)
    }

    /// A comment as webhooks and reactions show it: no anchor, no replies (bitbucket-dc.md 2.5).
    pub(crate) fn bare_comment(&self, key: PullRequestKey, comment: &Comment) -> Json {
        self.comment_fields(key, comment, Vec::new())
    }

    fn comment_fields(&self, key: PullRequestKey, comment: &Comment, replies: Vec<Json>) -> Json {
        let date = |stamp: &Option<Stamp>| stamp.map(|stamp| Json::Time(stamp.at));
        let user = |stamp: &Option<Stamp>| stamp.map(|stamp| self.user(stamp.user));
        object! {
            "properties": self.comment_properties(key, comment),
            "id": comment.id,
            "version": comment.version,
            "text": &comment.text,
            "author": self.user(comment.author),
            "createdDate": Json::Time(comment.created),
            "updatedDate": Json::Time(comment.updated),
            "comments": replies,
            "threadResolved": comment.thread_resolved.is_some(),
            "severity": comment.severity(),
            "state": comment.state.name(),
        }
        .with_some("threadResolvedDate", date(&comment.thread_resolved))
        .with_some("threadResolver", user(&comment.thread_resolved))
        .with_some("resolvedDate", date(&comment.resolved))
        .with_some("resolver", user(&comment.resolved))
    }

    fn comment_properties(&self, key: PullRequestKey, comment: &Comment) -> Json {
        let reaction = |(shortcut, users): (&String, &std::collections::BTreeSet<UserId>)| {
            object! {
                "emoticon": emoticon(shortcut),
                "users": users.iter().map(|user| self.user(*user)).collect::<Vec<_>>(),
            }
        };
        let reactions: Vec<Json> = comment.reactions.iter().map(reaction).collect();
        let applied = !comment.applied_suggestions.is_empty();
        object! { "repositoryId": key.repository }
            .with_some("reactions", (!reactions.is_empty()).then_some(reactions))
            .with_some("suggestionState", applied.then_some("APPLIED"))
    }

    fn permitted(&self, key: PullRequestKey, comment: &Comment) -> Json {
        let viewer = self.viewer.and_then(|viewer| self.world.users.get(&viewer));
        let is_author = self.viewer == Some(comment.author);
        let level = viewer.and_then(|viewer| self.world.user_on_repository(viewer, key.repository));
        object! { "editable": is_author, "deletable": is_author || level >= Some(Level::Admin) }
    }
}

/// `{shortcut, value}`; without a known picture only the shortcut.
pub(crate) fn emoticon(shortcut: &str) -> Json {
    let value = match shortcut {
        "eyes" => Some("👀"),
        "thumbsup" | "+1" => Some("👍"),
        "thumbsdown" | "-1" => Some("👎"),
        "tada" => Some("🎉"),
        "heart" => Some("❤️"),
        "rocket" => Some("🚀"),
        "confused" => Some("😕"),
        "white_check_mark" => Some("✅"),
        "x" => Some("❌"),
        "hourglass" => Some("⌛"),
        _ => None,
    };
    object! { "shortcut": shortcut }.with_some("value", value)
}

/// An anchor entity; without `line` it is the file's.
pub(crate) fn anchor(anchor: &Anchor) -> Json {
    let mut entity = object! { "fromHash": &anchor.from_hash, "toHash": &anchor.to_hash };
    if let Some(line) = &anchor.line {
        entity = entity
            .with("line", line.line)
            .with("lineType", &line.line_type)
            .with("fileType", &line.file_type);
        if let Some((start, kind)) = &line.start {
            entity = entity.with(
                "multilineMarker",
                object! { "startLine": *start, "startLineType": kind },
            );
        }
    }
    entity
        .with("path", &anchor.path)
        .with_some("srcPath", anchor.src_path.as_ref())
        .with("diffType", &anchor.diff_type)
        .with("orphaned", anchor.orphaned)
}
