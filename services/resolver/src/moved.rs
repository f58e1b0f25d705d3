//! Who moved the source branch while the agent worked: Bitbucket's word for it, else what the commit says of itself.

use pipeline::failure::Failure;
use pipeline::ids::CommitId;

use crate::attempt::Attempt;
use crate::git_door::GitDoor;
use crate::instructions::quoted;

/// People named in one sentence; a branch that more of them push to within a run is told well enough by some.
const NAMED_MAX: usize = 3;
/// Characters of a name: anyone can write anything into a commit.
const NAME_CHARS_MAX: usize = 60;

/// The branch's move from one commit to another as the beginning of a sentence, with whoever did it, where that can be
/// told. Asks Bitbucket once; what it does not give is no reason to end a run whose work is done.
pub(crate) async fn told(door: &GitDoor, attempt: &Attempt, from: &CommitId, to: &CommitId) -> String {
    let moved = format!(
        "The branch moved from `{}` to `{}` meanwhile",
        from.short(),
        to.short()
    );
    let movers = match movers(door, attempt, from, to).await {
        Ok(movers) => movers,
        Err(failure) => {
            tracing::info!(run.id = %attempt.run.id, code = %failure.code(), "Bitbucket does not say who moved the branch");
            Vec::new()
        }
    };
    if !movers.is_empty() {
        return format!("{moved} (pushed by {})", named(&movers));
    }
    let head = to.clone();
    let committer = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.committer(&head)?))
        .await;
    match committer.as_deref().map(str::trim) {
        Ok(name) if !name.is_empty() => format!("{moved} (its last commit is by {})", shown(name)),
        _ => moved,
    }
}

/// The names of those who moved it, the first one first.
async fn movers(
    door: &GitDoor,
    attempt: &Attempt,
    from: &CommitId,
    to: &CommitId,
) -> Result<Vec<String>, Failure> {
    let run = &attempt.run;
    let found = door
        .client()?
        .movers(&run.repository, run.pull_request, (from, to))
        .await?;
    Ok(found.into_iter().rev().map(|person| person.name).collect())
}

/// Several names in a sentence.
fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown: Vec<String> = names.iter().take(NAMED_MAX).map(|name| shown(name)).collect();
    match (shown.split_last(), more) {
        (Some((last, first)), 0) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        (_, 0) => shown.concat(),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A name as code, so that it notifies nobody and means nothing.
fn shown(name: &str) -> String {
    quoted(&name.chars().take(NAME_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_moved_a_branch_are_named() {
        let named = |names: &[&str]| named(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(named(&["alice"]), "`alice`");
        assert_eq!(named(&["alice", "bob"]), "`alice` and `bob`");
        assert_eq!(named(&["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(named(&["a", "b", "c", "d"]), "`a`, `b`, `c` and 1 more");
    }

    #[test]
    fn a_name_stays_short_and_within_its_quotes() {
        assert_eq!(shown(&"x".repeat(500)).len(), NAME_CHARS_MAX + 2);
        assert!(!shown("a` @bob `b").trim_matches('`').contains('`'));
    }
}
