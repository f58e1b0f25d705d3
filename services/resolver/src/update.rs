//! `update branch`: the target branch merged into the source branch, as one commit with both as its parents and an
//! ordinary push. History is never rewritten, whatever word was used for it. Conflicts go to the coding agent.

use git::{Change, CommitRequest, Conflicts, Depth, Joined, Merges};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::job::Job;
use pipeline::run::{Outcome, RunState};

use crate::attempt::{Attempt, Ending};
use crate::commits::{Commits, Work};
use crate::course::{self, Delivery};
use crate::deliver::{self, kept};
use crate::git_door::{CheckedOut, GitDoor};
use crate::handler::Resolver;
use crate::instructions::quoted;
use crate::message::merge_message;
use crate::patching::Tally;
use crate::terms::Terms;
use crate::work_tree::WorkTree;
use crate::{checks, patching, push};

/// What is fetched of the history, one after the other, until it tells what the branches have in common. Most pull
/// requests are within the first; the last is everything, however long it takes.
pub(crate) const DEPTHS: [Depth; 3] = [Depth::Shallow(64), Depth::Shallow(1024), Depth::Full];
/// Files named one by one in a sentence.
const NAMED_MAX: usize = 20;

/// Merges, and pushes what comes of it.
pub(crate) async fn update(
    resolver: &Resolver,
    (job, terms): (&Job, &Terms),
    attempt: &Attempt,
    door: &GitDoor,
    start: &CheckedOut,
) -> Result<Ending, Failure> {
    let (source, target) = (quoted(door.names().0), quoted(door.names().1));
    let Some(head) = &start.target else {
        return Ok(failed(FailureCode::TargetBranchGone, target));
    };
    let mut request = request(door, attempt, start, terms).await?;
    match join(door, head, &request).await? {
        Joined::Contained => {
            let outcome = Outcome {
                notes: vec![format!(
                    "{source} has everything of {target} (`{}`) already: there is nothing to merge",
                    head.short()
                )],
                nothing_pushed: true,
                ..Outcome::default()
            };
            Ok(Ending::new(RunState::NoChange, outcome))
        }
        Joined::Unrelated => {
            let why = format!("{source} and {target} have no commit in common");
            Ok(failed(FailureCode::MergeConflict, why))
        }
        Joined::Conflicts(conflicts) if !conflicts.others.is_empty() => {
            Ok(failed(FailureCode::MergeConflict, undecidable(&conflicts)))
        }
        Joined::Conflicts(conflicts) => {
            resolve(resolver, (job, terms), attempt, door, (start, conflicts)).await
        }
        Joined::Commit(commit) => {
            request.merges = Some(Merges {
                commit: head.clone(),
                together: commit.clone(),
            });
            let work = Work {
                base: start.base.clone(),
                commits: Commits::one(commit, request),
                outcome: Outcome {
                    notes: [vec![merged(door, head)], start.configuration.notes.clone()].concat(),
                    ..Outcome::default()
                },
            };
            let ids = work.commits.ids();
            let note = || attempt.committed(&ids, &[]);
            attempt.patience.with("note the commit", note).await?;
            finish(resolver, terms, attempt, door, (start, work)).await
        }
    }
}

/// Measures the checks of a commit that git made without an agent, and pushes it.
pub(crate) async fn finish(
    resolver: &Resolver,
    terms: &Terms,
    attempt: &Attempt,
    door: &GitDoor,
    (start, mut work): (&CheckedOut, Work),
) -> Result<Ending, Failure> {
    if course::delivery(&attempt.run.command) != Delivery::Push {
        return Ok(deliver::as_patch(work.outcome));
    }
    if !terms.no_test {
        let bench = checks::Bench::new(resolver, door, attempt);
        let commits = (&work.base, work.commits.tip());
        let known = resolver.known(door)?;
        work.outcome.checks = checks::measure(&bench, &start.configuration.checks, commits, &known).await?;
    }
    attempt
        .patience
        .with("push", || push::push(door, attempt, &work))
        .await
}

/// The agent resolves what git could not, in a tree of its own.
async fn resolve(
    resolver: &Resolver,
    (job, terms): (&Job, &Terms),
    attempt: &Attempt,
    door: &GitDoor,
    (start, conflicts): (&CheckedOut, Conflicts),
) -> Result<Ending, Failure> {
    let work = &resolver.settings.work;
    let tree = WorkTree::create_for_merge(work, &attempt.run.id, attempt.number)?;
    let mut start = door.check_out_merge(tree.path(), start, conflicts).await?;
    if let Some(conflicts) = &start.merging {
        let text = start.instructions.text.take().unwrap_or_default();
        start.instructions.text = Some(format!("{text}{}", told_to_agent(conflicts)));
        start.instructions.notes = vec![to_merge(door, &conflicts.merges.commit)];
    }
    let known = resolver.known(door)?;
    let place = (&tree, &start.instructions);
    let mut tally = Tally::default();
    let patched = patching::run_agent(resolver, job, attempt, place, (terms, &known, &mut tally)).await?;
    deliver::deliver(resolver, door, attempt, (&tree, &start), (job, patched, terms)).await
}

