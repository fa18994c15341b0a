//! What requests to other servers than registries share with those to registries: TLS roots,
//! proxies, names, patience.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::mpsc;

use super::client::Client;
use super::error::plain;
use super::reader::{BlobReader, Piece, QUEUE};
use super::retry::Patience;
use super::{RegistryError, Transfer};
use crate::event::{Events, TransferKind};

/// The way to any server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    client: Arc<Client>,
}

impl Web {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Web { client }
    }

    /// The HTTP client for a URL; it follows no redirects.
    ///
    /// # Errors
    /// [`RegistryError::Setup`]
    pub(crate) fn http(&self, url: &Url) -> Result<&reqwest::Client, RegistryError> {
        Ok(self.client.transport.client(url)?)
    }

    /// The CA roots that HTTPS trusts, in PEM.
    pub(crate) fn roots_pem(&self) -> String {
        self.client.transport.roots_pem()
    }

    /// How often and how patiently a download is tried.
    pub(crate) fn patience(&self) -> Patience {
        self.client.download
    }

    /// How long silence is borne.
    pub(crate) fn silence(&self) -> Duration {
        self.client.limits.answer
    }

    /// Where news go.
    pub(crate) fn events(&self) -> &Events {
        &self.client.events
    }

    /// Reports the start of a download.
    pub(crate) fn transfer(&self, what: &str, total: Option<u64>) -> Transfer {
        let number = self.client.transfer_number();
        Transfer::of(self.events(), number, TransferKind::Fetch, plain(what), total)
    }

    /// Starts something that sends pieces, and gives the reader of them.
    pub(crate) fn reader<F>(&self, start: impl FnOnce(mpsc::Sender<Piece>) -> F) -> BlobReader
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (send, receive) = mpsc::channel(QUEUE);
        self.client.handle.spawn(start(send));
        BlobReader::new(receive)
    }
}
