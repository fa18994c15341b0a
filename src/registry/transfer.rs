//! One transfer as events see it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::event::{Event, Events, TransferEnd, TransferId, TransferKind};
use crate::image::Descriptor;

/// Bytes between two reports of progress.
const STEP: u64 = 512 << 10;

/// One transfer. Dropped before its end it counts as failed.
pub(crate) struct Transfer {
    id: TransferId,
    events: Events,
    total: Option<u64>,
    reported: AtomicU64,
    ended: AtomicBool,
}

impl Transfer {
    /// Reports the start.
    pub(super) fn start(events: &Events, number: u64, kind: TransferKind, blob: &Descriptor) -> Self {
        Self::of(events, number, kind, blob.digest.short(), Some(blob.size))
    }

    /// Reports the start of a transfer that people know by another name than a digest.
    pub(super) fn of(
        events: &Events,
        number: u64,
        kind: TransferKind,
        what: String,
        total: Option<u64>,
    ) -> Self {
        let id = TransferId(number);
        events.send(Event::TransferStarted { id, kind, what, total });
        Transfer {
            id,
            events: events.clone(),
            total,
            reported: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Reports that this many bytes were moved, not too often. A new attempt starts from less.
    pub(crate) fn progress(&self, bytes: u64) {
        let reported = self.reported.load(Ordering::Relaxed);
        if bytes < reported || bytes >= reported + STEP || Some(bytes) == self.total {
            self.reported.store(bytes, Ordering::Relaxed);
            self.events.send(Event::TransferProgress { id: self.id, bytes });
        }
    }

    /// Reports the end.
    pub(crate) fn finish(&self, end: TransferEnd) {
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
