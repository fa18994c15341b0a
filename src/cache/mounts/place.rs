//! A repository or directory in which directories are saved.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::CacheError;
use super::super::key::Key;
use super::super::local::LocalCache;
use super::super::repository::RepositoryCache;
use super::super::store::{LayerSource, blocking, fetch, put_locally};
use super::set::MountSet;
use crate::config::CacheLocation;
use crate::image::Descriptor;
use crate::registry::Registry;

/// Before the name in the tag of a set.
pub(in super::super) const MOUNT_TAG: &str = "ycm1-";

/// Where directories are saved.
pub(super) struct Place {
    pub(super) name: String,
    backend: Backend,
    dead: AtomicBool,
}

enum Backend {
    Repository(RepositoryCache),
    Local(LocalCache),
}

/// A layer's bytes on this machine.
pub(super) enum LayerFile {
    Fetched(tempfile::NamedTempFile),
    Kept(LocalCache),
}

impl Place {
    /// Opens a place; none if it is a directory without a cache that is only read.
    pub(super) fn open(
        location: &CacheLocation,
        write: bool,
        registry: &Registry,
    ) -> Result<Option<Place>, CacheError> {
        let backend = match location {
            CacheLocation::Registry(reference) | CacheLocation::Image(reference) => {
                Backend::Repository(RepositoryCache::new(registry, reference))
            }
            CacheLocation::Directory(path) if write => Backend::Local(LocalCache::create(path)?),
            CacheLocation::Directory(path) => match LocalCache::open(path)? {
                Some(cache) => Backend::Local(cache),
                None => return Ok(None),
            },
        };
        Ok(Some(Place { name: location.to_string(), backend, dead: AtomicBool::new(false) }))
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::SeqCst)
    }

    /// Says that nothing is to be expected of it any more; true for the first who says so.
    pub(super) fn give_up(&self) -> bool {
        !self.dead.swap(true, Ordering::SeqCst)
    }

    /// What is saved under a name.
    pub(super) async fn find(&self, name: &Key) -> Result<Option<MountSet>, CacheError> {
        let bytes = match &self.backend {
            Backend::Repository(repository) => {
                repository.document(&repository.tagged(MOUNT_TAG, name)).await?
            }
            Backend::Local(local) => {
                let (local, name) = (local.clone(), *name);
                blocking(move || local.mount(&name)).await?
            }
        };
        let set = bytes.map(|bytes| MountSet::parse(&bytes, Some(name)));
        set.transpose()
            .map_err(|problem| CacheError::Garbage(format!("what was saved is of no use: {problem}")))
    }

    /// Brings a layer to this machine.
    pub(super) async fn layer(
        &self,
        registry: &Registry,
        layer: &Descriptor,
        directory: &Path,
    ) -> Result<LayerFile, CacheError> {
        match &self.backend {
            Backend::Repository(repository) => {
                fetch(directory, registry, repository.repository(), layer).await.map(LayerFile::Fetched)
            }
            Backend::Local(local) => Ok(LayerFile::Kept(local.clone())),
        }
    }

    /// Where another place can take a layer from.
    pub(super) fn source(&self, layer: &Descriptor) -> LayerSource {
        match &self.backend {
            Backend::Repository(repository) => LayerSource::Repository(repository.repository().clone()),
            Backend::Local(local) => {
                LayerSource::File { path: local.layout().blob_path(&layer.digest), mount_from: Vec::new() }
            }
        }
    }

    /// Puts layers here, and then the set that names them.
    pub(super) async fn save(
        &self,
        registry: &Registry,
        set: &MountSet,
        layers: Vec<(Descriptor, LayerSource)>,
    ) -> Result<(), CacheError> {
        let puts = layers.into_iter().map(|(layer, from)| async move {
            match &self.backend {
                Backend::Repository(repository) => repository.put_layer(&layer, &from).await,
                Backend::Local(local) => put_locally(local, registry, &layer, from).await,
            }
        });
        futures_util::future::try_join_all(puts).await?;
        let (bytes, descriptor) = set.manifest();
        match &self.backend {
            Backend::Repository(repository) => {
                repository.put_empty().await?;
                let to = repository.tagged(MOUNT_TAG, &set.name);
                registry.put_manifest(&to, bytes, &descriptor.media_type).await?;
            }
            Backend::Local(local) => {
                let (local, name) = (local.clone(), set.name);
                blocking(move || local.store_mount(&name, &bytes)).await?;
            }
        }
        Ok(())
    }
}

impl LayerFile {
    /// The bytes; those of a directory are checked while they are read.
    pub(super) fn reader(&self, layer: &Descriptor) -> Result<Box<dyn std::io::Read + Send>, CacheError> {
        match self {
            LayerFile::Fetched(file) => {
                let again = file.reopen().map_err(CacheError::file("open", file.path()))?;
                Ok(Box::new(again))
            }
            LayerFile::Kept(local) => {
                local.layout().blob(layer).map_err(|e| CacheError::Garbage(e.to_string()))
            }
        }
    }
}
