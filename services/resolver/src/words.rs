//! Words: runs of which nothing but what the agent says is delivered. Its tree is never looked at, so that nothing in it
//! can reach a branch, whatever the agent did there.

use pipeline::failure_code::FailureCode;
use pipeline::legible;
use pipeline::run::{Outcome, RunState};
use pipeline::verbs::Verb;

use crate::attempt::{Attempt, Ending};
use crate::told;
use agent::Report;
use pipeline::failure::Failure;

/// A plan is never longer than what a reply shows of it, where a character is written as up to eight: nobody approves what
/// they cannot read.
const PLAN_CHARS_MAX: usize = 3_800;
/// Said of a plan that was longer.
const PLAN_CUT: &str = "The plan was cut where it ends here; what is shown is what would be carried out";

/// Ends the run with the agent's words, which are without secrets already. A plan is kept with the run first.
pub(crate) async fn deliver(attempt: &Attempt, report: &Report, outcome: Outcome) -> Result<Ending, Failure> {
    let (state, mut outcome) = ending(report, outcome);
    if attempt.run.command.verb == Verb::Plan
        && state == RunState::Answered
        && let Some(plan) = &mut outcome.summary
    {
        *plan = legible::plan(plan);
        if let Some(cut) = shortened(plan) {
            *plan = cut;
            outcome.notes.push(PLAN_CUT.to_owned());
        }
        let text = plan.clone();
        let keep = || attempt.keep_plan(&text);
        attempt.patience.with("keep the plan", keep).await?;
    }
    Ok(Ending::new(state, outcome))
}

/// How the run ends, by what was said.
fn ending(report: &Report, mut outcome: Outcome) -> (RunState, Outcome) {
    outcome.nothing_pushed = true;
    outcome.notes.extend(told::failed_calls(report));
    let unanswered = outcome
        .summary
        .is_none()
        .then_some((RunState::Failed, FailureCode::AgentUnanswered));
    let asks_back = !outcome.questions.is_empty() && outcome.summary.is_none();
    let failed = told::cut_short(report)
        .or_else(|| told::idle(report))
        .or(unanswered.filter(|_| !asks_back));
    if let Some((state, code)) = failed {
        outcome.failure = Outcome::of_failure(code, told::detail(report)).failure;
        return (state, outcome);
    }
    let state = if asks_back {
        RunState::NeedsInput
    } else {
        RunState::Answered
    };
    (state, outcome)
}

/// A text that is too long for a plan, cut at the end of a line.
fn shortened(plan: &str) -> Option<String> {
    let (end, _) = plan.char_indices().nth(PLAN_CHARS_MAX)?;
    let kept = &plan[..end];
    Some(kept.rsplit_once('\n').map_or(kept, |(lines, _)| lines).to_owned())
}

#[cfg(test)]
mod tests {
    use agent::Ended;

    use super::*;
    use crate::testing::report;

    fn with(summary: Option<&str>, questions: &[&str]) -> Outcome {
        Outcome {
            summary: summary.map(str::to_owned),
            questions: questions.iter().map(|&question| question.to_owned()).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn a_run_for_words_ends_by_what_was_said() {
        let code = |outcome: &Outcome| outcome.failure.as_ref().map(|failure| failure.code);
        let finished = report(2, 0);
        let table = [
            (with(Some("It is so."), &[]), RunState::Answered, None),
            (with(Some("It is so."), &["Which?"]), RunState::Answered, None),
            (with(None, &["Which?"]), RunState::NeedsInput, None),
            (
                with(None, &[]),
                RunState::Failed,
                Some(FailureCode::AgentUnanswered),
            ),
        ];
        for (outcome, state, failure) in table {
            let (ended, outcome) = ending(&finished, outcome);
            assert_eq!((ended, code(&outcome)), (state, failure), "{outcome:?}");
            assert!(outcome.nothing_pushed);
        }
        let said = with(Some("It is so."), &[]);
        let (state, outcome) = ending(&report(0, 0), said.clone());
        assert_eq!(
            (state, code(&outcome)),
            (RunState::Failed, Some(FailureCode::AgentIdle))
        );
        let late = Report {
            ended: Ended::TimeLimit,
            ..report(2, 1)
        };
        let (state, outcome) = ending(&late, said);
        assert_eq!(
            (state, code(&outcome)),
            (RunState::Expired, Some(FailureCode::TimeLimit))
        );
        assert_eq!(outcome.notes, ["Calls of the model that failed: 1."]);
        assert!(outcome.summary.is_some(), "what was said so far is shown");
    }

    #[test]
    fn a_plan_is_never_longer_than_what_people_read() {
        assert_eq!(shortened("1. Read.\n2. Write."), None);
        let long = "a line of a plan\n".repeat(1_000);
        let cut = shortened(&long).unwrap();
        assert!(
            cut.chars().count() <= PLAN_CHARS_MAX && cut.ends_with("plan"),
            "{}",
            cut.len()
        );
        assert_eq!(
            shortened(&"x".repeat(PLAN_CHARS_MAX + 1)).unwrap().len(),
            PLAN_CHARS_MAX
        );
    }
}
