//! Every sentence the bot says. A status reply is rendered from the run record alone, so that any process that reads
//! the record writes the same text.

mod details;
mod effects;
#[cfg(test)]
mod examples;
mod plan;
mod typed;
mod words;

pub(crate) use details::is_broken;
use pipeline::effect::Described;
use pipeline::event::Person;
use pipeline::run::{FailureReport, Outcome, Pushed, Run, RunState, Waited};
use pipeline::verbs::Verb;

use crate::limit;
use crate::marker::Marker;
use crate::sanitise::{self, Policy, code, destination, fence, line, markdown};

/// The model's summary: long enough for a change worth one commit.
const SUMMARY_UNITS_MAX: usize = 8_000;
/// A plan, whole: what is carried out must be what people read. The resolver keeps it short enough.
const PLAN_UNITS_MAX: usize = 30_500;
/// One point of a list, one step, one note.
const POINT_UNITS_MAX: usize = 500;
/// Points of one list that are shown.
const POINTS_MAX: usize = 20;
/// What a server or the resolver said about a failure.
const DETAIL_UNITS_MAX: usize = 2_000;
/// A patch up to this many bytes is shown in the reply; a longer one is fetched with `runs show`.
const PATCH_BYTES_MAX: usize = 8 * 1024;
/// The same where the patch is what was asked for, and where its beginning is shown if it is longer: what a reply has
/// room for beside a long summary.
const ASKED_PATCH_BYTES_MAX: usize = 22 * 1024;

/// Bitbucket keeps a comment that has replies, and ours is one, so deleting is not what people can do
/// (bitbucket-dc.md 3.6); editing it is, also where the bot's name is not known.
fn how_to_stop(scene: &Scene<'_>) -> String {
    let verb = typed::command(Verb::Stop, scene).map(|stop| format!("reply {stop}, or "));
    format!(
        "To stop it, {}edit your comment so that it no longer mentions the bot.",
        verb.unwrap_or_default()
    )
}

/// What a reply says first that could not stand under the comment it answers.
const ALONE: &str = "*(The comment this answers was deleted.)*";

/// What stands below the verdict on a request that was edited while it was worked on.
const EDITED_LATE: &str = "The comment was edited after work had begun: this is what came of its earlier words. To have done what it asks for now, write a new comment.";

/// What the record does not say.
#[derive(Debug, Clone)]
pub(crate) struct Scene<'a> {
    /// What foreign text may do.
    pub(crate) policy: Policy<'a>,
    /// The name the bot is mentioned by.
    pub(crate) name: Option<String>,
    /// Bitbucket's page of the pushed commit.
    pub(crate) commit_url: Option<String>,
    /// Bitbucket's page of the pull request's diff.
    pub(crate) diff_url: Option<String>,
    /// Bitbucket's page of the pull request.
    pub(crate) pull_request_url: Option<String>,
    /// Bitbucket's page of its repository.
    pub(crate) repository_url: Option<String>,
    /// What the pull request was called before the run changed it.
    pub(crate) described: Option<Described>,
    /// The kept patch, where it is small enough to be shown.
    pub(crate) patch: Option<String>,
    /// Whether agents run without a sandbox, which every reply says.
    pub(crate) unsandboxed: bool,
    /// Whether the reply stands at the top level because the comment it answers is gone.
    pub(crate) alone: bool,
    /// Whether the requester is mentioned here: once, and not here where a comment of its own tells the end.
    pub(crate) mentions: bool,
}

impl Scene<'_> {
    /// The requester, so that they are notified, or by name alone.
    fn addressed(&self, who: &Person) -> Option<String> {
        if self.mentions {
            return mention(who);
        }
        Some(line(&who.name, self.policy, POINT_UNITS_MAX)).filter(|name| !name.is_empty())
    }
}

/// The short comment at the end of a run, under its status reply, which was edited without anybody being notified.
pub(crate) fn finish(run: &Run, marker: &str) -> String {
    let verdict = match run.state {
        RunState::Done if run.outcome.as_ref().is_some_and(|outcome| asks(run, outcome)) => {
            "It is done, and there is a question"
        }
        RunState::Done => "It is done",
        RunState::NoChange => "No change was needed",
        RunState::Answered => "There is an answer",
        RunState::NeedsInput => "There is a question",
        RunState::Refused => "It was refused",
        RunState::Cancelled => "It was stopped",
        RunState::Expired => "Its time or budget is used up",
        RunState::Superseded => "A newer request took its place",
        RunState::Failed | RunState::Queued | RunState::Running => "It failed",
    };
    let whom = run.requester.as_ref().and_then(mention);
    let whom = whom.map_or_else(String::new, |name| format!(", {name}"));
    format!("**{verdict}**{whom}: see the reply above.\n\n{marker}")
}

