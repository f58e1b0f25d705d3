//! Gather: what Bitbucket knows about the pull request, in few calls: the comment threads, the diff and the builds
//! at the same time, the list of changed files only where the diff was cut.

use std::collections::BTreeSet;

use bitbucket::{Activities, Bot, Client, Comment, Diff, Error, PullRequest, Thread};
use jiff::Timestamp;
use pipeline::effect::BUILD_KEY;
use pipeline::event::Person;
use pipeline::ids::{CommentId, RunId};
use pipeline::job::OpenThread;
use pipeline::run::Run;

use crate::context::framing;
use crate::context::material::{Age, Conversation, Done, Material, Place, Remark, Request};
use crate::context::open_threads::{self, Open};
use crate::limits::{ACTIVITIES_MAX, DIFF_BYTES_MAX};

/// The state of a comment that is done with (bitbucket-dc.md 3.6).
const RESOLVED: &str = "RESOLVED";

/// What the status reply's last line begins with; it says nothing to an agent.
const MARKER: &str = "[//]: # (openhands-resolver ";

/// What came of gathering.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// Everything for a brief.
    Material(Box<Material>),
    /// There is no request: the mention stands alone and points at nothing.
    NoRequest,
}

/// Reads what a brief for `run` is made of. Fails only where Bitbucket is away; what it cannot give otherwise is
/// named as unread.
pub(crate) async fn gather(
    client: &Client,
    run: &Run,
    pull_request: &PullRequest,
    told: &Told,
) -> Result<Gathered, Error> {
    let (repository, id) = (&pull_request.to_ref.repository, pull_request.id);
    let (bot, activities, diff, builds) = tokio::join!(
        client.bot(),
        client.activities(repository, id, ACTIVITIES_MAX),
        client.diff(repository, id, DIFF_BYTES_MAX),
        client.build_statuses(&pull_request.from_ref.latest_commit),
    );
    let bot = bot?;
    let mut unread = Vec::new();
    let activities = or_unread(activities, "the comments", &mut unread)?.unwrap_or_default();
    let diff = or_unread(diff, "the diff", &mut unread)?;
    let mut builds = or_unread(builds, "the build results", &mut unread)?.unwrap_or_default();
    // What the bot itself says of earlier runs is no build.
    builds.retain(|build| !build.key.starts_with(BUILD_KEY));
    let Some(request) = request(run, &activities, &bot) else {
        return Ok(Gathered::NoRequest);
    };
    let mut files = Vec::new();
    if diff.as_ref().is_some_and(|diff| diff.truncated) {
        let changes = or_unread(
            client.changes(repository, id).await,
            "the list of changed files",
            &mut unread,
        )?;
        files = changes.map(|changes| changes.files).unwrap_or_default();
    }
    unread.extend(comments_unread(&activities));
    let own = activities.thread_of(run.comment);
    let threads = Threads {
        run,
        bot: &bot,
        since: own.and_then(|thread| asked_at(run, thread)),
        told,
    };
    if own.is_none() {
        unread.push("the thread of the request".to_owned());
    }
    Ok(Gathered::Material(Box::new(Material {
        repository: format!("{}/{}", repository.project, repository.slug),
        pull_request: id,
        title: pull_request.title.clone(),
        description: pull_request.description.clone(),
        author: pull_request.author.as_ref().map(|author| author.name.clone()),
        from: pull_request.from_ref.display_id.clone(),
        to: pull_request.to_ref.display_id.clone(),
        head: pull_request.from_ref.latest_commit.clone(),
        trigger: own.and_then(|thread| threads.trigger(thread)),
        thread: own
            .map(|thread| threads.remarks(&thread.comment))
            .unwrap_or_default(),
        thread_resolved: own.is_some_and(|thread| is_resolved(&thread.comment)),
        place: own.and_then(place),
        others: threads.others(&activities, own),
        open: threads.open(&activities, &mut unread),
        diff_unread: diff.as_ref().and_then(diff_unread),
        diff: diff.map(|diff| diff.text).unwrap_or_default(),
        files,
        builds,
        unread,
        earlier: None,
        command: run.command.clone(),
        request,
    })))
}

