//! Which connections' databases refuse characters beyond U+FFFF (bitbucket-dc.md 3.6). Learned from a refusal.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pipeline::ids::ConnectionId;

/// Connections whose Bitbucket refused a text with such characters; others get them.
#[derive(Default)]
pub(crate) struct ThreeByte {
    connections: Mutex<HashSet<ConnectionId>>,
}

impl ThreeByte {
    /// Whether such characters may be written.
    pub(crate) fn allows(&self, id: &ConnectionId) -> bool {
        !self.connections().contains(id)
    }

    /// Bitbucket refused this text. Whether that may have been for characters that are avoided from now on.
    pub(crate) fn learn(&self, id: &ConnectionId, refused: &str) -> bool {
        let learned = refused.chars().any(|c| c > '\u{ffff}') && self.connections().insert(id.clone());
        if learned {
            tracing::info!(connection.id = %id, "characters beyond U+FFFF are avoided: a text with them was refused");
        }
        learned
    }

    fn connections(&self) -> MutexGuard<'_, HashSet<ConnectionId>> {
        // Nothing panics while it is held; a poisoned set is still whole.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_of_such_a_character_is_enough_and_others_teach_nothing() {
        let (id, three_byte) = (ConnectionId::new("main").unwrap(), ThreeByte::default());
        assert!(!three_byte.learn(&id, "plain – text"));
        assert!(three_byte.allows(&id));
        assert!(three_byte.learn(&id, "🎉"));
        assert!(!three_byte.allows(&id));
        assert!(
            !three_byte.learn(&id, "🎉"),
            "a second refusal has another reason"
        );
    }
}
