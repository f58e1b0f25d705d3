//! Where a repository is and how to get there: TLS, proxy, token and time-outs, and the errors of the way.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix_transport::client::blocking_io::http::Transport;
use reqwest::Client;
use secrecy::SecretString;

use crate::error::{Error, chain};
use crate::ref_name::check_branch;

mod advertised;
mod exchange;
mod network;
mod wire;

use advertised::Advertised;
use network::{Network, Waiting};
pub(crate) use wire::Wire;

/// Time for name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// An idle connection is kept this long for the next request; proxies close theirs after 60 s or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Different combinations of CA and proxy that keep a client; there are as many as connections, so one of each.
const CLIENTS_MAX: usize = 64;

/// A repository on a server, and the credential for it.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `https://host/scm/key/slug.git`, the final one: redirects are refused.
    pub url: String,
    /// Sent as `Authorization: Bearer` (bitbucket-dc.md 4.1).
    pub token: SecretString,
    /// CA certificates to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The proxy to use, after `NO_PROXY` has been applied by the caller. The environment is not looked at.
    pub proxy: Option<url::Url>,
}

/// HTTP clients, kept so that the requests of a run share connections, and the system's CA store is read once.
#[derive(Debug)]
pub(crate) struct Clients {
    opened: Mutex<Opened>,
    advertised: Arc<Advertised>,
    silence: Duration,
}

/// What the first request needs and all others use again.
#[derive(Debug, Default)]
struct Opened {
    network: Option<Arc<Network>>,
    clients: HashMap<ClientKey, Client>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    ca_pem: Option<Vec<u8>>,
    proxy: Option<url::Url>,
}

/// A git transport to one repository, with the first error that HTTP had: gix wraps errors by text, we branch on them.
pub(crate) struct Connection<'stop> {
    pub(crate) transport: Transport<Wire<'stop>>,
    pub(crate) failures: wire::Failures,
    url: String,
    advertised: Arc<Advertised>,
}

impl<'stop> Connection<'stop> {
    /// Prepares; nothing is sent yet. Version 2 is asked for where refs are listed, so that the server filters them.
    /// Every wait for the server ends when `stop` is raised.
    pub(crate) fn new(
        clients: &Clients,
        remote: &Remote,
        branch: &str,
        protocol: gix_transport::Protocol,
        answer_bytes_max: u64,
        stop: &'stop AtomicBool,
    ) -> Result<Self, Error> {
        check_branch(branch)?;
        let url = checked_url(&remote.url)?;
        let (client, network) = clients.get(remote)?;
        let waiting = Waiting {
            network,
            silence: clients.silence,
            stop,
        };
        let failures = wire::Failures::default();
        let advertised = clients.advertised.clone();
        let wire = Wire::new(
            (client, waiting),
            &remote.token,
            answer_bytes_max,
            (failures.clone(), advertised.clone()),
        )?;
        Ok(Self {
            transport: Transport::new_http(wire, url, protocol, false),
            failures,
            url: remote.url.clone(),
            advertised,
        })
    }

    /// What really happened: HTTP's own error where there was one, else what gix says.
    pub(crate) fn explain(&self, error: &gix::Error) -> Error {
        self.advertised.forget(&self.url);
        self.failures.take().unwrap_or_else(|| Error::protocol(error))
    }
}

impl Clients {
    /// `silence`: how long a server may say nothing.
    pub(crate) fn new(silence: Duration) -> Self {
        Self {
            opened: Mutex::default(),
            advertised: Arc::default(),
            silence,
        }
    }

    fn get(&self, remote: &Remote) -> Result<(Client, Arc<Network>), Error> {
        let key = ClientKey {
            ca_pem: remote.ca_pem.clone(),
            proxy: remote.proxy.clone(),
        };
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let network = if let Some(network) = &opened.network {
            network.clone()
        } else {
            let network = Network::start().map_err(Error::io("starting the network thread"))?;
            opened.network.insert(Arc::new(network)).clone()
        };
        if let Some(client) = opened.clients.get(&key) {
            return Ok((client.clone(), network));
        }
        let client = build(&key)?;
        if opened.clients.len() >= CLIENTS_MAX {
            opened.clients.clear();
        }
        opened.clients.insert(key, client.clone());
        Ok((client, network))
    }
}

/// No bound on the whole of an answer: a large repository takes as long as it takes, each wait has its own.
fn build(key: &ClientKey) -> Result<Client, Error> {
    let settings = |error: reqwest::Error| Error::Settings { cause: chain(&error) };
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy();
    if let Some(pem) = &key.ca_pem {
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem).map_err(settings)?);
    }
    if let Some(proxy) = &key.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(settings)?);
    }
    builder.build().map_err(settings)
}

/// http and https only, and no user in it: what is in the URL could end in a log.
fn checked_url(text: &str) -> Result<gix::Url, Error> {
    let refuse = |why: &str| Error::Settings {
        cause: format!("clone URL: {why}"),
    };
    let url = gix::url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme, gix::url::Scheme::Https | gix::url::Scheme::Http) {
        return Err(refuse("only https and http are spoken"));
    }
    if url.user().is_some() || url.password().is_some() {
        return Err(refuse("it must not hold a user or password"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_are_spoken() {
        for bad in [
            "ssh://git@host/x.git",
            "ext::sh -c touch",
            "file:///etc",
            "/srv/x.git",
            "--upload-pack=x",
            "https://alice:secret@host/x.git",
        ] {
            assert!(matches!(checked_url(bad), Err(Error::Settings { .. })), "{bad}");
        }
        assert!(checked_url("https://host/bitbucket/scm/proj/demo.git").is_ok());
    }
}
