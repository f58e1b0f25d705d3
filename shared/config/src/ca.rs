//! CA files: certificates people want trusted in addition to the platform's.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate, X509Version};

/// Longest CA file: about forty certificates.
pub(crate) const CA_BYTES_MAX: u64 = 64 * 1024;

/// Why a CA file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCa {
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: String },
    #[error("{path} is longer than {CA_BYTES_MAX} bytes")]
    TooLong { path: String },
    #[error("{path} contains a private key; a CA file holds certificates only")]
    PrivateKey { path: String },
    #[error(
        "{path} is not PEM (\"-----BEGIN CERTIFICATE-----\"); a DER file is converted by `openssl x509 -inform der`"
    )]
    NotPem { path: String },
    #[error("certificate {number} in {path} is damaged")]
    Damaged { path: String, number: usize },
    #[error(
        "certificate {number} in {path} ({subject}) is not a CA certificate; give the one that issued it"
    )]
    NotCa {
        path: String,
        number: usize,
        subject: String,
    },
    #[error("certificate {number} in {path} ({subject}) expired on {day}")]
    Expired {
        path: String,
        number: usize,
        subject: String,
        day: String,
    },
    #[error("certificate {number} in {path} ({subject}) is not valid before {day}")]
    NotYetValid {
        path: String,
        number: usize,
        subject: String,
        day: String,
    },
}

/// Reads and checks a CA file; returns its PEM text without byte order mark and with Unix line ends.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, InvalidCa> {
    let shown = path.display().to_string();
    let unreadable = |cause: std::io::Error| InvalidCa::Unreadable {
        path: shown.clone(),
        cause: cause.to_string(),
    };
    let length = path.metadata().map_err(unreadable)?.len();
    if length > CA_BYTES_MAX {
        return Err(InvalidCa::TooLong { path: shown });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    check(shown, &bytes, jiff::Timestamp::now().as_second())
}

/// `now` in seconds since the epoch.
fn check(path: String, bytes: &[u8], now: i64) -> Result<Vec<u8>, InvalidCa> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(InvalidCa::NotPem { path });
    };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    // By text, because an encrypted or unusual key has a label of its own.
    if text.contains("PRIVATE KEY-----") {
        return Err(InvalidCa::PrivateKey { path });
    }
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        number += 1;
        match certificate {
            Ok(der) => check_certificate(&path, number, &der, now)?,
            Err(_) => return Err(InvalidCa::Damaged { path, number }),
        }
    }
    if number == 0 {
        return Err(InvalidCa::NotPem { path });
    }
    Ok(text.into_bytes())
}

fn check_certificate(path: &str, number: usize, der: &[u8], now: i64) -> Result<(), InvalidCa> {
    let path = path.to_owned();
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Err(InvalidCa::Damaged { path, number });
    };
    let subject = certificate.subject().to_string();
    // Version 1 has no extensions; old company roots are self-signed version 1 certificates.
    let old_root = certificate.version() == X509Version::V1 && certificate.subject() == certificate.issuer();
    if !certificate.is_ca() && !old_root {
        return Err(InvalidCa::NotCa {
            path,
            number,
            subject,
        });
    }
    let validity = certificate.validity();
    if validity.not_after.timestamp() < now {
        return Err(InvalidCa::Expired {
            path,
            number,
            subject,
            day: day(validity.not_after),
        });
    }
    if validity.not_before.timestamp() > now {
        return Err(InvalidCa::NotYetValid {
            path,
            number,
            subject,
            day: day(validity.not_before),
        });
    }
    Ok(())
}

fn day(time: ASN1Time) -> String {
    jiff::Timestamp::from_second(time.timestamp())
        .map_or_else(|_| time.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}
