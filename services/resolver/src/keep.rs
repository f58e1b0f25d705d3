//! Keeping: what came of the work is kept as a patch beside the run, unless there is a secret in it.

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::run::{Outcome, RunState};

use crate::attempt::{Attempt, Ending};
use crate::commits::Work;
use crate::deliver::kept;
use crate::git_door::GitDoor;
use crate::secrets::{self, Finding, Known};

/// Said where the patch is larger than an artifact may be.
const NOT_KEPT: &str = "The change is too large to be kept as a patch beside the run.";
/// Said where the patch would spread what must not be spread.
const NOT_KEPT_SECRET: &str = "The change was not kept as a patch either, since the secret would be in it.";

/// Keeps the patch before anything is pushed, so that no ending loses the work. `Some` when there is a secret in it, or in
/// one of the commits that it comes to: then it is neither kept nor pushed; or when the run is not ours any more.
pub(crate) async fn keep(
    door: &GitDoor,
    attempt: &Attempt,
    work: &mut Work,
    known: &Known,
) -> Result<Option<Ending>, Failure> {
    let patience = &attempt.patience;
    let search = || searched_patch(door, work, known);
    let (patch, secrets) = patience.with("look for secrets", search).await?;
    if !secrets.is_empty() {
        return Ok(Some(with_secret(work.outcome.clone(), &secrets)));
    }
    // An older worker's patch must not take the place of a newer one's.
    if !patience.with("look at the record", || attempt.is_held()).await? {
        return Ok(Some(Ending::NotOurs));
    }
    let ids = work.commits.ids();
    if !patience
        .with("keep the patch", || attempt.keep_patch(&ids, &patch))
        .await?
    {
        work.outcome.notes.push(NOT_KEPT.to_owned());
    }
    Ok(None)
}

/// The patch of all commits together, and the secrets in it and in each of them: what a later one takes out again is
/// pushed all the same.
async fn searched_patch(
    door: &GitDoor,
    work: &Work,
    known: &Known,
) -> Result<(Vec<u8>, Vec<Finding>), Failure> {
    // Of a merge, what was done to end it: the target branch's own text is where everybody can read it.
    let merges = work.commits.request().merges.as_ref();
    let base = merges.map_or(&work.base, |merges| &merges.together).clone();
    let (commits, known) = (work.commits.ids(), known.clone());
    door.with_mirror(move |mirror, _, _, _| {
        let tip = commits.last().unwrap_or(&base);
        let patch = mirror.patch(&base, tip)?;
        let mut found = secrets::in_patch(&patch, &known);
        let mut below = &base;
        for commit in commits.iter().filter(|_| commits.len() > 1) {
            for finding in secrets::in_patch(&mirror.patch(below, commit)?, &known) {
                if !found.contains(&finding) {
                    found.push(finding);
                }
            }
            below = commit;
        }
        Ok((patch.text, found))
    })
    .await
}

/// The run ends without a push and without a patch, which would have the secret in it.
fn with_secret(mut outcome: Outcome, found: &[Finding]) -> Ending {
    let named: Vec<_> = found.iter().map(ToString::to_string).collect();
    outcome.notes.push(NOT_KEPT_SECRET.to_owned());
    kept(
        outcome,
        RunState::Failed,
        FailureCode::SecretInChange,
        Some(named.join("; ")),
    )
}
