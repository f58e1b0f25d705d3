//! Messages as bytes: versioned JSON that a newer or older neighbour can read.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::verbs::Verb;

/// The version this build writes and reads.
pub const VERSION: u32 = 1;

/// A value that travels as one message, with its version in the field `v`.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the message is called in logs, dead letters and schemas.
    const NAME: &'static str;
}

/// Why bytes are not a message of this build.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer build during a rolling upgrade: try again later, not dead.
    #[error("{name} has version {version}, this build reads {VERSION}")]
    UnknownVersion {
        /// The message's name.
        name: &'static str,
        /// The version found.
        version: u64,
    },
    /// Asks for something this build does not know: written by a newer build, too.
    #[error("{name} has the verb {verb:?}, which this build does not know")]
    UnknownVerb {
        /// The message's name.
        name: &'static str,
        /// The verb found.
        verb: String,
    },
    /// Never going to be readable.
    #[error("not a {name}: {cause}")]
    Malformed {
        /// The message's name.
        name: &'static str,
        /// What the parser said.
        cause: serde_json::Error,
    },
}

/// Reads a message. The version is looked at before anything else, so that a changed shape is not called malformed.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    #[derive(serde::Deserialize)]
    struct Probe {
        v: u64,
    }
    let malformed = |cause| DecodeError::Malformed { name: M::NAME, cause };
    let probe: Probe = serde_json::from_slice(bytes).map_err(malformed)?;
    if probe.v != u64::from(VERSION) {
        return Err(DecodeError::UnknownVersion {
            name: M::NAME,
            version: probe.v,
        });
    }
    serde_json::from_slice(bytes).map_err(|cause| match unknown_verb(bytes) {
        Some(verb) => DecodeError::UnknownVerb { name: M::NAME, verb },
        None => malformed(cause),
    })
}

/// The verb of the command in a message, where there is one and this build does not know it.
fn unknown_verb(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Probe {
        command: Asked,
    }
    #[derive(serde::Deserialize)]
    struct Asked {
        verb: String,
    }
    let verb = serde_json::from_slice::<Probe>(bytes).ok()?.command.verb;
    let is_known = serde_json::from_value::<Verb>(serde_json::Value::String(verb.clone())).is_ok();
    (!is_known).then_some(verb)
}

/// Writes a message.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and no failing serializer")
}
