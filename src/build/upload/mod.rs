//! Blobs on their way to the destinations while later steps run.

mod early;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::image::{Descriptor, Digest, MediaType, Reference};
use crate::registry::{Blob as Content, BlobContent, Network, Registry, RegistryError, Task};
use crate::run::Cancel;

use super::Error;
use super::blobs::{BaseBlob, Blob, Layer};
use super::images::ImageSource;
pub(super) use early::{Following, Uploading};

/// How often a wait for an upload, which ends by itself when that is done, looks whether somebody
/// asked for the end.
const LOOK: Duration = Duration::from_millis(100);

/// Sends blobs to every repository of the destinations.
pub(super) struct Uploads {
    network: Arc<Network>,
    registry: Registry,
    /// One reference for each repository, in the order of the destinations.
    repositories: Vec<Reference>,
    /// What is under way or done, so that images that share a blob send it once.
    begun: Mutex<BTreeSet<Digest>>,
    running: Mutex<Vec<Task<Result<(), RegistryError>>>>,
    /// Become true when a file of ours is in all repositories.
    done: Mutex<BTreeMap<Digest, watch::Receiver<bool>>>,
}

impl Uploads {
    /// Uploads to these destinations; none means that nothing is pushed.
    pub(super) fn new(network: &Arc<Network>, registry: &Registry, destinations: &[Reference]) -> Self {
        let mut repositories: Vec<Reference> = Vec::new();
        for destination in destinations {
            if !repositories.iter().any(|r| same_repository(r, destination)) {
                repositories.push(destination.clone());
            }
        }
        Uploads {
            network: network.clone(),
            registry: registry.clone(),
            repositories,
            begun: Mutex::default(),
            running: Mutex::default(),
            done: Mutex::default(),
        }
    }

    /// One reference for each repository that blobs go to.
    pub(super) fn repositories(&self) -> &[Reference] {
        &self.repositories
    }

