//! A large layer on its way to the destinations while it is packed.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use super::Uploads;
use crate::registry::{EarlyUpload, GrowingFile};

/// A layer's blob is sent before it is complete once it has so many bytes: below that there is
/// little to gain, and an upload is opened for nothing where the registry has the blob already.
const LARGE: u64 = 16 << 20;

/// A layer that is being packed. Dropped before its end, its uploads are cancelled.
pub(in crate::build) struct Following<'a> {
    uploads: &'a Uploads,
    state: Mutex<State>,
}

enum State {
    /// Nothing is sent until the layer is known to be large.
    Waiting,
    /// It is sent as it comes.
    Sending(Early),
    /// It is sent when it is complete, or not at all.
    Not,
}

/// The uploads of one layer that began before it was complete.
pub(in crate::build) struct Early {
    file: GrowingFile,
    /// Each with the position of its repository.
    uploads: Vec<(usize, EarlyUpload)>,
}

impl<'a> Following<'a> {
    /// Follows a layer that is going to be pushed, or one that is not.
    pub(super) fn new(uploads: &'a Uploads, pushed: bool) -> Self {
        let state = if pushed && !uploads.repositories.is_empty() { State::Waiting } else { State::Not };
        Following { uploads, state: Mutex::new(state) }
    }

    /// The first `size` bytes of the blob are in its file for good.
    pub(in crate::build) fn grown(&self, file: &File, size: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Waiting) && size >= LARGE {
            // Without another descriptor the layer is sent when it is complete.
            *state = file.try_clone().map_or(State::Not, |file| State::Sending(self.begin(file)));
        }
        if let State::Sending(early) = &*state {
            early.file.grow(size);
        }
    }

    /// One upload for each registry: its other repositories mount the blob from the first.
    fn begin(&self, file: File) -> Early {
        let file = GrowingFile::new(file);
        let repositories = &self.uploads.repositories;
        let first = |(at, to): &(usize, &crate::image::Reference)| {
            !repositories[..*at].iter().any(|earlier| earlier.registry() == to.registry())
        };
        let uploads = repositories.iter().enumerate().filter(first);
        let uploads = uploads.map(|(at, to)| (at, self.uploads.registry.begin_upload(to, &file))).collect();
        Early { file, uploads }
    }

    /// The layer is complete; its uploads, if any began.
    pub(in crate::build) fn complete(self) -> Uploading {
        let uploads = match self.state.into_inner().unwrap_or_else(PoisonError::into_inner) {
            State::Sending(early) => {
                early.file.complete();
                early.uploads
            }
            State::Waiting | State::Not => Vec::new(),
        };
        Uploading(uploads)
    }
}

/// What has been begun for a complete layer. Dropped, it is cancelled.
#[derive(Default)]
pub(in crate::build) struct Uploading(Vec<(usize, EarlyUpload)>);

impl Uploading {
    /// The upload to the repository at this position.
    pub(super) fn take(&mut self, at: usize) -> Option<EarlyUpload> {
        let found = self.0.iter().position(|(repository, _)| *repository == at)?;
        Some(self.0.swap_remove(found).1)
    }
}
