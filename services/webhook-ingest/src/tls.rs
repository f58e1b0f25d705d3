//! TLS of the listener, where there is no reverse proxy in front.

use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

/// `None` where no certificate is configured.
pub(crate) fn server_config(settings: &config::Ingest) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let Some(pem) = settings.tls_pem()? else {
        return Ok(None);
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.cert_chain.as_bytes())
        .collect::<Result<_, _>>()
        .context("a certificate of the chain is damaged")?;
    let key =
        PrivateKeyDer::from_pem_slice(pem.key.expose_secret().as_bytes()).context("the key is damaged")?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the key does not fit the certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}
