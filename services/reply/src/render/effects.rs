//! What the run did to the pull request beside its commit, as its status reply tells it.

use pipeline::effect::{Effect, Progress, What};
use pipeline::ids::CommentId;
use pipeline::run::{Outcome, Pushed, Run};

use super::{POINTS_MAX, Scene, words};
use crate::effects;
use crate::sanitise::{code, destination, fence, line};

/// A remark that found no place, and why something was not done.
const POINT_UNITS_MAX: usize = 500;
/// The description as it was; the whole of it is kept with the run.
const BEFORE_UNITS_MAX: usize = 4_000;

/// A paragraph for each kind of effect that was done, and the list of those that were not.
pub(super) fn told(run: &Run, scene: &Scene<'_>) -> Vec<String> {
    if !effects::are_due(run) {
        return Vec::new();
    }
    let mut parts = vec![answers(run, scene), findings(run, scene)];
    let done = run.effects.iter().filter_map(|effect| match &effect.progress {
        Progress::Done { pull_request, .. } => Some((&effect.what, pull_request)),
        _ => None,
    });
    for (what, made) in done {
        match what {
            What::Describe { .. } => parts.extend(described(scene)),
            What::PullRequest { in_target, .. } => {
                let number = made.map(|id| format!("#{id}")).unwrap_or_default();
                let page = scene.repository_url.as_ref().filter(|_| *in_target);
                let link = match (page, made) {
                    (Some(page), Some(id)) => {
                        format!(
                            "[{number}]({})",
                            destination(&format!("{page}/pull-requests/{id}"))
                        )
                    }
                    _ => number,
                };
                parts.push(format!("Opened pull request {link} with it."));
            }
            What::Answer { .. } | What::Finding { .. } => {}
        }
    }
    parts.push(failed(run, scene));
    parts
}

/// A link to a comment of an effect that was done.
fn linked(effect: &Effect, name: &str, scene: &Scene<'_>) -> Option<String> {
    let Progress::Done { comment, .. } = &effect.progress else {
        return None;
    };
    Some(match (comment, &scene.pull_request_url) {
        (Some(comment), Some(page)) => format!("[{name}]({})", destination(&comment_url(page, *comment))),
        _ => name.to_owned(),
    })
}

fn comment_url(page: &str, comment: CommentId) -> String {
    format!("{page}/overview?commentId={comment}")
}

fn answers(run: &Run, scene: &Scene<'_>) -> String {
    let pushed = run.outcome.as_ref().is_some_and(Outcome::is_on_source);
    let links: Vec<String> = run
        .effects
        .iter()
        .filter_map(|effect| match &effect.what {
            What::Answer { thread, tick, .. } => {
                let link = linked(effect, &format!("comment {thread}"), scene)?;
                Some(if *tick && pushed {
                    format!("{link} (task ticked)")
                } else {
                    link
                })
            }
            _ => None,
        })
        .collect();
    if links.is_empty() {
        return String::new();
    }
    let count = words::count(links.len() as u64, "thread", "threads");
    format!("Answered {count}: {}", some_of(&links))
}

fn findings(run: &Run, scene: &Scene<'_>) -> String {
    let mut are_suggestions = true;
    let links: Vec<String> = run
        .effects
        .iter()
        .filter_map(|effect| match &effect.what {
            What::Finding {
                path,
                last_line,
                text,
                ..
            } => {
                are_suggestions &= text.is_empty();
                linked(effect, &format!("{} line {last_line}", code(path)), scene)
            }
            _ => None,
        })
        .collect();
    let count = links.len() as u64;
    let count = match (count, are_suggestions) {
        (0, _) => return String::new(),
        (_, true) => words::count(count, "suggestion", "suggestions"),
        (_, false) => words::count(count, "finding", "findings"),
    };
    format!("{count} on the diff: {}", some_of(&links))
}

/// The commits of work that is cut by threads, a line each.
pub(super) fn commits(pushed: &Pushed, on_source: bool, scene: &Scene<'_>) -> String {
    let page = scene.pull_request_url.as_ref();
    let lines = pushed.threads.iter().map(|one| {
        let (commit, thread) = (code(one.commit.short()), format!("comment {}", one.thread));
        let commit = match page.filter(|_| on_source) {
            Some(page) => {
                let url = format!("{page}/commits/{}", one.commit);
                format!("[{commit}]({})", destination(&url))
            }
            None => commit,
        };
        let thread = match page {
            Some(page) => format!("[{thread}]({})", destination(&comment_url(page, one.thread))),
            None => thread,
        };
        format!("- {commit} for {thread}")
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("One commit for each thread:\n\n{}", lines.join("\n"))
}

fn some_of(links: &[String]) -> String {
    let shown = links
        .iter()
        .take(POINTS_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match links.len().saturating_sub(POINTS_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// That the pull request is called otherwise now, and what it was called.
fn described(scene: &Scene<'_>) -> Vec<String> {
    const SET: &str = "Title and description of the pull request are set to this.";
    let Some(before) = &scene.described else {
        return vec![SET.to_owned()];
    };
    let title = line(&before.title, scene.policy, POINT_UNITS_MAX);
    let mut parts = vec![format!("{SET} To undo it, put back the title: {title}")];
    if !before.description.trim().is_empty() {
        parts.push("and the description:".to_owned());
        parts.push(fence(&before.description, "", scene.policy, BEFORE_UNITS_MAX));
    }
    parts
}

/// What could not be done, and why; a remark is told here instead.
fn failed(run: &Run, scene: &Scene<'_>) -> String {
    let points: Vec<String> = run
        .effects
        .iter()
        .filter_map(|effect| match &effect.progress {
            Progress::Failed { why, .. } => Some(format!(
                "- {}: {}",
                subject(&effect.what, scene),
                line(why, scene.policy, POINT_UNITS_MAX)
            )),
            _ => None,
        })
        .collect();
    if points.is_empty() {
        return String::new();
    }
    let more = points.len().saturating_sub(POINTS_MAX);
    let mut lines = vec!["Could not be done on the pull request:".to_owned(), String::new()];
    lines.extend(points.into_iter().take(POINTS_MAX));
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    lines.join("\n")
}

fn subject(what: &What, scene: &Scene<'_>) -> String {
    match what {
        What::Answer { thread, .. } => format!("the answer in the thread of comment {thread}"),
        What::Finding {
            path,
            last_line,
            text,
            ..
        } => {
            let said = line(text, scene.policy, POINT_UNITS_MAX);
            format!("{} line {last_line} ({said})", code(path))
        }
        What::Describe { .. } => "title and description".to_owned(),
        What::PullRequest { from, .. } => {
            let branch = from.strip_prefix("refs/heads/").unwrap_or(from);
            format!("the pull request for {}", code(branch))
        }
    }
}
