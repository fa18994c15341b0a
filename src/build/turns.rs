//! How many commands run at the same time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::run::Cancel;

/// A number of places, each for one command.
pub(super) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place that is taken until this goes.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(places: usize) -> Turns {
        Turns { free: Mutex::new(places.max(1)), freed: Condvar::new() }
    }

    /// Waits for a place; none if somebody asks for the end meanwhile.
    pub(super) fn take(&self, cancel: &Cancel) -> Option<Turn<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            if cancel.signal().is_some() {
                return None;
            }
            // A signal wakes nobody, so look now and then.
            let wait = Duration::from_millis(50);
            free = self.freed.wait_timeout(free, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
