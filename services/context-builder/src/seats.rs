//! Seats: how much of this process may wait for one connection's Bitbucket. One that hangs takes its own seats; the
//! hands that are left serve the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::failure::Failure;
use pipeline::ids::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::builder::not_yet;
use crate::limits::{CONCURRENCY, SEAT_PATIENCE, SEAT_RETRY, SEATS};

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
    /// Takes a seat, in the order of asking, or says when to come again: whoever waited on would hold a hand that
    /// others need, and whoever came back at once would have lost the place before what was asked for later.
    pub(crate) async fn take(&self, connection: &ConnectionId) -> Result<Seat, Failure> {
        let seats = {
            // Nothing panics while it is held; a poisoned map is still whole.
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(SEATS));
            all.entry(connection.clone()).or_insert_with(new).clone()
        };
        match tokio::time::timeout(SEAT_PATIENCE, seats.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Seat { _permit: permit }),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(not_yet(
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

    /// The clock goes on by itself when there is nothing to do but wait.
    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_bitbucket_hangs_leaves_the_others_theirs() {
        let seats = Seats::default();
        let (hangs, answers) = (
            ConnectionId::new("hangs").unwrap(),
            ConnectionId::new("answers").unwrap(),
        );
        let mut taken = Vec::new();
        for _ in 0..SEATS {
            taken.push(seats.take(&hangs).await.ok().unwrap());
        }
        assert!(
            matches!(
                seats.take(&hangs).await,
                Err(Failure::Retry {
                    after: Some(SEAT_RETRY),
                    counts: Counts::NotAsAttempt,
                    ..
                })
            ),
            "whoever comes too much waits, and that is no attempt"
        );
        assert!(seats.take(&answers).await.is_ok());
        let mut waiting = std::pin::pin!(seats.take(&hangs));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("no seat is free"),
            () = std::future::ready(()) => {}
        }
        drop(taken.pop());
        assert!(waiting.await.is_ok(), "a seat that is free soon is waited for");
    }
}
