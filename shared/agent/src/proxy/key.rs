//! The throw-away key of one run: what an agent sees instead of the real one.

use std::fmt;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

/// Enough that it cannot be guessed within a run, or ever.
const KEY_BYTES: usize = 32;

/// Where clients put a key, beside `Authorization: Bearer`: Anthropic's, Azure's and Google's ways.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// A key that opens one proxy and nothing else.
pub(crate) struct Key(String);

impl Key {
    /// A new random one.
    pub(crate) fn new() -> Self {
        Self(format!("run-{}", hex::encode(rand::random::<[u8; KEY_BYTES]>())))
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request shows it, in any of the usual headers.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get_all(hyper::header::AUTHORIZATION)
            .iter()
            .filter_map(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, shown)| shown);
        let plain = KEY_HEADERS
            .iter()
            .flat_map(|name| headers.get_all(*name))
            .map(HeaderValue::as_bytes);
        bearer.chain(plain).any(|shown| self.is(shown))
    }

    /// Compares digests: how long that takes tells nothing about the key.
    fn is(&self, shown: &[u8]) -> bool {
        Sha256::digest(shown) == Sha256::digest(self.0.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_taken_from_every_usual_header_and_no_other() {
        let key = Key::new();
        let bearer = format!("Bearer {}", key.as_str());
        for (name, value, opens) in [
            ("authorization", bearer.as_str(), true),
            ("authorization", &bearer.replace("Bearer", "bearer"), true),
            ("x-api-key", key.as_str(), true),
            ("x-goog-api-key", key.as_str(), true),
            ("authorization", key.as_str(), false),
            ("authorization", "Bearer ", false),
            ("x-api-key", &bearer, false),
            ("x-api-key", &key.as_str()[1..], false),
            ("x-api-key", Key::new().as_str(), false),
            ("cookie", key.as_str(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            assert_eq!(key.is_in(&headers), opens, "{name}: {value}");
        }
        assert!(!key.is_in(&HeaderMap::new()));
    }
}
