//! Activities, newest first (bitbucket-dc.md 3.6).

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::{ACTIVITIES_MAX, PageRequest};
use crate::state::activity::{Action, Activity};
use crate::state::permission::Level;

/// `GET {PR}/activities?fromType=&fromId=`: positions count hidden entries too, so `nextPageStart` can jump.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let render = call.render(&world);
    let pr = world.pull_request(key)?;
    let newest_first: Vec<&Activity> = pr.activities.iter().rev().collect();
    let mut page = call.page(ACTIVITIES_MAX);
    if let Some(position) = start_at(&call, &newest_first)? {
        page = PageRequest {
            start: position + page.start,
            limit: page.limit,
        };
    }
    let total = newest_first.len();
    let visible = newest_first
        .into_iter()
        .enumerate()
        .filter_map(|(position, activity)| Some((position, render.activity(key, pr, activity)?)))
        .collect();
    Ok(Answer::ok(page.cut_sparse(visible, total)))
}

fn start_at(call: &Call, newest_first: &[&Activity]) -> Result<Option<usize>, RestError> {
    let Some(id) = call.query.number("fromId") else {
        return Ok(None);
    };
    let of_comment =
        |activity: &&Activity| matches!(&activity.action, Action::Commented(c) if c.comment.0 == id);
    let position = match call.query.get("fromType") {
        Some("COMMENT") => newest_first.iter().rposition(of_comment),
        Some("ACTIVITY") => newest_first.iter().position(|activity| activity.id == id),
        _ => {
            return Err(RestError::invalid(
                "fromType",
                "fromType must be COMMENT or ACTIVITY with fromId.",
            ));
        }
    };
    position.map(Some).ok_or_else(|| {
        RestError::not_found(
            "activity.NoSuchActivityException",
            format!("There is no activity {id}."),
        )
    })
}
