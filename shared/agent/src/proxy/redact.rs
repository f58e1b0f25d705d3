//! Takes secrets out of text, also where somebody has encoded them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};

/// What stands where a secret was.
const MARK: &str = "[secret]";

/// A configured header may be a switch (`true`, `1`); to take such a word out of all text would ruin it.
const SECRET_BYTES_MIN: usize = 6;

/// Every form in which the secrets of one endpoint are looked for.
pub(crate) struct Redactor {
    needles: Vec<SecretString>,
}

impl Redactor {
    /// Looks for `secrets` as they are, in base64 at each of its three alignments (both alphabets), and in hex.
    pub(crate) fn new(secrets: &[SecretString]) -> Self {
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
        // A longer form may contain a shorter one.
        needles.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        needles.dedup();
        Self {
            needles: needles.into_iter().map(SecretString::from).collect(),
        }
    }

    /// The text without secrets.
    pub(crate) fn clean<'text>(&self, text: &'text str) -> Cow<'text, str> {
        let mut clean = Cow::Borrowed(text);
        for needle in &self.needles {
            if clean.contains(needle.expose_secret()) {
                clean = Cow::Owned(clean.replace(needle.expose_secret(), MARK));
            }
        }
        clean
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
        let redactor = Redactor::new(&[SECRET.into()]);
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
                let rest = clean.replace(MARK, "");
                assert!(rest.len() <= form.len() - SECRET.len(), "{form}: {clean}");
            }
        }
    }

    #[test]
    fn other_text_is_left_alone_and_short_values_are_no_secrets() {
        let redactor = Redactor::new(&[SECRET.into(), "true".into(), "".into()]);
        let text = "it is true that s3cr3t-Key is not all of it";
        assert!(matches!(redactor.clean(text), Cow::Borrowed(same) if same == text));
    }
}
