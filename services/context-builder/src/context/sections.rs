//! From material to the sections of a brief, in the order in which they may use up its bytes: trigger, thread,
//! place, title and description, other threads, diff, builds.

use bitbucket::{Anchor, BuildStatus};
use serde::Serialize;

use crate::context::budget::Budget;
use crate::context::diff;
use crate::context::hidden;
use crate::context::material::{Age, Conversation, Done, Material, Remark};
use crate::context::occasion::{earlier_run, failed_builds};
use crate::context::open_threads;
use crate::context::visible;
use crate::limits::FILES_MAX;

/// Of the diff around a thread other than the request's, this much is shown: some twenty lines.
const HUNK_BYTES_MAX: usize = 2 * 1024;

/// A part of the brief under its own heading.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    /// Our words about where it comes from.
    pub(crate) about: String,
    pub(crate) blocks: Vec<Block>,
}

/// Foreign text in a fence of its own.
#[derive(Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) fence: String,
    pub(crate) language: &'static str,
    pub(crate) body: String,
}

impl Block {
    /// Fences `body`, which must be visible text.
    pub(crate) fn new(language: &'static str, body: String) -> Self {
        let body = body.trim_end_matches('\n').to_owned();
        Self {
            fence: visible::fence(&body),
            language,
            body,
        }
    }
}

/// Writes one section, or leaves it out.
type Make = fn(&Material, &mut Budget) -> Option<Section>;

/// Everything but the request. Each part may take so many of a hundred of the bytes that the parts before have left, so
/// that a long thread does not push out the diff.
pub(crate) fn sections(material: &Material, budget: &mut Budget) -> Vec<Section> {
    let sections = [
        (earlier_run as Make, 50),
        (failed_builds, 20),
        (open_threads::listed, 50),
        (trigger, 30),
        (thread, 40),
        (place, 30),
        (pull_request, 30),
        (other_threads, 40),
        (changed_files, 30),
        (whole_diff, 100),
        (builds, 100),
    ]
    .map(|(make, share)| budget.within(share, |budget| make(material, budget)));
    material
        .unread
        .iter()
        .for_each(|what| budget.leave_out(what.clone()));
    sections.into_iter().flatten().collect()
}

fn trigger(material: &Material, budget: &mut Budget) -> Option<Section> {
    let remark = material.trigger.as_ref()?;
    let body = budget.take("the triggering comment", as_text(remark, &remark.text))?;
    section(
        "The triggering comment",
        "The whole comment that the request is taken from.",
        vec![Block::new("text", body)],
    )
}

fn thread(material: &Material, budget: &mut Budget) -> Option<Section> {
    let shown = |remark: &Remark| match (remark.is_trigger, &material.trigger) {
        (true, Some(_)) => as_text(remark, "(the triggering comment, shown above)"),
        (true, None) => as_text(remark, "(the request, shown above)"),
        (false, _) => as_text(remark, &remark.text),
    };
    if material.thread.iter().all(|remark| remark.is_trigger) {
        return None;
    }
    let body: String = material.thread.iter().map(shown).collect();
    let body = budget.take("the thread of the request", body)?;
    let state = if material.thread_resolved {
        " The thread is resolved."
    } else {
        ""
    };
    let about = format!(
        "The comments around the triggering comment, from the first one of the thread; replies are indented.{state}"
    );
    section("The thread", about, vec![Block::new("text", body)])
}

fn place(material: &Material, budget: &mut Budget) -> Option<Section> {
    let place = material.place.as_ref()?;
    let body = budget.take("the place of the thread", described(&place.anchor))?;
    let mut blocks = vec![Block::new("text", body)];
    if let Some(hunk) = &place.hunk {
        let taken = budget.take("the diff around the thread", visible::text(&hunk.text));
        blocks.extend(taken.map(|body| Block::new("diff", body)));
        if hunk.truncated {
            budget.leave_out("the diff around the thread: lines that Bitbucket left out".to_owned());
        }
    }
    let about = "The thread is about this place. \"This\" and \"here\" in the request mean it.";
    section("The place", about, blocks)
}

