//! Parsing of answers and webhooks. Threads nest one level deeper with each reply, so a long talk is deeper than `serde_json`'s own
//! limit of 128; and a limit there must be, since reading and dropping recurse.

use std::borrow::Cow;

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
    let bytes = without_lone_surrogates(bytes);
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| error.to_string())
}

/// The same with U+FFFD for halves of a character, which a browser can send and Java keeps, but which are none in JSON
/// as it is read here: a person's half of an emoji must not make a whole body unreadable.
pub(crate) fn without_lone_surrogates(bytes: &[u8]) -> Cow<'_, [u8]> {
    const ESCAPE: usize = r"\uXXXX".len();
    let mut clean = Cow::Borrowed(bytes);
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        at += match (unit(bytes, at), unit(bytes, at + ESCAPE)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE,
            (Some(0xd800..=0xdfff), _) => {
                clean.to_mut()[at..at + ESCAPE].copy_from_slice(br"\ufffd");
                ESCAPE
            }
            (Some(_), _) => ESCAPE,
            // Whatever is escaped instead is one byte, which may be a backslash.
            (None, _) => 2.min(bytes.len() - at),
        };
    }
    clean
}

/// The UTF-16 unit that is escaped there.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(br"\u")?;
    // `from_str_radix` would also take a sign.
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
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
    fn half_a_character_is_read_as_one_that_is_unknown() {
        for (text, read) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
            (r#""\uD83D\uD83D\uDE00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\\ud83d \\\ud83d""#, "\\ud83d \\\u{fffd}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(json!(read)), "{text}");
        }
        for wrong in [
            r#""\ud83""#,
            r#""\ud83g""#,
            r#""\ud83d\u+041""#,
            r#""\"#,
            r#""\ud83d"#,
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let plain = br#"{"a": "\ud83d\ude00 \\u0041"}"#;
        assert!(
            matches!(without_lone_surrogates(plain), Cow::Borrowed(_)),
            "nothing to do"
        );
    }

    #[test]
    fn what_is_json_is_read_whole() {
        assert_eq!(parse(br#" {"a": ["}", "\"]"]} "#), Ok(json!({"a": ["}", "\"]"]})));
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{\"a\": \"").is_err());
    }
}
