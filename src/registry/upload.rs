//! The requests that put blobs and manifests, one method each (distribution spec, "Pushing").

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::RegistryError;
use super::call::Call;
use super::client::{Client, Target};
use super::feed::Feed;
use super::pull::claimed_digest;
use super::retry::Failure;
use super::sessions::Session;
use crate::image::{Descriptor, Digest, MediaType, Reference};

/// What asking for a mount led to.
pub(super) enum Mount {
    /// The blob is there.
    Done,
    /// The registry opened an upload instead.
    Session(Session),
    /// It does not do it.
    Refused,
}

impl Client {
    /// Whether a blob is in a repository.
    pub(super) async fn head_blob(&self, target: &Target, digest: &Digest) -> Result<bool, Failure> {
        let url = target.endpoint.url(&format!("{}/blobs/{digest}", target.repository));
        let call = Call::new(Method::HEAD, url);
        let response = self.send(target, &call).await?;
        if super::retry::is_transient(response.status()) {
            return Err(self.refusal(target, &call, response).await);
        }
        // Storage behind a redirect, and registries that let us push but not look, may say
        // anything else: then the blob is sent, and that says what is really wrong.
        Ok(response.status() == StatusCode::OK)
    }

    /// Asks the registry to take the blob from each of these repositories in turn.
    pub(super) async fn mount(
        self: &Arc<Self>,
        target: &Target,
        to: &Reference,
        descriptor: &Descriptor,
        sources: &[Reference],
    ) -> Result<Mount, Failure> {
        let mut result = Mount::Refused;
        let near =
            |from: &&Reference| from.registry() == to.registry() && from.repository() != to.repository();
        for from in sources.iter().filter(near) {
            let next = self.mount_one(target, descriptor, from.repository()).await?;
            match (std::mem::replace(&mut result, next), &result) {
                (_, Mount::Done) => return Ok(Mount::Done),
                (Mount::Session(unused), Mount::Session(_)) => self.cancel_session(&unused).await,
                (Mount::Session(session), Mount::Refused) => result = Mount::Session(session),
                _ => {}
            }
        }
        Ok(result)
    }

    async fn mount_one(
        self: &Arc<Self>,
        target: &Target,
        descriptor: &Descriptor,
        from: &str,
    ) -> Result<Mount, Failure> {
        let mut target = target.clone();
        target.scopes = target.scopes.and_pull(from);
        let digest = descriptor.digest.to_string();
        let from = from.to_owned();
        let ask = |client: Arc<Self>, target| async move { client.ask_mount(target, &digest, &from).await };
        self.opening(&target, ask).await
    }

    async fn ask_mount(&self, target: Target, digest: &str, from: &str) -> Result<Mount, Failure> {
        let mut url = target.endpoint.url(&format!("{}/blobs/uploads/", target.repository));
        url.query_pairs_mut().append_pair("mount", digest).append_pair("from", from);
        let call = Call::post(url);
        let response = match self.send(&target, &call).await {
            Ok(response) => response,
            // No token for both repositories: without the other one we may still upload.
            Err(failure) if !failure.transient && matches!(*failure.error, RegistryError::Token { .. }) => {
                return Ok(Mount::Refused);
            }
            Err(failure) => return Err(failure),
        };
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Done),
            StatusCode::ACCEPTED => {
                Ok(Mount::Session(self.sessions.begun(&target, session(&target, &response)?)))
            }
            status if super::retry::is_transient(status) => Err(self.refusal(&target, &call, response).await),
            _ => Ok(Mount::Refused),
        }
    }

    /// Opens an upload: the cheapest request that needs the right to push.
    pub(super) async fn open_session(self: &Arc<Self>, target: &Target) -> Result<Session, Failure> {
        let ask = |client: Arc<Self>, target: Target| async move {
            let call = Call::post(target.endpoint.url(&format!("{}/blobs/uploads/", target.repository)));
            let response = client.expect(&target, &call, &[StatusCode::ACCEPTED]).await?;
            Ok(client.sessions.begun(&target, session(&target, &response)?))
        };
        self.opening(target, ask).await
    }

    /// Sends the whole blob in one PUT.
    pub(super) async fn put_body(
        &self,
        target: &Target,
        session: &Session,
        digest: &Digest,
        feed: &Arc<Feed>,
    ) -> Result<(), Failure> {
        let mut url = session.url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let call = Call::new(Method::PUT, url).feed(feed.clone());
        let wanted = [StatusCode::CREATED, StatusCode::OK, StatusCode::NO_CONTENT];
        let response = match self.unless_closed(target, self.expect(target, &call, &wanted)).await {
            // The session went away, with the instance that held it, or holds a part of an earlier
            // attempt: a new one will do.
            Err(mut failure) if is_lost_session(&failure) => {
                failure.transient = true;
                return Err(failure);
            }
            other => other?,
        };
        self.sessions.ended(session);
        check_claim(target, &response, digest)
    }

    /// Sends a manifest, and checks what the registry says that it stored.
    pub(super) async fn send_manifest(
        &self,
        target: &Target,
        version: &str,
        bytes: Bytes,
        media_type: &MediaType,
        digest: Digest,
    ) -> Result<(), Failure> {
        let url = target.endpoint.url(&format!("{}/manifests/{version}", target.repository));
        let content_type = HeaderValue::try_from(media_type.as_str())
            .map_err(|_| target.protocol("the manifest's media type is no header"))?;
        let call = Call::new(Method::PUT, url).header(CONTENT_TYPE, content_type).bytes(bytes);
        let wanted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        let response = match self.expect(target, &call, &wanted).await {
            // What it names was put before: another job is sending the same blob at this moment,
            // or the registry's storage does not know yet what its front said.
            Err(mut failure) if is_missing_blob(&failure) => {
                failure.transient = true;
                return Err(failure);
            }
            other => other?,
        };
        check_claim(target, &response, &digest)
    }
}

/// The upload that an answer opened.
pub(super) fn session(target: &Target, response: &Response) -> Result<Url, Failure> {
    let location = response.headers().get(LOCATION).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let location = location.ok_or_else(|| target.protocol("an upload without a Location"))?;
    let session = target.endpoint.location(response.url(), &location);
    session.ok_or_else(|| target.protocol("an upload whose Location makes no sense").into())
}

/// Registries need not say which digest they stored; if they do it must be ours.
fn check_claim(target: &Target, response: &Response, digest: &Digest) -> Result<(), Failure> {
    match claimed_digest(response.headers()).filter(|claimed| claimed != digest) {
        None => Ok(()),
        Some(claimed) => Err(RegistryError::Digest {
            what: target.what.clone(),
            expected: *digest,
            found: claimed.to_string(),
        }
        .into()),
    }
}

/// Whether an upload failed for the sake of its session (distribution spec, "Error Codes").
fn is_lost_session(failure: &Failure) -> bool {
    match &*failure.error {
        RegistryError::Status { status: 404 | 416, .. } => true,
        RegistryError::Status { status: 400, message, .. } => message.contains("BLOB_UPLOAD_"),
        _ => false,
    }
}

/// Whether a manifest was refused because a blob that it names is not there (distribution spec,
/// "Error Codes").
fn is_missing_blob(failure: &Failure) -> bool {
    match &*failure.error {
        RegistryError::Status { status: 400 | 404, message, .. } => message.contains("BLOB_UNKNOWN"),
        _ => false,
    }
}

/// A repository without the tag.
pub(super) fn repository_name(reference: &Reference) -> String {
    super::error::plain(&format!("{}/{}", reference.registry(), reference.repository()))
}
