//! How long a cell takes over a plain process.

use std::time::{Duration, Instant};

use crate::world::{LEVELS, World, program, run, sandbox};

/// What a cell may add to a start, at the median.
const ADDED_MAX: Duration = Duration::from_millis(30);

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn a_cell_starts_fast() {
    const TIMES: usize = 51;
    let mut plain = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "what a cell is compared with")]
        let status = tokio::process::Command::new("/bin/true").status().await.unwrap();
        assert!(status.success());
        plain.push(started.elapsed());
    }
    let plain = median(plain);
    for level in LEVELS {
        sandbox(level).await;
        let world = World::new();
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let started = Instant::now();
            run(level, world.spec(), program("/bin/true", &[])).await;
            times.push(started.elapsed());
        }
        let median = median(times);
        println!("{level}: {median:?}, plain {plain:?}");
        assert!(median < plain + ADDED_MAX, "{level}");
    }
}
