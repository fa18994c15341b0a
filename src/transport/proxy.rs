//! `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, with the meaning they have for Go's programs
//! (golang.org/x/net/http/httpproxy), which is what people of container tools expect:
//! `ALL_PROXY` is not read, loopback addresses never use a proxy, and `NO_PROXY` knows ports.

use std::net::IpAddr;

use reqwest::{Proxy, Url};

use super::SetupError;

/// The environment's proxies, as they were at the start.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// Reads the upper-case variables first, as Go does.
    pub(super) fn from_environment() -> Self {
        let read = |upper: &str| {
            let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
            set(upper).or_else(|| set(&upper.to_ascii_lowercase()))
        };
        Proxies {
            http: read("HTTP_PROXY"),
            https: read("HTTPS_PROXY"),
            exceptions: parse_exceptions(&read("NO_PROXY").unwrap_or_default()),
        }
    }

    /// They, as clients take them.
    ///
    /// # Errors
    /// [`SetupError`] for a value that is no HTTP proxy.
    pub(super) fn parsed(&self) -> Result<Vec<Proxy>, SetupError> {
        let mut parsed = Vec::new();
        for (name, value) in [("HTTP_PROXY", &self.http), ("HTTPS_PROXY", &self.https)] {
            let Some(value) = value else { continue };
            let url = if value.contains("://") { value.clone() } else { format!("http://{value}") };
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(SetupError {
                    problem: format!("the proxy in {name} must be an http:// or https:// URL"),
                });
            }
            let proxy = if name == "HTTP_PROXY" { Proxy::http(url) } else { Proxy::https(url) };
            parsed.push(proxy.map_err(|e| SetupError {
                problem: format!("the proxy in {name} cannot be used: {}", super::reason(&e)),
            })?);
        }
        Ok(parsed)
    }

    /// Whether a URL is reached without a proxy.
    pub(super) fn bypass(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = url.port_or_known_default();
        let address: Option<IpAddr> = host.parse().ok();
        host == "localhost"
            || host.ends_with(".localhost")
            || address.is_some_and(|a| a.is_loopback())
            || self.exceptions.iter().any(|e| e.covers(&host, address, port))
    }
}

/// One entry of `NO_PROXY`.
#[derive(Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    Network { base: IpAddr, bits: u8 },
    Host { name: String, with_itself: bool, port: Option<u16> },
}

impl Exception {
    fn covers(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Exception::Everything => true,
            Exception::Network { base, bits } => address.is_some_and(|a| in_network(a, *base, *bits)),
            Exception::Host { name, with_itself, port: wanted } => {
                let same = *with_itself && host == name;
                let below = || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (same || below()) && (wanted.is_none() || *wanted == port)
            }
        }
    }
}

fn parse_exceptions(text: &str) -> Vec<Exception> {
    let entries = text.split(',').map(|e| e.trim().to_ascii_lowercase()).filter(|e| !e.is_empty());
    entries.map(|entry| parse_exception(&entry)).collect()
}

fn parse_exception(entry: &str) -> Exception {
    if entry == "*" {
        return Exception::Everything;
    }
    if let Some((base, bits)) = entry.split_once('/')
        && let (Ok(base), Ok(bits)) = (base.parse(), bits.parse())
    {
        return Exception::Network { base, bits };
    }
    if let Ok(base) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Exception::Network { base, bits: if base.is_ipv4() { 32 } else { 128 } };
    }
    let (name, port) = match entry.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (name, Some(port)),
        _ => (entry, None),
    };
    let name = name.trim_matches(['[', ']']);
    let below_only = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
    Exception::Host { name: below_only.unwrap_or(name).to_owned(), with_itself: below_only.is_none(), port }
}

fn in_network(address: IpAddr, base: IpAddr, bits: u8) -> bool {
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
            u32::from(a) & mask == u32::from(b) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0);
            u128::from(a) & mask == u128::from(b) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        let cases = [
            ("", "https://r.example", false),
            ("*", "https://r.example", true),
            ("r.example", "https://r.example", true),
            ("R.Example ,x", "https://r.example:5000", true),
            ("example", "https://r.example", true),
            ("xample", "https://r.example", false),
            (".r.example", "https://r.example", false),
            (".r.example", "https://a.r.example", true),
            ("*.r.example", "https://a.r.example", true),
            ("r.example:5000", "https://r.example:5000", true),
            ("r.example:5000", "https://r.example", false),
            ("r.example:443", "https://r.example", true),
            ("10.0.0.0/8", "http://10.1.2.3:5000", true),
            ("10.0.0.0/8", "http://11.1.2.3:5000", false),
            ("10.1.2.3", "http://10.1.2.3", true),
            ("0.0.0.0/0", "http://10.1.2.3", true),
            ("10.0.0.0/8", "http://ten.example", false),
            ("fd00::/8", "http://[fd12::1]:5000", true),
            ("fd00::/8", "http://[fe12::1]:5000", false),
            ("", "http://localhost:5000", true),
            ("", "http://a.localhost:5000", true),
            ("", "http://127.3.2.1", true),
            ("", "http://[::1]:5000", true),
        ];
        for (text, url, expected) in cases {
            let proxies = Proxies { exceptions: parse_exceptions(text), ..Proxies::default() };
            assert_eq!(proxies.bypass(&url.parse().expect("a URL")), expected, "'{text}' for {url}");
        }
    }

    #[test]
    fn what_is_no_proxy() {
        for value in ["socks5://p.example:1080", "ftp://p.example", "http://"] {
            let proxies = Proxies { https: Some(value.to_owned()), ..Proxies::default() };
            let text = proxies.parsed().expect_err(value).to_string();
            assert!(text.contains("HTTPS_PROXY") && !text.contains(value), "{text}");
        }
        let bare = Proxies { http: Some("p.example:3128".to_owned()), ..Proxies::default() };
        assert_eq!(bare.parsed().expect("a proxy").len(), 1);
    }
}
