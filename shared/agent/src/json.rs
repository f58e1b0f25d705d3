//! JSON of agents and endpoints, read as what it says and no more.
//!
//! `serde_json` reads an object whose key is its own name for raw JSON as the JSON in the text behind it (feature
//! `raw_value`, which one of our dependencies switches on). Such texts can be nested: each begins a new count of depth
//! and is seen by nobody who counts values, so that a few KB overflow the stack, which ends the whole process.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a value. What is nested deeper than 128 is an error.
pub(crate) fn value(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).map(|Plain(value)| value)
}

/// A value in which no key means anything.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Plain(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Plain(value))) = fields.next_entry::<String, Plain>()? {
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `serde_json` takes for a text of JSON to be read.
    const RAW: &str = "$serde_json::private::RawValue";

    /// JSON in a text in JSON, so many times; each layer is nearly as deep as one may be.
    fn layers(count: usize) -> String {
        let (open, close) = ("[".repeat(120), "]".repeat(120));
        (0..count).fold(format!("{open}{close}"), |inner, _| {
            format!("{open}{}{close}", json!({RAW: inner}))
        })
    }

    #[test]
    fn json_in_a_text_stays_a_text() {
        let two = layers(2);
        let naive: Value = serde_json::from_str(&two).unwrap();
        assert!(!naive.to_string().contains(RAW), "the control");
        assert_eq!(value(two.as_bytes()).unwrap().to_string(), two);
        // Each layer doubles the backslashes. Read through, this one overflows the stack of a thread.
        let deep = layers(16);
        assert!(deep.len() < 1024 * 1024);
        assert_eq!(value(deep.as_bytes()).unwrap().to_string(), deep);
        let escaped = format!("{{\"\\u0024{}\": \"[1]\"}}", &RAW[1..]);
        assert_eq!(value(escaped.as_bytes()).unwrap(), json!({RAW: "[1]"}));
    }

    #[test]
    fn everything_else_is_read_as_ever() {
        let text =
            r#"{"a": [null, true, -1, 18446744073709551615, 1.5, "ü\u0000\""], "b": {"c": {}}, "a2": 1e3}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value(text.as_bytes()).unwrap(), expected);
        assert_eq!(value(br#"{"a": 1, "a": 2}"#).unwrap(), json!({"a": 2}));
        for wrong in ["", "{", "[1] 2", "nul", &"[".repeat(200), "\"\\ud800\"", "1e999"] {
            assert!(value(wrong.as_bytes()).is_err(), "{wrong:.20}");
        }
    }
}
