//! Compares JSON with a fixture: keys, order, nesting and types, not values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What a JSON document looks like, with the order of its keys.
#[derive(Debug, PartialEq)]
pub(crate) enum Shape {
    Object(Vec<(String, Shape)>),
    List(Vec<Shape>),
    Scalar(&'static str),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar("bool"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar("number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar("number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar("number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar("string"))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Shape::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Shape::Object(fields))
    }
}

/// Panics with the first difference. Lists are compared by their first elements; a null fits everything.
pub(crate) fn assert_like(fixture: &str, actual: &str) {
    let fixture: Shape = serde_json::from_str(fixture).expect("a fixture is JSON");
    let shape: Shape = serde_json::from_str(actual).unwrap_or_else(|e| panic!("{e}: {actual}"));
    compare("$", &fixture, &shape, actual);
}

fn compare(path: &str, fixture: &Shape, actual: &Shape, text: &str) {
    match (fixture, actual) {
        (Shape::Scalar("null"), _) | (_, Shape::Scalar("null")) => {}
        (Shape::Object(expected), Shape::Object(found)) => {
            let keys =
                |fields: &[(String, Shape)]| fields.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
            assert_eq!(keys(expected), keys(found), "keys at {path} in {text}");
            for ((key, expected), (_, found)) in expected.iter().zip(found) {
                compare(&format!("{path}.{key}"), expected, found, text);
            }
        }
        (Shape::List(expected), Shape::List(found)) => {
            if let (Some(expected), Some(found)) = (expected.first(), found.first()) {
                compare(&format!("{path}[0]"), expected, found, text);
            }
        }
        _ => assert_eq!(fixture, actual, "type at {path} in {text}"),
    }
}

#[test]
#[should_panic(expected = "keys at $.a")]
fn another_order_of_keys_is_a_difference() {
    assert_like(r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":1,"b":2}}"#);
}

#[test]
#[should_panic(expected = "type at $.a")]
fn another_type_is_a_difference() {
    assert_like(r#"{"a":1}"#, r#"{"a":"1"}"#);
}
