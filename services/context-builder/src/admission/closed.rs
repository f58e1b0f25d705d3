//! What is still done on a pull request that was merged or declined: whatever is only told, and work that goes to a branch
//! and a pull request of its own (commands-and-replies.md, rule 12). Pure.

use bitbucket::PullRequest;
use pipeline::failure_code::FailureCode;
use pipeline::mention::{Closed, Command, Verb};
use pipeline::run::FailureReport;

/// How a pull request has ended that is not open; nothing where Bitbucket's word for it is not known.
pub(super) fn how(pull_request: &PullRequest) -> Option<Closed> {
    match pull_request.state.as_str() {
        "MERGED" => Some(Closed::Merged),
        "DECLINED" => Some(Closed::Declined),
        _ => None,
    }
}

/// Why a command is not done there; nothing where it is, as on an open one.
pub(super) fn refusal(command: &Command, how: Option<Closed>) -> Option<FailureReport> {
    let how = how?;
    let (verb, options) = (command.verb, &command.options);
    let needs_it_open = match verb {
        // A plan holds for the head of an open pull request.
        Verb::Approve => true,
        _ if verb.may_push() => {
            // As the resolver takes them: of options that exclude each other the one that does least counts.
            let goes_aside =
                verb.may_go_aside() && !options.suggest && (options.new_pr || options.branch.is_some());
            !(options.dry_run && verb.may_go_aside() || goes_aside)
        }
        _ => options.apply,
    };
    needs_it_open.then(|| FailureReport {
        code: FailureCode::PullRequestClosed,
        detail: Some(said(how).to_owned()),
    })
}

/// The same of a command as it was typed, before it is known which earlier one it goes back to: where the options of that
/// one count as well, nothing can be said yet.
pub(super) fn early_refusal(command: &Command, how: Option<Closed>) -> Option<FailureReport> {
    let is_told_later = matches!(command.verb, Verb::Retry | Verb::Continue);
    if is_told_later {
        None
    } else {
        refusal(command, how)
    }
}

fn said(how: Closed) -> &'static str {
    match how {
        Closed::Merged => "it was merged",
        Closed::Declined => "it was declined",
        Closed::Deleted => "it was deleted",
    }
}

#[cfg(test)]
mod tests {
    use pipeline::mention::Options;

    use super::*;

    fn is_done(verb: Verb, options: Options) -> bool {
        let command = Command {
            options: Box::new(options),
            ..Command::of_verb(verb, "text")
        };
        assert_eq!(refusal(&command, None), None, "an open one takes everything");
        refusal(&command, Some(Closed::Merged)).is_none()
    }

    #[test]
    fn what_only_reads_is_done_and_what_pushes_is_not() {
        for verb in Verb::all() {
            assert_eq!(is_done(verb, Options::default()), !verb.may_push(), "{verb:?}");
        }
    }

    #[test]
    fn work_on_a_branch_of_its_own_is_done_where_the_verb_can_go_there() {
        let new_pr = Options {
            new_pr: true,
            ..Options::default()
        };
        let branch = Options {
            branch: Some("a".into()),
            ..Options::default()
        };
        let dry_run = Options {
            dry_run: true,
            ..Options::default()
        };
        for options in [new_pr.clone(), branch, dry_run] {
            for verb in [
                Verb::Request,
                Verb::Fix,
                Verb::Address,
                Verb::Test,
                Verb::Continue,
            ] {
                assert!(is_done(verb, options.clone()), "{verb:?} {options:?}");
            }
            for verb in [Verb::Update, Verb::Undo, Verb::Approve] {
                assert!(!is_done(verb, options.clone()), "{verb:?} {options:?}");
            }
        }
        let suggest = Options {
            suggest: true,
            ..new_pr
        };
        assert!(
            !is_done(Verb::Fix, suggest),
            "suggestions are applied on the branch"
        );
    }

    #[test]
    fn title_and_description_of_one_that_has_ended_stay() {
        let apply = Options {
            apply: true,
            ..Options::default()
        };
        assert!(!is_done(Verb::Describe, apply) && is_done(Verb::Describe, Options::default()));
    }
}
