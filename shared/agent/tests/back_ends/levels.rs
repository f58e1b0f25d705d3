//! The same at every level of the sandbox: runs end, and nothing of them is left.

use std::time::Duration;

use agent::Ended;
use sandbox::Level;

use crate::world::World;

const LEVELS: [Level; 3] = [Level::Off, Level::One, Level::Two];

#[tokio::test]
async fn agents_work_at_every_level() {
    for level in LEVELS {
        let world = World::at_level(level).await;
        let report = world.acp("well-behaved").await.unwrap();
        assert_eq!(
            (report.ended, report.usage.turns),
            (Ended::Finished, 1),
            "{level}"
        );
        assert!(world.is_made(), "{level}");
        let world = World::at_level(level).await;
        let report = world.command("well-behaved", "{prompt}").await.unwrap();
        assert_eq!(
            (report.ended, report.usage.turns),
            (Ended::Finished, 1),
            "{level}"
        );
        assert!(world.is_made(), "{level}");
    }
}

#[tokio::test]
async fn nothing_outlives_its_run_at_any_level() {
    for level in LEVELS {
        let world = World::at_level(level).await;
        let report = world.acp("lingering").await.unwrap();
        assert_eq!(report.ended, Ended::Finished, "{level}");
        assert!(world.nobody_is_left(), "{level}");
        let mut world = World::at_level(level).await;
        world.limits.wall = Duration::from_secs(2);
        let report = world.command("never-ending", "{prompt}").await.unwrap();
        assert_eq!(report.ended, Ended::TimeLimit, "{level}");
        assert!(world.nobody_is_left(), "{level}");
    }
}
