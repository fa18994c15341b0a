//! One transfer as events see it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::event::{Event, Events, TransferEnd, TransferId, TransferKind};
use crate::image::Descriptor;

/// Bytes between two reports of progress.
const STEP: u64 = 512 << 10;

/// One transfer. Dropped before its end it counts as failed.
pub(super) struct Transfer {
    id: TransferId,
    events: Events,
    total: u64,
    reported: AtomicU64,
    ended: AtomicBool,
}

impl Transfer {
    /// Reports the start.
    pub(super) fn start(events: &Events, number: u64, kind: TransferKind, blob: &Descriptor) -> Self {
        let id = TransferId(number);
        events.send(Event::TransferStarted { id, kind, what: blob.digest.short(), total: Some(blob.size) });
        Transfer {
            id,
            events: events.clone(),
            total: blob.size,
            reported: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Reports that this many bytes were moved, not too often. A new attempt starts from less.
    pub(super) fn progress(&self, bytes: u64) {
        let reported = self.reported.load(Ordering::Relaxed);
        if bytes < reported || bytes >= reported + STEP || bytes == self.total {
            self.reported.store(bytes, Ordering::Relaxed);
            self.events.send(Event::TransferProgress { id: self.id, bytes });
        }
    }

    /// Reports the end.
    pub(super) fn finish(&self, end: TransferEnd) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.events.send(Event::TransferFinished { id: self.id, end });
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.finish(TransferEnd::Failed);
    }
}
