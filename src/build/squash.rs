//! `--single-snapshot`: the changes of several steps as those of one.

use std::collections::BTreeMap;

use crate::layer::{Entry, Kind, View};

use super::Error;

/// What the one layer will hold.
#[derive(Default)]
pub(super) struct Held(BTreeMap<Vec<u8>, Entry>);

impl Held {
    /// Adds a step's entries: they replace earlier ones of the same path, and what is no
    /// directory, or gone, has nothing below it.
    pub(super) fn add(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if entry.kind != Kind::Directory {
                let mut below = entry.path.clone();
                below.push(b'/');
                self.0.retain(|path, _| !path.starts_with(&below));
            }
            self.0.insert(entry.path.clone(), entry);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything is gone.
    pub(super) fn has_deletions(&self) -> bool {
        self.0.values().any(|e| e.kind == Kind::Whiteout)
    }

    /// The entries, sorted, over the files the stage started with.
    pub(super) fn into_entries(self, start: &dyn View) -> Result<Vec<Entry>, Error> {
        let mut kept = Vec::with_capacity(self.0.len());
        for entry in self.0.into_values() {
            let there =
                || start.node(&entry.path).map_err(|e| Error::other(format!("cannot look at a base: {e}")));
            if entry.kind != Kind::Whiteout || there()?.is_some() {
                kept.push(entry);
            }
        }
        Ok(kept)
    }
}
