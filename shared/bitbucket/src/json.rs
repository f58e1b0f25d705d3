//! Parsing of answers. Threads nest one level deeper with each reply, so a long talk is deeper than `serde_json`'s own
//! limit of 128; and a limit there must be, since reading and dropping recurse.

use serde::Deserialize;
use serde_json::Value;

/// Nested lists and objects. A reply adds two, so a thread may be about 250 replies deep; half a megabyte of stack
/// is then in use where nothing is optimised.
const DEPTH_MAX: usize = 512;

/// The answer as a value, or why it is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    if depth(bytes) > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX}"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| error.to_string())
}

/// How deep brackets are nested outside of texts; right for JSON, and enough to refuse what is not.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::comment;

    fn thread(replies: usize) -> Vec<u8> {
        let open = r#"{"id": 1, "version": 0, "text": "]}\"\\", "comments": ["#;
        let last = r#"{"id": 2, "version": 0, "text": "last"}"#;
        format!("{}{last}{}", open.repeat(replies), "]}".repeat(replies)).into_bytes()
    }

    #[test]
    fn a_long_talk_is_read_to_its_end() {
        let value = parse(&thread(250)).unwrap();
        let comment = comment::read(&value).unwrap();
        assert_eq!(comment.flatten().count(), 251);
    }

    #[test]
    fn endless_nesting_is_refused_before_it_is_followed() {
        assert!(parse(&thread(257)).unwrap_err().contains("deeper"));
        assert!(parse("[".repeat(10_000_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_json_is_read_whole() {
        assert_eq!(parse(br#" {"a": ["}", "\"]"]} "#), Ok(json!({"a": ["}", "\"]"]})));
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{\"a\": \"").is_err());
    }
}
