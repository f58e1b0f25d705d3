//! Brief: what the agent reads. Exactly one instruction, the request; everything else is fenced, attributed data.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use pipeline::ids::{CommentId, PullRequestId};
use serde::Serialize;

use crate::context::budget::Budget;
use crate::context::framing;
use crate::context::hidden;
use crate::context::material::Material;
use crate::context::sections::{Block, Section, sections};
use crate::context::visible;
use crate::limits::{FRAME_BYTES, LEFT_OUT_SHARE, LEFT_OUT_TOTAL_BYTES_MAX, TEMPLATE_FUEL};

const TEMPLATE: &str = include_str!("../../templates/brief.md");

/// A rendered brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brief {
    /// Markdown.
    pub(crate) text: String,
    /// What was left out, and how much of it.
    pub(crate) left_out: Vec<String>,
}

/// What the template shows.
#[derive(Serialize)]
struct Frame {
    requester: String,
    pull_request: PullRequestId,
    pointed_at: Option<CommentId>,
    request: Block,
    task: Vec<String>,
    sections: Vec<Section>,
    left_out: Option<Block>,
}

/// Renders the brief in at most `bytes_max` bytes.
pub(crate) fn render(material: &Material, bytes_max: usize) -> Result<Brief, minijinja::Error> {
    let left_out_bytes = (bytes_max / LEFT_OUT_SHARE).min(LEFT_OUT_TOTAL_BYTES_MAX);
    let task = framing::task(&material.command);
    let task_bytes: usize = task.iter().map(|paragraph| paragraph.len() + "\n\n".len()).sum();
    let mut budget = Budget::new(bytes_max.saturating_sub(FRAME_BYTES + task_bytes + left_out_bytes));
    let request = budget
        .take(
            "the request",
            visible::text(&hidden::marked(&material.request.text)),
        )
        .unwrap_or_default();
    let request = Block::new("text", request);
    let sections = sections(material, &mut budget);
    let left_out = budget.into_left_out(left_out_bytes);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    let frame = Frame {
        requester: format!("@{}", visible::name(&material.request.requester)),
        pull_request: material.pull_request,
        pointed_at: material.request.pointed_at,
        request,
        task,
        sections,
        left_out: (!left_out.is_empty()).then(|| Block::new("text", left_out.join("\n"))),
    };
    let text = environment.render_named_str("brief.md", TEMPLATE, Serde(frame))?;
    Ok(Brief { text, left_out })
}

#[cfg(test)]
mod tests;
