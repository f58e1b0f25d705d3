//! When a write that may have been done is tried again.

use bitbucket::Error;
use pipeline::failure::Failure;

use crate::next::INTENT_STALE;

/// The failure of a write. Where nobody knows whether it was done, the next try waits: what is under way must have
/// arrived before anyone looks for it.
pub(crate) fn failure_of(error: Error) -> Failure {
    let is_ambiguous = matches!(error, Error::Ambiguous { .. });
    match Failure::from(error) {
        Failure::Retry {
            after,
            counts,
            code,
            cause,
        } if is_ambiguous => Failure::Retry {
            after: after.max(Some(INTENT_STALE)),
            counts,
            code,
            cause,
        },
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(error: Error) -> bool {
        matches!(failure_of(error), Failure::Retry { after, .. } if after >= Some(INTENT_STALE))
    }

    #[test]
    fn what_may_be_under_way_is_waited_for() {
        let lost = || Box::new(Error::Server { status: 500 });
        assert!(waits(Error::Ambiguous { cause: lost() }));
        assert!(!waits(*lost()));
    }
}
