//! Who asked for what, and what they knew then: the acts of a history, in the order in which they may have been heard.
//!
//! Deliveries may overtake one another, so what people did in quick succession may have been heard in another order.
//! What somebody has read the reply of was heard before whatever they did then.

use std::collections::BTreeMap;

use pipeline::ids::{CommentId, RunId};
use pipeline::run::Run;

use super::history::{Act, History};
use super::steps::Ask;

/// A comment through its versions.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) comment: u64,
    pub(super) by_alice: bool,
    pub(super) versions: Vec<Version>,
    pub(super) is_deleted: bool,
}

/// What a version of a comment asks for.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) number: u32,
    /// Its place among the acts.
    pub(super) at: usize,
    pub(super) ask: Ask,
    /// The run that it starts, if it does.
    pub(super) run: RunId,
}

impl Told {
    /// The version that a run was asked for by.
    pub(super) fn first_of(&self, run: &Run) -> Option<&Version> {
        let asks = self.versions.iter().find(|version| version.run == run.id);
        asks.filter(|version| version.ask != Ask::Nothing)
    }

    /// The version that says what a run is for, which may be a later one.
    pub(super) fn last_of(&self, run: &Run) -> Option<&Version> {
        let mut versions = self.versions.iter();
        versions.find(|version| version.number == run.comment_version)
    }

    /// What it asks for in the end: the versions that say so, the earliest first.
    pub(super) fn in_the_end(&self) -> &[Version] {
        let last = self.versions.last().map(|version| version.ask);
        let others = |version: &Version| Some(version.ask) != last;
        let from = self.versions.iter().rposition(others).map_or(0, |at| at + 1);
        &self.versions[from..]
    }
}

/// Every comment of people's, in the order in which they were written.
pub(super) fn told(history: &History) -> Vec<Told> {
    let Some(instance) = history.runs.first().map(|run| &run.instance) else {
        return Vec::new();
    };
    let version = |comment, number, at, ask| Version {
        number,
        at,
        ask,
        run: RunId::derive(instance, CommentId(comment), number),
    };
    let mut all: BTreeMap<u64, Told> = BTreeMap::new();
    for (at, act) in history.acts.iter().enumerate() {
        match *act {
            Act::Wrote {
                comment,
                by_alice,
                ask,
            } => {
                let told = Told {
                    comment,
                    by_alice,
                    versions: vec![version(comment, 0, at, ask)],
                    is_deleted: false,
                };
                all.insert(comment, told);
            }
            Act::Edited {
                comment,
                version: number,
                ask,
            } => {
                let told = all.get_mut(&comment).expect("it was written");
                told.versions.push(version(comment, number, at, ask));
            }
            Act::Deleted { comment } => all.get_mut(&comment).expect("it was written").is_deleted = true,
            _ => {}
        }
    }
    all.into_values().collect()
}

/// Whether one act was certainly heard before another: alice read a reply to it in between.
pub(super) fn is_heard_before(history: &History, one: &Version, other: usize) -> bool {
    let has_reply = |act: &Act| matches!(act, Act::Saw { shown, .. } if shown.contains(&one.run.to_string()));
    one.at < other && history.acts[one.at..other].iter().any(has_reply)
}

/// The runs that alice had read the end of before an act.
pub(super) fn ended_before(history: &History, at: usize) -> Vec<&Run> {
    let seen = history.acts[..at].iter().filter_map(|act| match act {
        Act::Saw { ended, .. } => Some(ended.keys()),
        _ => None,
    });
    seen.flatten().filter_map(|run| history.run(run)).collect()
}
