//! Where a registry is: scheme and host, and what it wants to see.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use reqwest::Url;

use super::challenge::Challenge;
use crate::config::RegistryConfig;
use crate::image::is_same_registry;

/// The host that serves Docker Hub's images.
const HUB: &str = "registry-1.docker.io";

/// Which way blobs and manifests go: settings and scopes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the registry to us.
    Pull,
    /// From us to the registry.
    Push,
}

/// How a registry is to be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// `host[:port]`
    pub(super) host: String,
    /// Whether plain HTTP will do where HTTPS does not answer.
    pub(super) plain: bool,
    /// Whether any certificate will do.
    pub(super) skip_verify: bool,
}

impl Route {
    /// The way to a registry that the settings want.
    pub(super) fn new(config: &RegistryConfig, registry: &str, direction: Direction) -> Self {
        let listed = |list: &[String]| list.iter().any(|entry| is_same_registry(entry, registry));
        let (plain, skip_verify) = match direction {
            Direction::Pull => (config.insecure_pull, config.skip_tls_verify_pull),
            Direction::Push => (config.insecure, config.skip_tls_verify),
        };
        Route {
            host: if is_same_registry(registry, HUB) { HUB.to_owned() } else { registry.to_owned() },
            plain: plain || listed(&config.insecure_registries) || is_local(registry),
            skip_verify: skip_verify || listed(&config.skip_tls_verify_registries),
        }
    }

    /// Whether this is a port of this machine. Without a port the two schemes would lead to two
    /// servers, of which the one for plain HTTP may be no registry.
    pub(super) fn is_loopback(&self) -> bool {
        let (host, port) = split_port(&self.host);
        match host.parse::<IpAddr>() {
            Ok(address) => port && address.is_loopback(),
            Err(_) => port && host.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// The host without brackets, and whether it has a port.
fn split_port(registry: &str) -> (&str, bool) {
    let in_brackets = registry.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match in_brackets {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    (host, port.is_some())
}

/// Registries that docker and go-containerregistry speak plain HTTP to without being told:
/// this machine, names in `.local`, and addresses of private IPv4 networks (RFC 1918).
fn is_local(registry: &str) -> bool {
    let host = split_port(registry).0.to_ascii_lowercase();
    match host.parse() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private(),
        Ok(IpAddr::V6(v6)) => v6.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost") || host.ends_with(".local"),
    }
}

/// A registry that answered.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The registry as people name it.
    pub(super) name: String,
    /// Scheme and host.
    pub(super) base: Url,
    pub(super) skip_verify: bool,
    challenge: Mutex<Option<Challenge>>,
}

impl Endpoint {
    pub(super) fn new(route: &Route, base: Url, challenge: Option<Challenge>) -> Self {
        Endpoint {
            name: route.host.clone(),
            base,
            skip_verify: route.skip_verify,
            challenge: Mutex::new(challenge),
        }
    }

    /// What the registry wants to see, as far as it said.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the registry wants to see; says whether that is new.
    pub(super) fn learn(&self, challenge: Challenge) -> bool {
        let mut known = self.challenge.lock().unwrap_or_else(PoisonError::into_inner);
        let new = known.as_ref() != Some(&challenge);
        *known = Some(challenge);
        new
    }

    /// The URL of a path below `/v2/`. Repository names, tags and digests hold nothing that would
    /// need escaping.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }

    /// Whether a URL is this registry's: its credentials go nowhere else.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Where an upload goes on, from a `Location` header; none if it makes no sense.
    ///
    /// Registries behind a proxy that ends TLS often think they are reached by plain HTTP: a
    /// Location on the registry's own host keeps the scheme we came by. To another host, an
    /// upload never goes in plain HTTP when the registry itself was reached by HTTPS.
    pub(super) fn location(&self, from: &Url, text: &str) -> Option<Url> {
        let mut url = from.join(text).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        if url.scheme() == "http" && self.base.scheme() == "https" {
            let same_port = url.port() == self.base.port();
            if url.host() != self.base.host() || !same_port || url.set_scheme("https").is_err() {
                return None;
            }
        }
        Some(url)
    }
}

/// The host of a URL, with its port where that is not the scheme's own.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_registries() {
        for local in [
            "localhost",
            "LOCALHOST:5000",
            "a.localhost",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "r.local",
            "r.local:5000",
            "10.0.0.1:5000",
            "192.168.1.1",
            "172.16.0.1",
        ] {
            assert!(is_local(local), "{local}");
        }
        for other in ["r.example", "localhost.example:5000", "128.0.0.1", "[fe80::1]", "172.32.0.1", "local"]
        {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn loopback_ports() {
        let is_loopback =
            |registry: &str| Route::new(&RegistryConfig::default(), registry, Direction::Push).is_loopback();
        for here in ["127.0.0.1:5000", "127.9.9.9:1", "[::1]:5000", "localhost:5000", "LocalHost:5000"] {
            assert!(is_loopback(here), "{here}");
        }
        for other in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "a.localhost:5000",
            "localhost.example:5000",
            "10.0.0.1:5000",
            "128.0.0.1:5000",
            "[::2]:5000",
            "r.local:5000",
            "r.example:5000",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn routes_follow_direction_and_host() {
        let config = RegistryConfig {
            insecure: true,
            skip_tls_verify_pull: true,
            insecure_registries: vec!["plain.example:5000".to_owned()],
            skip_tls_verify_registries: vec!["odd.example".to_owned()],
            ..RegistryConfig::default()
        };
        let route = |host: &str, direction| {
            let route = Route::new(&config, host, direction);
            (route.host.clone(), route.plain, route.skip_verify)
        };
        assert_eq!(route("r.example", Direction::Push), ("r.example".to_owned(), true, false));
        assert_eq!(route("r.example", Direction::Pull), ("r.example".to_owned(), false, true));
        assert_eq!(
            route("plain.example:5000", Direction::Pull),
            ("plain.example:5000".to_owned(), true, true)
        );
        assert_eq!(route("odd.example", Direction::Push), ("odd.example".to_owned(), true, true));
        assert_eq!(route("docker.io", Direction::Pull).0, "registry-1.docker.io");
    }

    #[test]
    fn locations() {
        let endpoint = |base: &str| {
            let route = Route { host: "r.example".to_owned(), plain: false, skip_verify: false };
            Endpoint::new(&route, base.parse().expect("a URL"), None)
        };
        let cases = [
            (
                "https://r.example",
                "/v2/a/blobs/uploads/1?s=2",
                Some("https://r.example/v2/a/blobs/uploads/1?s=2"),
            ),
            ("https://r.example", "1?s=2", Some("https://r.example/v2/a/blobs/uploads/1?s=2")),
            ("https://r.example", "http://r.example/x", Some("https://r.example/x")),
            ("https://r.example:8443", "http://r.example:8443/x", Some("https://r.example:8443/x")),
            ("https://r.example", "http://other.example/x", None),
            ("https://r.example", "https://other.example/x", Some("https://other.example/x")),
            ("http://r.example", "http://other.example/x", Some("http://other.example/x")),
            ("https://r.example", "ftp://r.example/x", None),
            ("https://r.example", "http://", None),
        ];
        for (base, location, expected) in cases {
            let endpoint = endpoint(base);
            let from = endpoint.url("a/blobs/uploads/");
            let found = endpoint.location(&from, location);
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{base} {location}");
        }
    }
}
