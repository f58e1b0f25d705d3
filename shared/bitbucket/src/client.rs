//! The client of one connection. What it can do is in the modules named after the thing: `pull_request`, `comment`,
//! `activity`, `diff`, `permission`, `bot`, `reaction`, `build_status`, `branch`, `links`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use config::{Connection, Proxy};
use secrecy::SecretString;
use url::Url;

use crate::bot::Bot;
use crate::error::Error;
use crate::fresh::Fresh;
use crate::limiter::{Limiter, RateLimit};

/// A connection is there or it is not: routes to a Bitbucket do not take longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest whole exchange; a diff of a large pull request takes Bitbucket a while.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(45);

/// Shorter than the 20 s after which Bitbucket's Tomcat closes idle connections, so that writes do not meet a
/// connection that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// What git asks in one operation: which protocol, which refs, and the pack.
const GIT_REQUESTS: u32 = 3;

/// Bitbucket's REST API as one bot sees it. Clones share connections, limiter and what was remembered.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share.
pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) token: SecretString,
    /// Without trailing slash, with the context path.
    pub(crate) base: String,
    pub(crate) base_url: Url,
    pub(crate) bot_user: Option<String>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) bot: Fresh<Bot>,
    /// Permissions whose filter was proven to be respected.
    pub(crate) respected: Fresh<String>,
}

impl Client {
    /// A client for a connection and the bot's token, with the default rate limit.
    ///
    /// The connection's CA is trusted beside the platform's. Its proxy, else the environment's as `proxy` gives it,
    /// is used; the environment itself is not read.
    pub fn new(connection: &Connection, token: SecretString, proxy: &Proxy) -> Result<Self, Error> {
        Self::with_rate_limit(connection, token, proxy, RateLimit::of(connection))
    }

    /// The same with another rate limit, for a bot that an administrator exempted from Bitbucket's. Clients of one
    /// connection share the limiter of the first that was made in this process.
    pub fn with_rate_limit(
        connection: &Connection,
        token: SecretString,
        proxy: &Proxy,
        limit: RateLimit,
    ) -> Result<Self, Error> {
        let base = connection.base_url.as_str().to_owned();
        let limiter = Limiter::shared(format!("{} {base}", connection.id), limit);
        Ok(Self {
            inner: Arc::new(Inner {
                http: http_client(connection, proxy)?,
                token,
                base_url: connection.base_url.url().clone(),
                base,
                bot_user: connection.bot_user.clone(),
                limiter,
                bot: Fresh::default(),
                respected: Fresh::default(),
            }),
        })
    }
}

impl Client {
    /// Waits for the turn of one fetch, push or look at a branch, whose requests git makes itself: Bitbucket counts
    /// them with the bot's others (bitbucket-dc.md 3.3). When the turn does not come within 30 s, git goes ahead, and
    /// Bitbucket says itself what it thinks of that.
    pub async fn admit_git(&self) {
        for _ in 0..GIT_REQUESTS {
            if self.inner.limiter.admit().await.is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.inner.base)
            .finish_non_exhaustive()
    }
}

fn http_client(connection: &Connection, proxy: &Proxy) -> Result<reqwest::Client, Error> {
    let settings = |cause: reqwest::Error| Error::Settings {
        cause: cause.without_url().to_string(),
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("openhands-resolver/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .pool_idle_timeout(IDLE_MAX)
        // Followed by hand, within the origin, and only for reads.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(url) = connection.proxy_url(proxy) {
        builder = builder.proxy(reqwest::Proxy::all(url).map_err(settings)?);
    }
    if let Some(pem) = &connection.ca_pem {
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem).map_err(settings)?);
    }
    builder.build().map_err(settings)
}
