//! Hundreds of drawn sequences of what people do on a pull request, through the real roles while they are killed, each
//! held against a small model of what is promised. A sequence is all in its seed: `PROMISES_SEED=17` plays that one
//! many times over, `PROMISES_SEED=300..900` each of those once. One that breaks a promise is made smaller before it is
//! shown.

mod batch;
mod branch;
mod earlier;
mod ends;
mod history;
mod pauses;
mod play;
mod promise;
mod smaller;
mod spoilt;
mod steps;
mod told;

use std::ops::Range;

use self::batch::{Batch, Broken, play_all};
use self::history::History;
use self::promise::{Promise, broken};
use self::steps::Sequence;
use proptest::strategy::ValueTree as _;

/// Sequences that share a world. Each has a pull request of its own, and all of them the roles that die.
const BATCH: u64 = 50;
/// How often a seed is played that was asked for: what goes wrong once in a while shows.
const REPLAYS: usize = 24;
/// Sequences of a soak.
const SOAK: u64 = 10_000;

/// Plays the sequences of these seeds, and fails with the smallest that breaks a promise. Returns what happened.
async fn hold(seeds: Range<u64>, unruly: bool) -> Vec<History> {
    let seeds: Vec<u64> = asked_for().unwrap_or_else(|| seeds.collect());
    let mut histories = Vec::new();
    for chunk in seeds.chunks(usize::try_from(BATCH).expect("it is small")) {
        let sequences = chunk
            .iter()
            .map(|seed| (*seed, Sequence::of_seed(*seed).current()))
            .collect();
        let played = play_all(Batch { sequences, unruly }).await;
        let mut found: Vec<Broken> = Vec::new();
        for (seed, sequence, history) in played {
            let wrong = broken(&history, Promise::Kept);
            if !wrong.is_empty() {
                found.push(Broken {
                    seed,
                    sequence,
                    wrong,
                    history: history.clone(),
                });
            }
            histories.push(history);
        }
        if let Some(first) = found.into_iter().min_by_key(|broken| broken.sequence.steps.len()) {
            let smallest = smaller::than(first, unruly).await;
            panic!("{smallest}");
        }
    }
    histories
}

/// The seeds that somebody wants to see: one many times over, or each of `300..900` once.
#[expect(
    clippy::disallowed_methods,
    reason = "what a test is asked to play is not the product's configuration"
)]
fn asked_for() -> Option<Vec<u64>> {
    let asked = std::env::var("PROMISES_SEED").ok()?;
    let number = |seed: &str| {
        seed.parse()
            .expect("PROMISES_SEED is a number, or two as in 300..900")
    };
    Some(match asked.split_once("..") {
        Some((from, to)) => (number(from)..number(to)).collect(),
        None => vec![number(&asked); REPLAYS],
    })
}

/// A model that promises something else is found out by what happened.
fn finds_out(histories: &[History], promise: Promise) {
    let found = histories
        .iter()
        .filter(|history| !broken(history, promise).is_empty())
        .count();
    assert!(
        found > 0,
        "{promise:?} was not found out in {} sequences",
        histories.len()
    );
    eprintln!(
        "{promise:?}: contradicted by {found} of {} sequences",
        histories.len()
    );
}

#[tokio::test]
async fn whatever_people_do_and_whoever_dies_every_promise_is_kept() {
    let histories = hold(0..150, false).await;
    if asked_for().is_some() {
        // What was asked for need not have everything in it that a control needs.
        return;
    }
    for promise in Promise::WRONG {
        finds_out(&histories, promise);
    }
    spoilt::every_spoilt_history_is_found_out(&histories);
}

#[tokio::test]
async fn in_whatever_order_deliveries_come_and_however_often_every_promise_is_kept() {
    hold(150..300, true).await;
}

#[tokio::test]
#[ignore = "takes more than an hour: ./dev soak"]
async fn ten_thousand_more_sequences_keep_every_promise() {
    let half = SOAK / 2;
    hold(300..300 + half, false).await;
    hold(300 + half..300 + SOAK, true).await;
}
