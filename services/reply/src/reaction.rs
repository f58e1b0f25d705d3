//! The reaction on the comment that asked: 👀 while it is worked on, ✅ or ❌ afterwards. A courtesy: where Bitbucket
//! has no reactions, or the comment is gone, nothing is missed.

use std::time::Duration;

use bitbucket::{Client, Error};
use pipeline::run::{Run, RunState};

const EYES: &str = "eyes";
/// The status reply must not wait for a courtesy.
const EYES_TIMEOUT: Duration = Duration::from_secs(2);

/// Sets 👀. Says whether it may be there now.
pub(crate) async fn open(client: &Client, run: &Run) -> bool {
    let set = client.add_reaction(&run.repository, run.pull_request, run.comment, EYES);
    match tokio::time::timeout(EYES_TIMEOUT, set).await {
        Ok(Ok(()) | Err(Error::Ambiguous { .. })) | Err(_) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no reaction on the comment that asked");
            false
        }
    }
}

/// Puts the closing reaction in place of 👀. An error only where Bitbucket is away and may take it later.
pub(crate) async fn close(client: &Client, run: &Run) -> Result<(), Error> {
    if run.reply.eyes {
        courtesy(
            client
                .remove_reaction(&run.repository, run.pull_request, run.comment, EYES)
                .await,
        )?;
    }
    if let Some(emoticon) = closing(run.state) {
        courtesy(
            client
                .add_reaction(&run.repository, run.pull_request, run.comment, emoticon)
                .await,
        )?;
    }
    Ok(())
}

/// Endings that a person chose, and questions, are neither a success nor a failure.
fn closing(state: RunState) -> Option<&'static str> {
    match state {
        RunState::Done | RunState::NoChange | RunState::Answered => Some("white_check_mark"),
        RunState::Refused | RunState::Failed | RunState::Expired => Some("x"),
        RunState::NeedsInput
        | RunState::Cancelled
        | RunState::Superseded
        | RunState::Queued
        | RunState::Running => None,
    }
}

fn courtesy(result: Result<(), Error>) -> Result<(), Error> {
    let Err(error) = result else { return Ok(()) };
    if is_away(&error) {
        return Err(error);
    }
    tracing::debug!(%error, "the reaction stays as it is");
    Ok(())
}

fn is_away(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. }
        | Error::Disconnected { .. }
        | Error::Timeout
        | Error::Tls { .. }
        | Error::Unauthorized { .. }
        | Error::RateLimited { .. }
        | Error::Server { status: 502..=504 } => true,
        Error::Ambiguous { cause } => is_away(cause),
        _ => false,
    }
}
