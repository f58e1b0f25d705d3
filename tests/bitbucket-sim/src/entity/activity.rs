//! Activities (bitbucket-dc.md 3.6).

use super::comment::anchor;
use super::{Render, commit, diff};
use crate::git::commits::Commit;
use crate::json::{Json, object};
use crate::state::activity::{Action, Activity, Commented, Rescoped};
use crate::state::ids::PullRequestKey;
use crate::state::pull_request::PullRequest;

impl Render<'_> {
    /// An activity; `None` if the viewer cannot see it (somebody's pending comment, a comment gone).
    pub(crate) fn activity(
        &self,
        key: PullRequestKey,
        pr: &PullRequest,
        activity: &Activity,
    ) -> Option<Json> {
        let entity = object! {
            "id": activity.id,
            "createdDate": Json::Time(activity.created),
            "user": self.user(activity.user),
        };
        Some(match &activity.action {
            Action::Opened => entity.with("action", "OPENED"),
            Action::Plain(name) => entity.with("action", *name),
            Action::Merged { commit: merged } => {
                let merged = merged.as_deref().map(commit::minimal);
                entity.with("action", "MERGED").with_some("commit", merged)
            }
            Action::Rescoped(rescoped) => rescoped_fields(entity, rescoped),
            Action::Commented(commented) => self.commented(entity, key, pr, commented)?,
        })
    }

    fn commented(
        &self,
        entity: Json,
        key: PullRequestKey,
        pr: &PullRequest,
        commented: &Commented,
    ) -> Option<Json> {
        let comment = if let Some(deleted) = &commented.deleted {
            self.comment(key, pr, deleted)
        } else {
            let comment = pr
                .comments
                .get(&commented.comment)
                .filter(|c| c.visible_to(self.viewer))?;
            self.comment(key, pr, comment)
        };
        // In activities the anchor is beside the comment, not in it.
        let comment = match comment {
            Json::Object(fields) => {
                Json::Object(fields.into_iter().filter(|(name, _)| name != "anchor").collect())
            }
            other => other,
        };
        let id = commented.comment;
        let hunk = commented
            .diff
            .as_ref()
            .zip(commented.anchor.as_ref())
            .map(|(file, anchor)| {
                let line = anchor.line.as_ref();
                diff::diff(file, &|l| {
                    let number = line.map(|line| (line.line, line.line_type.as_str()));
                    let own = if l.kind.name() == "REMOVED" {
                        l.source
                    } else {
                        l.destination
                    };
                    if number == Some((own, l.kind.name())) {
                        vec![Json::from(id)]
                    } else {
                        Vec::new()
                    }
                })
                .with(
                    "properties",
                    object! {
                        "toHash": &anchor.to_hash,
                        "current": anchor.to_hash == pr.from.commit,
                        "fromHash": &anchor.from_hash,
                    },
                )
            });
        let entity = entity
            .with("action", "COMMENTED")
            .with("commentAction", commented.comment_action)
            .with("comment", comment)
            .with_some("commentAnchor", commented.anchor.as_ref().map(anchor));
        Some(entity.with_some("diff", hunk))
    }
}

fn rescoped_fields(entity: Json, rescoped: &Rescoped) -> Json {
    let commits = |list: &[Commit]| {
        object! { "commits": list.iter().map(commit::commit).collect::<Vec<_>>(), "total": list.len() }
    };
    entity
        .with("action", "RESCOPED")
        .with("fromHash", &rescoped.from_hash)
        .with("previousFromHash", &rescoped.previous_from_hash)
        .with("previousToHash", &rescoped.previous_to_hash)
        .with("toHash", &rescoped.to_hash)
        .with("added", commits(&rescoped.added))
        .with("removed", commits(&rescoped.removed))
}
