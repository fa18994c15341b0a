//! Sending a blob while it is being made: one streamed PATCH that follows the file, then the PUT
//! that names the digest. Bodies of unknown length are what `docker push` sends, so registries
//! take them; for one that does not, and for everything else that can go wrong, the blob is sent
//! from its file in the ordinary way.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::call::Call;
use super::client::Client;
use super::feed::{Feed, Source};
use super::retry::Failure;
use super::sessions::Session;
use super::transfer::Transfer;
use super::upload::{repository_name, session};
use super::{Blob, Direction, PushOutcome, Registry, RegistryError, permit};
use crate::event::TransferKind;
use crate::image::{Digest, Reference};

/// How far a file has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Bytes that are there and stay as they are.
    pub(super) bytes: u64,
    /// Whether that is all.
    pub(super) complete: bool,
}

/// A file that a blob is being written to. Dropped before it is complete, its uploads fail.
#[derive(Debug)]
pub struct GrowingFile {
    file: Arc<File>,
    progress: watch::Sender<Progress>,
}

impl GrowingFile {
    /// A file of which nothing is known to be there yet.
    pub fn new(file: File) -> Self {
        GrowingFile { file: Arc::new(file), progress: watch::Sender::new(Progress::default()) }
    }

    /// The first so many bytes are there, and stay as they are.
    pub fn grow(&self, bytes: u64) {
        self.progress.send_replace(Progress { bytes, complete: false });
    }

    /// What is there is all.
    pub fn complete(self) {
        self.progress.send_modify(|progress| progress.complete = true);
    }
}

/// An upload that began before its blob was complete. Dropped, it is cancelled.
#[derive(Debug)]
pub struct EarlyUpload(Sending);

/// One streamed request.
struct Sending {
    client: Arc<Client>,
    to: Reference,
    feed: Arc<Feed>,
    state: Arc<State>,
    request: JoinHandle<Result<(), Failure>>,
}

/// How far a streamed request has come.
#[derive(Default)]
struct State {
    /// Whether it had its turn.
    begun: AtomicBool,
    /// The upload, from when the registry opened it until somebody cares for its end.
    session: Mutex<Option<Session>>,
}

impl State {
    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sending")
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.request.abort();
        if let Some(session) = self.state.session().take() {
            self.client.abandon(session);
        }
    }
}

impl Registry {
    /// Begins to send a blob to the repository of `to` as far as its file has come. Whether that
    /// works shows in [`end_upload`](Registry::end_upload).
    pub fn begin_upload(&self, to: &Reference, file: &GrowingFile) -> EarlyUpload {
        let what = format!("push a layer to {}", repository_name(to));
        let feed = Feed::growing(what.clone(), file.file.clone(), file.progress.subscribe());
        let state = Arc::new(State::default());
        let permit = permit(&self.client.pushes);
        let request = {
            let (client, to, feed, state) = (self.client.clone(), to.clone(), feed.clone(), state.clone());
            async move {
                let _permit = permit.await;
                state.begun.store(true, Ordering::SeqCst);
                client.follow_file(&to, what, &feed, &state).await
            }
        };
        let request = self.client.handle.spawn(request);
        EarlyUpload(Sending { client: self.client.clone(), to: to.clone(), feed, state, request })
    }

    /// Brings an upload to its end, now that its blob is complete, and cancels it if the blob is
    /// there already. What cannot be brought to an end is sent as by
    /// [`put_blob`](Registry::put_blob).
    ///
    /// # Errors
    /// [`RegistryError`], where `put_blob` failed too.
    pub async fn end_upload(
        &self,
        upload: EarlyUpload,
        blob: &Blob,
        mount_from: &[Reference],
    ) -> Result<PushOutcome, RegistryError> {
        let EarlyUpload(sending) = upload;
        let to = sending.to.clone();
        let transfer = Arc::new(self.transfer(TransferKind::Push, &blob.descriptor));
        // One that still waits for its turn has sent nothing: it gets no further.
        if sending.state.begun.load(Ordering::SeqCst) {
            match self.end_sending(sending, &blob.descriptor.digest, &transfer).await {
                Ok(outcome) => {
                    transfer.finish(outcome.into());
                    return Ok(outcome);
                }
                Err(failure) => {
                    let text = format!("{}; sending the layer again from its file", failure.error);
                    self.client.events.info(text);
                }
            }
        } else {
            drop(sending);
        }
        self.put(&to, &blob.descriptor, (&blob.content).into(), mount_from, &transfer).await
    }

    /// Commits what was sent, unless the blob is there already.
    async fn end_sending(
        &self,
        mut sending: Sending,
        digest: &Digest,
        transfer: &Arc<Transfer>,
    ) -> Result<PushOutcome, Failure> {
        sending.feed.report_to(transfer.clone());
        if self.has_blob(&sending.to, digest, Direction::Push).await? {
            return Ok(PushOutcome::Existed);
        }
        sending.sent().await?;
        let open = sending.state.session().clone();
        let Some(session) = open else {
            return Err(RegistryError::Stopped { what: sending.feed.what().to_owned() }.into());
        };
        let what = format!("push blob {} to {}", digest.short(), repository_name(&sending.to));
        let target = self.client.target(&sending.to, Direction::Push, what.clone()).await?;
        let nothing = Source::Bytes(Bytes::new());
        let end = Feed::new(what, 0, nothing, None);
        self.client.put_body(&target, &session, digest, &end).await?;
        // It is no upload any more: nothing to cancel.
        sending.state.session().take();
        Ok(PushOutcome::Uploaded)
    }
}

impl Sending {
    /// Waits until everything was sent.
    async fn sent(&mut self) -> Result<(), Failure> {
        match (&mut self.request).await {
            Ok(end) => end,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(RegistryError::Stopped { what: self.feed.what().to_owned() }.into()),
            },
        }
    }
}

impl Client {
    /// Opens an upload and sends the file into it until it is complete.
    async fn follow_file(
        self: &Arc<Self>,
        to: &Reference,
        what: String,
        feed: &Arc<Feed>,
        state: &State,
    ) -> Result<(), Failure> {
        let target = self.target(to, Direction::Push, what).await?;
        let mut begun = self.open_session(&target).await?;
        *state.session() = Some(begun.clone());
        let call = Call::new(Method::PATCH, begun.url.clone()).feed(feed.clone());
        let wanted = [StatusCode::ACCEPTED, StatusCode::NO_CONTENT];
        let response = self.unless_closed(&target, self.expect(&target, &call, &wanted)).await?;
        // Each answer may move the upload.
        if response.headers().contains_key(LOCATION) {
            self.sessions.moved(&mut begun, session(&target, &response)?);
            *state.session() = Some(begun);
        }
        Ok(())
    }
}
