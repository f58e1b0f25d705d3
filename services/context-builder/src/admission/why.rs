//! `why`: what was decided about a mention on this pull request, and what became of it. Nothing of other pull requests
//! is looked at, so that nothing of them can be shown.

use std::collections::BTreeSet;

use pipeline::decision::{Decision, Verdict};
use pipeline::failure::Failure;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Class, Command};
use pipeline::message::decode;
use pipeline::run::Run;
use pipeline::subject;
use worker::ReadFrom;

use super::Case;
use super::say::{code, time};
use crate::limits::{DECISIONS_MAX, DECISIONS_SHOWN_MAX};

impl Case<'_> {
    /// Tells about what the command names, else about the comment above, else about the last request before this one.
    pub(super) async fn why(&self, command: &Command) -> Result<String, Failure> {
        let origin = &self.mention.origin;
        let about = subject::decisions_of_lane(&origin.instance, origin.repository.id, &origin.lane());
        let messages = self
            .builder
            .nats
            .read_stream(subject::DECISIONS, &about, ReadFrom::Start, DECISIONS_MAX)
            .await?;
        let decisions: Vec<Decision> = messages
            .iter()
            .filter_map(|message| decode(&message.payload).ok())
            .collect();
        let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let history = self.builder.history(&lane).await?;
        let Some(wanted) = self.wanted(command, &decisions, &history) else {
            return Ok("Nothing else is recorded on this pull request.".to_owned());
        };
        let deliveries = deliveries(&decisions, &wanted);
        let found: Vec<&Decision> = decisions
            .iter()
            .filter(|decision| deliveries.contains(decision.delivery.as_str()))
            .collect();
        if found.is_empty() {
            return Ok(format!(
                "Nothing is recorded for {} on this pull request. If it is a comment with a mention, its delivery never \
                 arrived or its signature was refused: Bitbucket's page of the webhook shows which.",
                code(&wanted)
            ));
        }
        let mut lines = vec![format!("About {}:\n", code(&wanted))];
        let first = found.len().saturating_sub(DECISIONS_SHOWN_MAX);
        lines.extend(found[first..].iter().map(|decision| line(decision)));
        let runs: BTreeSet<&RunId> = found
            .iter()
            .filter_map(|decision| decision.run.as_ref())
            .collect();
        for run in runs {
            let record = self.builder.runs.get(&subject::run_key(run)).await?;
            lines.push(became(run, record.as_ref()));
        }
        Ok(lines.join("\n"))
    }

    /// The id that is asked about.
    fn wanted(&self, command: &Command, decisions: &[Decision], history: &[Run]) -> Option<String> {
        if let Some(argument) = &command.argument {
            return Some(argument.clone());
        }
        if let Some(parent) = self.mention.parent {
            let answered = history.iter().find(|run| run.reply.comment == Some(parent));
            return Some(answered.map_or(parent, |run| run.comment).to_string());
        }
        // Nobody asks why an earlier question was answered.
        let asked = history
            .iter()
            .filter(|run| run.command.verb.class() == Class::Query);
        let mut questions: BTreeSet<CommentId> = asked.map(|run| run.comment).collect();
        questions.insert(self.mention.comment);
        last_request(decisions, &questions).map(|comment| comment.to_string())
    }
}

/// The last comment that is none of `questions` and about which more was decided than that it is not for us; where there is none,
/// the last one at all.
fn last_request(decisions: &[Decision], questions: &BTreeSet<CommentId>) -> Option<CommentId> {
    let others = || {
        let newest_first = decisions.iter().rev();
        newest_first.filter_map(|decision| {
            Some((
                decision.comment.filter(|comment| !questions.contains(comment))?,
                decision,
            ))
        })
    };
    others()
        .find(|(_, decision)| decision.verdict != Verdict::Ignored)
        .or_else(|| others().next())
        .map(|(comment, _)| comment)
}

