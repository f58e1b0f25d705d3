//! A message of today must parse tomorrow, and tomorrow's message must not be called dead today.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use pipeline::decision::Decision;
use pipeline::event::Event;
use pipeline::job::Job;
use pipeline::mention::{Control, Mention};
use pipeline::message::{DecodeError, Message, decode, encode};
use pipeline::run::Run;
use serde_json::{Value, json};

/// One checked-in sample per message, as version 1 wrote it. Never edited: a change that breaks one breaks a cluster
/// in the middle of an upgrade.
fn sample(name: &str) -> Value {
    let path = format!("{}/samples/{name}.v1.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn check<M: Message + std::fmt::Debug + PartialEq>() {
    let today = sample(M::NAME);
    let parsed: M = decode(today.to_string().as_bytes()).unwrap();
    assert_eq!(
        decode::<M>(&encode(&parsed)).unwrap(),
        parsed,
        "{}: writing and reading gives the same",
        M::NAME
    );

    let mut with_unknown_fields = today.clone();
    add_unknown_fields(&mut with_unknown_fields);
    assert_eq!(
        decode::<M>(with_unknown_fields.to_string().as_bytes()).unwrap(),
        parsed,
        "{}",
        M::NAME
    );

    let mut tomorrow = today;
    tomorrow["v"] = json!(2);
    assert!(
        matches!(
            decode::<M>(tomorrow.to_string().as_bytes()),
            Err(DecodeError::UnknownVersion { version: 2, .. })
        ),
        "{}: an unknown version is not malformed",
        M::NAME
    );
    assert!(
        matches!(decode::<M>(b"{\"v\":1}"), Err(DecodeError::Malformed { .. })),
        "{}",
        M::NAME
    );
    assert!(
        matches!(decode::<M>(b"not json"), Err(DecodeError::Malformed { .. })),
        "{}",
        M::NAME
    );
}

fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_unknown_fields);
            fields.insert("added_in_a_later_release".into(), json!({"deep": [1, 2]}));
        }
        Value::Array(items) => items.iter_mut().for_each(add_unknown_fields),
        _ => {}
    }
}

#[test]
fn every_message_survives_unknown_fields_and_tells_an_unknown_version_apart() {
    check::<Event>();
    check::<Mention>();
    check::<Control>();
    check::<Job>();
    check::<Run>();
    check::<Decision>();
}

#[test]
fn a_verb_of_a_newer_build_is_not_malformed_and_a_command_without_a_verb_is() {
    for name in [Mention::NAME, Run::NAME] {
        let decoded = |command: Value| {
            let mut message = sample(name);
            message["command"] = command;
            let bytes = message.to_string();
            match name {
                "run" => decode::<Run>(bytes.as_bytes()).map(drop),
                _ => decode::<Mention>(bytes.as_bytes()).map(drop),
            }
        };
        let newer = decoded(json!({"verb": "teleport", "text": ""})).unwrap_err();
        assert!(
            matches!(&newer, DecodeError::UnknownVerb { verb, .. } if verb == "teleport"),
            "{name}: {newer}"
        );
        for malformed in [
            json!({"verb": "fix"}),
            json!({"verb": 7, "text": ""}),
            json!("fix"),
        ] {
            let error = decoded(malformed).unwrap_err();
            assert!(matches!(error, DecodeError::Malformed { .. }), "{name}: {error}");
        }
        let of_today = json!({
            "verb": "fix-ci", "text": "", "argument": "unit", "options": {"budget": {"tokens": 5}},
            "refused": {"kind": "twice", "option": "new-pr"}, "ignored_verbs": ["stop"],
            "nearly": {"word": "a", "meant": "b"},
        });
        decoded(of_today).unwrap();
    }
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let mut stale = Vec::new();
    for (name, schema) in pipeline::schema::all() {
        let path = format!("{}/schemas/{name}.v1.json", env!("CARGO_MANIFEST_DIR"));
        if pipeline::schema::keep(path.as_ref(), &schema).unwrap() {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "rewritten, look at the difference and commit: {stale:?}"
    );
}
