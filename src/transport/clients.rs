//! HTTP clients: with and without proxies, and one for each kind of traffic.
//!
//! Questions share one connection by HTTP/2 where the server offers it. Bodies of blobs never do:
//! each has a connection of its own by HTTP/1.1, whose window is TCP's. By HTTP/2 all of a host
//! would share the few windows of its server, 64 KiB to 1 MiB until it answers, and one that
//! stalls would hold up the others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Proxy, Url, redirect};
use rustls::ClientConfig;

use super::dns::Resolver;
use super::reason;
use super::tls::CaFiles;
use crate::event::Events;

/// A registry that takes longer to accept a connection is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// What TLS offers to speak (RFC 7301), in the order of preference.
const QUESTIONS: [&[u8]; 2] = [b"h2", b"http/1.1"];
const BODIES: [&[u8]; 1] = [b"http/1.1"];

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Something small in both directions.
    Question,
    /// As much as there is, for as long as it takes.
    Body,
}

/// What clients are made of.
pub(super) struct Parts {
    pub(super) user_agent: String,
    pub(super) resolver: Arc<Resolver>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) ca_files: CaFiles,
    pub(super) events: Events,
    pub(super) http2: Http2,
}

/// The clients for one way to trust.
pub(super) struct Clients {
    direct: Kinds,
    proxied: Kinds,
}

struct Kinds {
    question: Client,
    body: Client,
}

impl Clients {
    pub(super) fn get(&self, direct: bool, traffic: Traffic) -> &Client {
        let kinds = if direct { &self.direct } else { &self.proxied };
        match traffic {
            Traffic::Question => &kinds.question,
            Traffic::Body => &kinds.body,
        }
    }
}

impl Parts {
    /// Clients with and without the environment's proxies.
    pub(super) fn clients(&self, tls: &ClientConfig) -> Result<Clients, String> {
        Ok(Clients { direct: self.kinds(tls, &[])?, proxied: self.kinds(tls, &self.proxies)? })
    }

    fn kinds(&self, tls: &ClientConfig, proxies: &[Proxy]) -> Result<Kinds, String> {
        let offering = |protocols: &[&[u8]]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            self.client(tls, proxies)
        };
        Ok(Kinds { question: offering(&QUESTIONS)?, body: offering(&BODIES)? })
    }

    /// A client that speaks what its TLS offers, and HTTP/1.1 without TLS.
    pub(super) fn client(&self, tls: ClientConfig, proxies: &[Proxy]) -> Result<Client, String> {
        let builder = Client::builder()
            .user_agent(&self.user_agent)
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.resolver.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            // Redirects are followed where credentials are known, so that none leaks.
            .redirect(redirect::Policy::none())
            .no_proxy();
        let builder = proxies.iter().cloned().fold(builder, ClientBuilder::proxy);
        builder.build().map_err(|e| reason(&e))
    }
}

/// Whether HTTP/2 is wanted, and with whom it did not work.
pub(super) struct Http2 {
    wanted: bool,
    broken: Mutex<HashSet<String>>,
}

impl Http2 {
    /// Wanted, unless `GODEBUG` says `http2client=0`: the switch that kaniko's users have.
    pub(super) fn from_environment() -> Self {
        let settings = std::env::var("GODEBUG").unwrap_or_default();
        Http2 { wanted: is_wanted(&settings), broken: Mutex::default() }
    }

    /// What to use for some traffic with the host of a URL.
    pub(super) fn traffic(&self, url: &Url, wanted: Traffic) -> Traffic {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wanted && !broken.contains(url.authority()) { wanted } else { Traffic::Body }
    }

    /// From now on the host of a URL is asked by HTTP/1.1; whether that is new.
    pub(super) fn give_up(&self, url: &Url) -> bool {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted && url.scheme() == "https" && broken.insert(url.authority().to_owned())
    }
}

/// The last setting of a name counts (Go's `internal/godebug`).
fn is_wanted(settings: &str) -> bool {
    let mut values = settings.split(',').rev().filter_map(|setting| setting.split_once('='));
    values.find(|(name, _)| *name == "http2client").is_none_or(|(_, value)| value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_of_go() {
        let cases = [
            ("", true),
            ("http2client=0", false),
            ("http2client=1", true),
            ("http2debug=1,http2client=0", false),
            ("http2client=0,http2client=1", true),
            ("http2client=1,http2client=0,x509ignoreCN=0", false),
            ("http2server=0", true),
            ("http2client", true),
        ];
        for (settings, wanted) in cases {
            assert_eq!(is_wanted(settings), wanted, "{settings}");
        }
    }

    #[test]
    fn a_host_that_cannot_do_it_is_remembered() {
        let http2 = Http2 { wanted: true, broken: Mutex::default() };
        let url = |text: &str| -> Url { text.parse().expect("a URL") };
        let (bad, good) = (url("https://r.example:5000/v2/"), url("https://r.example/v2/"));
        assert_eq!(http2.traffic(&bad, Traffic::Question), Traffic::Question);
        assert!(http2.give_up(&bad) && !http2.give_up(&url("https://r.example:5000/v2/a")));
        assert_eq!(http2.traffic(&bad, Traffic::Question), Traffic::Body);
        assert_eq!(http2.traffic(&good, Traffic::Question), Traffic::Question);
        assert!(!http2.give_up(&url("http://r.example/")), "plain HTTP never was HTTP/2");
        let off = Http2 { wanted: false, broken: Mutex::default() };
        assert_eq!(off.traffic(&good, Traffic::Question), Traffic::Body);
        assert!(!off.give_up(&good));
    }
}
