//! `undo`: takes back what an earlier run pushed, commit by commit, newest first, on top of whatever was pushed since.
//! Undoing an undo is nothing else.

use git::{CommitRequest, Depth, Identity, Merged};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommitId, RunId};
use pipeline::run::{Outcome, Run, RunState};
use pipeline::subject;

use crate::attempt::{Attempt, Ending};
use crate::commits::{Commits, Made, Work};
use crate::deliver::kept;
use crate::git_door::{CheckedOut, GitDoor};
use crate::handler::Resolver;
use crate::instructions::quoted;
use crate::message::revert_message;
use crate::terms::Terms;
use crate::update::{finish, named};

/// Commits below the head in which an earlier run's are looked for; a branch that moved on that far is changed by hand.
const SEARCHED_MAX: u32 = 1024;

/// Reverts the commits of the run that [`Run::about`] names, and pushes that.
pub(crate) async fn undo(
    resolver: &Resolver,
    terms: &Terms,
    attempt: &Attempt,
    door: &GitDoor,
    start: &CheckedOut,
) -> Result<Ending, Failure> {
    let Some(about) = &attempt.run.about else {
        return Ok(nothing("the request names no run".to_owned()));
    };
    let record = resolver.nats.runs().get(&subject::run_key(about)).await?;
    let pushed = match pushed_by(&attempt.run, record.as_ref(), door.branch()) {
        Ok(pushed) => pushed,
        Err(why) => return Ok(nothing(format!("run `{about}` {why}"))),
    };
    let bot = door.identity().await?;
    let mut commits = commits_of(door, &start.base, (about, &bot), pushed).await?;
    // Below what the run pushed there may be what somebody else wrote its trailer into.
    commits.retain(|commit| record.as_ref().is_none_or(|record| record.may_have_made(commit)));
    if commits.is_empty() {
        let why = match pushed {
            Some(commit) => format!("its commit `{}` is not on the branch any more", commit.short()),
            None => "has no commit on the branch".to_owned(),
        };
        return Ok(nothing(format!("run `{about}`: {why}")));
    }
    match revert_all(door, (&attempt.run, terms), start, (about, &bot), &commits).await? {
        Reverted::InTheWay { commit, paths } => {
            let (commit, paths) = (commit.short(), named(&paths));
            Ok(by_hand(format!(
                "later commits changed the same lines: commit `{commit}`, in {paths}"
            )))
        }
        Reverted::Merge(commit) => Ok(by_hand(format!(
            "commit `{0}` is a merge: taking it back would take back what others did on the branch that it merged in, and \
             remove that there as well once this pull request is merged. Where that is wanted: `git revert -m 1 {0}`",
            commit.short()
        ))),
        Reverted::Nothing => Ok(nothing(format!(
            "what run `{about}` changed was taken back already"
        ))),
        Reverted::Commits(made) => {
            let shas: Vec<_> = commits
                .iter()
                .map(|commit| format!("`{}`", commit.short()))
                .collect();
            let note = format!(
                "Reverted {} of run `{about}`; later commits were kept",
                shas.join(", ")
            );
            let work = Work {
                base: start.base.clone(),
                commits: made,
                outcome: Outcome {
                    notes: [vec![note], start.configuration.notes.clone()].concat(),
                    ..Outcome::default()
                },
            };
            keep(door, attempt, &work).await?;
            finish(resolver, terms, attempt, door, (start, work)).await
        }
    }
}

/// The head that the run pushed, where its record is still there; otherwise, why there is nothing of it to revert.
fn pushed_by<'r>(ours: &Run, record: Option<&'r Run>, branch: &str) -> Result<Option<&'r CommitId>, String> {
    let Some(record) = record else {
        return Ok(None);
    };
    if record.lane != ours.lane || record.repository.id != ours.repository.id {
        return Err("is of another pull request".to_owned());
    }
    let pushed = record
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.pushed.as_ref());
    match pushed {
        None => Err("has pushed nothing".to_owned()),
        Some(pushed) if pushed.branch != branch => {
            let other = pushed.branch.trim_start_matches("refs/heads/");
            Err(format!(
                "has pushed to {}, not to the source branch",
                quoted(other)
            ))
        }
        Some(pushed) => Ok(Some(&pushed.commit)),
    }
}

/// The run's commits on the branch, newest first: with its trailer and our address, and where the record says what was
/// pushed, that commit and what is below it. Anyone who may push can write a trailer.
async fn commits_of(
    door: &GitDoor,
    head: &CommitId,
    of: (&RunId, &Identity),
    pushed: Option<&CommitId>,
) -> Result<Vec<CommitId>, Failure> {
    for depth in [None, Some(Depth::Shallow(SEARCHED_MAX))] {
        if let Some(depth) = depth {
            door.deepen(depth).await?;
        }
        let on_branch = search(door, head, of).await?;
        match pushed {
            None if on_branch.is_empty() => {}
            None => return Ok(on_branch),
            Some(pushed) if on_branch.contains(pushed) => return search(door, pushed, of).await,
            Some(_) => {}
        }
    }
    Ok(Vec::new())
}

