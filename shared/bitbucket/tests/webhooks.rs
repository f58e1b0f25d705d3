//! Every webhook fixture, in both payload flavours, and what is left of it when parts are missing or of another type.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use bitbucket::webhook::{Parsed, WebhookEvent, parse};
use pipeline::event::EventBody;
use serde_json::{Value, json};

/// Bodies of the webhook fixtures by name.
fn fixtures() -> BTreeMap<String, Vec<u8>> {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    let mut fixtures = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("webhook_") {
            fixtures.insert(name, std::fs::read(path).unwrap());
        }
    }
    fixtures
}

fn fixture(name: &str) -> Value {
    serde_json::from_slice(&fixtures()[name]).unwrap()
}

fn parse_value(value: &Value) -> Parsed {
    parse(&serde_json::to_vec(value).unwrap()).expect("a JSON body is never an error")
}

fn event(value: &Value) -> WebhookEvent {
    match parse_value(value) {
        Parsed::Event(event) => *event,
        ignored @ Parsed::Ignored { .. } => panic!("{ignored:?}"),
    }
}

#[test]
fn both_flavours_of_every_fixture_give_the_same_event() {
    let fixtures = fixtures();
    let mut pairs = 0;
    for (name, body) in &fixtures {
        let parsed = parse(body).unwrap();
        if let Some(kind) = name.strip_prefix("webhook_10x_") {
            let nine = parse(&fixtures[&format!("webhook_9x_{kind}")]).unwrap();
            assert_eq!(nine, parsed, "{kind}");
            pairs += 1;
        } else {
            let kind = name
                .trim_start_matches("webhook_9x_")
                .trim_start_matches("webhook_");
            insta::assert_debug_snapshot!(kind, parsed);
        }
    }
    assert_eq!(pairs, 14, "fixtures in both flavours");
}

#[test]
fn integers_and_iso_dates_may_be_mixed_within_one_body() {
    let mut mixed = fixture("webhook_9x_pr_comment_added");
    let expected = event(&mixed);
    mixed["comment"]["createdDate"] =
        fixture("webhook_10x_pr_comment_added")["comment"]["createdDate"].clone();
    assert!(mixed["comment"]["createdDate"].is_string() && mixed["comment"]["updatedDate"].is_i64());
    assert_eq!(event(&mixed), expected);
}

#[test]
fn a_comment_of_a_deleted_user_on_a_personal_repository_is_an_event() {
    let mut body = fixture("webhook_9x_pr_comment_added");
    let personal: Value = serde_json::from_str(include_str!("../fixtures/repository_personal.json")).unwrap();
    body["pullRequest"]["toRef"]["repository"] = personal;
    body["comment"]["author"] = Value::Null;
    body["actor"] = Value::Null;
    let event = event(&body);
    assert_eq!(event.repository.project.as_str(), "~JCITIZEN");
    assert_eq!(event.repository.slug.as_str(), "sandbox");
    assert_eq!(event.actor, None);
    let EventBody::CommentAdded { comment } = event.body else {
        panic!("{:?}", event.body)
    };
    assert_eq!(comment.author, None);
}

#[test]
fn an_unexpected_anchor_and_unknown_keys_change_nothing() {
    let mut body = fixture("webhook_9x_pr_comment_added");
    let expected = event(&body);
    body["comment"]["anchor"] = json!({"path": "a.rs", "line": 3});
    body["pullRequest"]["fromRef"]["archived"] = json!({"deep": [1, 2, {}]});
    body["zzz"] = json!(null);
    assert_eq!(event(&body), expected);
}

/// Whatever one part of a body is replaced by, or when it is left out, there is an answer and no panic.
#[test]
fn a_body_with_one_part_wrong_is_an_event_or_ignored() {
    let mut tried = 0;
    for (name, body) in fixtures() {
        let original: Value = serde_json::from_slice(&body).unwrap();
        for pointer in pointers(&original) {
            for replacement in replacements() {
                let mut changed = original.clone();
                *changed.pointer_mut(&pointer).unwrap() = replacement;
                assert_consistent(&parse_value(&changed), &name, &pointer);
                tried += 1;
            }
            let changed = without(&original, &pointer);
            assert_consistent(&parse_value(&changed), &name, &pointer);
        }
    }
    assert!(tried > 10_000, "only {tried} bodies tried");
}

#[test]
fn what_a_comment_event_cannot_do_without() {
    let original = fixture("webhook_9x_pr_comment_added");
    let mut needed: Vec<String> = pointers(&original)
        .into_iter()
        .filter(|pointer| matches!(parse_value(&without(&original, pointer)), Parsed::Ignored { .. }))
        .collect();
    // Objects keep their order or not, depending on which other crates are built along.
    needed.sort();
    insta::assert_debug_snapshot!("needed_by_a_comment_event", needed);
}

#[test]
fn what_is_not_json_is_an_error_and_what_is_json_never_is() {
    let body = fixtures().remove("webhook_9x_pr_comment_added").unwrap();
    let text_end = body.iter().rposition(|byte| *byte == b'}').unwrap();
    for end in 0..=text_end {
        assert!(parse(&body[..end]).is_err(), "the first {end} bytes");
    }
    let nested = "[".repeat(100_000);
    for garbage in [&b"\xff\xfe"[..], b"<html>", b"{} {}", nested.as_bytes()] {
        assert!(parse(garbage).is_err());
    }
    for other in [
        "null",
        "[]",
        "\"x\"",
        "7",
        "{}",
        "{\"eventKey\": 7}",
        "{\"test\": true}",
    ] {
        assert!(
            matches!(parse(other.as_bytes()), Ok(Parsed::Ignored { .. })),
            "{other}"
        );
    }
}

#[test]
fn an_ignored_body_says_its_key_and_why() {
    for (body, expected) in [
        (
            json!({"eventKey": "project:modified"}),
            ("project:modified", "not an event the resolver uses"),
        ),
        (
            json!({"eventKey": "pr:opened"}),
            ("pr:opened", "`pullRequest` is missing or not of its form"),
        ),
        (
            json!({"eventKey": "x\n".repeat(500)}),
            (&*"x".repeat(80), "not an event the resolver uses"),
        ),
    ] {
        let Parsed::Ignored { event_key, reason } = parse_value(&body) else {
            panic!("{body}")
        };
        assert_eq!((event_key.as_str(), reason.as_str()), expected);
    }
}

/// An event always names the repository of its own pull request; an ignored body always has a reason.
fn assert_consistent(parsed: &Parsed, name: &str, pointer: &str) {
    match parsed {
        Parsed::Event(event) => {
            if let Some(pull_request) = &event.pull_request {
                assert_eq!(
                    event.repository, pull_request.to_ref.repository,
                    "{name} {pointer}"
                );
            }
        }
        Parsed::Ignored { reason, .. } => assert!(!reason.is_empty(), "{name} {pointer}"),
    }
}

fn replacements() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(u64::MAX),
        json!(""),
        json!("../../\u{0}\u{202e}"),
        json!([]),
        json!({}),
    ]
}

/// JSON pointers to every part, at every depth.
fn pointers(value: &Value) -> Vec<String> {
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, part)| (escaped(key), part)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, part)| (i.to_string(), part))
            .collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (key, part) in parts {
        found.extend(pointers(part).into_iter().map(|below| format!("/{key}{below}")));
        found.push(format!("/{key}"));
    }
    found
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn without(original: &Value, pointer: &str) -> Value {
    let mut changed = original.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match changed.pointer_mut(parent).unwrap() {
        Value::Object(members) => drop(members.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        _ => unreachable!("a pointer's parent holds something"),
    }
    changed
}