fn diff_unread(diff: &Diff) -> Option<String> {
    let read = diff.text.len();
    diff.truncated.then(|| match diff.bytes_total {
        Some(total) => format!(
            "the end of the diff: {} of {total} bytes",
            total.saturating_sub(read as u64)
        ),
        None => format!("the end of the diff: everything behind the first {read} bytes"),
    })
}

fn comments_unread(activities: &Activities) -> Vec<String> {
    let mut unread = Vec::new();
    if activities.cut {
        unread.push(format!(
            "comments without activity among the newest {ACTIVITIES_MAX}"
        ));
    }
    if activities.unreadable > 0 {
        unread.push(format!(
            "{} comments that could not be read",
            activities.unreadable
        ));
    }
    unread
}

/// Passes on that Bitbucket is away, since it will be back; notes anything else as unread.
fn or_unread<T>(read: Result<T, Error>, what: &str, unread: &mut Vec<String>) -> Result<Option<T>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(
            away @ (Error::Unreachable { .. }
            | Error::Disconnected { .. }
            | Error::Timeout
            | Error::Tls { .. }
            | Error::RateLimited { .. }
            | Error::Unauthorized { .. }
            | Error::Server { status: 502..=504 }),
        ) => Err(away),
        Err(error) => {
            tracing::warn!(%error, what, "left out of the brief");
            unread.push(format!("{what}: not given by Bitbucket"));
            Ok(None)
        }
    }
}

/// The command's text; where the mention stands alone, the text of the comment it replies to, or what the verb says.
fn request(run: &Run, activities: &Activities, bot: &Bot) -> Option<Request> {
    let requester = run
        .requester
        .as_ref()
        .map_or("a deleted user", |person| person.name.as_str())
        .to_owned();
    if !run.command.text.is_empty() {
        return Some(Request {
            text: run.command.asked(),
            requester,
            pointed_at: None,
        });
    }
    let itself = framing::needs_no_text(run.command.verb).then(|| Request {
        text: run.command.asked(),
        requester: requester.clone(),
        pointed_at: None,
    });
    if framing::never_points(run.command.verb) {
        return itself;
    }
    pointed_at(run, activities, bot, requester).or(itself)
}

/// The text of the comment that the mention replies to, which is not the bot's.
fn pointed_at(run: &Run, activities: &Activities, bot: &Bot, requester: String) -> Option<Request> {
    let thread = activities.thread_of(run.comment)?;
    let parent = thread
        .comment
        .flatten()
        .find(|comment| comment.replies.iter().any(|reply| reply.id == run.comment))?;
    let by_bot = parent.author.as_ref().is_some_and(|author| bot.is(author));
    // Whoever wrote it may have changed it since somebody else asked for it to be done.
    let since = asked_at(run, thread);
    let is_changed = parent.version > 0 && since.zip(parent.updated_at).is_some_and(|(since, at)| at > since);
    (!by_bot && !is_changed && !parent.text.trim().is_empty()).then(|| Request {
        text: parent.text.clone(),
        requester,
        pointed_at: Some(parent.id),
    })
}

fn place(thread: &Thread) -> Option<Place> {
    let anchor = thread.comment.anchor.clone()?;
    Some(Place {
        anchor,
        hunk: thread.hunk.clone(),
    })
}

/// When the version of the trigger that asked was written, by Bitbucket's clock. A newer version hides that moment;
/// then the run's own beginning counts.
fn asked_at(run: &Run, thread: &Thread) -> Option<Timestamp> {
    let trigger = thread.comment.find(run.comment)?;
    if trigger.version > run.comment_version {
        return Some(run.queued_at);
    }
    trigger.updated_at.max(trigger.created_at)
}

fn is_resolved(root: &Comment) -> bool {
    root.thread_resolved || root.state == RESOLVED
}

/// How this run sees comment threads.
struct Threads<'a> {
    run: &'a Run,
    bot: &'a Bot,
    /// When the request was made.
    since: Option<Timestamp>,
    /// What was only told and not worked on.
    told: &'a Told,
}

/// What the records say of earlier comments: those that asked for nothing but an answer of the bot's own (`help`, a
/// refusal), those answers, and what was settled and is not any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// What asked.
    pub(crate) asked: BTreeSet<CommentId>,
    /// What the bot said.
    pub(crate) answers: BTreeSet<CommentId>,
    /// Runs whose answers leave their threads open.
    pub(crate) reopened: BTreeSet<RunId>,
}

