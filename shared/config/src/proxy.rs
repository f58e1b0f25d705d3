//! Proxies named by the environment, and what `NO_PROXY` excludes from them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

/// Proxies named by the environment; clients never read it themselves. May hold a proxy's password, so `Debug` leaves
/// it out.
#[derive(Clone, Default)]
pub struct Proxy {
    /// `HTTPS_PROXY`
    pub https: Option<Url>,
    /// `HTTP_PROXY`
    pub http: Option<Url>,
    /// `NO_PROXY`, as written.
    pub no_proxy: String,
}

impl Proxy {
    /// The proxy for a target, by its scheme, unless `NO_PROXY` excludes it.
    pub fn for_url(&self, target: &Url) -> Option<&Url> {
        let proxy = match target.scheme() {
            "https" => self.https.as_ref(),
            "http" => self.http.as_ref(),
            _ => None,
        }?;
        let host = target.host_str()?;
        let port = target.port_or_known_default()?;
        (!no_proxy_matches(&self.no_proxy, host, port)).then_some(proxy)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("https", &self.https.as_ref().map(without_password))
            .field("http", &self.http.as_ref().map(without_password))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Whether a `NO_PROXY` list excludes a host from proxying.
///
/// Entries are separated by commas or white space: `*`, a name (`example.com` and everything below it), a name with
/// leading dot (everything below it, and the name itself, as curl and Go read it), an address, a CIDR network, each
/// optionally with `:port`. Names are compared without regard to case; IPv6 addresses may stand in brackets.
pub fn no_proxy_matches(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.')
        .to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    no_proxy
        .split([',', ' ', '\t', '\n'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry_matches(&entry.to_lowercase(), &host, address, port))
}

fn entry_matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let (Ok(network), Some(address)) = (entry.parse::<IpNet>(), address) {
        return network.contains(&address);
    }
    let (name, entry_port) = split_port(entry);
    if entry_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return address == Some(wanted);
    }
    let name = name
        .trim_start_matches('*')
        .trim_start_matches('.')
        .trim_end_matches('.');
    // A suffix of an address is not a parent domain.
    !name.is_empty()
        && (host == name
            || (address.is_none() && host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))))
}

/// `name:port`, `[v6]:port`, or the whole; an unbracketed IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(bracketed) = entry.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').unwrap_or((bracketed, ""));
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// A URL for logs.
pub(crate) fn without_password(url: &Url) -> String {
    let mut shown = url.clone();
    // Only URLs without a host refuse this, and those have no password.
    if shown.set_password(None).is_err() || shown.set_username("").is_err() {
        return format!("{}:…", url.scheme());
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_curl_and_go_read_it() {
        for (list, host, port, expected) in [
            ("", "a.example.com", 443, false),
            ("*", "a.example.com", 443, true),
            ("example.com", "example.com", 443, true),
            ("example.com", "a.example.com", 443, true),
            ("example.com", "notexample.com", 443, false),
            (".example.com", "a.example.com", 443, true),
            (".example.com", "example.com", 443, true),
            ("*.example.com", "a.b.example.com", 443, true),
            ("EXAMPLE.com", "a.Example.COM", 443, true),
            ("example.com.", "example.com", 443, true),
            ("example.com:8443", "example.com", 8443, true),
            ("example.com:8443", "example.com", 443, false),
            ("10.0.0.0/8", "10.20.30.40", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("10.0.0.0/8", "10.example.com", 443, false),
            ("192.168.1.7", "192.168.1.7", 80, true),
            ("192.168.1.7:80", "192.168.1.7", 443, false),
            ("168.1.7", "192.168.1.7", 80, false),
            ("fd00::/8", "[fd00::1]", 443, true),
            ("::1", "[::1]", 7990, true),
            ("[::1]:7990", "::1", 7990, true),
            ("[::1]:7990", "::1", 7991, false),
            ("localhost, .corp ,10.0.0.0/8", "git.corp", 443, true),
            ("localhost .corp", "git.corp", 443, true),
            (",,", "git.corp", 443, false),
            (".", "git.corp", 443, false),
        ] {
            assert_eq!(
                no_proxy_matches(list, host, port),
                expected,
                "{list:?} on {host}:{port}"
            );
        }
    }

    #[test]
    fn a_proxy_is_chosen_by_scheme_and_its_password_is_not_shown() {
        let proxy = Proxy {
            https: Some(Url::parse("http://user:hunter2@proxy:3128").unwrap()),
            http: None,
            no_proxy: "internal".to_owned(),
        };
        let chosen = |target: &str| proxy.for_url(&Url::parse(target).unwrap()).is_some();
        assert!(chosen("https://bitbucket.example.com"));
        assert!(!chosen("http://bitbucket.example.com"));
        assert!(!chosen("https://git.internal"));
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }
}
