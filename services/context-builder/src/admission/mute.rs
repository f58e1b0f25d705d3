//! `pause` and `resume`: whether requests on a pull request start anything.

use jiff::Timestamp;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::run::FailureReport;

use super::Case;
use super::say::{code, time};
use crate::pause::By;

impl Case<'_> {
    /// Pauses, and says so.
    pub(super) async fn pause(&self, author: &Person) -> Result<String, Failure> {
        let sequence = self.mention.origin.event_sequence;
        let by = By {
            person: author.name.clone(),
            at: Timestamp::now(),
            sequence,
        };
        let (paused, counts) = self.set_pause(Some(&by)).await?;
        Ok(match paused {
            Some(paused) if counts => format!(
                "The bot is paused on this pull request, by {} since {}: requests start nothing until somebody who may \
                 write types `resume`. What runs or waits goes on; questions about it, `stop` and `resume` still count.",
                code(&paused.person),
                time(paused.at)
            ),
            _ => "Somebody has typed `resume` after this, so the bot goes on listening.".to_owned(),
        })
    }

    /// Listens again, and says so.
    pub(super) async fn resume(&self) -> Result<String, Failure> {
        Ok(match self.set_pause(None).await? {
            (None, _) => {
                "The bot listens on this pull request. If something was asked while it was paused, ask \
                          again: that is not remembered."
                    .to_owned()
            }
            (Some(_), _) => "Somebody has typed `pause` after this, so the bot stays paused.".to_owned(),
        })
    }

    /// Why a new request does not start: somebody has paused the bot before it was written.
    pub(super) async fn paused(&self) -> Result<Option<FailureReport>, Failure> {
        let pause = self.builder.pauses.get(&self.lane).await?.unwrap_or_default();
        Ok(pause
            .holds(self.mention.origin.event_sequence)
            .map(|by| FailureReport {
                code: FailureCode::Paused,
                detail: Some(format!("by {} since {}", by.person, time(by.at))),
            }))
    }

    async fn set_pause(&self, by: Option<&By>) -> Result<(Option<By>, bool), Failure> {
        let sequence = self.mention.origin.event_sequence;
        let Ok((pause, counts)) = self
            .builder
            .pauses
            .update_or_default(&self.lane, |pause| {
                Ok::<_, std::convert::Infallible>(pause.set(by.cloned(), sequence))
            })
            .await?;
        Ok((pause.paused, counts))
    }
}
