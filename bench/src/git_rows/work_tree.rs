//! A work tree at a branch's head: cold (no mirror yet) and warm (a mirror that lacks one commit), against a shallow
//! clone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use git::{Cache, Depth, TreeLimits};

use crate::git_rows::served::Served;
use crate::git_rows::trees;
use crate::repository::{self, MAIN};
use crate::samples::Samples;
use crate::table::{Goal, Row};

/// The branch that gets the new commits.
const WARM: &str = "warm";

/// Both rows.
pub(crate) async fn measure(rounds: usize) -> Result<Vec<Row>> {
    let served = Arc::new(Served::start().await?);
    let rows = vec![cold(&served, rounds).await?, warm(&served, rounds).await?];
    if let Some(served) = Arc::into_inner(served) {
        served.end().await;
    }
    Ok(rows)
}

async fn cold(served: &Arc<Served>, rounds: usize) -> Result<Row> {
    let (mut product, mut baseline) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        // A cache in a new directory: no mirror, no connection, nothing kept from the round before.
        let cache = Arc::new(served.cache(&format!("cold-{round}")));
        let pair = pair(served, &cache, MAIN, &format!("cold-{round}"), round).await?;
        // The first round fills the machine's caches for both.
        if round > 0 {
            product.add_ms(pair.product);
            baseline.add_ms(pair.baseline);
        }
    }
    let name = "cold work tree, against git clone --depth 1 --single-branch";
    Ok(Row::of_rounds(name, "ms", &product, &baseline, Goal::AtMost(1.0)))
}

async fn warm(served: &Arc<Served>, rounds: usize) -> Result<Row> {
    let (mut product, mut baseline) = (Samples::default(), Samples::default());
    let person = served.path("person");
    served.shallow_clone(MAIN, &person).await?;
    served.branch_off(&person, &[WARM]).await?;
    let cache = Arc::new(served.cache("warm"));
    for round in 0..=rounds {
        // In the first round the mirror is still cold.
        let pair = pair(served, &cache, WARM, &format!("warm-{round}"), round).await?;
        if round > 0 {
            product.add_ms(pair.product);
            baseline.add_ms(pair.baseline);
        }
        one_commit(served, &person, round).await?;
    }
    let name = "warm work tree with one new commit, against the same clone";
    Ok(Row::of_rounds(
        name,
        "ms",
        &product,
        &baseline,
        Goal::AtMost(0.25),
    ))
}

/// What a round took.
struct Pair {
    product: Duration,
    baseline: Duration,
}

/// Both sides once, who goes first by the round's number; then compares what they made.
async fn pair(
    served: &Arc<Served>,
    cache: &Arc<Cache>,
    branch: &str,
    name: &str,
    round: usize,
) -> Result<Pair> {
    let (ours, theirs) = (
        served.path(&format!("{name}-ours")),
        served.path(&format!("{name}-theirs")),
    );
    let pair = if round.is_multiple_of(2) {
        let product = work_tree(served, cache, branch, &ours).await?;
        Pair {
            product,
            baseline: clone(served, branch, &theirs).await?,
        }
    } else {
        let baseline = clone(served, branch, &theirs).await?;
        Pair {
            product: work_tree(served, cache, branch, &ours).await?,
            baseline,
        }
    };
    // Nothing is removed before the end: an ext4 without a journal passes over every recently deleted inode for each
    // new file, and rounds would measure how much the rounds before have removed.
    trees::ensure_same(&ours, &theirs)?;
    Ok(pair)
}

/// As the resolver does it for a job's first attempt.
async fn work_tree(served: &Arc<Served>, cache: &Arc<Cache>, branch: &str, tree: &Path) -> Result<Duration> {
    let (served, cache, tree) = (served.clone(), cache.clone(), PathBuf::from(tree));
    let branch = format!("refs/heads/{branch}");
    let working = tokio::task::spawn_blocking(move || {
        let stop = AtomicBool::new(false);
        let started = Instant::now();
        std::fs::create_dir_all(&tree)?;
        let mirror = served.mirror(&cache)?;
        let head = mirror.fetch(&served.remote(), &branch, Depth::Shallow(1), &stop)?;
        mirror.check_out(&head, &tree, &TreeLimits::default(), &stop)?;
        anyhow::Ok(started.elapsed())
    });
    working.await?
}

async fn clone(served: &Served, branch: &str, into: &Path) -> Result<Duration> {
    let started = Instant::now();
    served.shallow_clone(branch, into).await?;
    Ok(started.elapsed())
}

/// Somebody changes one file and pushes.
async fn one_commit(served: &Served, person: &Path, round: usize) -> Result<()> {
    let path = repository::path(round);
    std::fs::write(person.join(&path), format!("// Changed in round {round}.\n"))?;
    served
        .git(
            person,
            &["commit", "--quiet", "--all", "--message", "One new commit"],
        )
        .await?;
    served
        .git(
            person,
            &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{WARM}")],
        )
        .await
        .map(drop)
}
