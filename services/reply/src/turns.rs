//! One at a time per run, in this process. Beside the one that works on a run at most one delivery waits: a newer one
//! takes its place, because whoever gets the turn reads the latest record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pipeline::ids::RunId;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::next::Shown;

/// Runs remembered; beyond it those nobody works on are forgotten, which costs one early edit each.
const RUNS_MAX: usize = 10_000;

/// Who works on which run, and what was last written for it.
#[derive(Default)]
pub(crate) struct Turns {
    runs: Mutex<HashMap<RunId, Entry>>,
}

#[derive(Default)]
struct Entry {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The stream sequence of the delivery that waits, and how it is sent away.
    waiting: Option<(u64, CancellationToken)>,
    /// Told that a delivery waits.
    news: Arc<Notify>,
    shown: Option<Shown>,
    /// Bitbucket, or an answer that may still be under way, asked for a pause until then.
    not_before: Option<Timestamp>,
    /// Whether a later edit is planned.
    planned: bool,
    /// Whether 👀 was tried.
    opened: bool,
}

/// The right to work on one run, until dropped.
pub(crate) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the run's turn. `None` when a newer delivery of the run has come and does the work.
    pub(crate) async fn take(&self, run: &RunId, sequence: u64) -> Option<Turn> {
        let (turn, sent_away) = {
            let mut runs = self.runs();
            make_room(&mut runs);
            let entry = runs.entry(run.clone()).or_default();
            let sent_away = CancellationToken::new();
            match &entry.waiting {
                Some((newer, _)) if *newer > sequence => return None,
                Some((_, older)) => older.cancel(),
                None => {}
            }
            entry.waiting = Some((sequence, sent_away.clone()));
            entry.news.notify_one();
            (entry.turn.clone(), sent_away)
        };
        let held = tokio::select! {
            biased;
            () = sent_away.cancelled() => return None,
            held = turn.lock_owned() => held,
        };
        if let Some(entry) = self.runs().get_mut(run) {
            entry.waiting.take_if(|(waiting, _)| *waiting == sequence);
        }
        Some(Turn { _held: held })
    }

    /// Waits for the run's turn on behalf of a planned edit, which no delivery stands for.
    pub(crate) async fn take_planned(&self, run: &RunId) -> Turn {
        let turn = {
            let mut runs = self.runs();
            let entry = runs.entry(run.clone()).or_default();
            entry.planned = false;
            entry.turn.clone()
        };
        Turn {
            _held: turn.lock_owned().await,
        }
    }

    /// Until another delivery of the run waits. May end early, so the caller looks again; not to be awaited without an
    /// end of its own.
    pub(crate) async fn news(&self, run: &RunId) {
        let news = self.runs().entry(run.clone()).or_default().news.clone();
        news.notified().await;
    }

    /// Whether this process tried to set 👀.
    pub(crate) fn has_opened(&self, run: &RunId) -> bool {
        self.runs().get(run).is_some_and(|entry| entry.opened)
    }

    /// Notes that 👀 was tried.
    pub(crate) fn opened(&self, run: &RunId) {
        self.runs().entry(run.clone()).or_default().opened = true;
    }

    /// What this process last wrote for the run.
    pub(crate) fn shown(&self, run: &RunId) -> Option<Shown> {
        self.runs().get(run).and_then(|entry| entry.shown)
    }

    /// Notes what was written.
    pub(crate) fn show(&self, run: &RunId, shown: Shown) {
        self.runs().entry(run.clone()).or_default().shown = Some(shown);
    }

    /// Notes a pause that everybody has to keep. The message's own nak does not do: a record that was changed meanwhile
    /// has a new message, which is delivered at once.
    pub(crate) fn pause(&self, run: &RunId, until: Timestamp) {
        self.runs().entry(run.clone()).or_default().not_before = Some(until);
    }

    /// What is left of a pause.
    pub(crate) fn paused(&self, run: &RunId, now: Timestamp) -> Option<Duration> {
        let until = self.runs().get(run)?.not_before?;
        Duration::try_from(until.duration_since(now))
            .ok()
            .filter(|left| !left.is_zero())
    }

    /// Whether the caller should plan a later edit: not if one is planned.
    pub(crate) fn plan(&self, run: &RunId) -> bool {
        let mut runs = self.runs();
        let entry = runs.entry(run.clone()).or_default();
        !std::mem::replace(&mut entry.planned, true)
    }

    /// The run has ended and everything is said. Called by the holder of the turn.
    pub(crate) fn forget(&self, run: &RunId) {
        let mut runs = self.runs();
        // Two: the map's and the turn's own. A waiter holds a third and finds the entry as it was.
        if runs
            .get(run)
            .is_some_and(|entry| Arc::strong_count(&entry.turn) <= 2 && entry.waiting.is_none())
        {
            runs.remove(run);
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Entry>> {
        // Nothing panics while it is held; a poisoned map is still whole.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before a run is added: forgets those that nobody works on. A pause that goes on is one's work, too.
fn make_room(runs: &mut HashMap<RunId, Entry>) {
    if runs.len() >= RUNS_MAX {
        let now = Timestamp::now();
        runs.retain(|_, entry| {
            Arc::strong_count(&entry.turn) > 1
                || entry.planned
                || entry.not_before.is_some_and(|until| until > now)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Polling by hand shows what waits without waiting for it.
    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn run() -> RunId {
        RunId::new("r-0123456789ab").unwrap()
    }

    #[tokio::test]
    async fn a_newer_delivery_takes_the_place_of_the_one_that_waits() {
        let (run, turns) = (run(), Turns::default());
        let first = turns.take(&run, 1).await.unwrap();
        let mut second = pin!(turns.take(&run, 2));
        assert!(poll_once(second.as_mut()).is_pending());
        let mut third = pin!(turns.take(&run, 3));
        assert!(poll_once(third.as_mut()).is_pending());
        assert!(second.await.is_none(), "the second should have been sent away");
        assert!(turns.take(&run, 2).await.is_none(), "an older one comes too late");
        drop(first);
        assert!(third.await.is_some());
        assert!(turns.take(&run, 4).await.is_some());
    }

    #[tokio::test]
    async fn runs_that_nobody_works_on_are_forgotten_beyond_the_limit() {
        let turns = Turns::default();
        let held = turns.take(&run(), 1).await.unwrap();
        let paused = RunId::new("r-00000000ffff").unwrap();
        turns.pause(&paused, Timestamp::now() + Duration::from_secs(3600));
        for number in 0..RUNS_MAX {
            let run = RunId::new(format!("r-{number:012x}")).unwrap();
            assert!(turns.take(&run, 2).await.is_some());
        }
        assert!(turns.runs().len() <= RUNS_MAX);
        assert!(turns.runs().contains_key(&run()) && turns.runs().contains_key(&paused));
        drop(held);
    }

    #[tokio::test]
    async fn runs_do_not_wait_for_each_other() {
        let (run, turns) = (run(), Turns::default());
        let _one = turns.take(&run, 1).await.unwrap();
        assert!(
            turns
                .take(&RunId::new("r-ba9876543210").unwrap(), 2)
                .await
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_run_is_forgotten_only_when_nobody_waits_for_it() {
        let (run, turns) = (run(), Turns::default());
        let turn = turns.take(&run, 1).await.unwrap();
        let mut waiter = pin!(turns.take(&run, 2));
        assert!(poll_once(waiter.as_mut()).is_pending());
        turns.forget(&run);
        assert_eq!(turns.runs().len(), 1);
        drop(turn);
        let turn = waiter.await.unwrap();
        turns.forget(&run);
        assert_eq!(turns.runs().len(), 0);
        drop(turn);
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let (run, turns) = (run(), Turns::default());
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(turns.paused(&run, at(0)), None);
        turns.pause(&run, at(10));
        assert_eq!(turns.paused(&run, at(4)), Some(Duration::from_secs(6)));
        assert_eq!(turns.paused(&run, at(10)), None);
    }

    #[test]
    fn one_later_edit_is_planned_at_a_time() {
        let (run, turns) = (run(), Turns::default());
        assert!(turns.plan(&run));
        assert!(!turns.plan(&run));
    }
}
