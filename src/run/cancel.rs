//! Being asked to stop, from a signal handler to whoever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Whether somebody asked for the end; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicI32>,
    /// Who asks for the end of this and of more.
    whole: Option<Arc<Cancel>>,
}

impl Cancel {
    /// Nobody asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One for a part: it ends with the whole, and the whole goes on when it ends.
    pub fn part(&self) -> Cancel {
        Cancel { asked: Arc::default(), whole: Some(Arc::new(self.clone())) }
    }

    /// Asks for the end, because of this signal.
    pub fn cancel(&self, signal: i32) {
        self.asked.store(signal, Ordering::SeqCst);
    }

    /// Asks for the end because something failed; a signal that came first stays.
    pub fn abort(&self) {
        let _ = self.asked.compare_exchange(0, libc::SIGTERM, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The signal that asked for the end.
    pub fn signal(&self) -> Option<i32> {
        let own = Some(self.asked.load(Ordering::SeqCst)).filter(|s| *s != 0);
        own.or_else(|| self.whole.as_ref()?.signal())
    }

    /// What that signal is called.
    pub fn signal_name(&self) -> &'static str {
        name(self.signal().unwrap_or_default())
    }
}

/// What a signal that asks for the end is called.
pub(crate) fn name(signal: i32) -> &'static str {
    if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" }
}
