//! The two payload flavours (bitbucket-dc.md 2.4): key order, and how timestamps look.

use crate::Payloads;
use crate::json::Json;

/// Keys of 10.x payloads in their order, per kind of object. The first key tells the kind.
const ORDERS: [(&str, &[&str]); 8] = [
    (
        "eventKey",
        &[
            "date",
            "actor",
            "toCommit",
            "eventKey",
            "comment",
            "commentParentId",
            "changes",
            "commits",
            "repository",
            "pullRequest",
        ],
    ),
    (
        "fromRef",
        &[
            "author",
            "description",
            "updatedDate",
            "title",
            "version",
            "reviewers",
            "toRef",
            "createdDate",
            "draft",
            "closed",
            "closedDate",
            "fromRef",
            "links",
            "id",
            "state",
            "locked",
            "open",
            "participants",
            "properties",
        ],
    ),
    (
        "severity",
        &[
            "severity",
            "createdDate",
            "comments",
            "threadResolved",
            "threadResolvedDate",
            "threadResolver",
            "author",
            "id",
            "text",
            "updatedDate",
            "state",
            "version",
            "properties",
        ],
    ),
    (
        "scmId",
        &[
            "archived",
            "public",
            "hierarchyId",
            "name",
            "forkable",
            "project",
            "links",
            "id",
            "scmId",
            "state",
            "slug",
            "statusMessage",
        ],
    ),
    (
        "committer",
        &[
            "committer",
            "committerTimestamp",
            "author",
            "authorTimestamp",
            "id",
            "displayId",
            "message",
            "parents",
        ],
    ),
    (
        "displayName",
        &[
            "emailAddress",
            "displayName",
            "name",
            "active",
            "links",
            "id",
            "type",
            "slug",
        ],
    ),
    (
        "role",
        &["approved", "role", "lastReviewedCommit", "user", "status"],
    ),
    ("latestCommit", &["latestCommit", "id", "displayId", "type"]),
];

/// A project has no key of its own that others lack; it is known by `key` and `type` together.
const PROJECT: &[&str] = &["public", "name", "links", "id", "type", "key"];

/// The payload's text in a flavour. `nth` counts deliveries: `Mixed` alternates.
pub(crate) fn text(payload: &Json, payloads: Payloads, nth: u64) -> String {
    match payloads {
        Payloads::V9 => payload.text(),
        Payloads::Mixed if nth.is_multiple_of(2) => payload.text(),
        Payloads::V10 | Payloads::Mixed => later(payload).text(),
    }
}

fn later(value: &Json) -> Json {
    match value {
        Json::Time(at) => Json::Text(iso(*at)),
        Json::List(values) => Json::List(values.iter().map(later).collect()),
        Json::Object(fields) => {
            let order = order(fields);
            let position = |key: &str| {
                order
                    .iter()
                    .position(|known| *known == key)
                    .unwrap_or(order.len())
            };
            let mut fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| (key.clone(), later(value)))
                .collect();
            fields.sort_by_key(|(key, _)| position(key));
            Json::Object(fields)
        }
        other => other.clone(),
    }
}

fn order(fields: &[(String, Json)]) -> &'static [&'static str] {
    let has = |name: &str| fields.iter().any(|(key, _)| key == name);
    match ORDERS.iter().find(|(kind, _)| has(kind)) {
        Some((_, order)) => order,
        None if has("key") && has("type") => PROJECT,
        None => &[],
    }
}

fn iso(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;

    #[test]
    fn later_builds_write_iso_times_in_another_order() {
        let payload = object! {
            "eventKey": "pr:comment:added",
            "date": "d",
            "pullRequest": object! { "id": 7, "fromRef": Json::Null, "createdDate": Json::Time(1_750_143_351_522) },
            "comment": object! { "id": 1, "severity": "NORMAL" },
        };
        assert_eq!(
            text(&payload, Payloads::V10, 0),
            r#"{"date":"d","eventKey":"pr:comment:added","comment":{"severity":"NORMAL","id":1},"pullRequest":{"createdDate":"2025-06-17T06:55:51.522Z","fromRef":null,"id":7}}"#
        );
        assert_eq!(text(&payload, Payloads::Mixed, 2), payload.text());
        assert_ne!(text(&payload, Payloads::Mixed, 1), payload.text());
    }
}
