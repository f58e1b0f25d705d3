//! JSON Schemas of everything that travels, generated from the types and checked in under `schemas/`.

use schemars::{Schema, schema_for};

/// Name and schema of every message and record.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        ("event", schema_for!(crate::event::Event)),
        ("mention", schema_for!(crate::mention::Mention)),
        ("control", schema_for!(crate::mention::Control)),
        ("job", schema_for!(crate::job::Job)),
        ("run", schema_for!(crate::run::Run)),
        ("decision", schema_for!(crate::decision::Decision)),
    ]
}
