//! Getting manifests and blobs.

use std::future::Future;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::call::Call;
use super::client::{Client, Target};
use super::error::name;
use super::mirror::{Search, Use};
use super::retry::{Failure, Patience, Tries};
use super::transfer::Transfer;
use super::{ConnectionKind, Direction, RawManifest, RegistryError};
use crate::image::{Descriptor, Digest, MediaType, Reference};

/// Largest manifest: what registries take (distribution spec, "Pushing Manifests").
const MANIFEST_LIMIT: usize = 4 << 20;
/// A download that got this far since its last failure is worth a new start of counting.
const WORTHWHILE: u64 = 64 << 10;

/// What we can build on.
const MANIFESTS: [&str; 4] =
    [MediaType::OCI_INDEX, MediaType::OCI_MANIFEST, MediaType::DOCKER_LIST, MediaType::DOCKER_MANIFEST];

impl Client {
    /// A manifest or an index by digest if the reference has one, else by tag.
    pub(super) async fn manifest(
        &self,
        reference: &Reference,
        direction: Direction,
        mirrors: Use,
    ) -> Result<RawManifest, RegistryError> {
        let what = |place: &Reference| format!("pull the manifest of {}", name(place));
        let expected = match reference.digest() {
            None => None,
            Some(text) => Some(text.parse::<Digest>().map_err(|_| RegistryError::Algorithm {
                what: what(reference),
                digest: super::error::plain(text),
            })?),
        };
        let mut search = Search::new(self, reference, mirrors);
        while let Some((place, patience)) = search.next() {
            let what = what(&place);
            let attempt = patience.retry(&self.events, || async {
                let target = self.target(&place, direction, what.clone()).await?;
                self.get_manifest(&target, &place, expected).await
            });
            match attempt.await {
                Ok(found) => {
                    self.mirrors.served(reference, &place);
                    return Ok(found);
                }
                Err(error) => search.failed(place, error),
            }
        }
        Err(search.error(what(reference)))
    }

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

    /// Streams a blob into `sink` with one pull of a Range after each broken connection, at the
    /// next place where one does not have it.
    ///
    /// Size and digest are checked before the last piece is handed on: whoever has got
    /// everything has got the right bytes. `sink` returns false to stop.
    pub(super) async fn fetch<S, F>(
        &self,
        from: &Reference,
        descriptor: &Descriptor,
        mirrors: Use,
        transfer: Option<&Transfer>,
        sink: S,
    ) -> Result<(), RegistryError>
    where
        S: FnMut(Bytes) -> F,
        F: Future<Output = bool>,
    {
        let what = |place: &Reference| format!("pull blob {} of {}", descriptor.digest.short(), name(place));
        let mut download =
            Download { descriptor, transfer, sink, hash: Sha256::new(), done: 0, verified: false };
        let mut search = Search::new(self, from, mirrors);
        while let Some((place, patience)) = search.next() {
            match self.fetch_from(&place, what(&place), patience, &mut download).await {
                Ok(()) => {
                    self.mirrors.served(from, &place);
                    return Ok(());
                }
                // What the sink took cannot be taken back.
                Err(error) if error.is_wrong_content() && download.done > 0 && search.has_more() => {
                    let mirror = name(&place);
                    self.mirrors.failed(from, &place, &error);
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
        let mut tries = Tries::new(patience);
        loop {
            let before = download.done;
            let attempt = async {
                let target = self.target(place, Direction::Pull, what.clone()).await?;
                download.go_on(self, &target).await
            };
            match attempt.await {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    if download.done - before >= WORTHWHILE {
                        tries.forget();
                    }
                    tries.pause(failure, &self.events).await?;
                }
            }
        }
    }
}

/// A blob on its way.
struct Download<'a, S> {
    descriptor: &'a Descriptor,
    transfer: Option<&'a Transfer>,
    sink: S,
    hash: Sha256,
    /// Bytes handed on.
    done: u64,
    verified: bool,
}

impl<S, F> Download<'_, S>
where
    S: FnMut(Bytes) -> F,
    F: Future<Output = bool>,
{
    /// Asks for what is left and hands it on.
    async fn go_on(&mut self, client: &Client, target: &Target) -> Result<(), Failure> {
        let path = format!("{}/blobs/{}", target.repository, self.descriptor.digest);
        let mut call = Call::get(target.endpoint.url(&path));
        if self.done > 0 {
            call = call.header(RANGE, HeaderValue::try_from(format!("bytes={}-", self.done)).expect("ASCII"));
        }
        let wanted = [StatusCode::OK, StatusCode::PARTIAL_CONTENT];
        let mut response = client.expect(target, &call, &wanted).await?;
        let mut skip = self.check_start(target, &response)?;
        while let Some(mut chunk) = client.chunk(target, &mut response).await? {
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let rest = chunk.split_off(skipped as usize);
            if !rest.is_empty() {
                self.hand_on(target, rest).await?;
            }
        }
        if self.done < self.descriptor.size {
            let reason = format!("the body ended after {} of {} bytes", self.done, self.descriptor.size);
            return Err(Failure::transient(RegistryError::Connection {
                what: target.what.clone(),
                host: super::endpoint::host(response.url()),
                reason,
                kind: ConnectionKind::Network,
            }));
        }
        if !self.verified {
            self.verify(target)?;
        }
        Ok(())
    }

    /// How much of the body we have already: all we had, from a registry that knows no ranges.
    fn check_start(&self, target: &Target, response: &Response) -> Result<u64, Failure> {
        let size = self.descriptor.size;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let start = range_start(response.headers());
            if start != Some(self.done) {
                let problem =
                    format!("asked for bytes from {}, it sends a range that starts elsewhere", self.done);
                return Err(target.protocol(problem).into());
            }
            return Ok(0);
        }
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if let Some(found) = length.filter(|length| *length != size) {
            return Err(RegistryError::Size { what: target.what.clone(), expected: size, found }.into());
        }
        Ok(self.done)
    }

    async fn hand_on(&mut self, target: &Target, piece: Bytes) -> Result<(), Failure> {
        let what = || target.what.clone();
        let (size, done) = (self.descriptor.size, self.done + piece.len() as u64);
        if done > size {
            return Err(RegistryError::Size { what: what(), expected: size, found: done }.into());
        }
        if done == size {
            let before = self.hash.clone();
            self.hash.update(&piece);
            if let Err(failure) = self.verify(target) {
                // Another place may send the right ones.
                self.hash = before;
                return Err(failure);
            }
        } else {
            self.hash.update(&piece);
        }
        if !(self.sink)(piece).await {
            return Err(RegistryError::Stopped { what: what() }.into());
        }
        self.done = done;
        if let Some(transfer) = self.transfer {
            transfer.progress(done);
        }
        Ok(())
    }

    fn verify(&mut self, target: &Target) -> Result<(), Failure> {
        let found = Digest::from_sha256(self.hash.clone().finalize().into());
        if found != self.descriptor.digest {
            let (what, expected) = (target.what.clone(), self.descriptor.digest);
            return Err(RegistryError::Digest { what, expected, found: found.to_string() }.into());
        }
        self.verified = true;
        Ok(())
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

/// The first byte of `Content-Range: bytes <first>-<last>/<size>`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes")?.trim().split('-').next()?.parse().ok()
}
