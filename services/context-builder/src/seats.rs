//! Seats: how much of this process may wait for one connection's Bitbucket. One that hangs takes its own seats; the
//! hands that are left serve the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::failure::Failure;
use pipeline::ids::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::builder::not_yet;
use crate::limits::{CONCURRENCY, SEAT_RETRY, SEATS};

const _: () = assert!(
    SEATS * 2 <= CONCURRENCY,
    "a Bitbucket that hangs must leave hands to others"
);

/// The seats of every connection that was ever waited for.
#[derive(Default)]
pub(crate) struct Seats(Mutex<HashMap<ConnectionId, Arc<Semaphore>>>);

/// The right to wait for one connection's Bitbucket, until dropped.
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// Takes a seat, or says when to come again: whoever waited for one would hold a hand all the same.
    pub(crate) fn take(&self, connection: &ConnectionId) -> Result<Seat, Failure> {
        let seats = {
            // Nothing panics while it is held; a poisoned map is still whole.
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(SEATS));
            all.entry(connection.clone()).or_insert_with(new).clone()
        };
        match seats.try_acquire_owned() {
            Ok(permit) => Ok(Seat { _permit: permit }),
            Err(_) => Err(not_yet(
                SEAT_RETRY,
                "the connection's Bitbucket is busy with others",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::failure::Counts;

    use super::*;

    #[test]
    fn a_connection_whose_bitbucket_hangs_leaves_the_others_theirs() {
        let seats = Seats::default();
        let (hangs, answers) = (
            ConnectionId::new("hangs").unwrap(),
            ConnectionId::new("answers").unwrap(),
        );
        let mut taken: Vec<Seat> = (0..SEATS).map(|_| seats.take(&hangs).ok().unwrap()).collect();
        assert!(
            matches!(
                seats.take(&hangs),
                Err(Failure::Retry {
                    after: Some(SEAT_RETRY),
                    counts: Counts::NotAsAttempt,
                    ..
                })
            ),
            "whoever comes too much waits, and that is no attempt"
        );
        assert!(seats.take(&answers).is_ok());
        drop(taken.pop());
        assert!(seats.take(&hangs).is_ok());
    }
}
