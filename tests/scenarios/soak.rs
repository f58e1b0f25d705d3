//! Long sequences of mentions and pulled plugs, drawn from seeds. Run by `./dev soak`.

use tests::setup::Setup;
use tests::world::{ROLES, World, scenario_in};

/// Sequences of one soak.
const SEEDS: u64 = 40;
/// Steps of one sequence: enough for several roles to die during one run.
const STEPS: usize = 12;
const PULL_REQUESTS: usize = 3;

#[tokio::test]
#[ignore = "takes five minutes: ./dev soak"]
async fn whatever_dies_in_whatever_order_every_mention_ends_in_one_commit_and_one_reply() {
    for seed in 0..SEEDS {
        let setup = Setup {
            separate_roles: true,
            pull_requests: PULL_REQUESTS,
            unruly: seed % 2 == 1,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let mut draws = Draws(seed);
            let mut mentions = Vec::new();
            for _ in 0..STEPS {
                if draws.below(2) == 0 {
                    let pull_request = 1 + draws.below(PULL_REQUESTS);
                    let text = format!("@openhands step {} of seed {seed}", mentions.len());
                    let comment = world.alice().comments(pull_request as u64, &text).await.unwrap();
                    mentions.push((pull_request, comment));
                } else {
                    pull_a_plug(world, &mut draws).await;
                }
            }
            for (pull_request, comment) in mentions {
                let reply = world.pull_request(pull_request).final_reply_to(comment).await;
                assert!(reply.text.starts_with("**Done"), "seed {seed}: {}", reply.text);
            }
        })
        .await;
    }
}

/// Kills a role, or the queue under all of them, and starts it again.
async fn pull_a_plug(world: &mut World, draws: &mut Draws) {
    // Ingest is spared: what Bitbucket cannot deliver is the reconciler's to find.
    match draws.below(ROLES.len()) {
        0 => {
            let nats = world.nats.as_mut().unwrap();
            nats.kill().await.unwrap();
            nats.restart().await.unwrap();
            world.ready().await.unwrap();
        }
        role => {
            world.kill(ROLES[role]).await.unwrap();
            world.start_role(ROLES[role]).await.unwrap();
        }
    }
}

/// A small generator, so that a seed is all there is to know of a sequence.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        // Knuth's multiplier and increment for 64 bits; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }
}
