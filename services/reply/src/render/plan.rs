//! What people can do with a plan.

use pipeline::reference;
use pipeline::run::{Run, RunState};

use super::Scene;
use crate::sanitise::code;

/// How to have it carried out, and for which commit it holds.
pub(super) fn to_approve(run: &Run, scene: &Scene<'_>) -> Option<String> {
    let (Some(_), Some(base), RunState::Answered) = (&run.plan, &run.base, run.state) else {
        return None;
    };
    let approve = match &scene.name {
        Some(name) => format!("{} approve {}", reference::mention(name), run.id),
        None => format!("approve {}", run.id),
    };
    Some(format!(
        "To have this plan carried out, reply {}. It holds for commit {}: when the branch moves, ask for a new one.",
        code(&approve),
        code(base.short())
    ))
}

#[cfg(test)]
mod tests {
    use pipeline::ids::CommitId;
    use pipeline::job::Artifact;
    use pipeline::run::{Outcome, Plan, Run};

    use super::*;
    use crate::render::status_reply;
    use crate::sample;
    use crate::sanitise::Policy;

    fn scene() -> Scene<'static> {
        Scene {
            policy: Policy {
                base_url: "https://bitbucket.example.com",
                beyond_bmp: true,
            },
            name: Some("openhands".into()),
            commit_url: None,
            diff_url: None,
            pull_request_url: None,
            repository_url: None,
            described: None,
            patch: None,
            unsandboxed: false,
            alone: false,
            mentions: true,
        }
    }

    fn planned(text: &str) -> Run {
        let mut run = sample::running();
        run.base = Some(CommitId::new("a".repeat(40)).unwrap());
        let kept = Artifact {
            key: "k".into(),
            bytes: 1,
        };
        run.plan = Some(Plan::of(kept, text.as_bytes()));
        let outcome = Outcome {
            summary: Some(text.to_owned()),
            nothing_pushed: true,
            ..Outcome::default()
        };
        run.end(Some(1), RunState::Answered, outcome, sample::at(5))
            .unwrap();
        run
    }

    #[test]
    fn a_plan_is_shown_whole_with_how_to_approve_it_for_which_commit() {
        // As long as a plan may be, of the characters that take the most room.
        let text = "@".repeat(3_800);
        let reply = status_reply(&planned(&text), &scene());
        assert!(!reply.contains("(shortened)"), "{}", reply.len());
        assert!(
            reply.contains("`@openhands approve r-8y96vrdbhdtg`") && reply.contains("`aaaaaaaaaaa`"),
            "the hint is missing"
        );
        assert!(crate::sanitise::units(&reply) <= 32_767);
        // The control: without a plan as much of it would be cut.
        let mut answer = planned(&text);
        answer.plan = None;
        let reply = status_reply(&answer, &scene());
        assert!(
            reply.contains("(shortened)") && !reply.contains("approve"),
            "{} bytes",
            reply.len()
        );
    }
}
