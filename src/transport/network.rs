//! The threads that speak to the network.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};

/// Transfers wait for the network far more than they compute; two threads keep two cores busy
/// where they do.
const THREADS: usize = 2;

/// The threads that speak to the network. Everything else is ordinary blocking code and waits
/// with [`block_on`](Network::block_on) or [`Task::wait`].
///
/// Dropped, it ends all transfers without waiting for them.
#[derive(Debug)]
pub struct Network {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Network {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(8)
            .thread_name("network")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Network { runtime: Some(runtime), handle })
    }

    /// Waits for a future, from a thread that is not one of the network's.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Starts something that goes on beside the caller.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task { join: self.handle.spawn(future), handle: self.handle.clone() }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Something that goes on beside its starter. Dropped, it goes on.
#[derive(Debug)]
pub struct Task<T> {
    join: JoinHandle<T>,
    handle: Handle,
}

impl<T> Task<T> {
    /// Waits for the result, from a thread that is not one of the network's; none if the task
    /// was aborted or the network is gone. A panic of the task goes on here.
    pub fn wait(self) -> Option<T> {
        settled(self.handle.block_on(self.join))
    }

    /// Waits as [`wait`](Task::wait) does, but no longer than this.
    ///
    /// # Errors
    /// The task itself, if it is not done by then.
    pub fn wait_at_most(mut self, limit: Duration) -> Result<Option<T>, Self> {
        let join = &mut self.join;
        match self.handle.block_on(async { tokio::time::timeout(limit, join).await }) {
            Ok(end) => Ok(settled(end)),
            Err(_) => Err(self),
        }
    }

    /// Ends it at its next pause.
    pub fn abort(&self) {
        self.join.abort();
    }
}

/// How a task ended; a panic of its goes on here.
fn settled<T>(end: Result<T, JoinError>) -> Option<T> {
    match end {
        Ok(value) => Some(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}
