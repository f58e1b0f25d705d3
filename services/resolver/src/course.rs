//! Course: what a run does and what becomes of its work, from the command alone.

use pipeline::command::Command;
use pipeline::options::{Commits, OptionName};
use pipeline::verbs::{Class, Verb};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The coding agent, with a brief.
    Agent,
    /// Git merges the target branch into the source branch.
    Update,
    /// Git reverts an earlier run's commits.
    Undo,
}

/// What becomes of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// One fast-forward push to the source branch.
    Push,
    /// Nothing: the agent's words count, and its tree is thrown away unread.
    Words,
    /// The patch is kept and shown.
    Patch,
    /// The patch becomes suggestions in comments.
    Suggest,
    /// A push to a branch that is made for it, and a pull request onto the source branch.
    NewBranch {
        /// Its name without `refs/heads/`, where one was asked for.
        name: Option<String>,
    },
}

/// Who does the work that a command asks for.
pub(crate) fn way(command: &Command) -> Way {
    match command.verb {
        Verb::Update => Way::Update,
        Verb::Undo => Way::Undo,
        _ => Way::Agent,
    }
}

/// What becomes of the work that a command asks for. Of options that exclude each other the one that does least counts.
pub(crate) fn delivery(command: &Command) -> Delivery {
    let options = &command.options;
    if !may_push(command.verb) {
        Delivery::Words
    } else if options.dry_run {
        Delivery::Patch
    } else if options.suggest {
        Delivery::Suggest
    } else if options.new_pr || options.branch.is_some() {
        Delivery::NewBranch {
            name: options.branch.clone(),
        }
    } else {
        Delivery::Push
    }
}

/// Whether the agent works on one thread after the other, with a commit for each: where that is asked for, there are
/// threads, and commits are pushed.
pub(crate) fn is_by_thread(command: &Command) -> bool {
    command.verb == Verb::Address
        && command.options.commits == Some(Commits::PerThread)
        && makes_commits(command)
}

/// Whether what comes of the work is commits on a branch.
pub(crate) fn makes_commits(command: &Command) -> bool {
    matches!(delivery(command), Delivery::Push | Delivery::NewBranch { .. })
}

/// Said where it was asked for and is not done.
pub(crate) fn not_by_thread(command: &Command) -> Option<String> {
    let is_asked = command.options.commits == Some(Commits::PerThread) && may_push(command.verb);
    (is_asked && !is_by_thread(command)).then(|| {
        format!(
            "`--{} per-thread` changed nothing: only `{}` works thread by thread, where it pushes",
            OptionName::Commits.row().key,
            Verb::Address.name()
        )
    })
}

/// By what the table says, and by the class once more: a verb for readers never pushes, whatever its row says.
fn may_push(verb: Verb) -> bool {
    verb.may_push() && verb.class() == Class::Work
}

#[cfg(test)]
mod tests {
    use pipeline::options::Options;

    use super::*;

    fn with(verb: Verb, options: Options) -> Delivery {
        let command = Command {
            options: Box::new(options),
            ..Command::of_verb(verb, "text")
        };
        delivery(&command)
    }

    #[test]
    fn every_verb_has_one_delivery_and_only_verbs_that_may_push_do() {
        for verb in Verb::all() {
            let delivery = with(verb, Options::default());
            match verb {
                Verb::Request
                | Verb::Fix
                | Verb::FixCi
                | Verb::Address
                | Verb::Test
                | Verb::Approve
                | Verb::Update
                | Verb::Continue
                | Verb::Retry
                | Verb::Undo => assert_eq!(delivery, Delivery::Push, "{verb:?}"),
                _ => assert_eq!(delivery, Delivery::Words, "{verb:?}"),
            }
        }
    }

    #[test]
    fn options_can_only_take_a_push_away() {
        let branch = Some("a/b".to_owned());
        let all = Options {
            dry_run: true,
            suggest: true,
            new_pr: true,
            branch: branch.clone(),
            ..Options::default()
        };
        let suggest = Options {
            dry_run: false,
            ..all.clone()
        };
        let new = Options {
            suggest: false,
            ..suggest.clone()
        };
        let named = Options {
            new_pr: false,
            ..new.clone()
        };
        let unnamed = Options {
            branch: None,
            ..new.clone()
        };
        let table = [
            (&all, Delivery::Patch),
            (&suggest, Delivery::Suggest),
            (&new, Delivery::NewBranch { name: branch.clone() }),
            (&named, Delivery::NewBranch { name: branch }),
            (&unnamed, Delivery::NewBranch { name: None }),
        ];
        for (options, expected) in table {
            assert_eq!(with(Verb::Fix, options.clone()), expected);
            assert_eq!(with(Verb::Ask, options.clone()), Delivery::Words);
        }
    }

    #[test]
    fn commits_are_cut_by_threads_where_there_are_threads_and_commits() {
        let per_thread = Options {
            commits: Some(Commits::PerThread),
            ..Options::default()
        };
        let dry = Options {
            dry_run: true,
            ..per_thread.clone()
        };
        let aside = Options {
            new_pr: true,
            ..per_thread.clone()
        };
        let one = Options {
            commits: Some(Commits::One),
            ..Options::default()
        };
        let table = [
            (Verb::Address, &per_thread, true, false),
            (Verb::Address, &aside, true, false),
            (Verb::Address, &dry, false, true),
            (Verb::Address, &one, false, false),
            (Verb::Fix, &per_thread, false, true),
            (Verb::Ask, &per_thread, false, false),
        ];
        for (verb, options, by_thread, told) in table {
            let command = Command {
                options: Box::new(options.clone()),
                ..Command::of_verb(verb, "")
            };
            assert_eq!(is_by_thread(&command), by_thread, "{command:?}");
            assert_eq!(not_by_thread(&command).is_some(), told, "{command:?}");
        }
    }

    #[test]
    fn git_alone_does_what_needs_no_agent() {
        for verb in Verb::all() {
            let expected = match verb {
                Verb::Update => Way::Update,
                Verb::Undo => Way::Undo,
                _ => Way::Agent,
            };
            assert_eq!(way(&Command::of_verb(verb, "")), expected);
        }
    }
}