/// The status reply: what the person reads, and the marker as its last line.
pub(crate) fn status_reply(run: &Run, scene: &Scene<'_>) -> String {
    let mut parts = Vec::new();
    if scene.alone {
        parts.push(ALONE.to_owned());
    }
    let mut said = match run.state {
        RunState::Queued => vec![queued(run, scene)],
        RunState::Running => running(run, scene),
        _ => ended(run, scene),
    }
    .into_iter();
    // How the comment was read comes before what came of it: people who were misunderstood need no more than that.
    parts.extend(said.next());
    parts.extend(run.command.remarks());
    parts.extend(said);
    parts.retain(|part| !part.is_empty());
    limit::fit(
        &parts.join("\n\n"),
        &details::footer(run, scene),
        &Marker {
            run: run.id.clone(),
            n: shown_n(run),
        },
    )
}

/// What a reply to this record shows. Before all effects are done that is not yet the end, which will have to be told again.
fn shown_n(run: &Run) -> u64 {
    match crate::effects::first_open(run) {
        Some(_) => run.n.saturating_sub(1),
        None => run.n,
    }
}

fn queued(run: &Run, scene: &Scene<'_>) -> String {
    let place = match run.ahead {
        0 => "next on this pull request".to_owned(),
        ahead => format!(
            "{} in line on this pull request",
            words::ordinal(u64::from(ahead) + 1)
        ),
    };
    format!("**Queued** — {place}. {}", how_to_stop(scene))
}

fn running(run: &Run, scene: &Scene<'_>) -> Vec<String> {
    let place = match (&run.base, &run.branch) {
        (Some(base), Some(branch)) => format!(" on {} of {}", code(base.short()), code(branch)),
        (Some(base), None) => format!(" on {}", code(base.short())),
        (None, _) => String::new(),
    };
    let attempt = if run.begun > 1 {
        format!(" · attempt {}", run.begun)
    } else {
        String::new()
    };
    let head = format!("**Working**{place}{attempt} · {}", how_to_stop(scene));
    let mut steps: Vec<String> = run.steps.iter().map(|step| point(step, scene)).collect();
    if let Some(now) = steps.last_mut() {
        now.push_str(" *(now)*");
    }
    vec![head, steps.join("\n")]
}

fn ended(run: &Run, scene: &Scene<'_>) -> Vec<String> {
    let nothing = Outcome::default();
    let outcome = run.outcome.as_ref().unwrap_or(&nothing);
    let summary = summary(run, outcome, scene);
    let mut parts = vec![verdict(run, outcome, scene)];
    if run.edited_late && run.state != RunState::Cancelled {
        parts.push(EDITED_LATE.to_owned());
    }
    if let Some(failure) = &outcome.failure {
        parts.extend(reason(run.state, failure, scene));
    }
    parts.push(list("Questions:", &outcome.questions, scene));
    if asks(run, outcome) {
        parts.push(typed::to_answer(scene));
    }
    parts.extend(outcome.answer.clone());
    if let Some(pushed) = &outcome.pushed {
        let files = words::count(u64::from(pushed.files), "file", "files");
        parts.push(format!(
            "What changed: {files}, +{} −{} (from git)",
            pushed.added, pushed.removed
        ));
        parts.push(effects::commits(pushed, outcome.is_on_source(), scene));
    }
    parts.push(details::checks(&outcome.checks, scene));
    parts.extend(summary);
    parts.extend(plan::to_approve(run, scene));
    parts.extend(effects::told(run, scene));
    parts.push(list(
        "Not done, in the agent's words; please look:",
        &outcome.not_done,
        scene,
    ));
    let waited = run.waited.as_ref().and_then(Waited::told);
    let notes: Vec<String> = outcome.notes.iter().cloned().chain(waited).collect();
    parts.push(list("Good to know:", &notes, scene));
    parts.push(list(
        "Left out of what the agent was shown:",
        &outcome.left_out,
        scene,
    ));
    parts.extend(patch(run, outcome, scene));
    parts.extend(typed::to_new_pr(run, scene));
    parts.extend(typed::to_retry(run, scene));
    parts
}

