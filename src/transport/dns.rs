//! Names to addresses, without the C library: a static executable must not load the NSS modules
//! of an image it stands in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::event::Events;

/// The name servers answered that there is no such name.
#[derive(Debug, thiserror::Error)]
#[error("the name '{name}' has no address")]
pub(super) struct NoSuchHost {
    name: String,
}

/// Answers from `/etc/hosts` and the name servers of `/etc/resolv.conf`, as they were at the start.
pub(super) struct Resolver {
    servers: Result<TokioResolver, String>,
}

impl Resolver {
    /// Reads both files. Must be called within the runtime that will use it.
    pub(super) fn new(events: &Events) -> Self {
        let servers = TokioResolver::builder_tokio().and_then(|mut builder| {
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        let servers = servers.map_err(|e| format!("/etc/resolv.conf has no usable name servers: {e}"));
        if let Err(problem) = &servers {
            // Fine where registries are addresses, or this machine.
            events.debug(problem.clone());
        }
        Resolver { servers }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        if is_localhost(name.as_str()) {
            // RFC 6761, 6.3: never asked from a server.
            let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Box::pin(async move { Ok(addresses(both.into_iter())) });
        }
        match &self.servers {
            Ok(resolver) => {
                let resolver = resolver.clone();
                Box::pin(async move {
                    let found = resolver.lookup_ip(name.as_str()).await.map_err(|e| {
                        if e.is_no_records_found() {
                            NoSuchHost { name: name.as_str().to_owned() }.into()
                        } else {
                            Box::<dyn std::error::Error + Send + Sync>::from(e)
                        }
                    })?;
                    let all: Vec<IpAddr> = found.iter().collect();
                    Ok(addresses(all.into_iter()))
                })
            }
            Err(problem) => {
                let problem = problem.clone();
                Box::pin(async move { Err(problem.into()) })
            }
        }
    }
}

/// The port is set by whoever connects.
fn addresses(all: impl Iterator<Item = IpAddr> + Send + 'static) -> Addrs {
    Box::new(all.map(|ip| SocketAddr::new(ip, 0)))
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_needs_no_server() {
        let resolver = Resolver { servers: Err("no servers".to_owned()) };
        for name in ["localhost", "a.LocalHost", "localhost."] {
            let found = resolver.resolve(name.parse().expect("a name")).await.expect("found");
            let found: Vec<SocketAddr> = found.collect();
            assert!(found.iter().all(|a| a.ip().is_loopback()) && found.len() == 2, "{found:?}");
        }
        let other = resolver.resolve("notlocalhost".parse().expect("a name")).await;
        assert_eq!(other.err().map(|e| e.to_string()), Some("no servers".to_owned()));
    }
}
