//! The evidence below the summary and the line at the reply's end: checks, model, money, agent, sandbox.

use pipeline::run::{Check, Confinement, Measured, Run};

use super::{POINTS_MAX, Scene, words};
use crate::sanitise::{code, line};

/// A check's command as a repository writes it; a longer one is cut.
const COMMAND_CHARS_MAX: usize = 200;
/// Why a check was not run or not measured; and what a level does not protect from.
const WHY_UNITS_MAX: usize = 200;
const RESIDUE_UNITS_MAX: usize = 400;

/// The checks that the resolver ran: one line, or a list where there are several.
pub(super) fn checks(checks: &[Check], scene: &Scene<'_>) -> String {
    const TITLE: &str = "Checks run by the resolver:";
    match checks {
        [] => String::new(),
        [only] => format!("{TITLE} {}", check(only, scene)),
        several => {
            let mut lines = vec![TITLE.to_owned(), String::new()];
            let (broken, others): (Vec<_>, Vec<_>) = several.iter().partition(|check| is_broken(check));
            let shown = broken.into_iter().chain(others).take(POINTS_MAX);
            lines.extend(shown.map(|one| format!("- {}", check(one, scene))));
            if several.len() > POINTS_MAX {
                lines.push(format!("- and {} more", several.len() - POINTS_MAX));
            }
            lines.join("\n")
        }
    }
}

fn check(check: &Check, scene: &Scene<'_>) -> String {
    let command: String = check.command.chars().take(COMMAND_CHARS_MAX).collect();
    let marked = if is_broken(check) { "**now fails:** " } else { "" };
    format!(
        "{marked}{} before: {} / after: {}",
        code(&command),
        measured(&check.before, scene),
        measured(&check.after, scene)
    )
}

/// Whether it passed before the change and does not pass with it.
pub(crate) fn is_broken(check: &Check) -> bool {
    let passed = |measured: &Measured| matches!(measured, Measured::Exited { code: 0, .. });
    let failed = matches!(
        check.after,
        Measured::Exited { .. } | Measured::TimedOut { .. } | Measured::Stopped { .. }
    );
    passed(&check.before) && failed && !passed(&check.after)
}

fn measured(measured: &Measured, scene: &Scene<'_>) -> String {
    let why = |why: &str| line(why, scene.policy, WHY_UNITS_MAX);
    match measured {
        Measured::Exited {
            code: 0,
            milliseconds,
        } => {
            format!("passed ({})", words::took(*milliseconds))
        }
        Measured::Exited { code, milliseconds } => {
            format!("failed (exit {code}, {})", words::took(*milliseconds))
        }
        Measured::TimedOut { milliseconds } => format!("timed out ({})", words::took(*milliseconds)),
        Measured::Stopped { limit, milliseconds } => {
            let took = words::took(*milliseconds);
            format!("stopped at its {} limit ({took})", why(limit))
        }
        Measured::NotMeasurable { why: because } => format!("not measurable here ({})", why(because)),
        Measured::NotRun { why: because } => format!("not run ({})", why(because)),
    }
}

/// The last lines: `CODE · Model m · 4 model calls · 31k tokens · $0.42 of $5.00 · builtin, sandbox level 2 · run r-…`.
pub(super) fn footer(run: &Run, scene: &Scene<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(failure) = run.outcome.as_ref().and_then(|outcome| outcome.failure.as_ref()) {
        parts.push(code(failure.code.as_str()));
    }
    if !run.state.is_terminal() && run.usage.turns > 0 {
        let tokens = run.usage.input_tokens + run.usage.output_tokens;
        let spent = money(run).unwrap_or_else(|| format!("{} tokens", words::rounded(tokens)));
        parts.push(format!("{spent} so far"));
    }
    if run.state.is_terminal() && run.usage.turns > 0 {
        parts.extend(
            run.setup
                .as_ref()
                .map(|setup| format!("Model {}", code(&setup.model))),
        );
        parts.push(words::count(
            u64::from(run.usage.turns),
            "model call",
            "model calls",
        ));
        let tokens = run.usage.input_tokens + run.usage.output_tokens;
        let of = run.setup.as_ref().and_then(|setup| setup.tokens_max);
        let of = of.map_or_else(String::new, |most| format!(" of {}", words::rounded(most)));
        parts.push(format!("{}{of} tokens", words::rounded(tokens)));
        parts.extend(money(run));
    }
    match &run.setup {
        Some(setup) => {
            let sandbox = sandbox(&setup.sandbox, run.state.is_terminal(), scene);
            parts.push(format!("{}, {sandbox}", code(&setup.agent)));
        }
        None if scene.unsandboxed => parts.push("unsandboxed".to_owned()),
        None => {}
    }
    parts.push(format!("run {}", code(run.id.as_str())));
    parts.join(" · ")
}

/// `$0.42 of $5.00`; nothing where money was not counted.
pub(super) fn money(run: &Run) -> Option<String> {
    let spent = run.usage.usd?;
    let of = run.setup.as_ref().and_then(|setup| setup.usd_max);
    Some(match of {
        Some(of) => format!("{} of {}", words::dollars(spent), words::dollars(of)),
        None => words::dollars(spent),
    })
}

/// The level, and at the end what it leaves open.
fn sandbox(sandbox: &Confinement, ended: bool, scene: &Scene<'_>) -> String {
    if sandbox.level == 0 {
        return "unsandboxed".to_owned();
    }
    let level = format!("sandbox level {}", sandbox.level);
    if sandbox.residue.is_empty() || !ended {
        return level;
    }
    let open = line(&sandbox.residue.join(", "), scene.policy, RESIDUE_UNITS_MAX);
    format!("{level} (leaves open: {open})")
}
