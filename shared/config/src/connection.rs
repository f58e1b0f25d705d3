//! A connection: one Bitbucket Data Center, one bot, some repositories.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use pipeline::ids::{ConnectionId, InstanceId};
use url::{Host, Url};

use crate::proxy::{Proxy, without_password};
use crate::repositories::RepositoryGlobs;
use crate::sections::{Mention, Permission, plain_url};

/// One `[[connection]]`.
#[derive(Clone)]
pub struct Connection {
    /// Part of the webhook URL, not a secret.
    pub id: ConnectionId,
    /// Where Bitbucket is, context path included.
    pub base_url: BaseUrl,
    /// The instance behind `base_url`; the same for every connection to it.
    pub instance: InstanceId,
    /// File with the bot's HTTP access token.
    pub bot_token_file: PathBuf,
    /// The bot's user name; read from Bitbucket when absent.
    pub bot_user: Option<String>,
    /// Author name of commits; the bot's name in Bitbucket when absent.
    pub commit_name: Option<String>,
    /// Author e-mail of commits; the bot's in Bitbucket when absent.
    pub commit_email: Option<String>,
    /// Files with webhook secrets: the first is current, the rest are still accepted.
    pub webhook_secret_files: Vec<PathBuf>,
    /// CA certificates of this Bitbucket, checked; trusted beside the platform's, for this connection only.
    pub ca_pem: Option<Vec<u8>>,
    /// Proxy of this connection; takes the place of the environment's.
    pub proxy: Option<Url>,
    /// The repositories it is for.
    pub repositories: RepositoryGlobs,
    /// Whether plain http beyond loopback was written out.
    pub allow_http: bool,
    /// Requests to its REST API that may come at once.
    pub request_burst: NonZeroU32,
    /// Requests per minute when the burst is used up.
    pub requests_per_minute: NonZeroU32,
    /// How people call the bot here.
    pub mention: Mention,
    /// Who may here.
    pub permission: Permission,
}

/// A Bitbucket's address: normalised, context path kept, no trailing slash.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    url: Url,
    text: String,
}

/// Why a text is not the base URL of a Bitbucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBaseUrl(String);

impl Connection {
    /// The proxy that requests to this Bitbucket go through: the connection's own, else the environment's unless
    /// `NO_PROXY` excludes the host.
    pub fn proxy_url(&self, environment: &Proxy) -> Option<Url> {
        self.proxy
            .clone()
            .or_else(|| environment.for_url(self.base_url.url()).cloned())
    }

    /// Whether requests cross a network without encryption.
    pub fn is_plain_http_beyond_loopback(&self) -> bool {
        self.base_url.scheme() == "http" && !self.base_url.is_loopback()
    }
}

impl BaseUrl {
    /// Reads a bare host, `host:port` or a URL, with or without context path; without a scheme it is https.
    pub fn parse(text: &str) -> Result<Self, InvalidBaseUrl> {
        let text = text.trim();
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let mut url = plain_url(&with_scheme, &["https", "http"]).map_err(InvalidBaseUrl)?;
        let path = url.path().trim_end_matches('/').to_owned();
        if path.contains("//") {
            return Err(InvalidBaseUrl(format!("{text:?} has an empty path segment")));
        }
        url.set_path(&path);
        let text = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, text })
    }

    /// `https://host[:port][/context]`, without trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As a URL. Append path segments to it; `Url::join` would lose the context path.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Whether it is this machine: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// The instance that has this address.
    pub fn instance(&self) -> InstanceId {
        InstanceId::of_base_url(&self.text)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("base_url", &self.base_url)
            .field("instance", &self.instance)
            .field("bot_token_file", &self.bot_token_file)
            .field("bot_user", &self.bot_user)
            .field("webhook_secret_files", &self.webhook_secret_files)
            .field("ca_pem", &self.ca_pem.as_ref().map(Vec::len))
            .field("proxy", &self.proxy.as_ref().map(without_password))
            .field("repositories", &self.repositories)
            .field("allow_http", &self.allow_http)
            .field("request_burst", &self.request_burst)
            .field("requests_per_minute", &self.requests_per_minute)
            .field("mention", &self.mention)
            .field("permission", &self.permission)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_way_to_write_a_base_url_becomes_one_form() {
        for (text, expected) in [
            ("bitbucket.example.com", "https://bitbucket.example.com"),
            ("bitbucket.example.com:7990", "https://bitbucket.example.com:7990"),
            (
                "bitbucket.example.com/bitbucket/",
                "https://bitbucket.example.com/bitbucket",
            ),
            (
                "https://BITBUCKET.Example.com:443/",
                "https://bitbucket.example.com",
            ),
            (
                "http://localhost:7990/bitbucket",
                "http://localhost:7990/bitbucket",
            ),
            ("https://host/a/b//", "https://host/a/b"),
            (" [::1]:7990 ", "https://[::1]:7990"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_base_url_is_refused() {
        for text in [
            "",
            "https://",
            "https://https://bitbucket.example.com",
            "ftp://bitbucket.example.com",
            "https://user:pw@bitbucket.example.com",
            "https://user@bitbucket.example.com",
            "https://bitbucket.example.com?x=1",
            "https://bitbucket.example.com/#x",
            "https://bitbucket.example.com//x",
            "https://bitbucket example.com",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text:?}");
        }
        assert!(
            !BaseUrl::parse("https://u:hunter2@h")
                .unwrap_err()
                .to_string()
                .contains("hunter2")
        );
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for (text, expected) in [
            ("http://localhost:1", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:1", true),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }
}
