//! Pause: a pull request on which the bot starts nothing. It has a record of its own, since a lane is forgotten when
//! nothing happens for a month, and a pause is not.

use jiff::Timestamp;
use pipeline::message::{Message, VERSION};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the bot is paused on one pull request. Its key is the lane's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Pause {
    /// Message version.
    pub(crate) v: u32,
    /// Who paused it and when; nothing while it listens.
    pub(crate) paused: Option<By>,
    /// The place in `EVENTS` of the last word on it: an older one that arrives late changes nothing.
    pub(crate) sequence: u64,
}

/// Who, when, and at which place in `EVENTS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct By {
    /// The person's name.
    pub(crate) person: String,
    /// When.
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
    /// What was asked after this place is not started.
    pub(crate) sequence: u64,
}

impl Message for Pause {
    const NAME: &'static str = "pause";
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            v: VERSION,
            paused: None,
            sequence: 0,
        }
    }
}

impl Pause {
    /// Takes the word that was given at a place in `EVENTS`: `by` pauses, nobody resumes. Returns whether it counts.
    /// Of one who repeats a pause, the first time stays.
    pub(crate) fn set(&mut self, by: Option<By>, sequence: u64) -> bool {
        if sequence < self.sequence {
            return false;
        }
        self.sequence = sequence;
        match (&self.paused, by) {
            (Some(_), Some(_)) => {}
            (_, by) => self.paused = by,
        }
        true
    }

    /// Who keeps a request of this place from starting: what was asked before the pause was given is not meant.
    pub(crate) fn holds(&self, sequence: u64) -> Option<&By> {
        self.paused.as_ref().filter(|by| sequence > by.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(person: &str, sequence: u64) -> By {
        By {
            person: person.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            sequence,
        }
    }

    #[test]
    fn the_last_word_counts_in_whatever_order_they_arrive() {
        let mut in_order = Pause::default();
        assert!(in_order.set(Some(by("alice", 10)), 10) && in_order.set(None, 20));
        let mut reversed = Pause::default();
        assert!(reversed.set(None, 20) && !reversed.set(Some(by("alice", 10)), 10));
        assert_eq!(in_order, reversed);
        assert!(
            in_order.set(Some(by("bob", 30)), 30) && in_order.set(Some(by("bob", 30)), 30),
            "twice is once"
        );
        assert_eq!(in_order.holds(31).map(|by| by.person.as_str()), Some("bob"));
        assert_eq!(in_order.holds(29), None, "asked before the pause");
        assert!(in_order.set(Some(by("alice", 40)), 40));
        assert_eq!(in_order.holds(31).map(|by| by.person.as_str()), Some("bob"));
    }

    #[test]
    fn the_schema_is_that_of_the_type() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/pause.v1.json");
        let stale = pipeline::schema::keep(path.as_ref(), &schemars::schema_for!(Pause)).unwrap();
        assert!(
            !stale,
            "{path} was rewritten: look at the difference and commit it"
        );
    }
}
