//! Getting manifests and blobs.

use std::future::Future;
use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::future::select;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::mpsc;

use super::call::Call;
use super::client::{Client, Target};
use super::download::Download;
use super::error::name;
use super::mirror::{Search, Use};
use super::reader::{self, BlobReader, Piece};
use super::retry::{Failure, Patience, Tries};
use super::transfer::Transfer;
use super::{Direction, RawManifest, Registry, RegistryError, permit};
use crate::event::{TransferEnd, TransferKind};
use crate::image::{Descriptor, Digest, MediaType, Reference};

/// Largest manifest: what registries take (distribution spec, "Pushing Manifests").
const MANIFEST_LIMIT: usize = 4 << 20;
/// A download that got this far since its last failure is worth a new start of counting.
const WORTHWHILE: u64 = 64 << 10;

/// What we can build on.
const MANIFESTS: [&str; 4] =
    [MediaType::OCI_INDEX, MediaType::OCI_MANIFEST, MediaType::DOCKER_LIST, MediaType::DOCKER_MANIFEST];

impl Registry {
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
        let client = &self.client;
        let mirrors = match direction {
            Direction::Pull => self.mirrors,
            Direction::Push => Use::Origin,
        };
        let what = |place: &Reference| format!("pull the manifest of {}", name(place));
        let expected = match reference.digest() {
            None => None,
            Some(text) => Some(text.parse::<Digest>().map_err(|_| RegistryError::Algorithm {
                what: what(reference),
                digest: super::error::plain(text),
            })?),
        };
        let mut search = Search::new(client, reference, mirrors);
        while let Some((place, patience)) = search.next() {
            let what = what(&place);
            let attempt = patience.retry(&client.events, || async {
                let target = client.target(&place, direction, what.clone()).await?;
                client.get_manifest(&target, &place, expected).await
            });
            match attempt.await {
                Ok(found) => {
                    client.mirrors.served(reference, &place);
                    return Ok(found);
                }
                Err(error) => search.failed(place, error),
            }
        }
        Err(search.error(what(reference)))
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
            let what = format!("pull blob {} of {}", descriptor.digest.short(), name(from));
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
        self.reader_until(from, descriptor, Box::pin(std::future::pending()))
    }

    /// As [`reader`](Self::reader); when `end` comes first, the transfer ends, and reading fails.
    pub fn reader_until(
        &self,
        from: &Reference,
        descriptor: &Descriptor,
        end: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> BlobReader {
        let (send, receive) = mpsc::channel(reader::QUEUE);
        let (registry, from, descriptor) = (self.clone(), from.clone(), descriptor.clone());
        let permit = permit(&self.client.pulls);
        let work = async move {
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
        };
        self.client.handle.spawn(async move {
            // Whichever comes first drops the other; without a sender the reader fails.
            select(pin!(work), end).await;
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
        self.fetch(from, descriptor, Some(&transfer), sink).await?;
        transfer.finish(TransferEnd::Moved);
        Ok(())
    }

    /// Streams a blob into `sink` with one pull of a Range after each broken connection, at the
    /// next place where one does not have it.
    ///
    /// Size and digest are checked before the last piece is handed on: whoever has got
    /// everything has got the right bytes. `sink` returns false to stop.
    pub(super) async fn fetch<S, F>(
        &self,
        from: &Reference,
        descriptor: &Descriptor,
        transfer: Option<&Transfer>,
        sink: S,
    ) -> Result<(), RegistryError>
    where
        S: FnMut(Bytes) -> F,
        F: Future<Output = bool>,
    {
        let what = |place: &Reference| format!("pull blob {} of {}", descriptor.digest.short(), name(place));
        let mut download = Download::new(descriptor, transfer, sink);
        let mut search = Search::new(&self.client, from, self.mirrors);
        while let Some((place, patience)) = search.next() {
            match self.fetch_from(&place, what(&place), patience, &mut download).await {
                Ok(()) => {
                    self.client.mirrors.served(from, &place);
                    return Ok(());
                }
                // What the sink took cannot be taken back.
                Err(error) if error.is_wrong_content() && download.done > 0 && search.has_more() => {
                    let mirror = name(&place);
                    self.client.mirrors.failed(from, &place, &error);
                    let source = Box::new(error);
                    return Err(RegistryError::Mirror { what: what(from), mirror, source });
                }
                Err(error @ RegistryError::Stopped { .. }) => return Err(error),
                Err(error) => search.failed(place, error),
            }
        }
        Err(search.error(what(from)))
    }

    async fn fetch_from<S, F>(
        &self,
        place: &Reference,
        what: String,
        patience: Patience,
        download: &mut Download<'_, S>,
    ) -> Result<(), RegistryError>
    where
        S: FnMut(Bytes) -> F,
        F: Future<Output = bool>,
    {
        let client = &self.client;
        let mut tries = Tries::new(patience);
        loop {
            let before = download.done;
            let attempt = async {
                let target = client.target(place, Direction::Pull, what.clone()).await?;
                download.go_on(client, &target).await
            };
            match attempt.await {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    if download.done - before >= WORTHWHILE {
                        tries.forget();
                    }
                    tries.pause(failure, &client.events).await?;
                }
            }
        }
    }
}

impl Client {
    /// Asks for a manifest once.
    async fn get_manifest(
        &self,
        target: &Target,
        reference: &Reference,
        expected: Option<Digest>,
    ) -> Result<RawManifest, Failure> {
        let version = reference.digest().or(reference.tag()).unwrap_or("latest");
        let url = target.endpoint.url(&format!("{}/manifests/{version}", target.repository));
        let accept = HeaderValue::try_from(MANIFESTS.join(", ")).expect("media types are visible ASCII");
        let call = Call::get(url).header(ACCEPT, accept);
        let response = self.expect(target, &call, &[StatusCode::OK]).await?;
        let headers = response.headers().clone();
        let bytes = self.bounded(target, response, MANIFEST_LIMIT).await?;
        let digest = Digest::of(&bytes);
        // Without a digest in the reference, the registry's own word is what can be checked.
        let expected = expected.or_else(|| claimed_digest(&headers));
        if let Some(expected) = expected.filter(|e| *e != digest) {
            let found = digest.to_string();
            return Err(RegistryError::Digest { what: target.what.clone(), expected, found }.into());
        }
        Ok(RawManifest { media_type: manifest_type(&headers, &bytes), bytes, digest })
    }
}

/// The digest a registry says its answer has, if it is one we can check.
pub(super) fn claimed_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// The type of a manifest: the header's, or the document's own where the header is of no use.
fn manifest_type(headers: &HeaderMap, bytes: &[u8]) -> MediaType {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let header = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let header = MediaType::from(header.split(';').next().unwrap_or_default().trim());
    if header.is_manifest() || header.is_index() {
        return header;
    }
    let own = serde_json::from_slice::<Typed>(bytes).ok().and_then(|typed| typed.media_type);
    own.map_or(header, MediaType)
}
