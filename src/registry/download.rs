//! One blob while it comes, through as many answers as it takes.

use std::future::Future;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::call::Call;
use super::client::{Client, Target};
use super::retry::Failure;
use super::transfer::Transfer;
use super::{ConnectionKind, RegistryError};
use crate::image::{Descriptor, Digest};

/// A blob on its way.
pub(super) struct Download<'a, S> {
    descriptor: &'a Descriptor,
    transfer: Option<&'a Transfer>,
    sink: S,
    hash: Sha256,
    /// Bytes handed on.
    pub(super) done: u64,
    verified: bool,
}

impl<'a, S, F> Download<'a, S>
where
    S: FnMut(Bytes) -> F,
    F: Future<Output = bool>,
{
    /// Nothing of it has come yet. `sink` returns false to stop.
    pub(super) fn new(descriptor: &'a Descriptor, transfer: Option<&'a Transfer>, sink: S) -> Self {
        Download { descriptor, transfer, sink, hash: Sha256::new(), done: 0, verified: false }
    }

    /// Asks for what is left and hands it on.
    pub(super) async fn go_on(&mut self, client: &Client, target: &Target) -> Result<(), Failure> {
        let path = format!("{}/blobs/{}", target.repository, self.descriptor.digest);
        let mut call = Call::download(target.endpoint.url(&path));
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

/// The first byte of `Content-Range: bytes <first>-<last>/<size>`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes")?.trim().split('-').next()?.parse().ok()
}
