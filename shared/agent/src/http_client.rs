//! The HTTP client of models.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Proxy};

/// A connection that takes longer than this is not going to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait for an answer to begin, or for one that does not stream. Models that think at length on a slow
/// machine take minutes.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);

/// Builds the client that [`crate::Endpoint`] takes.
///
/// `ca_pem` holds CA certificates trusted beside the system's. `proxy` is the URL of the HTTP proxy for the model's
/// host, already decided by the caller; the environment is not looked at. Redirects are not followed, as they would
/// carry the key elsewhere.
pub fn http_client(ca_pem: Option<&[u8]>, proxy: Option<&str>) -> Result<Client, HttpClientError> {
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        // A gateway that compresses a stream holds it back until a block is full.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .connect_timeout(CONNECT_TIMEOUT)
        // No limit for the whole: an answer that streams may take longer, and goes on as long as something comes.
        .read_timeout(ANSWER_TIMEOUT);
    if let Some(pem) = ca_pem {
        let certificates = Certificate::from_pem_bundle(pem).map_err(HttpClientError::Ca)?;
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(url) = proxy {
        // The source would repeat the URL, which may hold the proxy's password.
        builder = builder.proxy(Proxy::all(url).map_err(|_| HttpClientError::Proxy)?);
    }
    builder.build().map_err(HttpClientError::Build)
}

/// Why the client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The CA certificates cannot be used.
    #[error("the CA certificates for the model endpoint cannot be used")]
    Ca(#[source] reqwest::Error),
    /// The proxy's URL cannot be used.
    #[error("the proxy for the model endpoint is not a URL that can be used")]
    Proxy,
    /// The client could not be set up.
    #[error("the HTTP client for the model endpoint cannot be set up")]
    Build(#[source] reqwest::Error),
}
