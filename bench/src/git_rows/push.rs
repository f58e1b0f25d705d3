//! The push of a commit that changes two files, against `git push` of an equal commit to a branch beside it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use git::{Cache, CommitRequest, Depth, Identity, TreeLimits};
use jiff::Timestamp;
use pipeline::ids::CommitId;

use crate::git_rows::served::Served;
use crate::repository::{self, MAIN};
use crate::samples::Samples;
use crate::table::{Goal, Row};

/// Where the product pushes.
const OURS: &str = "pushed/by-resolver";
/// Where git pushes.
const THEIRS: &str = "pushed/by-git";
/// The two files lie in different areas of the tree.
const APART: usize = 1_234;

/// The row.
pub(crate) async fn measure(rounds: usize) -> Result<Vec<Row>> {
    let served = Arc::new(Served::start().await?);
    let person = served.path("person");
    served.shallow_clone(MAIN, &person).await?;
    served.branch_off(&person, &[OURS, THEIRS]).await?;
    let cache = Arc::new(served.cache("mirrors"));
    let tree = served.path("tree");
    let mut head = check_out(&served, &cache, &tree).await?;

    let (mut product, mut baseline) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        let (ours, theirs);
        if round.is_multiple_of(2) {
            (head, ours) = push(&served, &cache, &tree, head, round).await?;
            theirs = git_push(&served, &person, round).await?;
        } else {
            theirs = git_push(&served, &person, round).await?;
            (head, ours) = push(&served, &cache, &tree, head, round).await?;
        }
        // The first round fills the machine's caches for both.
        if round > 0 {
            product.add_ms(ours);
            baseline.add_ms(theirs);
        }
        ensure_equal(&served, &person, &head).await?;
    }
    if let Some(served) = Arc::into_inner(served) {
        served.end().await;
    }
    let name = "push of a two-file commit, against git push";
    Ok(vec![Row::of_rounds(
        name,
        "ms",
        &product,
        &baseline,
        Goal::AtMost(1.0),
    )])
}

async fn check_out(served: &Arc<Served>, cache: &Arc<Cache>, tree: &Path) -> Result<CommitId> {
    let (served, cache, tree) = (served.clone(), cache.clone(), tree.to_owned());
    let working = tokio::task::spawn_blocking(move || {
        let stop = AtomicBool::new(false);
        std::fs::create_dir_all(&tree)?;
        let mirror = served.mirror(&cache)?;
        let head = mirror.fetch(&served.remote(), &full(OURS), Depth::Shallow(1), &stop)?;
        mirror.check_out(&head, &tree, &TreeLimits::default(), &stop)?;
        anyhow::Ok(head)
    });
    working.await?
}

/// Commits, then pushes; only the push is timed. The new head, and how long.
async fn push(
    served: &Arc<Served>,
    cache: &Arc<Cache>,
    tree: &Path,
    parent: CommitId,
    round: usize,
) -> Result<(CommitId, Duration)> {
    change_two_files(tree, round)?;
    let (served, cache, tree) = (served.clone(), cache.clone(), tree.to_owned());
    let working = tokio::task::spawn_blocking(move || {
        let mirror = served.mirror(&cache)?;
        let changes = mirror.changes(&parent, &tree, &TreeLimits::default())?.changes;
        ensure!(changes.len() == 2, "{} files changed", changes.len());
        let bot = Identity {
            name: "OpenHands".to_owned(),
            email: "bot@example.test".to_owned(),
        };
        let new = mirror.commit(&CommitRequest {
            parent: parent.clone(),
            directory: tree,
            changes,
            author: bot.clone(),
            committer: bot,
            message: "Change two files\n".to_owned(),
            time: Timestamp::now(),
            merges: None,
        })?;
        let started = Instant::now();
        mirror.push(&served.remote(), &full(OURS), &parent, &new)?;
        Ok((new, started.elapsed()))
    });
    working.await?
}

async fn git_push(served: &Served, person: &Path, round: usize) -> Result<Duration> {
    change_two_files(person, round)?;
    served
        .git(
            person,
            &["commit", "--quiet", "--all", "--message", "Change two files"],
        )
        .await?;
    let started = Instant::now();
    served
        .git(
            person,
            &["push", "--quiet", "origin", &format!("HEAD:{}", full(THEIRS))],
        )
        .await?;
    Ok(started.elapsed())
}

fn change_two_files(directory: &Path, round: usize) -> Result<()> {
    for number in [round, round + APART] {
        let path = directory.join(repository::path(number));
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(&path, format!("// Changed in round {round}.\n{text}"))?;
    }
    Ok(())
}

/// Both branches moved, to the commits that were pushed, and these have the same tree.
async fn ensure_equal(served: &Served, person: &Path, ours: &CommitId) -> Result<()> {
    let theirs = served.git(person, &["rev-parse", "HEAD"]).await?;
    let heads = (served.head(OURS).await?, served.head(THEIRS).await?);
    ensure!(
        heads == (ours.to_string(), theirs.trim().to_owned()),
        "the branches did not move: {heads:?}"
    );
    served
        .git(
            person,
            &["fetch", "--quiet", "--depth", "1", "origin", &full(OURS)],
        )
        .await?;
    let trees = served
        .git(person, &["rev-parse", "FETCH_HEAD^{tree}", "HEAD^{tree}"])
        .await?;
    let trees: Vec<_> = trees.lines().collect();
    ensure!(
        trees.len() == 2 && trees[0] == trees[1],
        "the pushed commits differ: {trees:?}"
    );
    Ok(())
}

fn full(branch: &str) -> String {
    format!("refs/heads/{branch}")
}
