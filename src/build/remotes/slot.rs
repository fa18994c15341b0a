//! One source on its way, and who waits for it.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::Error;
use super::{Came, Fetched, Source};
use crate::fetch::Version;
use crate::plan::Place;
use crate::run::Cancel;

/// How often a wait looks whether somebody asked for the end.
const LOOK: Duration = Duration::from_millis(100);

/// One source.
pub(super) struct Slot {
    pub(super) source: Source,
    /// Where it is written.
    pub(super) directory: PathBuf,
    /// Who named it first.
    pub(super) place: Place,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    stage: Stage,
    /// What the server said of the file.
    version: Option<Version>,
    /// Whether something else came than keys were made of.
    changed: bool,
}

#[derive(Default)]
enum Stage {
    /// Nothing is known.
    #[default]
    Asked,
    /// It is known what it is, and nobody needed it yet.
    Known(String),
    /// It is known what it is, and it is on its way.
    Coming(String),
    /// It is there, or will never be.
    Done(Result<Arc<Fetched>, Error>),
}

impl Slot {
    pub(super) fn new(source: Source, directory: PathBuf, place: Place) -> Slot {
        Slot { source, directory, place, progress: Mutex::default(), changed: Condvar::new() }
    }

    /// Says what the source is, without it.
    pub(super) fn know(&self, content: String, version: Option<Version>) {
        *self.progress() = Progress { stage: Stage::Known(content), version, changed: false };
        self.changed.notify_all();
    }

    /// Whether a source of which only is known what it is shall come now; true once.
    pub(super) fn begins(&self) -> bool {
        let mut progress = self.progress();
        let Stage::Known(content) = &mut progress.stage else { return false };
        let content = std::mem::take(content);
        progress.stage = Stage::Coming(content);
        true
    }

    /// Says how fetching it ended.
    pub(super) fn finish(&self, outcome: Result<Came, Error>) {
        let mut progress = self.progress();
        let changed = match (&progress.stage, &outcome) {
            (Stage::Coming(content), Ok((came, _))) => *content != came.content,
            _ => false,
        };
        let (stage, version) = match outcome {
            Ok((came, version)) => (Ok(Arc::new(came)), version),
            Err(error) => (Err(error), None),
        };
        *progress = Progress { stage: Stage::Done(stage), version, changed };
        drop(progress);
        self.changed.notify_all();
    }

    /// Whether something else came than keys were made of.
    pub(super) fn has_changed(&self) -> bool {
        self.progress().changed
    }

    /// What the server said of the file, as far as it did.
    pub(super) fn version(&self) -> Option<Version> {
        self.progress().version.clone()
    }

    /// Waits until it is known what the source is, for keys to be made of it.
    pub(super) fn content(&self, cancel: &Cancel) -> Result<String, Error> {
        self.wait_until(cancel, |progress| match &progress.stage {
            Stage::Asked => None,
            Stage::Known(content) | Stage::Coming(content) => Some(Ok(content.clone())),
            Stage::Done(Ok(fetched)) => {
                progress.changed = false;
                Some(Ok(fetched.content.clone()))
            }
            Stage::Done(Err(error)) => Some(Err(error.again())),
        })
    }

    /// Waits until the source is there.
    pub(super) fn wait(&self, cancel: &Cancel) -> Result<Arc<Fetched>, Error> {
        self.wait_until(cancel, |progress| match &progress.stage {
            Stage::Done(Ok(fetched)) => Some(Ok(fetched.clone())),
            Stage::Done(Err(error)) => Some(Err(error.again())),
            Stage::Asked | Stage::Known(_) | Stage::Coming(_) => None,
        })
    }

    fn wait_until<T>(
        &self,
        cancel: &Cancel,
        look: impl Fn(&mut Progress) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut progress = self.progress();
        loop {
            if let Some(signal) = cancel.signal() {
                return Err(Error::cancelled(signal));
            }
            if let Some(found) = look(&mut progress) {
                return found;
            }
            progress = self.changed.wait_timeout(progress, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
