//! Takes secrets out of text, also where somebody has encoded them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use regex::{NoExpand, Regex};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Error;

/// What stands where a secret was.
const MARK: &str = "[secret]";

/// A configured header may be a switch (`true`, `1`); to take such a word out of all text would ruin it.
const SECRET_BYTES_MIN: usize = 6;

/// Every form in which some secrets are looked for; of none by default.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Absent when there is nothing to look for.
    forms: Option<Regex>,
    /// Bytes of the longest form.
    longest: usize,
}

impl std::fmt::Debug for Redactor {
    /// Without what it looks for.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// Looks for `secrets` as they are, in base64 at each of its three alignments (both alphabets), and in hex.
    ///
    /// Fails when they are too long to be looked for, which is more than any header can be.
    pub fn new(secrets: &[SecretString]) -> Result<Self, Error> {
        let mut needles: Vec<String> = Vec::new();
        for secret in secrets {
            let secret = secret.expose_secret();
            if secret.len() >= SECRET_BYTES_MIN {
                needles.push(secret.to_owned());
                needles.extend((0..3).flat_map(|shift| base64_forms(secret, shift)));
                needles.push(hex::encode(secret));
                needles.push(hex::encode_upper(secret));
            }
        }
        // Of two that begin alike, the longer one is to be found.
        needles.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        needles.dedup();
        let longest = needles.first().map_or(0, String::len);
        let forms: Vec<String> = needles.iter().map(|needle| regex::escape(needle)).collect();
        let forms = if forms.is_empty() {
            None
        } else {
            // Not the error itself: it repeats the expression.
            let unusable = |_| Error::Client {
                reason: "the key or a header is too long".to_owned(),
            };
            Some(Regex::new(&forms.join("|")).map_err(unusable)?)
        };
        Ok(Self { forms, longest })
    }

    /// Whether one of them is in the text.
    pub fn finds(&self, text: &str) -> bool {
        self.forms.as_ref().is_some_and(|forms| forms.is_match(text))
    }

    /// The text with `mark` in the place of each of them.
    pub fn replace<'text>(&self, text: &'text str, mark: &str) -> Cow<'text, str> {
        match &self.forms {
            Some(forms) => forms.replace_all(text, NoExpand(mark)),
            None => Cow::Borrowed(text),
        }
    }

    /// The text without secrets.
    pub(crate) fn clean<'text>(&self, text: &'text str) -> Cow<'text, str> {
        self.replace(text, MARK)
    }

    /// The same for a piece of an answer: an endpoint that repeats its key, in a debugging field for instance, does not
    /// tell it to the agent. Of a stream that is cut in the middle of a secret, or of a letter, nothing is found.
    pub(crate) fn clean_bytes(&self, bytes: Bytes) -> Bytes {
        match std::str::from_utf8(&bytes).map(|text| self.clean(text)) {
            Ok(Cow::Owned(clean)) => clean.into(),
            Ok(Cow::Borrowed(_)) | Err(_) => bytes,
        }
    }

    /// The beginning of the text, of at most `bytes_max`, without secrets, also where one is cut in two.
    pub(crate) fn clean_beginning<'text>(&self, text: &'text str, bytes_max: usize) -> Cow<'text, str> {
        let enough = bytes_max.saturating_add(self.longest);
        if text.len() <= enough {
            return clipped(self.clean(text), bytes_max);
        }
        // What is left of a secret at the very end is within its own length of it.
        let clean = self.clean(&text[..text.floor_char_boundary(enough)]);
        let kept = clean.len().saturating_sub(self.longest);
        clipped(clean, kept.min(bytes_max))
    }
}

fn clipped(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    let at = text.floor_char_boundary(bytes_max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..at]),
        Cow::Owned(mut text) => {
            text.truncate(at);
            Cow::Owned(text)
        }
    }
}

/// The characters of base64 that depend on nothing but the secret, when `shift` bytes are before it in its group of
/// three: those at either end also depend on what is beside it.
fn base64_forms(secret: &str, shift: usize) -> [String; 2] {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(secret.as_bytes());
    let first = (shift * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    [STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|engine| engine.encode(&bytes)[first..last].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t-Key/with+odd?bytes>>";

    #[test]
    fn secrets_are_found_plain_in_hex_and_in_base64_at_every_alignment() {
        let redactor = Redactor::new(&[SECRET.into()]).unwrap();
        for (before, after) in [
            ("", ""),
            ("a", "b"),
            ("ab", "abcd"),
            ("abc", "ab"),
            ("pässword=", "\n"),
        ] {
            let text = format!("{before}{SECRET}{after}");
            let forms = [
                text.clone(),
                STANDARD_NO_PAD.encode(&text),
                URL_SAFE_NO_PAD.encode(&text),
                hex::encode(&text),
                hex::encode_upper(&text),
            ];
            for form in forms {
                let clean = redactor.clean(&form).into_owned();
                assert!(clean.contains(MARK), "{form}: {clean}");
                assert!(redactor.finds(&form) && !redactor.finds(&clean), "{form}");
                let rest = clean.replace(MARK, "");
                assert!(rest.len() <= form.len() - SECRET.len(), "{form}: {clean}");
            }
        }
    }

    #[test]
    fn other_text_is_left_alone_and_short_values_are_no_secrets() {
        let redactor = Redactor::new(&[SECRET.into(), "true".into(), "".into()]).unwrap();
        let text = "it is true that s3cr3t-Key is not all of it";
        assert!(matches!(redactor.clean(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn a_beginning_has_no_part_of_a_secret_that_was_cut() {
        let redactor = Redactor::new(&[SECRET.into()]).unwrap();
        let text = format!("{SECRET}{}{SECRET}{}", "x".repeat(100), "y".repeat(1000));
        for bytes_max in 0..300 {
            let clean = redactor.clean_beginning(&text, bytes_max);
            assert!(clean.len() <= bytes_max);
            assert!(!clean.contains("s3"), "{bytes_max}: {clean}");
        }
        assert_eq!(redactor.clean_beginning("short", 100), "short");
    }
}
