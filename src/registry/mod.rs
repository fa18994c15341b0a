//! Registries over the OCI distribution API: pull, push, mount, retry, TLS.
//!
//! [`Registry`] is what others use; each of its methods is one operation that retries by
//! itself (`pull`, `push`, `growing`, `tags`, `referrers`). Below them `download` and `upload` are
//! single requests and what their answers mean, `client` sends one, `auth` and `token` convince the
//! registry, `mirror` knows other places. Connections are [`crate::transport`]'s.

mod advice;
mod auth;
mod call;
mod challenge;
mod client;
mod content;
mod deliveries;
mod download;
mod endpoint;
mod error;
mod feed;
mod growing;
mod login;
mod mirror;
mod pull;
mod push;
mod reader;
mod referrers;
mod retry;
mod sessions;
mod tags;
mod token;
mod transfer;
mod upload;
mod web;
mod words;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use crate::transport::{Network, Task};
pub(crate) use crate::transport::{kind as connection_kind, reason as connection_reason};
pub use content::{Blob, BlobContent, PushOutcome, RawManifest};
pub use endpoint::Direction;
pub(crate) use error::plain;
pub use error::{ConnectionKind, RegistryError};
pub use growing::{EarlyUpload, GrowingFile};
pub use reader::BlobReader;
pub(crate) use reader::Piece;
pub use referrers::referrers_tag;
pub(crate) use retry::{Failure, Tries, is_transient, retry_after};
pub(crate) use transfer::Transfer;
pub(crate) use web::Web;
pub(crate) use words::own_words;

use crate::config::RegistryConfig;
use crate::event::{Events, TransferKind};
use crate::image::Descriptor;
use crate::keychain::Keychain;
use crate::transport::Transport;
use client::{Client, Limits};
use deliveries::Deliveries;
use mirror::{Mirrors, Use};
use retry::Patience;

/// Blobs on their way in each direction.
const BLOBS: usize = 4;
/// Pushes that ask at the same time whether a blob is there, or can be mounted.
const QUESTIONS: usize = 32;

/// Registries; cheap to clone.
#[derive(Clone)]
pub struct Registry {
    client: Arc<Client>,
    mirrors: Use,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Reads everything from files and environment that will be needed: CA roots, proxies,
    /// `/etc/resolv.conf` and `/etc/hosts`. Connects nowhere.
    ///
    /// # Errors
    /// [`RegistryError::Setup`]
    pub fn new(
        config: &RegistryConfig,
        keychain: Keychain,
        events: Events,
        network: &Network,
    ) -> Result<Self, RegistryError> {
        let download = Patience::with_more(config.download_retry);
        let upload = Patience::with_more(config.push_retry);
        Self::with(config, keychain, events, network, download, upload, Limits::default())
    }

    fn with(
        config: &RegistryConfig,
        keychain: Keychain,
        events: Events,
        network: &Network,
        download: Patience,
        upload: Patience,
        limits: Limits,
    ) -> Result<Self, RegistryError> {
        let handle = network.handle().clone();
        let client = Client {
            config: config.clone(),
            transport: Transport::new(config, &handle, &events)?,
            events,
            handle,
            tokens: token::Tokens::default(),
            pulls: Arc::new(Semaphore::new(BLOBS)),
            pushes: Arc::new(Semaphore::new(BLOBS)),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            deliveries: Deliveries::default(),
            sessions: sessions::Sessions::default(),
            download,
            upload,
            limits,
            mirrors: Mirrors::new(config),
            next_transfer: AtomicU64::new(0),
            keychain,
            endpoints: std::sync::Mutex::default(),
        };
        Ok(Registry { client: Arc::new(client), mirrors: Use::Mirrors })
    }

    /// The same registries without their mirrors, for what was written to the registry itself.
    #[must_use]
    pub fn without_mirrors(&self) -> Self {
        Registry { client: self.client.clone(), mirrors: Use::Origin }
    }

    /// Asks for the credentials of every place that images may still be pulled from: later the
    /// root may be an image's, and a credential helper its program. One that cannot be had is
    /// missed only when that place is asked.
    pub fn settle_credentials(&self) {
        for place in self.client.mirrors.all_wanted() {
            if let Err(error) = self.client.keychain.resolve(place.registry(), place.repository()) {
                self.client.events.debug(format!("credentials of {}: {error}", place.registry()));
            }
        }
    }

    /// How often a mirror sent something else than was asked for. What failed because of that is
    /// worth another attempt: the mirror is not asked again.
    pub fn lies(&self) -> u64 {
        self.client.mirrors.lies()
    }

    /// Requests to other servers than registries, over the same connections.
    pub(crate) fn web(&self) -> Web {
        Web::new(self.client.clone())
    }

    /// Reports the start of a transfer.
    fn transfer(&self, kind: TransferKind, descriptor: &Descriptor) -> Transfer {
        Transfer::start(&self.client.events, self.client.transfer_number(), kind, descriptor)
    }
}

/// A place among the transfers of a direction. The turn is taken now, not when the future is
/// first waited for: layers are unpacked in order, so the first must never wait for a later one.
fn permit(places: &Arc<Semaphore>) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send + use<> {
    let mut turn = Box::pin(places.clone().acquire_owned());
    let early = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    async move {
        // The semaphore is never closed, so there always is a permit.
        match early {
            Poll::Ready(permit) => permit.ok(),
            Poll::Pending => turn.await.ok(),
        }
    }
}
