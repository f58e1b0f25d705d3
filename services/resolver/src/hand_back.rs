//! What an agent leaves is taken back: swept by descriptors once everything of the agent's is dead, then read in a
//! process with a deadline (sandbox.md Handing the tree back).

use std::time::Duration;

use git::{ReadRequest, Reader, TreeLimits};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use sandbox::{SweepError, SweepRules, Swept};

use crate::git_door::GitDoor;
use crate::handler::Resolver;
use crate::work_tree::WorkTree;

/// How long reading a work tree may take. A hundred thousand files take seconds; a hostile tree must not take the time
/// that pushing needs.
const READ_TIME: Duration = Duration::from_secs(120);
/// What reading a work tree may take of the machine's memory: eight threads with the largest file that may be there.
const READ_MEMORY_BYTES: u64 = 4 << 30;

/// What changed, and what was left out of it, as sentences.
pub(crate) struct HandedBack {
    pub(crate) changes: Vec<git::Change>,
    pub(crate) left_out: Vec<String>,
}

/// Sweeps the work tree after an agent. What it removes is known to nobody afterwards, so it is added to `before`, which is
/// what was swept away after the agents before it in the same tree: what is withheld once stays withheld.
pub(crate) async fn sweep(tree: &WorkTree, before: &mut Swept) -> Result<(), Failure> {
    let directory = tree.path().to_owned();
    let rules = rules(&TreeLimits::default());
    let swept = tokio::task::spawn_blocking(move || sandbox::sweep(&directory, &rules)).await;
    match swept {
        Ok(Ok(swept)) => {
            let new = |path: &[u8]| !before.withheld.iter().any(|known| known.path == path);
            let more: Vec<_> = swept.withheld.into_iter().filter(|one| new(&one.path)).collect();
            before.withheld.extend(more);
            before.left_out.extend(swept.left_out);
            Ok(())
        }
        Ok(Err(error @ SweepError::TooMuch { .. })) => {
            Err(Failure::refuse(FailureCode::ChangeTooLarge, error.to_string()))
        }
        Ok(Err(error @ (SweepError::TimeOut { .. } | SweepError::Io { .. }))) => Err(Failure::abandon(
            FailureCode::WorkTreeUnreadable,
            None,
            error.into(),
        )),
        Err(panicked) => {
            let cause = anyhow::Error::new(panicked).context("the sweep panicked");
            Err(Failure::abandon(FailureCode::WorkTreeUnreadable, None, cause))
        }
    }
}

/// Reads what is different in a swept tree from the commit it was checked out from.
pub(crate) async fn read(
    resolver: &Resolver,
    door: &GitDoor,
    tree: &WorkTree,
    swept: &Swept,
    seen: &CommitId,
) -> Result<HandedBack, Failure> {
    let reader = Reader {
        executable: resolver.workshop.executable.clone(),
        time_limit: READ_TIME,
        memory_bytes: READ_MEMORY_BYTES,
    };
    let request = ReadRequest {
        commit: seen.clone(),
        directory: tree.path().to_owned(),
        limits: TreeLimits::default(),
        withheld: swept
            .withheld
            .iter()
            .map(|withheld| (withheld.path.clone(), withheld.why.to_string()))
            .collect(),
    };
    let read = door
        .with_mirror(move |mirror, _, _, stop| Ok(mirror.changes_apart(&reader, &request, stop)?))
        .await?;
    let mut left_out = swept.left_out.clone();
    left_out.extend(read.left_out);
    // Both name a special file that stood where something tracked was, in the same words.
    left_out.sort();
    left_out.dedup();
    Ok(HandedBack {
        changes: read.changes,
        left_out,
    })
}

/// No tighter than what was checked out, so that nothing of the repository's falls victim to the sweep.
fn rules(limits: &TreeLimits) -> SweepRules {
    SweepRules {
        depth_max: limits.depth,
        path_bytes_max: limits.path_bytes,
        file_bytes_max: limits.blob_bytes,
        ..SweepRules::default()
    }
}
