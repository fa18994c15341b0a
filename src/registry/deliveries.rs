//! Blobs on their way to a repository: each goes there once, whoever wants it there.
//!
//! The same blob sent twice at the same time is more than waste: distribution writes the file that
//! says that a repository has a blob without care for its readers, and a manifest that is put at that
//! moment is refused for want of the blob.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, PoisonError};

use tokio::sync::Mutex;

use crate::image::{Digest, Reference};

/// What is held while a blob is looked for in a repository and sent there.
pub(super) type Turn = Arc<Mutex<()>>;

/// The blobs that were or are being sent, by repository.
#[derive(Debug, Default)]
pub(super) struct Deliveries(Lock<HashMap<(String, Digest), Turn>>);

impl Deliveries {
    /// The turn of a blob.
    pub(super) fn turn(&self, to: &Reference, digest: &Digest) -> Turn {
        let repository = format!("{}/{}", to.registry(), to.repository());
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry((repository, *digest)).or_default().clone()
    }
}
