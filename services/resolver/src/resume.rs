//! Resume: a run that carries on begins with the work that the earlier one left.

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::subject;
use pipeline::verbs::Verb;

use crate::apply;
use crate::attempt::Attempt;
use crate::handler::Resolver;
use crate::work_tree::WorkTree;

/// What became of the earlier work.
pub(crate) struct Resumed {
    /// For the agent, in words of ours.
    pub(crate) told: String,
    /// For people.
    pub(crate) note: String,
}

/// Puts the kept patch of the run that is carried on into the tree, in which nobody works yet. Nothing where none is
/// carried on, or where it left no patch.
pub(crate) async fn resume(
    resolver: &Resolver,
    attempt: &Attempt,
    tree: &WorkTree,
) -> Result<Option<Resumed>, Failure> {
    let run = &attempt.run;
    let Some(about) = run.about.as_ref().filter(|_| run.command.verb == Verb::Continue) else {
        return Ok(None);
    };
    let Some(kept) = resolver
        .nats
        .runs()
        .get(&subject::run_key(about))
        .await?
        .and_then(|earlier| earlier.patch)
    else {
        return Ok(None);
    };
    let Some(patch) = resolver.nats.artifacts().get(&kept.key).await? else {
        return Ok(None);
    };
    let directory = tree.path().to_owned();
    let applied = tokio::task::spawn_blocking(move || apply::apply(&patch, &directory)).await;
    let applied = applied.map_err(|panicked| {
        let cause = anyhow::Error::new(panicked).context("a kept patch could not be applied");
        Failure::retry(FailureCode::Internal, cause)
    })?;
    Ok(Some(match applied {
        Ok(()) => Resumed {
            told: "The working directory has the work of the earlier run already: the patch that is shown above was applied to the branch as it is now.".to_owned(),
            note: format!("The work that {about} left was taken over"),
        },
        Err(why) => Resumed {
            told: "The working directory is the branch as it is now, without the work of the earlier run: the patch that is shown above no longer fits. Do again what is still needed of it.".to_owned(),
            note: format!("The work that {about} left no longer fits the branch ({}), so the agent began anew with it at hand", why.0),
        },
    }))
}