impl Threads<'_> {
    /// The whole triggering comment, where it says more than the command. A newer version than the one that asked
    /// is not shown: the command is what counts.
    fn trigger(&self, thread: &Thread) -> Option<Remark> {
        let comment = thread.comment.find(self.run.comment)?;
        let says_more = !comment.text.trim_start().starts_with('@');
        (says_more && comment.version == self.run.comment_version).then(|| self.remark(comment, 0))
    }

    /// A thread as a list, replies behind what they reply to. Our own status reply to this very request is left out.
    fn remarks(&self, root: &Comment) -> Vec<Remark> {
        let mut waiting = vec![(root, 0)];
        let mut remarks = Vec::new();
        while let Some((comment, depth)) = waiting.pop() {
            waiting.extend(comment.replies.iter().rev().map(|reply| (reply, depth + 1)));
            let is_told = self.told.answers.contains(&comment.id) && self.by_bot(comment.author.as_ref());
            if !is_told && !self.is_status_of(comment, &self.run.id) {
                remarks.push(self.remark(comment, depth));
            }
        }
        remarks
    }

    fn others(&self, activities: &Activities, own: Option<&Thread>) -> Vec<Conversation> {
        let foreign = activities
            .threads
            .iter()
            .filter(|thread| own.is_none_or(|own| own.comment.id != thread.comment.id));
        let conversation = |thread: &Thread| Conversation {
            remarks: self.remarks(&thread.comment),
            place: place(thread),
            is_task: thread.comment.is_task(),
            resolved: is_resolved(&thread.comment),
        };
        let is_told = |remark: &Remark| self.told.asked.contains(&remark.comment);
        foreign
            .map(conversation)
            .filter(|thread| !thread.remarks.iter().all(is_told))
            .collect()
    }

    /// What the request asks to be worked through.
    fn open(&self, activities: &Activities, unread: &mut Vec<String>) -> Vec<Open> {
        let asked = (&self.run.command, self.run.comment, self.run.requester.as_ref());
        let seen_by = (self.bot, &self.told.reopened);
        let (found, more) = open_threads::find(asked, activities, seen_by);
        if more > 0 {
            unread.push(format!("{more} more open threads than one run works through"));
        }
        let open = |(thread, comment): (&Thread, &Comment)| Open {
            thread: OpenThread {
                comment: comment.id,
                is_task: comment.is_task(),
            },
            anchor: thread.comment.anchor.clone(),
            remark: self.remark(comment, 0),
        };
        found.into_iter().map(open).collect()
    }

    fn remark(&self, comment: &Comment, depth: usize) -> Remark {
        let by_bot = self.by_bot(comment.author.as_ref());
        let lines = comment
            .text
            .lines()
            .filter(|line| !(by_bot && line.starts_with(MARKER)));
        Remark {
            comment: comment.id,
            depth,
            author: comment.author.as_ref().map(|author| author.name.clone()),
            by_bot,
            at: comment.created_at,
            text: lines.collect::<Vec<_>>().join("\n"),
            is_trigger: is_trigger(self.run, comment.id),
            age: self.age(comment),
            task: comment.is_task().then(|| Done(comment.state == RESOLVED)),
        }
    }

    fn age(&self, comment: &Comment) -> Age {
        if is_trigger(self.run, comment.id) {
            let is_edited = comment.version > self.run.comment_version;
            return if is_edited { Age::EditedAfter } else { Age::Before };
        }
        let is_after = |at: Option<Timestamp>| self.since.zip(at).is_some_and(|(since, at)| at > since);
        if is_after(comment.created_at) {
            Age::WrittenAfter
        } else if comment.version > 0 && is_after(comment.updated_at) {
            Age::EditedAfter
        } else {
            Age::Before
        }
    }

    fn is_status_of(&self, comment: &Comment, run: &RunId) -> bool {
        let marker = format!("{MARKER}run={run} ");
        self.by_bot(comment.author.as_ref()) && comment.text.lines().any(|line| line.starts_with(&marker))
    }

    fn by_bot(&self, author: Option<&Person>) -> bool {
        author.is_some_and(|author| self.bot.is(author))
    }
}

fn is_trigger(run: &Run, comment: CommentId) -> bool {
    run.comment == comment
}

#[cfg(test)]
mod tests;
