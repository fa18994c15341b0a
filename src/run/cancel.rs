//! Being asked to stop, from a signal handler to whoever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Whether somebody asked for the end; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicI32>);

impl Cancel {
    /// Nobody asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end, because of this signal.
    pub fn cancel(&self, signal: i32) {
        self.0.store(signal, Ordering::SeqCst);
    }

    /// Asks for the end because another part of the build failed; a signal that came first stays.
    pub fn abort(&self) {
        let _ = self.0.compare_exchange(0, libc::SIGTERM, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The signal that asked for the end.
    pub fn signal(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|s| *s != 0)
    }
}
