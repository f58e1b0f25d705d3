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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    /// 2030-01-01, within the validity of every certificate made here unless a test says otherwise.
    const NOW: i64 = 1_893_456_000;

    fn certificate(name: &str, ca: bool, years: std::ops::Range<i32>) -> (String, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        params.is_ca = if ca {
            IsCa::Ca(BasicConstraints::Unconstrained)
        } else {
            IsCa::NoCa
        };
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key)
    }

    fn root() -> String {
        certificate("Example Root", true, 2020..2040).0
    }

    fn verdict(bytes: &[u8]) -> String {
        match check("corp.pem".to_owned(), bytes, NOW) {
            Ok(_) => "accepted".to_owned(),
            Err(invalid) => invalid.to_string(),
        }
    }

    #[test]
    fn ca_files_are_judged_by_their_content() {
        let (root, key) = certificate("Example Root", true, 2020..2040);
        let leaf = certificate("bitbucket.example.com", false, 2020..2040).0;
        let expired = certificate("Old Root", true, 2010..2029).0;
        let future = certificate("New Root", true, 2031..2040).0;
        let der = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
        let damaged = root.replace("MII", "M!!");
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (bytes, expected) in [
            (root.clone().into_bytes(), "accepted"),
            ([root.as_str(), &self::root()].concat().into_bytes(), "accepted"),
            (format!("# our roots\n\n{root}").into_bytes(), "accepted"),
            (format!("\u{feff}{root}").into_bytes(), "accepted"),
            (root.replace('\n', "\r\n").into_bytes(), "accepted"),
            (root.trim_end().to_owned().into_bytes(), "accepted"),
            (
                leaf.clone().into_bytes(),
                "certificate 1 in corp.pem (CN=bitbucket.example.com) is not a CA certificate; give the one that issued it",
            ),
            (
                [root.as_str(), &leaf].concat().into_bytes(),
                "certificate 2 in corp.pem (CN=bitbucket.example.com) is not a CA certificate; give the one that issued it",
            ),
            (
                expired.into_bytes(),
                "certificate 1 in corp.pem (CN=Old Root) expired on 2029-01-01",
            ),
            (
                future.into_bytes(),
                "certificate 1 in corp.pem (CN=New Root) is not valid before 2031-01-01",
            ),
            (
                format!("{root}{}", key.serialize_pem()).into_bytes(),
                "corp.pem contains a private key; a CA file holds certificates only",
            ),
            (
                format!("{root}{encrypted}").into_bytes(),
                "corp.pem contains a private key; a CA file holds certificates only",
            ),
            (
                der.to_vec(),
                "corp.pem is not PEM (\"-----BEGIN CERTIFICATE-----\"); a DER file is converted by `openssl x509 -inform der`",
            ),
            (
                b"certificate, please".to_vec(),
                "corp.pem is not PEM (\"-----BEGIN CERTIFICATE-----\"); a DER file is converted by `openssl x509 -inform der`",
            ),
            (
                Vec::new(),
                "corp.pem is not PEM (\"-----BEGIN CERTIFICATE-----\"); a DER file is converted by `openssl x509 -inform der`",
            ),
            (damaged.into_bytes(), "certificate 1 in corp.pem is damaged"),
            (
                root.replacen("-----END CERTIFICATE-----", "", 1).into_bytes(),
                "certificate 1 in corp.pem is damaged",
            ),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
                "certificate 1 in corp.pem is damaged",
            ),
        ] {
            assert_eq!(verdict(&bytes), expected, "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn what_is_accepted_is_what_tls_libraries_read() {
        let text = format!("\u{feff}{}", root().replace('\n', "\r\n"));
        let pem = check("corp.pem".to_owned(), text.as_bytes(), NOW).unwrap();
        assert!(pem.starts_with(b"-----BEGIN CERTIFICATE-----\n") && !pem.contains(&b'\r'));
        assert_eq!(CertificateDer::pem_slice_iter(&pem).flatten().count(), 1);
    }

    #[test]
    fn sixty_four_kibibytes_are_read_and_one_more_byte_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("corp.pem");
        let limit = usize::try_from(CA_BYTES_MAX).unwrap();
        for (length, accepted) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let mut text = root();
            text.push_str(&"#".repeat(length - text.len()));
            std::fs::write(&path, text).unwrap();
            match read(&path) {
                Ok(_) => assert!(accepted, "{length}"),
                Err(invalid) => assert_eq!(
                    (accepted, matches!(invalid, InvalidCa::TooLong { .. })),
                    (false, true)
                ),
            }
        }
    }
}
