//! Reopened: runs whose answers leave their threads open, although they said that nothing is left to do. Pure.

use std::collections::BTreeSet;

use pipeline::ids::RunId;
use pipeline::run::{Outcome, Run, RunState};
use pipeline::verbs::Verb;

/// The runs whose work `run` cannot build on: what was undone, and what it does once more as a `retry`. `earlier`: the
/// runs of the pull request, the last one asked for first.
pub(crate) fn reopened(run: &Run, earlier: &[Run]) -> BTreeSet<RunId> {
    let mut undone = BTreeSet::new();
    for undo in earlier.iter().filter(|earlier| has_reverted(earlier)) {
        // Of an undo that was undone itself the work is there again.
        if !undone.contains(&undo.id) {
            undone.extend(undo.about.clone());
        }
    }
    let mut repeated = BTreeSet::new();
    let mut about = run.about.as_ref();
    while let Some(id) = about.filter(|id| repeated.insert((*id).clone())) {
        let before = earlier.iter().find(|earlier| earlier.id == *id);
        about = before
            .filter(|before| before.command.verb == Verb::Address)
            .and_then(|before| before.about.as_ref());
    }
    &undone | &repeated
}

/// Whether the run took another one's work off the source branch.
fn has_reverted(run: &Run) -> bool {
    let outcome = run.outcome.as_ref();
    run.command.verb == Verb::Undo
        && run.state == RunState::Done
        && outcome.is_some_and(Outcome::is_on_source)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pipeline::ids::{CommentId, CommitId};
    use pipeline::mention::Command;
    use pipeline::run::Pushed;

    use super::*;
    use crate::lane::tests::mention;
    use crate::records;

    fn id(comment: u64) -> RunId {
        let instance = mention(comment, 0, comment, None).origin.instance;
        RunId::derive(&instance, CommentId(comment), 0)
    }

    /// The run of comment `comment`, which pushed, about that of another comment.
    fn run(comment: u64, verb: Verb, about: Option<u64>) -> Run {
        let mut asked = mention(comment, 0, comment, None);
        asked.command = Some(Command::of_verb(verb, ""));
        let mut run = records::queued(&asked, &id(comment), None, Timestamp::UNIX_EPOCH);
        run.about = about.map(id);
        let outcome = Outcome {
            pushed: Some(Pushed {
                commit: CommitId::new("a".repeat(40)).unwrap(),
                branch: "refs/heads/x".to_owned(),
                files: 1,
                added: 1,
                removed: 0,
                threads: Vec::new(),
            }),
            ..Outcome::default()
        };
        records::ended(run, RunState::Done, outcome, Timestamp::UNIX_EPOCH)
    }

    fn ids(comments: &[u64]) -> BTreeSet<RunId> {
        comments.iter().map(|comment| id(*comment)).collect()
    }

    #[test]
    fn what_was_undone_is_open_again_until_that_is_undone() {
        let address = run(9, Verb::Address, None);
        let first = run(1, Verb::Address, None);
        let undo = run(2, Verb::Undo, Some(1));
        let twice = run(3, Verb::Undo, Some(2));
        assert_eq!(reopened(&address, std::slice::from_ref(&first)), ids(&[]));
        assert_eq!(reopened(&address, &[undo.clone(), first.clone()]), ids(&[1]));
        let both = [twice, undo.clone(), first.clone()];
        assert_eq!(reopened(&address, &both), ids(&[2]));
        let failed = Run {
            state: RunState::Failed,
            ..undo.clone()
        };
        assert_eq!(reopened(&address, &[failed, first.clone()]), ids(&[]));
        let mut aside = undo;
        aside.outcome.as_mut().unwrap().pushed_aside = true;
        assert_eq!(
            reopened(&address, &[aside, first]),
            ids(&[]),
            "the branch has the work"
        );
    }

    #[test]
    fn a_repetition_works_through_all_that_those_it_repeats_had_settled() {
        let (other, first) = (run(1, Verb::Address, None), run(2, Verb::Address, None));
        let second = run(3, Verb::Address, Some(2));
        let third = run(4, Verb::Address, Some(3));
        assert_eq!(reopened(&third, &[second, first, other]), ids(&[2, 3]));
        let itself = run(5, Verb::Address, Some(5));
        assert_eq!(reopened(&itself, std::slice::from_ref(&itself)), ids(&[5]));
    }
}
