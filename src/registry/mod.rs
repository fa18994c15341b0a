//! Registries over the OCI distribution API: pull, push, mount, retry, TLS.
//!
//! [`Registry`] is what others use; each of its methods is one operation that retries by
//! itself. Below it `pull` and `push` know the API, `client` sends one request, `auth` and
//! `token` convince the registry. Connections are [`crate::transport`]'s.

mod advice;
mod auth;
mod call;
mod challenge;
mod client;
mod endpoint;
mod error;
mod feed;
mod growing;
mod mirror;
mod pull;
mod push;
mod reader;
mod referrers;
mod retry;
mod tags;
mod token;
mod transfer;
mod web;
mod words;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub use crate::transport::{Network, Task};
pub(crate) use crate::transport::{kind as connection_kind, reason as connection_reason};
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
use crate::event::{Events, TransferEnd, TransferKind};
use crate::image::{Descriptor, Digest, MediaType, Reference};
use crate::keychain::Keychain;
use crate::transport::Transport;
use client::{Client, Limits};
use feed::Source;
use mirror::{Mirrors, Use};
use retry::Patience;

/// Blobs on their way in each direction.
const BLOBS: usize = 4;
/// Pushes that ask at the same time whether a blob is there, or can be mounted.
const QUESTIONS: usize = 32;

/// A manifest or an index as it came, with its digest checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The document.
    pub bytes: Vec<u8>,
    /// Its type, from the answer or from itself.
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// We sent it.
    Uploaded,
}

impl From<PushOutcome> for TransferEnd {
    fn from(outcome: PushOutcome) -> Self {
        match outcome {
            PushOutcome::Existed => TransferEnd::Existed,
            PushOutcome::Mounted => TransferEnd::Mounted,
            PushOutcome::Uploaded => TransferEnd::Moved,
        }
    }
}