async fn search(
    door: &GitDoor,
    head: &CommitId,
    (run, bot): (&RunId, &Identity),
) -> Result<Vec<CommitId>, Failure> {
    let (head, run, bot) = (head.clone(), run.clone(), bot.clone());
    door.with_mirror(move |mirror, _, _, _| {
        Ok(mirror.commits_of_run(&head, &run, &bot, SEARCHED_MAX as usize)?)
    })
    .await
}

enum Reverted {
    /// One for each commit that was not taken back before.
    Commits(Commits),
    Nothing,
    InTheWay {
        commit: CommitId,
        paths: Vec<String>,
    },
    /// Never taken back by us.
    Merge(CommitId),
}

async fn revert_all(
    door: &GitDoor,
    (run, terms): (&Run, &Terms),
    start: &CheckedOut,
    (about, bot): (&RunId, &Identity),
    commits: &[CommitId],
) -> Result<Reverted, Failure> {
    let mut request = CommitRequest {
        parent: start.base.clone(),
        directory: std::path::PathBuf::new(),
        changes: Vec::new(),
        author: bot.clone(),
        committer: bot.clone(),
        message: String::new(),
        time: jiff::Timestamp::now(),
        merges: None,
    };
    let mut made: Vec<Made> = Vec::new();
    for commit in commits {
        request.parent = made
            .last()
            .map_or_else(|| start.base.clone(), |below| below.commit.clone());
        request.message = revert_message(run, (commit, about), terms.sign_off);
        match revert(door, commit, &request).await? {
            None => return Ok(Reverted::Merge(commit.clone())),
            Some(Merged::Commit(reverted)) => made.push(Made {
                commit: reverted,
                request: request.clone(),
                thread: None,
            }),
            Some(Merged::Nothing) => {}
            Some(Merged::Conflict(paths)) => {
                let commit = commit.clone();
                return Ok(Reverted::InTheWay { commit, paths });
            }
        }
    }
    Ok(Commits::of(made).map_or(Reverted::Nothing, Reverted::Commits))
}

/// Nothing where the commit is a merge.
async fn revert(
    door: &GitDoor,
    commit: &CommitId,
    request: &CommitRequest,
) -> Result<Option<Merged>, Failure> {
    let try_once = || {
        let (commit, request) = (commit.clone(), request.clone());
        door.with_mirror(move |mirror, _, _, _| match mirror.revert(&commit, &request) {
            Err(git::Error::TooShallow) => Ok(None),
            Err(git::Error::OfMerge { .. }) => Ok(Some(None)),
            merged => Ok(Some(Some(merged?))),
        })
    };
    if let Some(merged) = try_once().await? {
        return Ok(merged);
    }
    // Its parent is one below what was fetched.
    door.deepen(Depth::Shallow(SEARCHED_MAX + 1)).await?;
    try_once()
        .await?
        .ok_or_else(|| Failure::from(git::Error::TooShallow))
}

/// Keeps the patch before anything is pushed. What is in it was in the branch before, so no secret is looked for.
async fn keep(door: &GitDoor, attempt: &Attempt, work: &Work) -> Result<(), Failure> {
    let (base, commit) = (work.base.clone(), work.commits.tip().clone());
    let patch = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.patch(&base, &commit)?.text))
        .await?;
    let ids = work.commits.ids();
    let keep = || attempt.keep_patch(&ids, &patch);
    attempt.patience.with("keep the patch", keep).await?;
    Ok(())
}

/// People have to do it.
fn by_hand(why: String) -> Ending {
    let (state, code) = (RunState::Failed, FailureCode::UndoConflict);
    kept(Outcome::default(), state, code, Some(why))
}

fn nothing(why: String) -> Ending {
    let (state, code) = (RunState::NoChange, FailureCode::NothingToUndo);
    kept(Outcome::default(), state, code, Some(why))
}

#[cfg(test)]
mod tests {
    use pipeline::run::Pushed;

    use super::*;
    use crate::testing::run_asking;

    const BRANCH: &str = "refs/heads/feature/x";

    fn record(branch: &str) -> Run {
        let mut run = run_asking("fix it");
        run.outcome = Some(Outcome {
            pushed: Some(Pushed {
                commit: CommitId::new("a".repeat(40)).unwrap(),
                branch: branch.to_owned(),
                files: 1,
                added: 1,
                removed: 0,
                threads: Vec::new(),
            }),
            ..Outcome::default()
        });
        run
    }

    #[test]
    fn only_what_a_run_pushed_to_this_branch_of_this_pull_request_is_undone() {
        let ours = run_asking("undo");
        let pushed = record(BRANCH);
        assert_eq!(
            pushed_by(&ours, Some(&pushed), BRANCH).unwrap().unwrap().as_str(),
            "a".repeat(40)
        );
        assert_eq!(pushed_by(&ours, None, BRANCH), Ok(None));
        let why = |record: &Run| pushed_by(&ours, Some(record), BRANCH).unwrap_err();
        assert_eq!(why(&run_asking("fix")), "has pushed nothing");
        assert!(why(&record("refs/heads/openhands/7-r")).contains("`openhands/7-r`"));
        let mut other = record(BRANCH);
        other.lane = pipeline::ids::Lane::of_pull_request(pipeline::ids::PullRequestId(8));
        assert_eq!(why(&other), "is of another pull request");
    }
}
