//! Connections: names to addresses, TLS, proxies. All that it reads from files and the
//! environment it reads when it is made, because the root may be an image's later.

mod clients;
mod dns;
mod error;
mod host;
mod network;
mod proxy;
mod tls;

use std::sync::{Arc, OnceLock};

use reqwest::{Client, Url};
use rustls::AlertDescription;
use tokio::runtime::Handle;

pub(crate) use clients::Traffic;
pub use error::ConnectionKind;
pub(crate) use error::{SetupError, plain};
pub(crate) use host::Trust;
pub use network::{Network, Task};

use crate::config::RegistryConfig;
use crate::event::Events;
use clients::{Clients, Http2, Parts};
use dns::{NoSuchHost, Resolver};
use host::Host;
use proxy::Proxies;
use tls::CaFiles;

/// HTTP clients, one for each way to connect.
pub(crate) struct Transport {
    /// For plain HTTP without a proxy.
    plain: Client,
    checked: OnceLock<Result<Clients, String>>,
    unchecked: OnceLock<Result<Clients, String>>,
    hosts: Vec<Host>,
    exceptions: Proxies,
    parts: Parts,
}

impl Transport {
    /// Reads CA roots, proxies, `/etc/resolv.conf` and `/etc/hosts`.
    pub(crate) fn new(config: &RegistryConfig, handle: &Handle, events: &Events) -> Result<Self, SetupError> {
        // The resolver's sockets belong to this runtime.
        let _entered = handle.enter();
        let exceptions = Proxies::from_environment();
        let parts = Parts {
            user_agent: config.user_agent.clone(),
            resolver: Arc::new(Resolver::new(events)),
            proxies: exceptions.parsed()?,
            ca_files: CaFiles::read(&config.ca_paths, events)?,
            events: events.clone(),
            http2: Http2::from_environment(),
        };
        let plain = tls::none().and_then(|tls| parts.client(tls, &[]));
        let plain = plain.map_err(|problem| SetupError { problem })?;
        let (checked, unchecked) = Default::default();
        let hosts = Host::read(config)?;
        Ok(Transport { plain, checked, unchecked, hosts, exceptions, parts })
    }

    /// The client for services of this machine, in plain HTTP: never through a proxy.
    pub(crate) fn direct(&self) -> &Client {
        &self.plain
    }

    /// All CA roots that HTTPS trusts, in PEM, for programs that are given a file of them.
    pub(crate) fn roots_pem(&self) -> String {
        self.parts.ca_files.pem(&self.parts.events)
    }

    /// The client for a URL that is no registry's, in HTTP/1.1. The first one that may need TLS
    /// takes some milliseconds, for the CA roots.
    ///
    /// # Errors
    /// [`SetupError`]
    pub(crate) fn client(&self, url: &Url) -> Result<&Client, SetupError> {
        self.client_for(url, Trust { registry: "", skip_verify: false, own: false }, Traffic::Body)
    }

    /// The client for a URL of a registry, or one that it sends us to.
    ///
    /// # Errors
    /// [`SetupError`]
    pub(crate) fn client_for(
        &self,
        url: &Url,
        trust: Trust<'_>,
        traffic: Traffic,
    ) -> Result<&Client, SetupError> {
        let direct = self.exceptions.bypass(url) || self.parts.proxies.is_empty();
        if direct && url.scheme() == "http" {
            return Ok(&self.plain);
        }
        let clients = match self.hosts.iter().find(|host| host.is(trust.registry)) {
            Some(host) => host.clients(&self.parts, trust),
            None if trust.skip_verify => {
                self.unchecked.get_or_init(|| self.parts.clients(&tls::unchecked(None)?))
            }
            None => self.checked.get_or_init(|| {
                let roots = self.parts.ca_files.roots(&self.parts.events);
                self.parts.clients(&tls::checked(roots, None)?)
            }),
        };
        match clients {
            Ok(clients) => Ok(clients.get(direct, self.parts.http2.traffic(url, traffic))),
            Err(problem) => Err(SetupError { problem: problem.clone() }),
        }
    }

    /// A question to the host of a URL got no answer, perhaps for the sake of HTTP/2: from now on
    /// it is asked in HTTP/1.1. Whether that is new.
    pub(crate) fn give_up_http2(&self, url: &Url) -> bool {
        let is_new = self.parts.http2.give_up(url);
        if is_new {
            let host = url.authority();
            self.parts.events.debug(format!("{host} broke off: from now on it is asked in HTTP/1.1"));
        }
        is_new
    }
}

/// An error of a request with its causes, without the URL, which may hold tokens.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        let text = match e.downcast_ref::<reqwest::Error>() {
            Some(e) => reqwest_words(e),
            None => e.to_string(),
        };
        // Wrappers often repeat what they wrap, or say nothing ("client error (Connect)").
        let empty = text.starts_with("client error (");
        if !empty && words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        next = e.source();
    }
    plain(&words.join(": "))
}

fn reqwest_words(error: &reqwest::Error) -> String {
    let words = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the connection broke in the middle"
    } else if error.is_builder() {
        "wrong request"
    } else {
        "the request failed"
    };
    words.to_owned()
}

/// What a failed connection looks like.
pub(crate) fn kind(error: &reqwest::Error) -> ConnectionKind {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        match e.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(_)) => return ConnectionKind::Certificate,
            Some(rustls::Error::InvalidMessage(_)) => return ConnectionKind::NotTls,
            Some(rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            )) => return ConnectionKind::ClientCertificate,
            _ => {}
        }
        if e.is::<NoSuchHost>() {
            return ConnectionKind::Name;
        }
        // The source of an I/O error is not what it wraps, but the source of that.
        next = match e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => e.source(),
        };
    }
    ConnectionKind::Network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_set_up_when_it_is_needed() {
        let network = Network::new().expect("threads");
        let config = RegistryConfig::default();
        let transport = Transport::new(&config, network.handle(), &Events::none()).expect("right");
        let client = |url: &str, skip_verify| {
            let url: Url = url.parse().expect("a URL");
            let trust = Trust { registry: "127.0.0.1:5000", skip_verify, own: true };
            transport.client_for(&url, trust, Traffic::Question).map(drop).expect("a client");
        };
        client("http://127.0.0.1:5000/v2/", false);
        client("http://127.0.0.1:5000/v2/", true);
        assert!(transport.checked.get().is_none() && transport.unchecked.get().is_none());
        client("https://127.0.0.1:5000/v2/", true);
        assert!(transport.checked.get().is_none() && transport.unchecked.get().is_some());
        client("https://127.0.0.1:5000/v2/", false);
        assert!(transport.checked.get().is_some());
    }
}
