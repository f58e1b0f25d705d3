//! JSON Schemas of everything that travels or is kept, generated from the types and checked in under `schemas/`: of
//! messages and runs here, of a record that one crate keeps beside that crate.

use std::io;
use std::path::Path;

use schemars::{Schema, schema_for};
use serde_json::Value;

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

/// Writes a schema to its file unless it says so already. Whether it had to: then the file was out of date.
pub fn keep(path: &Path, schema: &Schema) -> io::Result<bool> {
    let text = serde_json::to_string_pretty(&sorted(schema.as_value().clone()))? + "\n";
    if std::fs::read_to_string(path).is_ok_and(|kept| kept == text) {
        return Ok(false);
    }
    std::fs::write(path, text)?;
    Ok(true)
}

/// With keys in alphabetical order: whether JSON objects keep the order of insertion depends on which other crates are
/// built along (`serde_json/preserve_order`).
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