    /// Becomes true when a file that is under way is in all repositories.
    pub(super) fn watch(&self, digest: &Digest) -> Option<watch::Receiver<bool>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Watches a layer that is packed for the result, or only for other stages.
    pub(super) fn following(&self, in_result: bool) -> Following<'_> {
        Following::new(self, in_result)
    }

    /// Begins to send a layer.
    pub(super) fn layer(&self, layer: &Layer) {
        if !self.is_new(&layer.descriptor) {
            return;
        }
        match &layer.blob {
            Blob::Packed(path) => {
                self.send(&layer.descriptor, path.clone(), Uploading::default(), None);
            }
            Blob::Base(base) => match &base.source {
                ImageSource::Layout(layout) => {
                    let path = layout.blob_path(&layer.descriptor.digest);
                    self.send(&layer.descriptor, path, Uploading::default(), base.suspect().cloned());
                }
                ImageSource::Registry(from) if base.on_disk().is_some() => {
                    self.mount_or_send(layer, base, from);
                }
                ImageSource::Registry(from) => {
                    self.copy(&layer.descriptor, from.clone(), base.suspect().cloned());
                }
            },
        }
    }

    /// Begins to send a file.
    pub(super) fn file(&self, descriptor: &Descriptor, path: PathBuf) {
        self.packed(descriptor, path, Uploading::default());
    }

    /// Brings what was begun for a file to its end, and begins the rest. The second repository of
    /// a registry mounts it from the first.
    pub(super) fn packed(&self, descriptor: &Descriptor, path: PathBuf, begun: Uploading) {
        // Another platform's image may have the same layer; what was begun is cancelled then.
        if self.is_new(descriptor) {
            self.send(descriptor, path, begun, None);
        }
    }

    /// Whether a blob is not under way yet.
    fn is_new(&self, descriptor: &Descriptor) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(descriptor.digest)
    }

    fn send(
        &self,
        descriptor: &Descriptor,
        path: PathBuf,
        mut begun: Uploading,
        suspect: Option<Arc<AtomicBool>>,
    ) {
        let (registry, repositories) = (self.registry.clone(), self.repositories.clone());
        let blob = Content { descriptor: descriptor.clone(), content: BlobContent::Path(path) };
        let (done, watched) = watch::channel(false);
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(descriptor.digest, watched);
        self.spawn(suspect, async move {
            for (at, to) in repositories.iter().enumerate() {
                match begun.take(at) {
                    Some(upload) => registry.end_upload(upload, &blob, &repositories[..at]).await?,
                    None => registry.put_blob(to, &blob, &repositories[..at]).await?,
                };
            }
            // Nobody may be watching.
            let _ = done.send(true);
            Ok(())
        });
    }

    /// Begins to bring a base's blob that is on disk too: mounted where the registry has it.
    fn mount_or_send(&self, layer: &Layer, base: &BaseBlob, from: &Reference) {
        let Some(layout) = base.on_disk() else { return };
        let (registry, repositories) = (self.registry.clone(), self.repositories.clone());
        let content = BlobContent::Path(layout.blob_path(&layer.descriptor.digest));
        let blob = Content { descriptor: layer.descriptor.clone(), content };
        let from = from.clone();
        self.spawn(None, async move {
            for (at, to) in repositories.iter().enumerate() {
                let mut sources = vec![from.clone()];
                sources.extend(repositories[..at].iter().cloned());
                registry.put_blob(to, &blob, &sources).await?;
            }
            Ok(())
        });
    }

    /// Begins to copy a blob of another repository: by mount, or through us where that is refused.
    fn copy(&self, descriptor: &Descriptor, from: Reference, suspect: Option<Arc<AtomicBool>>) {
        // A layer of the cache is nowhere but in the cache.
        let registry =
            if suspect.is_some() { self.registry.without_mirrors() } else { self.registry.clone() };
        let repositories = self.repositories.clone();
        let descriptor = descriptor.clone();
        self.spawn(suspect, async move {
            for to in &repositories {
                registry.copy_blob(&from, to, &descriptor).await?;
            }
            Ok(())
        });
    }

    fn spawn(
        &self,
        suspect: Option<Arc<AtomicBool>>,
        upload: impl Future<Output = Result<(), RegistryError>> + Send + 'static,
    ) {
        if self.repositories.is_empty() {
            return;
        }
        let task = self.network.spawn(async move {
            let end = upload.await;
            if let Some(suspect) = suspect.filter(|_| end.is_err()) {
                suspect.store(true, Ordering::SeqCst);
            }
            end
        });
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Waits until every blob is where it should be, or somebody asks for the end.
    pub(super) fn finish(&self, cancel: &Cancel) -> Result<(), Error> {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for mut task in running {
            let end = loop {
                match task.wait_at_most(LOOK) {
                    Ok(end) => break end,
                    Err(unfinished) => task = unfinished,
                }
                if let Some(signal) = cancel.signal() {
                    // The network goes with the build and takes what is under way with it.
                    return Err(Error::cancelled(signal));
                }
            };
            end.ok_or_else(|| Error::other("an upload was ended before it was done"))??;
        }
        Ok(())
    }

    /// Writes a manifest into every repository, by its digest.
    pub(super) fn by_digest(&self, descriptor: &Descriptor, manifest: &[u8]) -> Result<(), Error> {
        let digest = descriptor.digest.to_string();
        let places: Vec<Reference> =
            self.repositories.iter().map(|to| to.clone_with_digest(digest.clone())).collect();
        self.manifests(&places, manifest, &descriptor.media_type)
    }

    /// Writes the manifest to every destination, after everything it names.
    pub(super) fn manifests(
        &self,
        destinations: &[Reference],
        manifest: &[u8],
        kind: &MediaType,
    ) -> Result<(), Error> {
        self.network.block_on(async {
            for destination in destinations {
                self.registry.put_manifest(destination, manifest.to_vec(), kind).await?;
            }
            Ok(())
        })
    }
}

fn same_repository(a: &Reference, b: &Reference) -> bool {
    a.registry() == b.registry() && a.repository() == b.repository()
}