/// Whether somebody is asked something, without whom it does not go on or is not finished.
fn asks(run: &Run, outcome: &Outcome) -> bool {
    run.state == RunState::NeedsInput || run.state == RunState::Done && !outcome.questions.is_empty()
}

/// What the agent says of its work, marked as its words. After a failure the last of them may be anything: what a program
/// printed, or what a provider says about an account.
fn summary(run: &Run, outcome: &Outcome, scene: &Scene<'_>) -> Option<String> {
    let text = outcome.summary.as_deref()?;
    let most = if run.plan.is_some() {
        PLAN_UNITS_MAX
    } else {
        SUMMARY_UNITS_MAX
    };
    let shown = markdown(text, scene.policy, most);
    let whose = if outcome.failure.is_some() {
        "The agent's last words, which may be about something else:"
    } else {
        "In the agent's words:"
    };
    (!shown.is_empty()).then(|| format!("{whose}\n\n{shown}"))
}

/// The first line: what came of it, for whom, how long it took, and what is on the branch now.
fn verdict(run: &Run, outcome: &Outcome, scene: &Scene<'_>) -> String {
    let requester = run.requester.as_ref().and_then(|who| scene.addressed(who));
    let whom = |word: &str| {
        requester
            .as_ref()
            .map_or_else(String::new, |name| format!(" {word} {name}"))
    };
    let took = words::elapsed(run.started_at, run.ended_at);
    let after = |word: &str| {
        took.as_ref()
            .map_or_else(String::new, |time| format!(" {word} {time}"))
    };
    let verdict = match run.state {
        RunState::Done if asks(run, outcome) => {
            format!("**Done{}{}, and I need an answer**", whom("for"), after("in"))
        }
        RunState::Done => format!("**Done{}{}**", whom("for"), after("in")),
        RunState::NoChange if run.usage.turns > 0 => format!(
            "**No change needed{}** — the agent left every file as it was.",
            whom("for")
        ),
        RunState::NoChange => format!("**No change needed{}**", whom("for")),
        RunState::Answered => format!("**Answered{}{}**", whom("for"), after("in")),
        RunState::NeedsInput => format!(
            "**I need an answer{}** — nothing goes on until then.",
            whom("from")
        ),
        RunState::Refused => format!("**Refused{}**", whom("for")),
        RunState::Cancelled => format!("**Stopped{}{}**", whom("for"), after("after")),
        RunState::Expired => {
            let spent = details::money(run).map_or_else(String::new, |money| format!(" ({money})"));
            let head = format!("Out of time or budget{}{}", whom("for"), after("after"));
            format!("**{head}{spent}**")
        }
        RunState::Superseded if outcome.answer.is_some() => {
            format!("**Added to another request{}**", whom("for"))
        }
        RunState::Superseded => format!("**Superseded{}** — a newer request took its place.", whom("for")),
        RunState::Failed | RunState::Queued | RunState::Running => {
            format!("**Failed{}{}**", whom("for"), after("after"))
        }
    };
    let sentence = match &outcome.failure {
        Some(failure) => format!(" — {}", failure.code.sentence()),
        None => String::new(),
    };
    let branch = match &outcome.pushed {
        Some(pushed) => on_branch(run, pushed, scene),
        None => match &outcome.failure {
            None if run.state == RunState::Answered && outcome.nothing_pushed => {
                " — nothing was pushed.".to_owned()
            }
            // Without a commit there was nothing to push; once there is one, only the worker that pushes can tell. A run
            // that never started needs no word about it.
            Some(_) if run.started_at.is_some() && (outcome.nothing_pushed || !run.committed) => {
                " Nothing was pushed.".to_owned()
            }
            _ => String::new(),
        },
    };
    format!("{verdict}{sentence}{branch}")
}

