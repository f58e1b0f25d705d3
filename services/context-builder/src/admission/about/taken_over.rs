//! What `retry`, `continue` and `approve` take over of the options of the run they go back to. What was typed counts
//! where it says how to work; what limited the earlier run stays, so that nobody is around a limit by going back to it.

use pipeline::failure_code::FailureCode;
use pipeline::mention::{Budget, Command, OptionName, Options, Verb};
use pipeline::run::{FailureReport, Run};

/// The options of the new run; a report where one that was typed contradicts the earlier run.
pub(super) fn options(command: &Command, earlier: &Run) -> Result<Options, FailureReport> {
    let (typed, kept) = (&*command.options, &*earlier.command.options);
    let verb = command.verb;
    if verb == Verb::Retry {
        takes_all(typed, earlier.command.verb)?;
    }
    let is_approval = verb == Verb::Approve;
    Ok(Options {
        model: typed.model.clone().or_else(|| kept.model.clone()),
        effort: typed.effort.or(kept.effort),
        budget: if is_approval {
            at_most(OptionName::Budget, typed.budget, kept.budget, is_less)?
        } else {
            typed.budget.or(kept.budget)
        },
        time_seconds: if is_approval {
            at_most(OptionName::Time, typed.time_seconds, kept.time_seconds, u64::le)?
        } else {
            typed.time_seconds.or(kept.time_seconds)
        },
        paths: paths(typed, kept)?,
        new_pr: typed.new_pr || kept.new_pr,
        branch: typed.branch.clone().or_else(|| kept.branch.clone()),
        suggest: typed.suggest || kept.suggest,
        // To continue a dry run is to have its patch pushed.
        dry_run: typed.dry_run || kept.dry_run && verb != Verb::Continue,
        no_test: typed.no_test || kept.no_test,
        commits: typed.commits.or(kept.commits),
        sign_off: typed.sign_off || kept.sign_off,
        lang: typed.lang.clone().or_else(|| kept.lang.clone()),
        quiet: typed.quiet || kept.quiet,
        reference: typed.reference.clone().or_else(|| kept.reference.clone()),
        apply: typed.apply || kept.apply,
    })
}

/// An option that does nothing with the repeated verb must not be taken for one that was heeded.
fn takes_all(typed: &Options, verb: Verb) -> Result<(), FailureReport> {
    let takes = |option: &OptionName| match option {
        OptionName::Model
        | OptionName::Effort
        | OptionName::Budget
        | OptionName::Time
        | OptionName::Lang
        | OptionName::Quiet
        | OptionName::Ref => true,
        OptionName::Apply => verb == Verb::Describe,
        OptionName::Path if verb == Verb::Plan => true,
        OptionName::DryRun if verb == Verb::Undo => true,
        OptionName::Path
        | OptionName::NewPr
        | OptionName::Branch
        | OptionName::Suggest
        | OptionName::DryRun
        | OptionName::NoTest
        | OptionName::Commits
        | OptionName::SignOff => verb.may_push() && !matches!(verb, Verb::Update | Verb::Undo),
    };
    match typed.given().into_iter().find(|option| !takes(option)) {
        None => Ok(()),
        Some(option) => Err(contradicts(
            option,
            &format!("`{}`, which is repeated, does not take it", verb.name()),
        )),
    }
}

/// Both sets count, and a change matches both only where they are the same: the second one is asked to be left out.
fn paths(typed: &Options, kept: &Options) -> Result<Vec<String>, FailureReport> {
    if typed.paths.is_empty() || typed.paths == kept.paths {
        return Ok(kept.paths.clone());
    }
    if kept.paths.is_empty() {
        return Ok(typed.paths.clone());
    }
    let kept: Vec<String> = kept.paths.iter().map(|path| format!("`{path}`")).collect();
    Err(contradicts(
        OptionName::Path,
        &format!("it is limited to {} already", kept.join(", ")),
    ))
}

/// A plan is carried out within what it was made under.
fn at_most<T: Copy>(
    option: OptionName,
    typed: Option<T>,
    kept: Option<T>,
    is_within: fn(&T, &T) -> bool,
) -> Result<Option<T>, FailureReport> {
    match (typed, kept) {
        (Some(typed), Some(kept)) if !is_within(&typed, &kept) => {
            Err(contradicts(option, "the plan was made for less"))
        }
        (typed, kept) => Ok(typed.or(kept)),
    }
}

/// Of one kind, and not more. Dollars and tokens cannot be compared.
fn is_less(typed: &Budget, kept: &Budget) -> bool {
    match (typed, kept) {
        (Budget::UsdCents(typed), Budget::UsdCents(kept)) | (Budget::Tokens(typed), Budget::Tokens(kept)) => {
            typed <= kept
        }
        _ => false,
    }
}

fn contradicts(option: OptionName, why: &str) -> FailureReport {
    FailureReport {
        code: FailureCode::OptionContradicts,
        detail: Some(format!("`--{}`: {why}", option.row().key)),
    }
}
