//! Pages as Bitbucket cuts them (bitbucket-dc.md 3.2).

use super::query::Query;
use crate::json::{Json, object};

/// Bitbucket's default page size.
const LIMIT_DEFAULT: usize = 25;
/// `page.max.*` of most resources; larger limits are clamped without a word.
pub(crate) const LIMIT_MAX: usize = 1000;
/// `page.max.pullrequest.activities`
pub(crate) const ACTIVITIES_MAX: usize = 500;
/// `page.max.commits`
pub(crate) const COMMITS_MAX: usize = 100;

/// Where a page starts and how long it is at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    pub(crate) start: usize,
    pub(crate) limit: usize,
}

impl PageRequest {
    /// Reads `start` and `limit`, clamped to the resource's cap.
    pub(crate) fn of(query: &Query, cap: usize) -> PageRequest {
        let number = |name| query.number(name).and_then(|n| usize::try_from(n).ok());
        PageRequest {
            start: number("start").unwrap_or(0),
            limit: number("limit")
                .filter(|limit| *limit > 0)
                .unwrap_or(LIMIT_DEFAULT)
                .min(cap),
        }
    }

    /// Cuts a page out of all values.
    pub(crate) fn cut(self, values: Vec<Json>) -> Json {
        let total = values.len();
        let indexed = values.into_iter().enumerate().collect();
        self.cut_sparse(indexed, total)
    }

    /// Cuts a page where not every raw position is visible: `nextPageStart` is a raw position and can jump.
    pub(crate) fn cut_sparse(self, values: Vec<(usize, Json)>, total: usize) -> Json {
        let mut rest = values
            .into_iter()
            .skip_while(|(position, _)| *position < self.start);
        let page: Vec<Json> = rest.by_ref().take(self.limit).map(|(_, value)| value).collect();
        let next = rest
            .next()
            .map(|(position, _)| position)
            .filter(|position| *position < total);
        let answer = object! {
            "size": page.len(),
            "limit": self.limit,
            "isLastPage": next.is_none(),
            "values": page,
            "start": self.start,
        };
        answer.with_some("nextPageStart", next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_starts_at_the_next_visible_position() {
        let values = vec![(0, Json::from("a")), (1, Json::from("b")), (7, Json::from("c"))];
        let page = PageRequest { start: 0, limit: 2 }.cut_sparse(values.clone(), 8);
        assert_eq!(
            page.text(),
            r#"{"size":2,"limit":2,"isLastPage":false,"values":["a","b"],"start":0,"nextPageStart":7}"#
        );
        let page = PageRequest { start: 7, limit: 2 }.cut_sparse(values, 8);
        assert_eq!(
            page.text(),
            r#"{"size":1,"limit":2,"isLastPage":true,"values":["c"],"start":7}"#
        );
    }

    #[test]
    fn a_limit_above_the_cap_is_clamped() {
        let query = Query::parse("limit=5000&start=3");
        assert_eq!(
            PageRequest::of(&query, ACTIVITIES_MAX),
            PageRequest { start: 3, limit: 500 }
        );
    }
}
