//! Roles, and the secrets that only one of them opens.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;

use crate::secret::{self, SecretError};
use crate::sections::{Ingest, Llm};

/// What a process is started as, in pipeline order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes deliveries.
    WebhookIngest,
    /// Finds mentions.
    MentionParser,
    /// Decides and briefs.
    ContextBuilder,
    /// Works and pushes.
    Resolver,
    /// Answers.
    Reply,
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role")]
pub struct UnknownRole(String);

impl Role {
    /// Every role, in pipeline order.
    pub const ALL: [Self; 5] = [
        Self::WebhookIngest,
        Self::MentionParser,
        Self::ContextBuilder,
        Self::Resolver,
        Self::Reply,
    ];

    /// The subcommand's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebhookIngest => "webhook-ingest",
            Self::MentionParser => "mention-parser",
            Self::ContextBuilder => "context-builder",
            Self::Resolver => "resolver",
            Self::Reply => "reply",
        }
    }

    /// Whether it asks Bitbucket for anything.
    pub fn uses_bot_token(self) -> bool {
        matches!(self, Self::ContextBuilder | Self::Resolver | Self::Reply)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

impl Llm {
    /// The API key; `None` where none is configured.
    pub fn api_key(&self) -> Result<Option<SecretString>, SecretError> {
        self.api_key_file.as_deref().map(secret::read_line).transpose()
    }

    /// Extra headers for a gateway: one `Name: value` a line; empty lines and lines that begin with `#` do not count.
    pub fn headers(&self) -> Result<Vec<(String, SecretString)>, SecretError> {
        let Some(path) = &self.headers_file else {
            return Ok(Vec::new());
        };
        let text = secret::read_text(path)?;
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| header(path, line)).collect()
    }
}

/// What the ingest listener serves TLS with, as PEM.
#[derive(Debug)]
pub struct TlsPem {
    /// The certificate chain, leaf first.
    pub cert_chain: String,
    /// The private key.
    pub key: SecretString,
}

impl Ingest {
    /// Certificate and key; `None` where none are configured.
    pub fn tls_pem(&self) -> Result<Option<TlsPem>, SecretError> {
        let (Some(cert), Some(key)) = (&self.tls_cert_file, &self.tls_key_file) else {
            return Ok(None);
        };
        let cert_chain = secret::read_text(cert)?;
        if CertificateDer::pem_slice_iter(cert_chain.as_bytes())
            .flatten()
            .next()
            .is_none()
        {
            return Err(SecretError::NotPem {
                path: cert.display().to_string(),
                what: "certificate",
            });
        }
        let key_text = secret::read_text(key)?;
        if PrivateKeyDer::from_pem_slice(key_text.as_bytes()).is_err() {
            return Err(SecretError::NotPem {
                path: key.display().to_string(),
                what: "private key",
            });
        }
        Ok(Some(TlsPem {
            cert_chain,
            key: SecretString::from(key_text),
        }))
    }
}

fn header(path: &Path, line: &str) -> Result<(String, SecretString), SecretError> {
    // The line is a secret and is not quoted.
    let malformed = || SecretError::Unreadable {
        path: path.display().to_string(),
        cause: "a line is not \"Name: value\"".to_owned(),
    };
    let (name, value) = line.split_once(':').ok_or_else(malformed)?;
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let value = value.trim();
    if name.is_empty() || !name.chars().all(token) || value.is_empty() || value.chars().any(char::is_control)
    {
        return Err(malformed());
    }
    Ok((name.to_owned(), SecretString::from(value.to_owned())))
}
