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
