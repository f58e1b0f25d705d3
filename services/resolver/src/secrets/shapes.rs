//! Tokens that say by their shape what they are.

/// A token that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// What it is.
    pub(super) kind: &'static str,
    /// Its first byte in the text.
    pub(super) start: usize,
    /// Behind its last byte.
    pub(super) end: usize,
}

/// What the characters after a prefix may be.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// Letters and digits.
    Alphanumeric,
    /// Those, `_` and `-`.
    Url,
    /// Those, and what base64 has besides.
    Base64,
    /// Capital letters and the digits 2 to 7.
    Base32,
    /// `0` to `9`, `a` to `f`.
    Hex,
}

struct Shape {
    kind: &'static str,
    prefix: &'static str,
    of: Of,
    /// Characters after the prefix.
    min: usize,
    max: usize,
}

const fn shape(kind: &'static str, prefix: &'static str, of: Of, min: usize, max: usize) -> Shape {
    Shape {
        kind,
        prefix,
        of,
        min,
        max,
    }
}

const AWS: &str = "an AWS access key";
const GITHUB: &str = "a GitHub token";
const GITLAB: &str = "a GitLab token";
const SLACK: &str = "a Slack token";
const ATLASSIAN: &str = "an Atlassian token";
const STRIPE: &str = "a Stripe key";
const NATS: &str = "a NATS key";
/// Longer than any token; texts without a limit of their own.
const LONG: usize = 4_000;

/// From the issuers' documentation of their tokens, as of 2026.
const SHAPES: [Shape; 49] = [
    shape(AWS, "AKIA", Of::Base32, 16, 16),
    shape(AWS, "ASIA", Of::Base32, 16, 16),
    shape(GITHUB, "ghp_", Of::Alphanumeric, 36, 255),
    shape(GITHUB, "gho_", Of::Alphanumeric, 36, 255),
    shape(GITHUB, "ghu_", Of::Alphanumeric, 36, 255),
    shape(GITHUB, "ghs_", Of::Alphanumeric, 36, 255),
    shape(GITHUB, "ghr_", Of::Alphanumeric, 36, 255),
    shape(GITHUB, "github_pat_", Of::Url, 60, 255),
    shape(GITLAB, "glpat-", Of::Url, 20, 300),
    shape(GITLAB, "gldt-", Of::Url, 20, 300),
    shape(GITLAB, "glrt-", Of::Url, 20, 300),
    shape(GITLAB, "glcbt-", Of::Url, 20, 300),
    shape(GITLAB, "glptt-", Of::Url, 40, 300),
    shape(GITLAB, "glsoat-", Of::Url, 20, 300),
    shape(SLACK, "xoxb-", Of::Url, 30, 300),
    shape(SLACK, "xoxp-", Of::Url, 30, 300),
    shape(SLACK, "xoxa-", Of::Url, 30, 300),
    shape(SLACK, "xoxs-", Of::Url, 30, 300),
    shape(SLACK, "xapp-", Of::Url, 30, 300),
    shape(
        "a Slack webhook",
        "hooks.slack.com/services/T",
        Of::Base64,
        30,
        100,
    ),
    shape("a Bitbucket access token", "BBDC-", Of::Base64, 40, 80),
    shape(ATLASSIAN, "ATBB", Of::Alphanumeric, 32, 32),
    shape(ATLASSIAN, "ATATT3", Of::Base64, 60, 400),
    shape(ATLASSIAN, "ATCTT3", Of::Base64, 60, 400),
    shape("a Google API key", "AIza", Of::Url, 35, 35),
    shape("a Google client secret", "GOCSPX-", Of::Url, 28, 28),
    shape("a Google access token", "ya29.", Of::Url, 40, LONG),
    shape(STRIPE, "sk_live_", Of::Alphanumeric, 20, 300),
    shape(STRIPE, "rk_live_", Of::Alphanumeric, 20, 300),
    shape(STRIPE, "whsec_", Of::Alphanumeric, 32, 100),
    shape("an npm token", "npm_", Of::Alphanumeric, 36, 36),
    shape("a PyPI token", "pypi-AgEIcHlwaS5vcmc", Of::Url, 50, 500),
    shape("a crates.io token", "cio", Of::Alphanumeric, 32, 32),
    shape("an OpenAI key", "sk-proj-", Of::Url, 40, 300),
    shape("an OpenAI key", "sk-svcacct-", Of::Url, 40, 300),
    shape("an OpenAI key", "sk-", Of::Alphanumeric, 48, 48),
    shape("an Anthropic key", "sk-ant-", Of::Url, 80, 300),
    shape("a Hugging Face token", "hf_", Of::Alphanumeric, 34, 34),
    shape("a DigitalOcean token", "dop_v1_", Of::Hex, 64, 64),
    shape("a SendGrid key", "SG.", Of::Base64, 60, 80),
    shape("a Docker Hub token", "dckr_pat_", Of::Url, 27, 60),
    shape("a Vault token", "hvs.", Of::Url, 80, 300),
    shape("a Shopify token", "shpat_", Of::Hex, 32, 32),
    shape("a Databricks token", "dapi", Of::Hex, 32, 32),
    shape("an Azure storage key", "AccountKey=", Of::Base64, 86, 88),
    shape("an age secret key", "AGE-SECRET-KEY-1", Of::Alphanumeric, 58, 58),
    shape(NATS, "SU", Of::Base32, 56, 56),
    shape(NATS, "SA", Of::Base32, 56, 56),
    shape(NATS, "SO", Of::Base32, 56, 56),
];

