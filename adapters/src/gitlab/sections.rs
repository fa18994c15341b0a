//! Collapsible sections of the job log, with the time each takes.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use super::quality::{self, Findings};
use crate::cli::progress::{Markup, Place};

/// Seconds since 1970.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Collapsible sections of the job log.
pub(super) struct Sections {
    now: fn() -> u64,
    number: usize,
    findings: Arc<Mutex<Findings>>,
}

impl Sections {
    /// What checks find is put into `findings`.
    pub(super) fn new(now: fn() -> u64, findings: Arc<Mutex<Findings>>) -> Self {
        Sections { now, number: 0, findings }
    }
}

impl Markup for Sections {
    fn open(&mut self, title: &str) -> String {
        self.number += 1;
        format!("\x1b[0Ksection_start:{}:yadokari_step_{}\r\x1b[0K{title}\n", (self.now)(), self.number)
    }

    fn found(&mut self, place: &Place) -> String {
        quality::lock(&self.findings).add(place);
        String::new()
    }

    fn error(&mut self, place: &Place) -> String {
        // Of the errors only those of checks are matters of code, and not of this run.
        if place.id.is_some() {
            quality::lock(&self.findings).add(place);
        }
        String::new()
    }

    fn close(&mut self) -> String {
        format!("\x1b[0Ksection_end:{}:yadokari_step_{}\r\x1b[0K\n", (self.now)(), self.number)
    }
}
