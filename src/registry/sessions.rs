//! Uploads that registries opened for us. Those that nobody brings to an end are cancelled, at the
//! latest when the build ends: a registry keeps them for days otherwise.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use reqwest::{Method, Url};
use tokio::sync::watch;

use super::call::Call;
use super::client::{Client, Target};
use super::retry::Failure;
use super::{Registry, RegistryError};

/// How long the end of a build waits for registries to take its leave.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it looks whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// An upload that a registry opened.
#[derive(Debug, Clone)]
pub(super) struct Session {
    number: u64,
    /// Where it goes on.
    pub(super) url: Url,
}

/// All uploads that are open.
#[derive(Default)]
pub(super) struct Sessions {
    next: AtomicU64,
    open: Mutex<HashMap<u64, (Target, Url)>>,
    /// Requests under way that open uploads or cancel them.
    busy: AtomicUsize,
    closed: watch::Sender<bool>,
}

/// One request under way.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, (Target, Url)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(&self.busy)
    }

    /// An upload was opened.
    pub(super) fn begun(&self, target: &Target, url: Url) -> Session {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(number, (target.clone(), url.clone()));
        Session { number, url }
    }

    /// An upload goes on elsewhere.
    pub(super) fn moved(&self, session: &mut Session, url: Url) {
        if let Some((_, place)) = self.open().get_mut(&session.number) {
            place.clone_from(&url);
        }
        session.url = url;
    }

    /// An upload is none any more: it became a blob, or the registry forgot it.
    pub(super) fn ended(&self, session: &Session) {
        self.open().remove(&session.number);
    }
}

impl Client {
    /// Sees a request that opens an upload to its end, even if nobody waits for it any more: what it
    /// opened could not be cancelled otherwise.
    ///
    /// # Errors
    /// Those of the request; [`RegistryError::Stopped`] at the end of the build.
    pub(super) async fn opening<T, F>(
        self: &Arc<Self>,
        target: &Target,
        request: impl FnOnce(Arc<Self>, Target) -> F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let stopped = || RegistryError::Stopped { what: target.what.clone() }.into();
        if *self.sessions.closed.borrow() {
            return Err(stopped());
        }
        let client = self.clone();
        let request = request(self.clone(), target.clone());
        let request = self.handle.spawn(async move {
            let _busy = client.sessions.busy();
            request.await
        });
        match request.await {
            Ok(end) => end,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(stopped()),
            },
        }
    }

    /// What a request with a body leads to, unless the build ends first.
    ///
    /// # Errors
    /// Those of the request; [`RegistryError::Stopped`] at the end of the build.
    pub(super) async fn unless_closed<T>(
        &self,
        target: &Target,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut closed = self.sessions.closed.subscribe();
        let end = std::pin::pin!(closed.wait_for(|closed| *closed));
        match select(std::pin::pin!(request), end).await {
            Either::Left((end, _)) => end,
            Either::Right(_) => Err(RegistryError::Stopped { what: target.what.clone() }.into()),
        }
    }

    /// Cancels an upload, if it is open. Failing to harms nobody but the registry's disk.
    pub(super) async fn cancel_session(&self, session: &Session) {
        let Some((target, url)) = self.sessions.open().remove(&session.number) else { return };
        let _busy = self.sessions.busy();
        if let Err(failure) = self.send(&target, &Call::new(Method::DELETE, url)).await {
            self.events.debug(format!("an upload stays open: {}", failure.error));
        }
    }

    /// The same beside everything else.
    pub(super) fn abandon(self: &Arc<Self>, session: Session) {
        let client = self.clone();
        self.handle.spawn(async move { client.cancel_session(&session).await });
    }

    async fn cancel_all(&self) {
        loop {
            let open: Vec<Session> = {
                let open = self.sessions.open();
                open.iter().map(|(number, (_, url))| Session { number: *number, url: url.clone() }).collect()
            };
            join_all(open.iter().map(|session| self.cancel_session(session))).await;
            if self.sessions.busy.load(Ordering::SeqCst) == 0 && self.sessions.open().is_empty() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Registry {
    /// Ends all uploads: those under way break off, and what is open at registries is cancelled, as
    /// far as they answer within two seconds. After that nothing can be uploaded.
    pub async fn close(&self) {
        self.client.sessions.closed.send_replace(true);
        if tokio::time::timeout(FAREWELL, self.client.cancel_all()).await.is_err() {
            self.client.events.debug("a registry does not answer: uploads may stay open there".to_owned());
        }
    }
}
