//! What a run waited for that was away: people are told why it took so long.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure_code::FailureCode;

/// A wait for something that was away, which used up no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waited {
    /// What was away.
    pub code: FailureCode,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

impl Waited {
    /// Something is away at `now`. A wait for the same that lasts, or that ended only because it was tried again, goes on. One
    /// that people are told of ends where something else is away, and is not forgotten for it.
    pub fn begin(waited: &mut Option<Self>, code: FailureCode, now: Timestamp) {
        if waited.is_some_and(|waited| is_told(waited.code)) && !is_told(code) {
            Self::end(waited, now);
            return;
        }
        let since = waited
            .filter(|waited| waited.code == code)
            .map_or(now, |waited| waited.since);
        *waited = Some(Self {
            code,
            since,
            until: None,
        });
    }

    /// It is no longer waited for.
    pub fn end(waited: &mut Option<Self>, now: Timestamp) {
        if let Some(waited) = waited {
            waited.until.get_or_insert(now);
        }
    }

    /// A fact for the reply, where it is one that an administrator has to mend: what passes by itself is not told.
    pub fn told(&self) -> Option<String> {
        let waited = self.until?.duration_since(self.since);
        is_told(self.code).then(|| {
            format!(
                "It had to wait for {}: Bitbucket refused the bot's access token until an administrator saw to it",
                words(waited)
            )
        })
    }
}

/// Whether a wait for this is told: an administrator has to mend it.
fn is_told(code: FailureCode) -> bool {
    code == FailureCode::BitbucketUnauthorized
}

fn words(waited: SignedDuration) -> String {
    match waited.as_mins().max(0) {
        0 => "less than a minute".to_owned(),
        1 => "1 min".to_owned(),
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_wait_that_is_tried_in_between_is_one_and_is_told_when_it_is_over() {
        let mut waited = None;
        Waited::begin(&mut waited, FailureCode::BitbucketUnauthorized, at(0));
        assert_eq!(waited.unwrap().told(), None, "it lasts");
        Waited::end(&mut waited, at(60));
        Waited::begin(&mut waited, FailureCode::BitbucketUnauthorized, at(61));
        Waited::end(&mut waited, at(600));
        Waited::end(&mut waited, at(700));
        let told = waited.unwrap().told().unwrap();
        assert!(
            told.starts_with("It had to wait for 10 min: Bitbucket refused"),
            "{told}"
        );
    }

    #[test]
    fn what_passes_by_itself_is_not_told() {
        let mut waited = None;
        Waited::begin(&mut waited, FailureCode::BitbucketUnreachable, at(0));
        Waited::end(&mut waited, at(60));
        assert_eq!(waited.unwrap().told(), None);
        Waited::begin(&mut waited, FailureCode::BitbucketUnauthorized, at(70));
        assert_eq!(waited.unwrap().since, at(70), "it is another wait");
    }

    #[test]
    fn what_is_told_is_not_forgotten_for_what_is_not() {
        let mut waited = None;
        Waited::begin(&mut waited, FailureCode::BitbucketUnauthorized, at(0));
        Waited::end(&mut waited, at(600));
        Waited::begin(&mut waited, FailureCode::Internal, at(601));
        Waited::end(&mut waited, at(660));
        let told = waited.unwrap().told().unwrap();
        assert!(told.starts_with("It had to wait for 10 min: "), "{told}");
    }

    #[test]
    fn what_is_told_ends_where_something_else_is_away() {
        let mut waited = None;
        Waited::begin(&mut waited, FailureCode::BitbucketUnauthorized, at(0));
        Waited::begin(&mut waited, FailureCode::BitbucketUnreachable, at(60));
        Waited::end(&mut waited, at(600));
        let told = waited.unwrap().told().unwrap();
        assert!(told.starts_with("It had to wait for 1 min: "), "{told}");
    }

    #[test]
    fn its_length_is_told_in_few_words() {
        for (seconds, expected) in [
            (-5, "less than a minute"),
            (59, "less than a minute"),
            (60, "1 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
        ] {
            assert_eq!(words(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
