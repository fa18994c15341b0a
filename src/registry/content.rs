//! What is pulled and pushed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::TransferEnd;
use crate::image::{Descriptor, Digest, MediaType};

/// A manifest or an index as it came, with its digest checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The document.
    pub bytes: Vec<u8>,
    /// Its type, from the answer or from itself.
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// We sent it.
    Uploaded,
}

impl From<PushOutcome> for TransferEnd {
    fn from(outcome: PushOutcome) -> Self {
        match outcome {
            PushOutcome::Existed => TransferEnd::Existed,
            PushOutcome::Mounted => TransferEnd::Mounted,
            PushOutcome::Uploaded => TransferEnd::Moved,
        }
    }
}

/// A blob to push.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its type, digest and size. Registries check the digest.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: BlobContent,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub enum BlobContent {
    /// In memory: configs.
    Bytes(Bytes),
    /// In a file, opened when the registry is found to need it.
    Path(PathBuf),
    /// In an open file, with its name for errors.
    File(Arc<File>, PathBuf),
    /// In an open file from this offset on, such as an archive, with its name for errors.
    Part(Arc<File>, PathBuf, u64),
}
