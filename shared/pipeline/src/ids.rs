//! Ids as types of their own, so that a comment id never passes for a pull request id.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An id's text was not of its form; says which id and what the form is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not {form}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    form: &'static str,
}

/// A text newtype whose form is checked wherever it enters, also by serde.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $form:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the form and takes the text.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    // A hostile id may be long; the error quotes its beginning only.
                    Err(InvalidId { kind: stringify!($name), text: text.chars().take(80).collect(), form: $form })
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A number newtype.
macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(
    /// A configured connection to a Bitbucket; part of the webhook URL, not a secret.
    ConnectionId,
    "1 to 64 letters, digits, '_' or '-'",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

text_id!(
    /// One Bitbucket instance: a short hash of its normalised base URL. Two connections may share it.
    InstanceId,
    "12 lower-case hex digits",
    |text| text.len() == 12 && text.bytes().all(is_lower_hex)
);

text_id!(
    /// A project's key; `~name` for a personal project. Compared case-insensitively by Bitbucket (bitbucket-dc.md 2.5).
    ProjectKey,
    "1 to 128 printable characters without '/'",
    |text| is_path_segment(text, 128)
);

text_id!(
    /// A repository's slug, as REST and clone URLs use it; the name may differ (bitbucket-dc.md section 8, 13).
    RepositorySlug,
    "1 to 128 printable characters without '/'",
    |text| is_path_segment(text, 128)
);

text_id!(
    /// A full SHA-1 commit id.
    CommitId,
    "40 lower-case hex digits",
    |text| text.len() == 40 && text.bytes().all(is_lower_hex)
);

text_id!(
    /// One run of the resolver for one version of one comment.
    RunId,
    "'r-' and 12 letters or digits",
    |text| text.len() == 14
        && text.starts_with("r-")
        && text[2..].bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
);

text_id!(
    /// Bitbucket's `X-Request-Id` of a delivery. Unsigned: good for looking up, never for deciding.
    DeliveryId,
    "1 to 128 letters, digits or any of '-_.:@'",
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b))
);

text_id!(
    /// What runs are serialised by within a repository: `pr-42`, or `-` where there is no such thing.
    Lane,
    "'-' or 1 to 64 letters, digits or '-'",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);

number_id!(
    /// Bitbucket's numeric repository id; stays when a repository is renamed or moved.
    RepositoryId
);
number_id!(
    /// A pull request's number within its target repository.
    PullRequestId
);
number_id!(
    /// A comment's id, unique within the instance.
    CommentId
);

impl InstanceId {
    /// The instance behind a normalised base URL (no trailing slash, lower-case host).
    pub fn of_base_url(normalised: &str) -> Self {
        Self(hex::encode(&Sha256::digest(normalised.as_bytes())[..6]))
    }
}

impl RunId {
    /// The id of the run that this version of this comment starts: the same on every redelivery.
    pub fn derive(instance: &InstanceId, comment: CommentId, version: u32) -> Self {
        // Letters and digits that are not mistaken for one another when read aloud.
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let digest = Sha256::digest(format!("{instance}/{comment}/{version}").as_bytes());
        let text: String = digest
            .iter()
            .take(12)
            .map(|b| char::from(ALPHABET[usize::from(b & 31)]))
            .collect();
        Self(format!("r-{text}"))
    }
}

impl Lane {
    /// The lane of a pull request.
    pub fn of_pull_request(id: PullRequestId) -> Self {
        Self(format!("pr-{id}"))
    }

    /// The lane of events that belong to no pull request.
    pub fn none() -> Self {
        Self("-".to_owned())
    }
}

impl CommitId {
    /// The first 11 digits, as Bitbucket's `displayId` shows a commit.
    pub fn short(&self) -> &str {
        &self.0[..11]
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Whether the text can stand as one segment of a path: no separator, no `.` or `..`, nothing invisible.
fn is_path_segment(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len())
        && text != "."
        && text != ".."
        && !text.contains(['/', '\\'])
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_the_same_for_the_same_comment_version() {
        let instance = InstanceId::of_base_url("https://bitbucket.example.com");
        let first = RunId::derive(&instance, CommentId(310), 0);
        assert_eq!(first, RunId::derive(&instance, CommentId(310), 0));
        assert_ne!(first, RunId::derive(&instance, CommentId(310), 1));
        assert_eq!(RunId::new(first.as_str()), Ok(first));
    }

    #[test]
    fn ids_refuse_what_could_escape_a_subject_or_a_path() {
        assert!(ConnectionId::new("main.>").is_err());
        assert!(ConnectionId::new("").is_err());
        assert!(RepositorySlug::new("..").is_err());
        assert!(RepositorySlug::new("a/b").is_err());
        assert!(ProjectKey::new("~JCITIZEN").is_ok());
        assert!(CommitId::new("HEAD").is_err());
        assert!(DeliveryId::new("a b").is_err());
    }

    #[test]
    fn a_malformed_id_does_not_pass_serde() {
        assert!(serde_json::from_str::<CommitId>("\"zz\"").is_err());
    }
}
