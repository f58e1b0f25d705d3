//! All comment threads of a pull request, from its activities: the list of comments wants a path
//! (bitbucket-dc.md 3.6), this does not.

use std::collections::HashSet;
use std::ops::ControlFlow;

use pipeline::event::Repository;
use pipeline::ids::{CommentId, PullRequestId};
use serde_json::Value;

use crate::client::Client;
use crate::comment::{self, Comment};
use crate::error::Error;
use crate::paging::Read;
use crate::reading;
use crate::route;

/// Activities per page. Bitbucket would give 500 (bitbucket-dc.md 3.2), but each may carry a thread and a hunk.
const ACTIVITIES_PER_PAGE: u32 = 200;

/// The comment threads of a pull request, those with the newest activity first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activities {
    /// Each thread once.
    pub threads: Vec<Thread>,
    /// Whether older activities were left out.
    pub cut: bool,
    /// Comments that could not be read and were left out.
    pub unreadable: usize,
}

/// A thread: its first comment with everything below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// The first comment; it has the anchor.
    pub comment: Comment,
    /// The lines of the diff around the anchor, as a unified hunk.
    pub hunk: Option<Hunk>,
}

/// A piece of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// `@@ -10,2 +10,3 @@` and the lines with ` `, `+` or `-` before them.
    pub text: String,
    /// Whether Bitbucket left lines out.
    pub truncated: bool,
}

impl Activities {
    /// The thread that a comment, also a nested reply, is in.
    pub fn thread_of(&self, comment: CommentId) -> Option<&Thread> {
        self.threads
            .iter()
            .find(|thread| thread.comment.find(comment).is_some())
    }
}

impl Client {
    /// The threads that the newest activities, at least `max` where there are as many, are about. Whole pages are
    /// read.
    pub async fn activities(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        max: usize,
    ) -> Result<Activities, Error> {
        let [project, slug] = route::of(repository);
        let values = [project, slug, &pull_request.to_string()];
        let mut collected = Collected::default();
        let mut seen = 0;
        let read = self
            .pages(
                route::ACTIVITIES,
                &values,
                &[],
                ACTIVITIES_PER_PAGE,
                |activities| {
                    for activity in activities {
                        collected.add(activity);
                    }
                    seen += activities.len();
                    Ok(if seen >= max {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    })
                },
            )
            .await?;
        Ok(collected.finish(read == Read::Part))
    }
}

/// Threads while the pages come in. The same comment may come several times: added, edited, replied to, and as a
/// reply within its thread.
#[derive(Default)]
struct Collected {
    threads: Vec<Thread>,
    deleted: HashSet<CommentId>,
    unreadable: usize,
}

impl Collected {
    fn add(&mut self, activity: &Value) {
        let Some(value) = activity.get("comment") else {
            return;
        };
        if reading::optional_text(activity, "commentAction").as_deref() == Some("DELETED") {
            self.deleted.extend(reading::comment_id(value));
            return;
        }
        let Ok(mut comment) = comment::read(value) else {
            self.unreadable += 1;
            return;
        };
        if self.deleted.contains(&comment.id) {
            return;
        }
        let place = activity.get("commentAnchor").and_then(comment::anchor);
        comment.anchor = comment.anchor.or(place);
        let hunk = activity.get("diff").and_then(hunk);
        // A root is looked for by its id, since its versions may differ between activities.
        match self
            .threads
            .iter_mut()
            .find(|thread| thread.comment.id == comment.id)
        {
            Some(known) if known.comment.version >= comment.version => {
                known.comment.anchor = known.comment.anchor.take().or(comment.anchor);
                known.hunk = known.hunk.take().or(hunk);
            }
            Some(known) => {
                comment.anchor = comment.anchor.or(known.comment.anchor.take());
                known.hunk = hunk.or(known.hunk.take());
                known.comment = comment;
            }
            None => self.threads.push(Thread { comment, hunk }),
        }
    }

    fn finish(mut self, cut: bool) -> Activities {
        // What is a reply in one thread is not a thread of its own.
        let replies: HashSet<CommentId> = self
            .threads
            .iter()
            .flat_map(|thread| thread.comment.flatten().skip(1))
            .map(|reply| reply.id)
            .collect();
        self.threads
            .retain(|thread| !replies.contains(&thread.comment.id));
        Activities {
            threads: self.threads,
            cut,
            unreadable: self.unreadable,
        }
    }
}