fn described(anchor: &Anchor) -> String {
    let mut lines = vec![format!("file: {}", visible::line(&anchor.path))];
    lines.extend(
        anchor
            .src_path
            .as_ref()
            .map(|before| format!("before it was moved: {}", visible::line(before))),
    );
    let side = match anchor.file_type.as_deref() {
        Some("FROM") => " of the file before the change",
        Some("TO") => " of the file after the change",
        _ => "",
    };
    lines.push(match (anchor.start_line, anchor.line) {
        (Some(start), Some(line)) => format!("lines: {start} to {line}{side}"),
        (None, Some(line)) => format!("line: {line}{side}"),
        (_, None) => "the file as a whole".to_owned(),
    });
    if anchor.orphaned {
        lines.push("this place is no longer part of the diff".to_owned());
    }
    lines.join("\n")
}

fn pull_request(material: &Material, budget: &mut Budget) -> Option<Section> {
    let author = material
        .author
        .as_deref()
        .map_or("a deleted user".to_owned(), |name| {
            format!("@{}", visible::line(name))
        });
    let mut body = format!(
        "title: {}\nopened by: {author}\nsource branch: {}\ntarget branch: {}\n",
        visible::line(&material.title),
        visible::line(&material.from),
        visible::line(&material.to),
    );
    if !material.description.trim().is_empty() {
        body.push_str("description:\n");
        body.push_str(&barred("", &hidden::marked(&material.description)));
    }
    let body = budget.take("title and description", body)?;
    let about = format!(
        "Pull request {} of {}, source branch at commit {}.",
        material.pull_request,
        visible::name(&material.repository),
        material.head
    );
    section("The pull request", about, vec![Block::new("text", body)])
}

fn other_threads(material: &Material, budget: &mut Budget) -> Option<Section> {
    let mut threads: Vec<&Conversation> = material.others.iter().collect();
    // Open tasks first, then open threads, then what is resolved; within each the newest activity first, as read.
    threads.sort_by_key(|thread| (thread.resolved, !thread.is_task));
    let mut blocks = Vec::new();
    for thread in threads {
        let Some(first) = thread.remarks.first() else {
            continue;
        };
        let what = format!("the thread of comment {}", first.comment);
        let Some(body) = budget.take_whole(&what, conversation(thread)) else {
            continue;
        };
        blocks.push(Block::new("text", body));
        // What is done with needs no second look at its place.
        let hunk = thread.place.as_ref().and_then(|place| place.hunk.as_ref());
        if let Some(hunk) = hunk.filter(|_| !thread.resolved) {
            let near = visible::text(last_lines(&hunk.text, HUNK_BYTES_MAX));
            let taken = budget.take_whole(&format!("the diff around {what}"), near);
            blocks.extend(taken.map(|body| Block::new("diff", body)));
        }
    }
    section(
        "Other threads",
        "What else was said on the pull request, open tasks first, resolved threads last.",
        blocks,
    )
}

fn conversation(thread: &Conversation) -> String {
    let state = if thread.resolved { "resolved" } else { "open" };
    let kind = if thread.is_task { "task" } else { "thread" };
    let place = thread.place.as_ref().map_or(String::new(), |place| {
        format!(" on {}", described(&place.anchor).replace('\n', ", "))
    });
    let remarks: String = thread
        .remarks
        .iter()
        .map(|remark| as_text(remark, &remark.text))
        .collect();
    format!("{state} {kind}{place}\n{remarks}")
}

fn changed_files(material: &Material, budget: &mut Budget) -> Option<Section> {
    let named = material.files.iter().take(FILES_MAX).map(|file| {
        let before = file
            .src_path
            .as_deref()
            .map(|path| format!(" from {}", visible::line(path)))
            .unwrap_or_default();
        format!(
            "{} {}{before}\n",
            file.kind.to_lowercase(),
            visible::line(&file.path)
        )
    });
    let list: String = named.collect();
    if list.is_empty() {
        return None;
    }
    if material.files.len() > FILES_MAX {
        budget.leave_out(format!(
            "the list of changed files: {} of {}",
            material.files.len() - FILES_MAX,
            material.files.len()
        ));
    }
    let body = budget.take("the list of changed files", list)?;
    section(
        "Changed files",
        "All files the pull request changes; the diff below does not show them all.",
        vec![Block::new("text", body)],
    )
}

