//! What all requests of one proxy have in common.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::ids::RunId;
use pipeline::options::Effort;
use secrecy::SecretString;

use super::faults::{Counts, Faults};
use super::intake::Intake;
use super::key::Key;
use super::ledger::Ledger;
use super::redact::Redactor;
use super::transcript::Transcript;
use super::upstream::Upstream;
use super::{Budget, Patience, ProxyEnd};
use crate::Error;
use crate::endpoint::Endpoint;

/// Counting tokens costs nothing, but the endpoint has to do it: no more often than this per turn of the budget.
const COUNTS_PER_TURN_MAX: u32 = 4;

pub(crate) struct Shared {
    pub(crate) run: RunId,
    pub(crate) model: String,
    pub(crate) effort: Option<Effort>,
    pub(crate) key: Key,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstream: Upstream,
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) faults: Faults,
    pub(crate) intake: Intake,
    pub(crate) transcript: Mutex<Transcript>,
    /// Counts of tokens that may still be asked for.
    counts_left: AtomicU32,
}

impl Shared {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        budget: Budget,
        run: RunId,
        patience: Patience,
    ) -> Result<Self, Error> {
        endpoint.check()?;
        let key = Key::new();
        let mut secrets = endpoint.secrets();
        secrets.push(SecretString::from(key.as_str()));
        let redactor = Arc::new(Redactor::new(&secrets)?);
        Ok(Self {
            run,
            model: endpoint.model.clone(),
            effort: endpoint.effort,
            key,
            ledger: Arc::new(Ledger::new(budget, endpoint.prices)),
            upstream: Upstream::new(endpoint, patience, Arc::clone(&redactor))?,
            redactor: Arc::clone(&redactor),
            faults: Faults::new(),
            intake: Intake::new(),
            transcript: Mutex::new(Transcript::new(redactor)),
            counts_left: AtomicU32::new(budget.turns.saturating_mul(COUNTS_PER_TURN_MAX)),
        })
    }

    /// Whether tokens may be counted once more.
    pub(crate) fn may_count(&self) -> bool {
        self.counts_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }

    /// What it has seen; the log and the counts are taken.
    pub(crate) fn end(&self) -> ProxyEnd {
        let Counts {
            estimated,
            errors,
            last_error,
            refused,
            removed,
        } = self.faults.take();
        // A panic elsewhere cannot leave half a line, so a poisoned lock is still good.
        let mut transcript = self.transcript.lock().unwrap_or_else(PoisonError::into_inner);
        ProxyEnd {
            usage: self.ledger.usage(),
            estimated,
            errors,
            last_error,
            refused,
            removed,
            cut_off: *self.ledger.cut_off().borrow(),
            transcript: transcript.take(),
        }
    }
}
