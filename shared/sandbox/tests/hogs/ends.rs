//! Hogs that print without an end, or do not die by what others die of.

use std::time::{Duration, Instant};

use sandbox::{CellLimits, How};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::{
    CONFINED, Delay, KILLED_WITHIN, LIMITS, Run, WAITS, WALL, is_in_time, over_and_end, sandbox,
    the_next_run_works,
};

#[tokio::test]
async fn endless_output_meets_its_limit_though_nobody_reads_it() {
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, LIMITS, "endless_output", 0).await;
        let end = running
            .ended(&CancellationToken::new())
            .await
            .expect("the kill is confirmed");
        assert_eq!(
            (end.how, run.survivors()),
            (How::OutputLimit, Vec::new()),
            "{level}"
        );
        is_in_time(&end, delay, &format!("endless output at {level}"));
        the_next_run_works(&sandbox).await;
    }
}

#[tokio::test]
async fn a_program_deaf_to_signals_is_killed_at_its_time() {
    let limits = CellLimits {
        wall: Duration::from_secs(1),
        ..LIMITS
    };
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, limits, "busy", 0).await;
        let end = over_and_end(&mut running, &CancellationToken::new()).await;
        assert_eq!(
            (end.how, run.survivors()),
            (How::TimeLimit, Vec::new()),
            "{level}"
        );
        is_in_time(&end, delay, &format!("a busy one at {level}"));
        the_next_run_works(&sandbox).await;
    }
}

#[tokio::test]
async fn processes_that_are_always_already_gone_are_killed() {
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, LIMITS, "chained_forkers", 0).await;
        let mut stdout = running.stdout.take().expect("it is piped");
        let mut said = [0; 4];
        timeout(WALL, stdout.read_exact(&mut said))
            .await
            .expect("the chains get going")
            .expect("they say so");
        // The control: the search finds them while they run.
        assert!(!run.survivors().is_empty(), "{level}");
        let cancel = CancellationToken::new();
        cancel.cancel();
        let cancelled = Instant::now();
        let end = running.ended(&cancel).await.expect("the kill is confirmed");
        let (killed_after, delay) = (cancelled.elapsed(), delay.longest());
        assert_eq!(
            (end.how, run.survivors()),
            (How::Cancelled, Vec::new()),
            "{level}"
        );
        assert!(
            killed_after < KILLED_WITHIN + delay * WAITS,
            "{level}: {killed_after:?}, processors were waited for {delay:?}"
        );
        the_next_run_works(&sandbox).await;
    }
}