/// The deliveries of everything that was decided about a delivery, a comment or a run.
fn deliveries<'a>(decisions: &'a [Decision], wanted: &str) -> BTreeSet<&'a str> {
    let is_about = |decision: &&Decision| {
        decision.delivery.as_str() == wanted
            || decision
                .comment
                .is_some_and(|comment| comment.to_string() == wanted)
            || decision.run.as_ref().is_some_and(|run| run.as_str() == wanted)
    };
    let about = decisions.iter().filter(is_about);
    about.map(|decision| decision.delivery.as_str()).collect()
}

fn line(decision: &Decision) -> String {
    let verdict = match decision.verdict {
        Verdict::Ignored => "ignored",
        Verdict::Duplicate => "seen before",
        Verdict::Accepted => "passed on",
        Verdict::Queued => "queued",
        Verdict::Amended => "changed",
        Verdict::Cancelled => "stopped",
        Verdict::Refused => "refused",
        Verdict::Failed => "failed",
    };
    let comment = decision
        .comment
        .map_or_else(String::new, |comment| format!(", comment {comment}"));
    format!(
        "- {} `{}`{comment}: {verdict}, {}",
        time(decision.at),
        decision.role,
        reason(&decision.reason)
    )
}

/// Reasons are sentences of ours; should one quote something, it stays harmless.
fn reason(text: &str) -> String {
    let harmless = |c: &char| !"@`<>[]*_\\|#".contains(*c) && !c.is_control();
    text.chars().filter(harmless).collect()
}

fn became(run: &RunId, record: Option<&Run>) -> String {
    let Some(record) = record else {
        return format!("- Run `{run}` started nothing, or is no longer kept.");
    };
    let outcome = record.outcome.as_ref();
    let failure = outcome.and_then(|outcome| outcome.failure.as_ref());
    let why = failure.map_or_else(String::new, |failure| {
        format!(", `{}`: {}", failure.code, failure.code.sentence())
    });
    let reply = record
        .reply
        .comment
        .map_or_else(String::new, |comment| format!("; its reply is comment {comment}"));
    format!(
        "- Run `{run}` is {}{why}{reply}",
        record.state.as_str().replace('_', " ")
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pipeline::ids::DeliveryId;
    use pipeline::message::VERSION;

    use super::*;
    use crate::lane::tests::mention;

    fn decision(delivery: &str, comment: u64, verdict: Verdict) -> Decision {
        let origin = mention(comment, 0, 1, None).origin;
        Decision {
            v: VERSION,
            at: Timestamp::UNIX_EPOCH,
            role: "mention-parser".to_owned(),
            delivery: DeliveryId::new(delivery).unwrap(),
            connection: origin.connection,
            instance: origin.instance,
            repository: Some(origin.repository),
            pull_request: Some(origin.pull_request),
            comment: Some(CommentId(comment)),
            run: None,
            verdict,
            reason: "because".to_owned(),
        }
    }

    #[test]
    fn the_last_request_is_meant_rather_than_the_last_comment() {
        let decisions = [
            decision("d-1", 1, Verdict::Queued),
            decision("d-2", 2, Verdict::Ignored),
            decision("d-3", 3, Verdict::Accepted),
        ];
        assert_eq!(
            last_request(&decisions, &BTreeSet::from([CommentId(3)])),
            Some(CommentId(1))
        );
        assert_eq!(
            last_request(&decisions[1..], &BTreeSet::from([CommentId(3)])),
            Some(CommentId(2))
        );
        assert_eq!(
            last_request(&decisions[2..], &BTreeSet::from([CommentId(3)])),
            None
        );
    }

    #[test]
    fn everything_about_a_delivery_is_found_by_comment_or_delivery() {
        let decisions = [
            decision("d-1", 1, Verdict::Queued),
            decision("d-2", 1, Verdict::Amended),
        ];
        assert_eq!(deliveries(&decisions, "1").len(), 2);
        assert_eq!(deliveries(&decisions, "d-2").len(), 1);
        assert!(deliveries(&decisions, "d-9").is_empty());
    }

    #[test]
    fn a_reason_formats_nothing() {
        assert_eq!(reason("a `b` @c [d](e)"), "a b c d(e)");
    }
}
