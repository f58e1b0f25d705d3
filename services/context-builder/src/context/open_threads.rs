//! Open threads: the conversations and tasks of a pull request that wait for somebody, as far as `address` is to work
//! through them.

use std::collections::BTreeSet;

use bitbucket::{Activities, Anchor, Bot, Comment, Thread};
use pipeline::command::Command;
use pipeline::effect::EFFECTS_MAX;
use pipeline::event::Person;
use pipeline::ids::{CommentId, RunId};
use pipeline::job::OpenThread;
use pipeline::verbs::Verb;

use crate::context::budget::Budget;
use crate::context::material::{Material, Remark};
use crate::context::sections::{Block, Section, as_text, section};
use crate::context::visible;

/// What the last line of everything the bot writes for a run begins with.
const MARKER: &str = "[//]: # (openhands-resolver ";

/// What is in that line where it is no status reply.
const EFFECT: &str = " effect=";
/// What follows the marker's beginning: the run.
const RUN: &str = "run=";
/// What that line ends with in an answer that leaves nothing to do.
const SETTLED: &str = " settled)";

/// A thread or a task that is work.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    /// As the job names it.
    pub(crate) thread: OpenThread,
    /// File and line, for an inline thread.
    pub(crate) anchor: Option<Anchor>,
    /// Its first comment.
    pub(crate) remark: Remark,
}

/// What waits for an answer, the oldest first, and how much of it is more than one run works through: what people wrote,
/// and what the bot found in a review. Not requests to the bot and its replies to them, nor what it has settled, unless
/// somebody said more or the answer is of one of the runs in `reopened`.
pub(crate) fn find<'a>(
    (command, trigger, requester): (&Command, CommentId, Option<&Person>),
    activities: &'a Activities,
    (bot, reopened): (&Bot, &BTreeSet<RunId>),
) -> (Vec<(&'a Thread, &'a Comment)>, usize) {
    if command.verb != Verb::Address {
        return (Vec::new(), 0);
    }
    let is_wanted = |thread: &Thread, comment: &Comment| match command.argument.as_deref() {
        Some("this") => thread.comment.find(trigger).is_some(),
        Some("mine") => requester
            .zip(comment.author.as_ref())
            .is_some_and(|(one, other)| is_same(one, other)),
        _ => true,
    };
    let mut found: Vec<(&Thread, &Comment)> = Vec::new();
    for thread in activities
        .threads
        .iter()
        .filter(|thread| !thread.comment.thread_resolved)
    {
        let work = thread.comment.flatten().filter(|comment| {
            // Within a thread only tasks are work of their own.
            (comment.id == thread.comment.id || comment.is_task())
                && comment.state != "RESOLVED"
                && comment.id != trigger
                && (!is_by(bot, comment) || is_finding(comment))
                && !has_status_reply(comment, bot)
                && !is_settled(comment, bot, reopened)
        });
        found.extend(
            work.map(|comment| (thread, comment))
                .filter(|(thread, comment)| is_wanted(thread, comment)),
        );
    }
    found.sort_by_key(|(_, comment)| comment.id);
    let more = found.len().saturating_sub(EFFECTS_MAX);
    found.truncate(EFFECTS_MAX);
    (found, more)
}

fn is_by(bot: &Bot, comment: &Comment) -> bool {
    comment.author.as_ref().is_some_and(|author| bot.is(author))
}

/// Whether what the bot wrote is a remark of a review or a suggestion. What it says to a request has another last line.
fn is_finding(comment: &Comment) -> bool {
    marker(comment).is_some_and(|marker| marker.contains(EFFECT))
}

/// Whether the bot has answered a comment in a way that leaves nothing to do, and nobody said more since. An answer of a
/// run in `reopened` settles nothing any more.
fn is_settled(comment: &Comment, bot: &Bot, reopened: &BTreeSet<RunId>) -> bool {
    let settles = |marker: &str| {
        let counts = !reopened.iter().any(|run| run_of(marker) == Some(run.as_str()));
        counts && marker.contains(EFFECT) && marker.ends_with(SETTLED)
    };
    let settles = |reply: &&Comment| is_by(bot, reply) && marker(reply).is_some_and(settles);
    let answered = comment.replies.iter().filter(settles).map(|reply| reply.id).max();
    answered.is_some_and(|answer| {
        !comment
            .flatten()
            .any(|said| said.id > answer && !is_by(bot, said))
    })
}

/// The last line of something that is written for a run.
fn marker(comment: &Comment) -> Option<&str> {
    let last = comment.text.trim_end().lines().next_back()?;
    last.starts_with(MARKER).then_some(last)
}

