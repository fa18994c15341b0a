//! What is kept while a build goes on.

use std::path::PathBuf;

use tokio::sync::watch;

use super::CacheError;
use super::local::LocalCache;
use super::record::Record;
use crate::image::Reference;
use crate::registry::Registry;

/// Where a layer's bytes are taken from.
#[derive(Debug, Clone)]
pub enum LayerSource {
    /// A file, and repositories that have it too, or will.
    File {
        /// The file.
        path: PathBuf,
        /// The repositories.
        mount_from: Vec<Reference>,
    },
    /// Another repository.
    Repository(Reference),
}

/// The result of a step, to be kept.
#[derive(Debug, Clone)]
pub struct Made {
    /// The record.
    pub record: Record,
    /// The layer.
    pub layer: LayerSource,
    /// Becomes true, or goes away, when the layer is in the repositories it can be mounted from.
    pub ready: Option<watch::Receiver<bool>>,
    /// Whether the layer is one of the image.
    pub in_image: bool,
}

/// Waits until a layer can be mounted.
pub(super) async fn wait_for(ready: Option<watch::Receiver<bool>>) {
    if let Some(mut ready) = ready {
        // A sender that is gone sends nothing more: then the layer is uploaded from its file.
        let _ = ready.wait_for(|done| *done).await;
    }
}

/// Puts a layer and its record into a directory.
pub(super) async fn store_locally(
    cache: LocalCache,
    registry: Registry,
    record: Record,
    layer: LayerSource,
) -> Result<(), CacheError> {
    let from = match layer {
        LayerSource::File { path, .. } => Ok(path),
        LayerSource::Repository(from) => Err(from),
    };
    let fetched = match &from {
        _ if cache.has_layer(&record.layer) => None,
        Err(from) => Some(fetch(&cache, &registry, from, &record).await?),
        Ok(_) => None,
    };
    let stored = tokio::task::spawn_blocking(move || match (&fetched, &from) {
        (Some(file), _) => cache.store(&record, file.path()),
        (None, Ok(path)) => cache.store(&record, path),
        (None, Err(_)) => cache.store_record(&record),
    });
    stored.await.map_err(|e| CacheError::Garbage(format!("a thread ended early: {e}")))?
}

async fn fetch(
    cache: &LocalCache,
    registry: &Registry,
    from: &Reference,
    record: &Record,
) -> Result<tempfile::NamedTempFile, CacheError> {
    use std::io::Write as _;
    let directory = cache.layout().stable_path();
    let mut file = tempfile::Builder::new()
        .prefix(".fetching-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(&directory)
        .map_err(CacheError::file("create a file in", &directory))?;
    let mut failure = None;
    let sink = |piece: bytes::Bytes| {
        failure = file.write_all(&piece).err();
        std::future::ready(failure.is_none())
    };
    let end = registry.blob(from, &record.layer, sink).await;
    if let Some(error) = failure {
        return Err(CacheError::file("write", directory)(error));
    }
    end?;
    Ok(file)
}