/// Different characters a token has at least: `xxxx…` and `0123…` have fewer.
const DISTINCT_MIN: usize = 8;

/// The first token in a text. `next`: what follows the text, where that is known; without it the first line of a
/// private key is enough.
pub(super) fn find(text: &str, next: Option<&str>) -> Option<Found> {
    let bytes = text.as_bytes();
    let by_prefix = (0..bytes.len())
        .filter(|at| *at == 0 || !is_word(bytes[at - 1]))
        .find_map(|at| {
            SHAPES
                .iter()
                .find_map(|shape| token(shape, text, at))
                .or_else(|| jwt(text, at))
        });
    let key = private_key(text, next);
    match (by_prefix, key) {
        (Some(token), Some(key)) => Some(if token.start < key.start { token } else { key }),
        (token, key) => token.or(key),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn token(shape: &Shape, text: &str, at: usize) -> Option<Found> {
    let rest = text.as_bytes().get(at..)?.strip_prefix(shape.prefix.as_bytes())?;
    let count = rest.iter().take_while(|byte| shape.of.has(**byte)).count();
    let body = &rest[..count];
    if count < shape.min
        || count > shape.max
        || rest.get(count).is_some_and(|byte| is_word(*byte))
        || !is_random(body)
    {
        return None;
    }
    Some(Found {
        kind: shape.kind,
        start: at,
        end: at + shape.prefix.len() + count,
    })
}

impl Of {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Base64 => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.')
            }
            Self::Base32 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

/// `header.payload.signature`, the first two of which begin as JSON does in base64.
fn jwt(text: &str, at: usize) -> Option<Found> {
    /// The payload that every example has: `{"sub":"1234567890"`.
    const EXAMPLE: &str = "eyJzdWIiOiIxMjM0NTY3ODkwIi";
    const PART_MIN: usize = 15;
    let rest = text.get(at..)?;
    if !rest.starts_with("eyJ") {
        return None;
    }
    let end = rest
        .bytes()
        .position(|byte| !(Of::Url.has(byte) || byte == b'.'))
        .unwrap_or(rest.len());
    let parts: Vec<_> = rest[..end].trim_end_matches('.').split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return None;
    };
    let is_token = payload.starts_with("eyJ")
        && !payload.starts_with(EXAMPLE)
        && [header, payload, signature]
            .iter()
            .all(|part| part.len() >= PART_MIN)
        && is_random(signature.as_bytes());
    let length = header.len() + payload.len() + signature.len() + 2;
    is_token.then_some(Found {
        kind: "a JSON Web Token",
        start: at,
        end: at + length,
    })
}

/// A private key's first line, with the key itself right behind it.
fn private_key(text: &str, next: Option<&str>) -> Option<Found> {
    const BEGIN: &str = "-----BEGIN ";
    const ENDS: [&str; 2] = ["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"];
    /// The shortest line of a key that is wrapped.
    const RUN_MIN: usize = 40;
    let start = text.find(BEGIN)?;
    let label = &text[start + BEGIN.len()..];
    let end = ENDS
        .iter()
        .find_map(|end| label.find(end).map(|at| at + end.len()))?;
    if label[..end].contains('\n') {
        return None;
    }
    let behind = &label[end..];
    // In a string in a program the lines are parted by `\n` as two characters.
    let has_run = |text: &str| {
        text.replace("\\n", "\n")
            .split(|c: char| !(c.is_ascii() && Of::Base64.has(c as u8)) || c == '.')
            .any(|run| run.len() >= RUN_MIN && is_random(run.as_bytes()))
    };
    let is_key = next.is_none() || has_run(behind) || next.is_some_and(has_run);
    is_key.then_some(Found {
        kind: "a private key",
        start,
        end: if next.is_none() {
            text.len()
        } else {
            start + BEGIN.len() + end
        },
    })
}

/// Whether a token's characters could be random: not one repeated, not counted up, not saying that it is an example.
pub(super) fn is_random(body: &[u8]) -> bool {
    const WORDS: [&str; 12] = [
        "example",
        "xxxx",
        "0000",
        "1234567",
        "abcdef",
        "placeholder",
        "dummy",
        "fake",
        "redacted",
        "changeme",
        "sample",
        "your",
    ];
    let lower = String::from_utf8_lossy(body).to_ascii_lowercase();
    let distinct: std::collections::HashSet<_> = body.iter().collect();
    distinct.len() >= DISTINCT_MIN && !WORDS.iter().any(|word| lower.contains(word))
}
