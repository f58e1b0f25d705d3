//! What went wrong, as agents do not say it: several exit with 0 and "Done" after nothing but errors.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Error;

/// After so many failures without an answer between them nothing more is to be expected: each was repeated already
/// where that could help. Enough for an agent that compacts its conversation in steps.
const FAILURES_IN_A_ROW_MAX: u32 = 6;

/// After so many refused requests none is read any more: reading a long one takes time, and agents that mean well are
/// refused a few times.
const REFUSED_MAX: u32 = 1_000;

/// Counts of what went wrong.
pub(crate) struct Faults {
    counts: Mutex<Counts>,
    in_a_row: watch::Sender<u32>,
}

/// What [`Faults`] has counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) estimated: u32,
    pub(crate) errors: u32,
    pub(crate) last_error: Option<Error>,
    pub(crate) refused: u32,
    pub(crate) removed: u32,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self {
            counts: Mutex::default(),
            in_a_row: watch::Sender::new(0),
        }
    }

    /// A request was answered by the model.
    pub(crate) fn answered(&self) {
        self.lock().last_error = None;
        self.in_a_row.send_replace(0);
    }

    /// What a request has used was estimated.
    pub(crate) fn estimated(&self) {
        let mut counts = self.lock();
        counts.estimated = counts.estimated.saturating_add(1);
    }

    /// The endpoint has failed a request for good.
    pub(crate) fn failed(&self, error: Error) {
        let mut counts = self.lock();
        counts.errors = counts.errors.saturating_add(1);
        counts.last_error = Some(error);
        self.in_a_row
            .send_modify(|count| *count = count.saturating_add(1));
    }

    /// A request was refused here.
    pub(crate) fn refused(&self) {
        let mut counts = self.lock();
        counts.refused = counts.refused.saturating_add(1);
    }

    /// Whether so many were refused that no more should be read.
    pub(crate) fn too_many_refused(&self) -> bool {
        self.lock().refused >= REFUSED_MAX
    }

    /// Something was taken out of a request.
    pub(crate) fn removed(&self, pieces: usize) {
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let mut counts = self.lock();
        counts.removed = counts.removed.saturating_add(pieces);
    }

    /// Pends until too many requests have failed in a row.
    pub(crate) async fn hopeless(&self) {
        let mut in_a_row = self.in_a_row.subscribe();
        if in_a_row
            .wait_for(|count| *count >= FAILURES_IN_A_ROW_MAX)
            .await
            .is_err()
        {
            // The sender lives in self.
            std::future::pending::<()>().await;
        }
    }

    /// Takes what was counted.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.lock())
    }

    /// A panic elsewhere cannot leave a half-made entry, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