fn whole_diff(material: &Material, budget: &mut Budget) -> Option<Section> {
    if let Some(unread) = &material.diff_unread {
        budget.leave_out(unread.clone());
    }
    let near = material.place.as_ref().map(|place| place.anchor.path.as_str());
    let files = diff::files(&material.diff, near);
    let mut blocks = Vec::new();
    for file in files {
        let what = format!("the diff of {}", file.path);
        let text = visible::text(file.text);
        // The file the thread is about is worth a part; of the others a part would mislead.
        let taken = if file.is_near {
            budget.take(&what, text)
        } else {
            budget.take_whole(&what, text)
        };
        blocks.extend(taken.map(|body| Block::new("diff", body)));
    }
    section(
        "The diff",
        "What the pull request changes, from target to source branch.",
        blocks,
    )
}

fn builds(material: &Material, budget: &mut Budget) -> Option<Section> {
    let lines: Vec<String> = material.builds.iter().map(build).collect();
    if lines.is_empty() {
        return None;
    }
    let body = budget.take("build results", lines.join("\n"))?;
    section(
        "Builds",
        "The newest results for the source branch's head.",
        vec![Block::new("text", body)],
    )
}

fn build(build: &BuildStatus) -> String {
    let name = visible::line(build.name.as_deref().unwrap_or(&build.key));
    let description = build
        .description
        .as_deref()
        .map(|text| format!(": {}", visible::line(text)));
    format!(
        "{} {name}{}",
        visible::line(&build.state),
        description.unwrap_or_default()
    )
}

/// Nothing where there is nothing to show.
pub(crate) fn section(
    heading: &'static str,
    about: impl Into<String>,
    blocks: Vec<Block>,
) -> Option<Section> {
    (!blocks.is_empty()).then(|| Section {
        heading,
        about: about.into(),
        blocks,
    })
}

/// A comment with who wrote it. The author's lines are barred, so that none of them passes for one of ours.
pub(crate) fn as_text(remark: &Remark, text: &str) -> String {
    /// Deeper replies are not indented further.
    const DEPTH_MAX: usize = 8;
    let indent = "  ".repeat(remark.depth.min(DEPTH_MAX));
    let author = remark
        .author
        .as_deref()
        .map_or("a deleted user".to_owned(), |name| {
            format!("@{}", visible::line(name))
        });
    let labels = labels(remark, text);
    let at = remark.at.map(|at| format!(", {at:.0}")).unwrap_or_default();
    format!(
        "{indent}{author}{labels}{at}, comment {}:\n{}",
        remark.comment,
        barred(&indent, &hidden::marked(text))
    )
}

/// What is known of a comment beside its text.
fn labels(remark: &Remark, text: &str) -> String {
    let task = remark.task.map(|Done(done)| {
        if done {
            "a task that is done"
        } else {
            "an open task"
        }
    });
    let age = match remark.age {
        Age::Before => None,
        Age::EditedAfter => Some("edited after the request"),
        Age::WrittenAfter => Some("written after the request"),
    };
    let suggests = text.lines().any(|line| {
        let fence = line.trim_start();
        fence.starts_with("```") && fence.trim_start_matches('`').trim() == "suggestion"
    });
    let labels = [
        remark.by_bot.then_some("the bot, earlier"),
        task,
        suggests.then_some("suggests a change of the lines it stands on"),
        age,
    ];
    let labels: Vec<&str> = labels.into_iter().flatten().collect();
    if labels.is_empty() {
        return String::new();
    }
    format!(" ({})", labels.join(", "))
}

/// The end of a text, from the beginning of a line: a comment stands below the last line of its hunk.
fn last_lines(text: &str, bytes_max: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(bytes_max));
    if from == 0 {
        return text;
    }
    text[from..].find('\n').map_or("", |end| &text[from + end + 1..])
}

fn barred(indent: &str, text: &str) -> String {
    let lines: Vec<String> = visible::text(text)
        .trim_end()
        .lines()
        .map(|line| format!("{indent}| {line}\n"))
        .collect();
    lines.concat()
}
