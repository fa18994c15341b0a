//! What is kept while a build goes on.

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::CacheError;
use super::local::LocalCache;
use super::record::Record;
use crate::image::{Descriptor, Reference};
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
    put_locally(&cache, &registry, &record.layer, layer).await?;
    blocking(move || cache.store_record(&record)).await
}

/// Puts a layer into a directory; fetched unless it is there.
pub(super) async fn put_locally(
    cache: &LocalCache,
    registry: &Registry,
    descriptor: &Descriptor,
    layer: LayerSource,
) -> Result<(), CacheError> {
    let (cache, descriptor) = (cache.clone(), descriptor.clone());
    match layer {
        LayerSource::Repository(_) if cache.has_layer(&descriptor) => Ok(()),
        LayerSource::Repository(from) => {
            let file = fetch(&cache.layout().stable_path(), registry, &from, &descriptor).await?;
            blocking(move || cache.put_layer(&descriptor, file.path())).await
        }
        LayerSource::File { path, .. } => blocking(move || cache.put_layer(&descriptor, &path)).await,
    }
}

/// Does something with files on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| CacheError::Garbage(format!("a thread ended early: {e}")))?
}

/// Fetches a blob into a file of a directory; the file goes with its value.
pub(super) async fn fetch(
    directory: &Path,
    registry: &Registry,
    from: &Reference,
    blob: &Descriptor,
) -> Result<tempfile::NamedTempFile, CacheError> {
    use std::io::Write as _;
    let mut file = tempfile::Builder::new()
        .prefix(".fetching-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)
        .map_err(CacheError::file("create a file in", directory))?;
    let mut failure = None;
    let sink = |piece: bytes::Bytes| {
        failure = file.write_all(&piece).err();
        std::future::ready(failure.is_none())
    };
    let end = registry.blob(from, blob, sink).await;
    if let Some(error) = failure {
        return Err(CacheError::file("write", directory)(error));
    }
    end?;
    Ok(file)
}
