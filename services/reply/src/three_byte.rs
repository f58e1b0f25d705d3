//! Which instances' databases keep characters beyond U+FFFF (bitbucket-dc.md 3.6). Learned from our own replies: from one
//! that was refused, or from reading the first one that has such characters back. Never by a comment of its own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pipeline::ids::InstanceId;

/// What is known of the instances; an unknown one gets such characters, once.
#[derive(Default)]
pub(crate) struct ThreeByte {
    /// Whether they are kept.
    kept: Mutex<HashMap<InstanceId, bool>>,
}

impl ThreeByte {
    /// Whether such characters may be written.
    pub(crate) fn allows(&self, instance: &InstanceId) -> bool {
        self.instances().get(instance) != Some(&false)
    }

    /// Bitbucket refused this text. Whether that may have been for characters that are avoided from now on.
    pub(crate) fn learn(&self, instance: &InstanceId, refused: &str) -> bool {
        // Where they were read back the refusal has another reason.
        let learned = has_any(refused) && !self.instances().contains_key(instance);
        if learned {
            self.note(instance, false);
        }
        learned
    }

    /// Whether a text that was just written has to be read back, because it is the first to tell.
    pub(crate) fn is_worth_reading_back(&self, instance: &InstanceId, written: &str) -> bool {
        has_any(written) && !self.instances().contains_key(instance)
    }

    /// What was written, and what Bitbucket has of it. Whether everything was kept.
    pub(crate) fn compare(&self, instance: &InstanceId, written: &str, stored: &str) -> bool {
        let beyond = |text: &str| text.chars().filter(|c| *c > '\u{ffff}').collect::<String>();
        let kept = beyond(written) == beyond(stored);
        self.note(instance, kept);
        kept
    }

    fn note(&self, instance: &InstanceId, kept: bool) {
        if !kept {
            tracing::info!(%instance, "characters beyond U+FFFF are avoided: the instance does not keep them");
        }
        self.instances().insert(instance.clone(), kept);
    }

    fn instances(&self) -> MutexGuard<'_, HashMap<InstanceId, bool>> {
        // Nothing panics while it is held; a poisoned map is still whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_any(text: &str) -> bool {
    text.chars().any(|c| c > '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> InstanceId {
        InstanceId::of_base_url("https://bitbucket.example.com")
    }

    #[test]
    fn one_refusal_of_such_a_character_is_enough_and_others_teach_nothing() {
        let (id, three_byte) = (instance(), ThreeByte::default());
        assert!(!three_byte.learn(&id, "plain – text"));
        assert!(three_byte.allows(&id));
        assert!(three_byte.learn(&id, "🎉"));
        assert!(!three_byte.allows(&id));
        assert!(
            !three_byte.learn(&id, "🎉"),
            "a second refusal has another reason"
        );
    }

    #[test]
    fn what_came_back_is_looked_at_once() {
        let (id, three_byte) = (instance(), ThreeByte::default());
        assert!(!three_byte.is_worth_reading_back(&id, "plain"));
        assert!(three_byte.is_worth_reading_back(&id, "a 🎉"));
        assert!(three_byte.compare(&id, "a\n🎉", "a\r\n🎉"));
        assert!(!three_byte.is_worth_reading_back(&id, "a 🎉") && three_byte.allows(&id));
        assert!(!three_byte.learn(&id, "🎉"), "it was seen to be kept");
        for lost in ["a ????", "a ", "a \u{fffd}"] {
            let three_byte = ThreeByte::default();
            assert!(!three_byte.compare(&id, "a 🎉", lost));
            assert!(!three_byte.allows(&id));
        }
    }
}
