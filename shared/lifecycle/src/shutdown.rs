//! Soft and hard shutdown.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Work in flight has this long after the first signal; container platforms kill at about the same time.
pub(crate) const SOFT_MAX: Duration = Duration::from_mins(1);

/// The two ways a process is told to stop. Hard implies soft.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Take no new work; finish what was begun.
    pub soft: CancellationToken,
    /// Stop now; what was begun is redelivered elsewhere.
    pub hard: CancellationToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Tokens nobody has cancelled.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        // A child is cancelled with its parent, not the other way round.
        Self {
            soft: hard.child_token(),
            hard,
        }
    }

    /// Tokens that signals cancel: the first SIGTERM or SIGINT softly, the second, or 60 s later, hard.
    /// Call inside a runtime.
    pub fn on_signals() -> Self {
        let shutdown = Self::new();
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => {
                tokio::spawn(follow(shutdown.clone(), terminate, interrupt));
            }
            (Err(error), _) | (_, Err(error)) => {
                // The default action of the signals stays in force: the process ends at once, and work is redelivered.
                tracing::error!(error = %error, "signals cannot be received; shutdown will not be graceful");
            }
        }
        shutdown
    }

    /// Whether no new work should be taken.
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }
}

async fn follow(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        () = received(&mut terminate, &mut interrupt) => {}
        () = shutdown.soft.cancelled() => {}
    }
    tracing::info!(
        seconds = SOFT_MAX.as_secs(),
        "finishing what was begun; a second signal stops at once"
    );
    shutdown.soft.cancel();
    tokio::select! {
        () = received(&mut terminate, &mut interrupt) => tracing::warn!("second signal, stopping now"),
        () = tokio::time::sleep(SOFT_MAX) => tracing::warn!("work in flight took too long, stopping now"),
        () = shutdown.hard.cancelled() => {}
    }
    shutdown.hard.cancel();
}

async fn received(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_implies_soft_and_not_the_other_way_round() {
        let shutdown = Shutdown::new();
        shutdown.soft.cancel();
        assert!(!shutdown.hard.is_cancelled());
        let shutdown = Shutdown::new();
        shutdown.hard.cancel();
        assert!(shutdown.is_soft());
    }
}
