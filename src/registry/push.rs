//! Putting blobs and manifests.

use std::sync::Arc;

use bytes::Bytes;

use super::error::name;
use super::feed::{Feed, Source};
use super::mirror::Use;
use super::retry::Tries;
use super::transfer::Transfer;
use super::upload::{Mount, repository_name};
use super::{Blob, Direction, PushOutcome, Registry, RegistryError, permit};
use crate::event::TransferKind;
use crate::image::{Descriptor, Digest, MediaType, Reference};

impl Registry {
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
        let client = &self.client;
        let what = format!("look for blob {} in {}", digest.short(), repository_name(repository));
        let patience = match direction {
            Direction::Pull => client.download,
            Direction::Push => client.upload,
        };
        patience
            .retry(&client.events, || async {
                let target = client.target(repository, direction, what.clone()).await?;
                client.head_blob(&target, digest).await
            })
            .await
    }

    /// Tries the right to push, by opening an upload and cancelling it. The cancellation goes on
    /// after this returns.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn check_push(&self, repository: &Reference) -> Result<(), RegistryError> {
        let client = &self.client;
        let what = format!("push to {}", repository_name(repository));
        let session = client
            .upload
            .retry(&client.events, || async {
                let target = client.target(repository, Direction::Push, what.clone()).await?;
                client.open_session(&target).await
            })
            .await?;
        client.abandon(session);
        Ok(())
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
        self.put(to, &blob.descriptor, (&blob.content).into(), mount_from, &transfer).await
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
            registry: self.clone(),
            from: Box::new(from.clone()),
            descriptor: Box::new(descriptor.clone()),
        };
        let mut mount_from = vec![from.clone()];
        if self.mirrors == Use::Mirrors {
            mount_from.extend(self.client.mirrors.served_from(from));
        }
        self.put(to, descriptor, source, &mount_from, &transfer).await
    }

    /// Puts a blob into a repository by the cheapest way that works.
    pub(super) async fn put(
        &self,
        to: &Reference,
        descriptor: &Descriptor,
        source: Source,
        mount_from: &[Reference],
        transfer: &Arc<Transfer>,
    ) -> Result<PushOutcome, RegistryError> {
        let outcome = self.deliver(to, descriptor, source, mount_from, transfer).await?;
        transfer.finish(outcome.into());
        Ok(outcome)
    }

    async fn deliver(
        &self,
        to: &Reference,
        descriptor: &Descriptor,
        source: Source,
        mount_from: &[Reference],
        transfer: &Arc<Transfer>,
    ) -> Result<PushOutcome, RegistryError> {
        let client = &self.client;
        let what = format!("push blob {} to {}", descriptor.digest.short(), repository_name(to));
        // Who comes second finds the blob there.
        let turn = client.deliveries.turn(to, &descriptor.digest);
        let _turn = turn.lock().await;
        let asking = permit(&client.questions).await;
        if self.has_blob(to, &descriptor.digest, Direction::Push).await? {
            return Ok(PushOutcome::Existed);
        }
        let target = || client.target(to, Direction::Push, what.clone());
        let mount = || async { client.mount(&target().await?, to, descriptor, mount_from).await };
        let mut session = match client.upload.retry(&client.events, mount).await? {
            Mount::Done => return Ok(PushOutcome::Mounted),
            Mount::Session(session) => Some(session),
            Mount::Refused => None,
        };
        drop(asking);
        // Questions cost a round trip each; only bodies wait for each other.
        let _sending = permit(&client.pushes).await;
        let feed = Feed::new(what.clone(), descriptor.size, source, Some(transfer.clone()));
        let mut tries = Tries::new(client.upload);
        loop {
            let attempt = async {
                let target = target().await?;
                // After a failure nobody knows how far the session came: a new one is safe.
                let session = match session.take() {
                    Some(session) => session,
                    None => client.open_session(&target).await?,
                };
                let end = client.put_body(&target, &session, &descriptor.digest, &feed).await;
                if end.is_err() {
                    client.abandon(session);
                }
                end
            };
            match attempt.await {
                Ok(()) => return Ok(PushOutcome::Uploaded),
                Err(failure) => tries.pause(failure, &client.events).await?,
            }
        }
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
        let (client, bytes) = (&self.client, bytes.into());
        let digest = Digest::of(&bytes);
        let what = format!("push the manifest of {}", name(to));
        let version = match (to.tag(), to.digest()) {
            (Some(tag), _) => tag.to_owned(),
            (None, Some(named)) if named != digest.to_string() => {
                let found = named.to_owned();
                return Err(RegistryError::Digest { what, expected: digest, found });
            }
            (None, _) => digest.to_string(),
        };
        let put = |version: String| {
            let (bytes, what) = (bytes.clone(), &what);
            async move {
                let attempt = || async {
                    let target = client.target(to, Direction::Push, what.clone()).await?;
                    client.send_manifest(&target, &version, bytes.clone(), media_type, digest).await
                };
                client.upload.retry(&client.events, attempt).await
            }
        };
        match put(version).await {
            Err(error) if client.config.ignore_immutable_tags && error.is_immutable_tag() => {
                let there = self.manifest(to, Direction::Push).await.map(|found| found.digest);
                if there.as_ref().is_ok_and(|there| *there == digest) {
                    client.events.info(format!("{} is there already, and is this image", name(to)));
                    return Ok(digest);
                }
                // What is reported must be there to be pulled.
                put(digest.to_string()).await?;
                let there = there.map_or_else(|_| "what it was".to_owned(), |there| there.to_string());
                client.events.warn(format!(
                    "{} exists and cannot be moved: it stays {there}; this image is there only as {digest}",
                    name(to)
                ));
                Ok(digest)
            }
            end => end.map(|()| digest),
        }
    }
}