/// The hunks of an activity's diff as text.
fn hunk(diff: &Value) -> Option<Hunk> {
    let mut text = String::new();
    let mut truncated = is_truncated(diff);
    for hunk in reading::list(diff, "hunks") {
        truncated |= is_truncated(hunk);
        let number = |key| hunk.get(key).and_then(Value::as_u64).unwrap_or(0);
        let header = format!(
            "@@ -{},{} +{},{} @@ {}",
            number("sourceLine"),
            number("sourceSpan"),
            number("destinationLine"),
            number("destinationSpan"),
            reading::optional_text(hunk, "context").unwrap_or_default(),
        );
        text.push_str(header.trim_end());
        text.push('\n');
        for segment in reading::list(hunk, "segments") {
            truncated |= is_truncated(segment);
            let mark = match reading::optional_text(segment, "type").as_deref() {
                Some("ADDED") => '+',
                Some("REMOVED") => '-',
                _ => ' ',
            };
            for line in reading::list(segment, "lines") {
                truncated |= is_truncated(line);
                text.push(mark);
                text.push_str(line.get("line").and_then(Value::as_str).unwrap_or_default());
                text.push('\n');
            }
        }
    }
    (!text.is_empty()).then_some(Hunk { text, truncated })
}

fn is_truncated(value: &Value) -> bool {
    reading::flag(value, "truncated").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collect(activities: &[Value]) -> Activities {
        let mut collected = Collected::default();
        for activity in activities {
            collected.add(activity);
        }
        collected.finish(false)
    }

    fn comment(id: u64, version: u32, replies: Value) -> Value {
        json!({"id": id, "version": version, "text": format!("v{version}"), "comments": replies})
    }

    #[test]
    fn a_page_of_activities_gives_the_thread_with_anchor_and_hunk() {
        let page: Value =
            serde_json::from_str(include_str!("../fixtures/rest_activities_page.json")).unwrap();
        let activities = collect(reading::list(&page, "values"));
        let [thread] = activities.threads.as_slice() else {
            panic!("{activities:?}")
        };
        assert_eq!(thread.comment.anchor.as_ref().unwrap().path, "src/upload.rs");
        let hunk = thread.hunk.as_ref().unwrap();
        assert_eq!(
            hunk.text,
            "@@ -10,2 +10,3 @@ fn upload()\n     let r = send();\n+    let _ = r;\n"
        );
        assert!(!hunk.truncated);
        assert!(activities.thread_of(CommentId(311)).is_some());
        assert!(activities.thread_of(CommentId(1)).is_none());
    }

    #[test]
    fn a_comment_that_comes_several_times_is_one_thread_in_its_newest_version() {
        let anchor = json!({"path": "a.rs", "line": 3});
        let activities = collect(&[
            json!({"commentAction": "REPLIED", "comment": comment(2, 0, json!([]))}),
            json!({"commentAction": "EDITED", "comment": comment(1, 1, json!([comment(2, 0, json!([]))]))}),
            json!({"commentAction": "ADDED", "comment": comment(1, 0, json!([])), "commentAnchor": anchor}),
            json!({"action": "OPENED"}),
        ]);
        let [thread] = activities.threads.as_slice() else {
            panic!("{activities:?}")
        };
        assert_eq!((thread.comment.id, thread.comment.version), (CommentId(1), 1));
        assert_eq!(
            thread.comment.anchor.as_ref().and_then(|anchor| anchor.line),
            Some(3)
        );
    }

    #[test]
    fn a_deleted_comment_is_gone_and_an_unreadable_one_is_counted() {
        let activities = collect(&[
            json!({"commentAction": "DELETED", "comment": comment(1, 1, json!([]))}),
            json!({"commentAction": "ADDED", "comment": comment(1, 0, json!([]))}),
            json!({"commentAction": "ADDED", "comment": {"id": "x"}}),
        ]);
        assert_eq!((activities.threads.len(), activities.unreadable), (0, 1));
    }
}
