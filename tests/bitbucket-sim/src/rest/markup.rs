//! Markdown, rendered as Bitbucket renders it.

use crate::http::answer::{Answer, Reply};
use crate::http::call::Call;
use crate::json::object;
use crate::page::markdown;

/// `POST /rest/api/latest/markup/preview`: text in, `{"html"}` out.
pub(crate) async fn preview(call: Call) -> Reply {
    call.caller()?;
    let text = String::from_utf8_lossy(&call.body);
    Ok(Answer::ok(object! { "html": markdown::html(&text) }))
}