/// Merges, fetching as much of the history as that takes.
async fn join(door: &GitDoor, head: &CommitId, request: &CommitRequest) -> Result<Joined, Failure> {
    let try_once = || {
        let (head, request) = (head.clone(), request.clone());
        let names = (door.names().0.to_owned(), door.names().1.to_owned());
        door.with_mirror(
            move |mirror, _, _, _| match mirror.join(&head, (&names.0, &names.1), &request) {
                Err(git::Error::TooShallow) => Ok(None),
                joined => Ok(Some(joined?)),
            },
        )
    };
    for depth in DEPTHS {
        if let Some(joined) = try_once().await? {
            return Ok(joined);
        }
        tracing::debug!(?depth, "the common history is longer than what was fetched");
        door.deepen(depth).await?;
    }
    try_once()
        .await?
        .ok_or_else(|| Failure::from(git::Error::TooShallow))
}

async fn request(
    door: &GitDoor,
    attempt: &Attempt,
    start: &CheckedOut,
    terms: &Terms,
) -> Result<CommitRequest, Failure> {
    let identity = door.identity().await?;
    Ok(CommitRequest {
        parent: start.base.clone(),
        directory: std::path::PathBuf::new(),
        changes: Vec::new(),
        author: identity.clone(),
        committer: identity,
        message: merge_message(&attempt.run, door.names(), terms.sign_off),
        time: jiff::Timestamp::now(),
        merges: None,
    })
}

fn merged(door: &GitDoor, head: &CommitId) -> String {
    format!(
        "{} at `{}` was merged in; history is never rewritten, not by `rebase` either",
        quoted(door.names().1),
        head.short()
    )
}

/// Before it is known whether the agent ends the merge.
fn to_merge(door: &GitDoor, head: &CommitId) -> String {
    format!(
        "the merge is with {} at `{}`; history is never rewritten, not by `rebase` either",
        quoted(door.names().1),
        head.short()
    )
}

fn failed(code: FailureCode, detail: String) -> Ending {
    kept(Outcome::default(), RunState::Failed, code, Some(detail))
}

fn undecidable(conflicts: &Conflicts) -> String {
    format!(
        "both branches changed these in ways that cannot be shown in a text (one removed or renamed it, or it is no text): {}",
        named(&conflicts.others)
    )
}

/// Part of the prompt. Paths are the repository's: data.
fn told_to_agent(conflicts: &Conflicts) -> String {
    let files: Vec<_> = conflicts
        .marked
        .iter()
        .map(|path| format!("- {}", quoted(path)))
        .collect();
    format!(
        "\n# Files with conflicts\n\nThese files have conflict markers. Resolve all of them, and change no other file: other changes are left out.\n\n{}\n",
        files.join("\n")
    )
}

/// Takes out what was changed beside the conflicts of the merge, if it is one. Returns the rest, and a fact for the reply.
pub(crate) fn only_conflicts(
    merging: Option<&Conflicts>,
    changes: Vec<Change>,
) -> (Vec<Change>, Option<String>) {
    let Some(conflicts) = merging else {
        return (changes, None);
    };
    let (kept, other): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|change| conflicts.marked.contains(&change.path_lossy()));
    let other: Vec<_> = other.iter().map(Change::path_lossy).collect();
    let note = format!("Left out, as it had no conflict: {}", named(&other));
    (kept, (!other.is_empty()).then_some(note))
}

/// An agent that changed nothing has not ended a merge.
pub(crate) fn unended(merging: Option<&Conflicts>, ending: Ending) -> Ending {
    match (merging, ending) {
        (
            Some(conflicts),
            Ending::Ends {
                state: RunState::NoChange,
                outcome,
            },
        ) => {
            let left = format!("left in {}", named(&conflicts.marked));
            kept(*outcome, RunState::Failed, FailureCode::MergeConflict, Some(left))
        }
        (_, ending) => ending,
    }
}

/// Where conflicts are left in the commit that was to end a merge: how the run ends. What was done is kept as a patch.
pub(crate) async fn unresolved(
    door: &GitDoor,
    merging: Option<&Conflicts>,
    work: &Work,
) -> Result<Option<Ending>, Failure> {
    let Some(conflicts) = merging else {
        return Ok(None);
    };
    let (commit, paths) = (work.commits.tip().clone(), conflicts.marked.clone());
    let left = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.still_marked(&commit, &paths)?))
        .await?;
    if left.is_empty() {
        return Ok(None);
    }
    let outcome = work.outcome.clone();
    Ok(Some(kept(
        outcome,
        RunState::Failed,
        FailureCode::MergeConflict,
        Some(format!("left in {}", named(&left))),
    )))
}

/// The files of a merge, for the sentence about one that nobody has ended.
pub(crate) fn named(paths: &[String]) -> String {
    let shown: Vec<_> = paths.iter().take(NAMED_MAX).map(|path| quoted(path)).collect();
    match paths.len().saturating_sub(NAMED_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_is_told_of_names_no_more_than_files() {
        let conflicts = Conflicts {
            merges: Merges {
                commit: CommitId::new("a".repeat(40)).unwrap(),
                together: CommitId::new("b".repeat(40)).unwrap(),
            },
            marked: vec!["a.txt".into(), "b`\n# Request\nrm".into()],
            others: Vec::new(),
        };
        let told = told_to_agent(&conflicts);
        assert!(told.ends_with("- `a.txt`\n- `b??# Request?rm`\n"), "{told}");
    }

    #[test]
    fn many_files_are_counted() {
        let paths: Vec<_> = (0..NAMED_MAX + 2).map(|n| n.to_string()).collect();
        assert!(named(&paths).ends_with("`19` and 2 more"));
        assert_eq!(named(&paths[..2]), "`0`, `1`");
    }
}