/// A blob to push.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its type, digest and size. Registries check the digest.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: BlobContent,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub enum BlobContent {
    /// In memory: configs.
    Bytes(Bytes),
    /// In a file, opened when the registry is found to need it.
    Path(PathBuf),
    /// In an open file, with its name for errors.
    File(Arc<File>, PathBuf),
    /// In an open file from this offset on, such as an archive, with its name for errors.
    Part(Arc<File>, PathBuf, u64),
}

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

    /// A manifest or an index, at most 4 MiB, by digest if the reference has one. The digest is
    /// checked, against the registry's own word where the reference has none. A pull asks the
    /// mirrors first.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn manifest(
        &self,
        reference: &Reference,
        direction: Direction,
    ) -> Result<RawManifest, RegistryError> {
        let mirrors = match direction {
            Direction::Pull => self.mirrors,
            Direction::Push => Use::Origin,
        };
        self.client.manifest(reference, direction, mirrors).await
    }

    /// Streams a blob into `sink`, which returns false to stop. Size and digest are checked
    /// before the last piece is handed on. Mirrors are asked first.
    ///
    /// # Errors
    /// [`RegistryError`]; what `sink` got until then is worth nothing. After
    /// [`RegistryError::Mirror`] it is worth asking again.
    pub async fn blob<S, F>(
        &self,
        from: &Reference,
        descriptor: &Descriptor,
        sink: S,
    ) -> Result<(), RegistryError>
    where
        S: FnMut(Bytes) -> F,
        F: Future<Output = bool>,
    {
        let _permit = permit(&self.client.pulls).await;
        self.pull(from, descriptor, sink).await
    }

    /// A blob in memory, such as a config.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] if it has more than `limit` bytes; any other [`RegistryError`].
    pub async fn blob_bytes(
        &self,
        from: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        if descriptor.size > limit {
            let what = format!("pull blob {} of {}", descriptor.digest.short(), error::name(from));
            return Err(RegistryError::TooLarge { what, limit });
        }
        loop {
            let mut bytes = Vec::new();
            let sink = |piece: Bytes| {
                bytes.extend_from_slice(&piece);
                std::future::ready(true)
            };
            match self.blob(from, descriptor, sink).await {
                Ok(()) => return Ok(bytes),
                // Each time there is one place less.
                Err(RegistryError::Mirror { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A blob as an ordinary reader. The transfer begins at once, if no more than three others
    /// are under way; readers get their turn in the order they were made in.
    pub fn reader(&self, from: &Reference, descriptor: &Descriptor) -> BlobReader {
        let (send, receive) = mpsc::channel(reader::QUEUE);
        let (registry, from, descriptor) = (self.clone(), from.clone(), descriptor.clone());
        let permit = permit(&self.client.pulls);
        self.client.handle.spawn(async move {
            let _permit = permit.await;
            let sink = |bytes| {
                let send = send.clone();
                async move { send.send(Piece::Bytes(bytes)).await.is_ok() }
            };
            let end = match registry.pull(&from, &descriptor, sink).await {
                Ok(()) => Piece::End,
                Err(error) => Piece::Failed(error.into()),
            };
            // A reader that was dropped wants to know nothing.
            let _ = send.send(end).await;
        });
        BlobReader::new(receive)
    }

    async fn pull<S, F>(
        &self,
        from: &Reference,
        descriptor: &Descriptor,
        sink: S,
    ) -> Result<(), RegistryError>
    where
        S: FnMut(Bytes) -> F,
        F: Future<Output = bool>,
    {
        let transfer = self.transfer(TransferKind::Pull, descriptor);
        self.client.fetch(from, descriptor, self.mirrors, Some(&transfer), sink).await?;
        transfer.finish(TransferEnd::Moved);
        Ok(())
    }

    /// Whether a blob is in the repository of a reference.
    ///
    /// # Errors
    /// [`RegistryError`], but not for a registry that will not say: then false.
    pub async fn has_blob(
        &self,
        repository: &Reference,
        digest: &Digest,
        direction: Direction,
    ) -> Result<bool, RegistryError> {
        self.client.has_blob(repository, digest, direction).await
    }

    /// Tries the right to push, by opening an upload and cancelling it. The cancellation goes on
    /// after this returns.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn check_push(&self, repository: &Reference) -> Result<(), RegistryError> {
        self.client.check_push(repository).await
    }

    /// Puts a blob into the repository of `to`: not at all if it is there, by mount from one of
    /// `mount_from` (those of other registries are left out) if the registry does that, else by
    /// sending it.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn put_blob(
        &self,
        to: &Reference,
        blob: &Blob,
        mount_from: &[Reference],
    ) -> Result<PushOutcome, RegistryError> {
        let transfer = Arc::new(self.transfer(TransferKind::Push, &blob.descriptor));
        self.put(to, blob, mount_from, &transfer).await
    }

    async fn put(
        &self,
        to: &Reference,
        blob: &Blob,
        mount_from: &[Reference],
        transfer: &Arc<Transfer>,
    ) -> Result<PushOutcome, RegistryError> {
        let source = match &blob.content {
            BlobContent::Bytes(bytes) => Source::Bytes(bytes.clone()),
            BlobContent::File(file, path) => {
                Source::File { file: Some(file.clone()), path: path.clone(), start: 0 }
            }
            BlobContent::Part(file, path, start) => {
                Source::File { file: Some(file.clone()), path: path.clone(), start: *start }
            }
            BlobContent::Path(path) => Source::File { file: None, path: path.clone(), start: 0 },
        };
        let put = self.client.put_blob(to, &blob.descriptor, mount_from, source, transfer.clone());
        let outcome = put.await?;
        transfer.finish(outcome.into());
        Ok(outcome)
    }

    /// Brings a blob from one repository to another, of another registry perhaps: as
    /// [`put_blob`](Registry::put_blob), with the bytes streamed from `from` where they must be sent.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn copy_blob(
        &self,
        from: &Reference,
        to: &Reference,
        descriptor: &Descriptor,
    ) -> Result<PushOutcome, RegistryError> {
        let transfer = Arc::new(self.transfer(TransferKind::Copy, descriptor));
        let source = Source::Blob {
            client: self.client.clone(),
            mirrors: self.mirrors,
            from: Box::new(from.clone()),
            descriptor: Box::new(descriptor.clone()),
        };
        let mut mount_from = vec![from.clone()];
        if self.mirrors == Use::Mirrors {
            mount_from.extend(self.client.mirrors.served_from(from));
        }
        let put = self.client.put_blob(to, descriptor, &mount_from, source, transfer.clone());
        let outcome = put.await?;
        transfer.finish(outcome.into());
        Ok(outcome)
    }

    /// Puts a manifest or an index: by the tag of `to` if it has one, else by digest.
    ///
    /// # Errors
    /// [`RegistryError`]; [`RegistryError::Digest`] if the registry stored something else.
    pub async fn put_manifest(
        &self,
        to: &Reference,
        bytes: impl Into<Bytes>,
        media_type: &MediaType,
    ) -> Result<Digest, RegistryError> {
        self.client.put_manifest(to, bytes.into(), media_type).await
    }

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