/// Where the commit is.
fn on_branch(run: &Run, pushed: &Pushed, scene: &Scene<'_>) -> String {
    let branch = pushed
        .branch
        .strip_prefix("refs/heads/")
        .unwrap_or(&pushed.branch);
    let link =
        |name: &str, url: &Option<String>| url.as_ref().map(|url| format!("[{name}]({})", destination(url)));
    let commit = Some(format!(
        " · pushed {} to {}",
        code(pushed.commit.short()),
        code(branch)
    ));
    let links = [
        commit,
        link("commit", &scene.commit_url),
        link("diff", &scene.diff_url),
        typed::to_undo(run, branch, scene),
    ];
    links.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The fact behind the sentence, and what to do.
fn reason(state: RunState, failure: &FailureReport, scene: &Scene<'_>) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(detail) = failure
        .detail
        .as_deref()
        .map(str::trim)
        .filter(|detail| !detail.is_empty())
    {
        if detail.contains('\n') {
            parts.push(fence(detail, "", scene.policy, DETAIL_UNITS_MAX));
        } else {
            parts.push(format!("> {}", line(detail, scene.policy, DETAIL_UNITS_MAX)));
        }
    }
    if state != RunState::Superseded {
        parts.push(format!("What to do: {}", failure.code.next_step()));
    }
    parts
}

/// Work that is not on the branch.
fn patch(run: &Run, outcome: &Outcome, scene: &Scene<'_>) -> Vec<String> {
    if run.patch.is_none() || outcome.pushed.is_some() {
        return Vec::new();
    }
    let work = if run.state == RunState::Expired {
        "partial work"
    } else {
        "work"
    };
    let command = code(&format!("openhands-resolver runs show {} --patch", run.id));
    let mut parts = if let Some(patch) = &scene.patch {
        let shown = fence(patch, "diff", scene.policy, limit::UNITS_MAX);
        let kept = run.patch.as_ref().map_or(0, |kept| kept.bytes);
        let is_whole = !is_asked(run) || kept <= patch.len() as u64;
        let title = if is_whole {
            format!("The {work}, as a patch:")
        } else {
            format!(
                "The beginning of the {work}, as a patch; an administrator gets all of it with {command}:"
            )
        };
        vec![title, shown]
    } else {
        vec![format!(
            "The {work} is kept as a patch. An administrator gets it with {command}."
        )]
    };
    if run.state == RunState::Expired {
        parts.push(typed::to_continue(scene));
    }
    parts
}

/// Whether the patch is what was asked for.
fn is_asked(run: &Run) -> bool {
    run.command.options.dry_run && run.state == RunState::Answered
}

/// What of a patch can be shown: text that the reply would show unchanged, so that what is copied applies. Of one that is
/// too long, where it is what was asked for, the hunks that there is room for.
pub(crate) fn showable(patch: Vec<u8>, run: &Run, policy: Policy<'_>) -> Option<String> {
    let mut text = String::from_utf8(patch).ok()?;
    let is_asked = is_asked(run);
    if is_asked && text.len() > ASKED_PATCH_BYTES_MAX {
        let room = &text[..text.floor_char_boundary(ASKED_PATCH_BYTES_MAX)];
        let end = room.rfind("\n@@ ").max(room.rfind("\ndiff --git "))?;
        text.truncate(end + 1);
        // A file's name without a hunk says nothing.
        if !text.contains("\n@@ ") {
            return None;
        }
    } else if !is_asked && text.len() > PATCH_BYTES_MAX {
        return None;
    }
    (sanitise::clean(&text, policy.beyond_bmp) == text).then_some(text)
}

fn list(title: &str, points: &[String], scene: &Scene<'_>) -> String {
    if points.is_empty() {
        return String::new();
    }
    let mut lines = vec![title.to_owned(), String::new()];
    lines.extend(points.iter().take(POINTS_MAX).map(|text| point(text, scene)));
    if points.len() > POINTS_MAX {
        lines.push(format!("- and {} more", points.len() - POINTS_MAX));
    }
    lines.join("\n")
}

fn point(text: &str, scene: &Scene<'_>) -> String {
    format!("- {}", line(text, scene.policy, POINT_UNITS_MAX))
}

/// `@name`, which notifies the person; quoted where the name has characters that would end it (bitbucket-dc.md 3.6).
/// The only live mention in anything the bot writes.
fn mention(person: &Person) -> Option<String> {
    let name = person.name.as_str();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    // Leading or trailing punctuation would be read as emphasis or as the sentence's.
    if name.chars().all(plain)
        && name.starts_with(char::is_alphanumeric)
        && name.ends_with(char::is_alphanumeric)
    {
        return Some(format!("@{name}"));
    }
    let quotable = !name.is_empty()
        && sanitise::clean(name, true) == name
        && !name.contains(['"', '\\', '\n', '\t', '`', '<', '>', '[', ']', '*']);
    quotable.then(|| format!("@\"{name}\""))
}

#[cfg(test)]
mod tests;
