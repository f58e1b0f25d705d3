//! Makes a sequence smaller that broke a promise, as long as it still does.

use proptest::strategy::ValueTree as _;

use super::batch::{Batch, Broken, play_all};
use super::promise::{Promise, broken};
use super::steps::Sequence;

/// Sequences that are tried: each takes a world of its own.
const TRIES_MAX: usize = 24;
/// How often each is played: what depends on who is faster does not show every time.
const PLAYS: usize = 12;

/// The smallest sequence found that breaks a promise, too.
pub(super) async fn than(first: Broken, unruly: bool) -> Broken {
    let mut tree = Sequence::of_seed(first.seed);
    let mut smallest = first;
    let mut is_smaller = tree.simplify();
    for _ in 0..TRIES_MAX {
        if !is_smaller {
            break;
        }
        let sequences = vec![(smallest.seed, tree.current()); PLAYS];
        let played = play_all(Batch { sequences, unruly }).await;
        let found = played.into_iter().find_map(|(seed, sequence, history)| {
            let wrong = broken(&history, Promise::Kept);
            (!wrong.is_empty()).then_some(Broken {
                seed,
                sequence,
                wrong,
                history,
            })
        });
        is_smaller = match found {
            Some(found) => {
                smallest = found;
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    smallest
}
