//! Pages, followed as Bitbucket says (bitbucket-dc.md 3.2).

use std::ops::ControlFlow;

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::reading;
use crate::route::Route;

/// No list in use is longer than this many pages at the limits asked for; more would be a loop.
const PAGES_MAX: usize = 40;

/// How far a list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// To its end.
    All,
    /// Not to its end: the visitor had enough, or the list has too many pages.
    Part,
}

impl Client {
    /// Reads pages of `limit` until the last one or until `visit` breaks. Bitbucket clamps `limit` silently, and
    /// `nextPageStart` can jump, so it is followed as given.
    pub(crate) async fn pages(
        &self,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
        limit: u32,
        mut visit: impl FnMut(&[Value]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<Read, Error> {
        let limit = limit.to_string();
        let mut start = 0;
        for _ in 0..PAGES_MAX {
            let start_text = start.to_string();
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            if start > 0 {
                query.push(("start", &start_text));
            }
            let page = self.get(route, values, &query).await?;
            if page.get("values").and_then(Value::as_array).is_none() {
                return Err(Error::Garbled {
                    what: "`values` of a page is missing".to_owned(),
                });
            }
            let flow = visit(reading::list(&page, "values"))?;
            let next = page.get("nextPageStart").and_then(Value::as_u64);
            let Some(next) = next.filter(|_| reading::flag(&page, "isLastPage") != Some(true)) else {
                return Ok(Read::All);
            };
            if flow.is_break() {
                return Ok(Read::Part);
            }
            if next <= start {
                return Err(Error::Garbled {
                    what: format!("the page after {start} starts at {next}"),
                });
            }
            start = next;
        }
        Ok(Read::Part)
    }
}
