//! TLS settings of single registries: roots of their own, and certificates that they check.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::SetupError;
use super::clients::{Clients, Parts};
use super::tls::{self, bytes_of, unreadable};
use crate::config::RegistryConfig;
use crate::image::is_same_registry;

/// How a registry wants to be connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust<'a> {
    /// The registry for which one connects, `host[:port]`.
    pub(crate) registry: &'a str,
    /// Whether any certificate will do.
    pub(crate) skip_verify: bool,
    /// Whether it is the registry, or its token server, and may be shown who we are.
    pub(crate) own: bool,
}

/// The settings of one registry.
pub(super) struct Host {
    name: String,
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Arc<SingleCertAndKey>>,
    /// By whether certificates are checked, and whether we show ours.
    clients: [OnceLock<Result<Clients, String>>; 4],
}

impl Host {
    /// Reads the files of all registries that have some.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub(super) fn read(config: &RegistryConfig) -> Result<Vec<Host>, SetupError> {
        let mut hosts: Vec<Host> = Vec::new();
        for (name, path) in &config.certificates {
            let roots = certificates(path)?;
            host(&mut hosts, name).roots.extend(roots);
        }
        for shown in &config.client_certificates {
            let identity = identity(&shown.certificate, &shown.key)?;
            host(&mut hosts, &shown.registry).identity = Some(identity);
        }
        Ok(hosts)
    }

    /// Whether these are the settings of a registry.
    pub(super) fn is(&self, registry: &str) -> bool {
        is_same_registry(&self.name, registry)
    }

    /// The clients for requests to it, or to where it sends us.
    pub(super) fn clients(&self, parts: &Parts, trust: Trust<'_>) -> &Result<Clients, String> {
        let slot = &self.clients[usize::from(trust.skip_verify) * 2 + usize::from(trust.own)];
        slot.get_or_init(|| {
            let shown = self.identity.clone().filter(|_| trust.own);
            let config = if trust.skip_verify {
                tls::unchecked(shown)?
            } else {
                let mut roots = parts.ca_files.roots(&parts.events);
                roots.add_parsable_certificates(self.roots.iter().cloned());
                tls::checked(roots, shown)?
            };
            parts.clients(&config)
        })
    }
}

/// The settings of a registry among these, new ones if it has none yet.
fn host<'a>(hosts: &'a mut Vec<Host>, name: &str) -> &'a mut Host {
    let at = hosts.iter().position(|host| host.is(name)).unwrap_or(hosts.len());
    if at == hosts.len() {
        let (roots, clients) = (Vec::new(), Default::default());
        hosts.push(Host { name: name.to_owned(), roots, identity: None, clients });
    }
    &mut hosts[at]
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let text = bytes_of(path).map_err(|problem| SetupError { problem })?;
    let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|e| SetupError { problem: unreadable(path, &e) })?;
    if all.is_empty() {
        return Err(SetupError { problem: format!("{} holds no certificate in PEM", path.display()) });
    }
    Ok(all)
}

fn identity(certificate: &Path, key: &Path) -> Result<Arc<SingleCertAndKey>, SetupError> {
    let chain = certificates(certificate)?;
    let text = bytes_of(key).map_err(|problem| SetupError { problem })?;
    // The text of the error is of the form, never of the key.
    let key_der = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| SetupError { problem: format!("{} holds no private key in PEM", key.display()) })?;
    let identity = CertifiedKey::from_der(chain, key_der, &ring::default_provider());
    let identity = identity.map_err(|e| SetupError {
        problem: format!("{} and {} cannot be used together: {e}", certificate.display(), key.display()),
    })?;
    Ok(Arc::new(SingleCertAndKey::from(identity)))
}
