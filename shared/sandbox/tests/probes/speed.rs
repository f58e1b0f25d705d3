//! How long a run waits for the test before it.

use std::time::Duration;

use sandbox::{Mode, Namespaces, Needs};

use crate::sandbox;

/// What the test may add to the start of a run, at the median.
const ADDED_MAX: Duration = Duration::from_millis(300);

#[tokio::test]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn the_test_before_a_run_is_fast() {
    const TIMES: usize = 21;
    for namespaces in [Namespaces::Never, Namespaces::Always] {
        let sandbox = sandbox(Mode::Enforce, namespaces).await;
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let test = sandbox
                .self_test(Needs::default(), Vec::new())
                .await
                .expect("nothing leaks");
            times.push(test.wall);
        }
        times.sort();
        let median = times[TIMES / 2];
        println!("{}: {median:?}, worst {:?}", sandbox.level(), times[TIMES - 1]);
        assert!(median < ADDED_MAX, "{}", sandbox.level());
    }
}