/// The id of the run that a marker names.
fn run_of(marker: &str) -> Option<&str> {
    marker.strip_prefix(MARKER)?.strip_prefix(RUN)?.split(' ').next()
}

/// Whether a comment is a request to the bot, which was answered with a status reply. An answer to a thread has another
/// last line, and leaves the thread open.
fn has_status_reply(comment: &Comment, bot: &Bot) -> bool {
    let is_marker = |line: &str| line.starts_with(MARKER) && line.contains(" n=");
    comment
        .replies
        .iter()
        .any(|reply| is_by(bot, reply) && reply.text.lines().any(is_marker))
}

fn is_same(one: &Person, other: &Person) -> bool {
    match (one.id, other.id) {
        (Some(one), Some(other)) => one == other,
        _ => one.name == other.name,
    }
}

/// The part of a brief that lists them, each with the number it is answered by.
pub(crate) fn listed(material: &Material, budget: &mut Budget) -> Option<Section> {
    let mut blocks = Vec::new();
    for open in &material.open {
        let number = open.thread.comment;
        let kind = if open.thread.is_task { ", a task" } else { "" };
        let place = open.anchor.as_ref().map_or(String::new(), |anchor| {
            let line = anchor
                .line
                .map(|line| format!(", line {line}"))
                .unwrap_or_default();
            format!(", on {}{line}", visible::line(&anchor.path))
        });
        let said = as_text(&open.remark, &open.remark.text);
        let taken = budget.take_whole(
            &format!("the open thread {number}"),
            format!("thread {number}{kind}{place}\n{said}"),
        );
        blocks.extend(taken.map(|body| Block::new("text", body)));
    }
    let about = "What waits for an answer, each with its number. What was said in reply is in the sections about threads.";
    section("Open threads", about, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Person {
        Person {
            id: None,
            name: name.to_owned(),
            slug: None,
            display_name: None,
            email: None,
            is_service: false,
        }
    }

    fn bot() -> Bot {
        Bot {
            name: "openhands".into(),
            slug: None,
            id: None,
            display_name: "openhands".into(),
            email: None,
        }
    }

    fn comment(id: u64, author: &str, text: &str, replies: Vec<Comment>) -> Comment {
        Comment {
            id: CommentId(id),
            version: 0,
            text: text.to_owned(),
            author: Some(person(author)),
            created_at: None,
            updated_at: None,
            severity: "NORMAL".into(),
            state: "OPEN".into(),
            thread_resolved: false,
            anchor: None,
            replies,
        }
    }

    fn task(comment: Comment) -> Comment {
        Comment {
            severity: "BLOCKER".into(),
            ..comment
        }
    }

    fn found(argument: Option<&str>, trigger: u64, threads: Vec<Comment>) -> Vec<u64> {
        found_after(&[], argument, trigger, threads)
    }

    fn found_after(
        reopened: &[&str],
        argument: Option<&str>,
        trigger: u64,
        threads: Vec<Comment>,
    ) -> Vec<u64> {
        let reopened = reopened.iter().map(|run| RunId::new(*run).unwrap()).collect();
        let command = Command {
            argument: argument.map(ToOwned::to_owned),
            ..Command::of_verb(Verb::Address, "")
        };
        let activities = Activities {
            threads: threads
                .into_iter()
                .map(|comment| Thread { comment, hunk: None })
                .collect(),
            ..Activities::default()
        };
        let alice = person("alice");
        let asked = (&command, CommentId(trigger), Some(&alice));
        let (found, _) = find(asked, &activities, (&bot(), &reopened));
        found.into_iter().map(|(_, comment)| comment.id.0).collect()
    }

    #[test]
    fn what_is_open_is_found_and_what_is_the_bots_or_done_is_not() {
        let status = "Done\n\n[//]: # (openhands-resolver run=r-0123456789ab n=3)";
        let answer = "Not changed.\n\n[//]: # (openhands-resolver run=r-0123456789ab effect=0)";
        let threads = || {
            vec![
                comment(9, "alice", "@openhands address", Vec::new()),
                comment(
                    7,
                    "bob",
                    "rename it",
                    vec![task(comment(8, "carol", "and a test", Vec::new()))],
                ),
                comment(
                    1,
                    "alice",
                    "why?",
                    vec![comment(2, "openhands", answer, Vec::new())],
                ),
                comment(
                    3,
                    "alice",
                    "@openhands fix it",
                    vec![comment(4, "openhands", status, Vec::new())],
                ),
                comment(10, "openhands", "a finding", Vec::new()),
                Comment {
                    thread_resolved: true,
                    ..comment(5, "bob", "old", Vec::new())
                },
                Comment {
                    state: "RESOLVED".into(),
                    ..task(comment(6, "bob", "done", Vec::new()))
                },
            ]
        };
        assert_eq!(found(None, 9, threads()), [1, 7, 8]);
        assert_eq!(found(Some("all"), 9, threads()), [1, 7, 8]);
        assert_eq!(found(Some("mine"), 9, threads()), [1]);
        assert!(found(Some("this"), 9, threads()).is_empty());
    }

    #[test]
    fn what_the_bot_found_is_work_and_what_it_said_to_a_request_is_not() {
        let finding = "Off by one.\n\n[//]: # (openhands-resolver run=r-0123456789ab effect=2)";
        let alone = "Done\n\n[//]: # (openhands-resolver run=r-0123456789ab n=3)";
        let resolved = Comment {
            thread_resolved: true,
            ..comment(3, "openhands", finding, Vec::new())
        };
        let threads = vec![
            comment(1, "openhands", finding, Vec::new()),
            comment(2, "openhands", alone, Vec::new()),
            resolved,
            comment(4, "alice", finding, Vec::new()),
        ];
        assert_eq!(found(None, 9, threads), [1, 4]);
    }

    #[test]
    fn what_is_settled_is_work_again_when_somebody_says_more() {
        let settled = "**Done**\n\n[//]: # (openhands-resolver run=r-0123456789ab effect=0 settled)";
        let open = "**Not changed.**\n\n[//]: # (openhands-resolver run=r-0123456789ab effect=1)";
        let answered = |by, more: Option<Comment>| {
            let unsettled = comment(4, "openhands", open, Vec::new());
            let mut replies = vec![
                comment(2, by, settled, Vec::new()),
                task(comment(1, "carol", "and a test", vec![unsettled])),
            ];
            replies.extend(more);
            found(None, 9, vec![comment(0, "bob", "rename it", replies)])
        };
        assert_eq!(answered("openhands", None), [1], "the task in it is not settled");
        assert_eq!(answered("dave", None), [0, 1], "a quoted marker settles nothing");
        let more = comment(3, "bob", "that one, too", Vec::new());
        assert_eq!(answered("openhands", Some(more)), [0, 1]);
    }

    #[test]
    fn what_a_run_had_settled_that_was_undone_is_work_again() {
        let by = |run: &str| format!("**Done**\n\n[//]: # (openhands-resolver run={run} effect=0 settled)");
        let (undone, later) = ("r-0123456789ab", "r-ba9876543210");
        let first = comment(2, "openhands", &by(undone), Vec::new());
        let second = comment(3, "openhands", &by(later), Vec::new());
        let after = |reopened: &[&str], replies: &[&Comment]| {
            let replies = replies.iter().map(|reply| (*reply).clone()).collect();
            found_after(reopened, None, 9, vec![comment(1, "bob", "rename it", replies)])
        };
        assert!(after(&[later], &[&first]).is_empty(), "another one was undone");
        assert_eq!(after(&[undone], &[&first]), [1]);
        assert!(after(&[undone], &[&first, &second]).is_empty(), "settled anew");
        assert_eq!(after(&[undone, later], &[&first, &second]), [1]);
    }

    #[test]
    fn this_is_the_thread_that_the_request_stands_in() {
        let asked = comment(3, "alice", "@openhands address this", Vec::new());
        let threads = vec![
            comment(1, "bob", "rename it", vec![asked]),
            comment(2, "bob", "and that", Vec::new()),
        ];
        assert_eq!(found(Some("this"), 3, threads), [1]);
    }

    #[test]
    fn somebody_who_quotes_a_marker_closes_no_thread() {
        let quoted = "[//]: # (openhands-resolver run=r-0123456789ab n=3)";
        let threads = vec![comment(
            1,
            "bob",
            "x",
            vec![comment(2, "alice", quoted, Vec::new())],
        )];
        assert_eq!(found(None, 9, threads), [1]);
    }

    #[test]
    fn other_verbs_work_through_nothing() {
        let command = Command::of_verb(Verb::Fix, "it");
        let activities = Activities {
            threads: vec![Thread {
                comment: comment(1, "bob", "x", Vec::new()),
                hunk: None,
            }],
            ..Activities::default()
        };
        let (found, more) = find(
            (&command, CommentId(9), None),
            &activities,
            (&bot(), &BTreeSet::new()),
        );
        assert!(found.is_empty() && more == 0);
    }
}
