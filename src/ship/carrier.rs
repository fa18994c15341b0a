//! Who brings images from place to place.

use std::path::{Path, PathBuf};

use crate::cloud::Clouds;
use crate::config::{KeychainConfig, RegistryConfig};
use crate::event::Events;
use crate::image::{Descriptor, Digest, LayoutName, Reference};
use crate::keychain::Keychain;
use crate::registry::{BlobReader, Network, Registry};
use crate::run::Cancel;

use super::send::repositories;
use super::stop::{asked, unless_asked};
use super::{ArtifactFile, IndexConfig, ShipError, Source, artifact, index, save, send};

/// Brings images from place to place.
#[derive(Debug)]
pub struct Carrier {
    // Before the network: what is under way ends with it.
    registry: Registry,
    network: Network,
    events: Events,
    spare: PathBuf,
    check_push: bool,
    cancel: Cancel,
}

/// What was brought somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Digest of the manifest or the index.
    pub digest: Digest,
    /// Images in it.
    pub images: usize,
}

impl Carrier {
    /// Reads everything from files and environment that will be needed; connects nowhere. `spare` is a
    /// directory for what must be decompressed on the way. Once `cancel` asks for the end, whatever is
    /// under way fails, and so does all that comes after.
    ///
    /// # Errors
    /// Settings, CA roots or credentials cannot be used.
    pub fn new(
        registry: &RegistryConfig,
        keychain: &KeychainConfig,
        spare: PathBuf,
        events: Events,
        cancel: Cancel,
    ) -> Result<Self, ShipError> {
        let network =
            Network::new().map_err(|e| ShipError::new(format!("cannot start the network's threads: {e}")))?;
        let check_push = !registry.skip_push_permission_check;
        let clouds = Clouds::new(&keychain.clouds, registry, &network, events.clone());
        let keychain = Keychain::new(keychain, clouds, events.clone())?;
        let registry = Registry::new(registry, keychain, events.clone(), &network)?;
        Ok(Carrier { registry, network, events, spare, check_push, cancel })
    }

    /// Tries the right to push to every repository, unless that is not wanted.
    ///
    /// # Errors
    /// The first that may not be pushed to.
    pub fn check(&self, destinations: &[Reference]) -> Result<(), ShipError> {
        if self.check_push {
            self.wait(async {
                for repository in repositories(destinations) {
                    self.registry.check_push(&repository).await?;
                }
                Ok::<_, ShipError>(())
            })?;
        }
        Ok(())
    }

    /// Brings an image to every destination: blobs that are missing there, then manifests as they
    /// are, children first, then the tags. With `referrers`, signatures and attestations too.
    ///
    /// # Errors
    /// Something cannot be had or sent; what was sent until then stays.
    pub fn send(
        &self,
        source: &Source,
        destinations: &[Reference],
        referrers: bool,
    ) -> Result<Shipped, ShipError> {
        self.wait(send::send(self, source, destinations, referrers))
    }

    /// Writes an image to an OCI layout, made if there is none; other images in it stay.
    ///
    /// # Errors
    /// Something cannot be had or written.
    pub fn save_layout(
        &self,
        source: &Source,
        directory: &Path,
        names: &[LayoutName],
    ) -> Result<Shipped, ShipError> {
        save::layout(self, source, directory, names)
    }

    /// Writes one image as an archive of `docker save`.
    ///
    /// # Errors
    /// It is an index, or has layers such an archive cannot hold; something cannot be had or
    /// written.
    pub fn save_archive(
        &self,
        source: &Source,
        path: &Path,
        names: &[Reference],
    ) -> Result<Shipped, ShipError> {
        save::docker_archive(self, source, path, names)
    }

    /// Writes an image, or an index with all its images, as an OCI layout in a tar.
    ///
    /// # Errors
    /// Something cannot be had or written.
    pub fn save_oci_archive(
        &self,
        source: &Source,
        path: &Path,
        names: &[LayoutName],
    ) -> Result<Shipped, ShipError> {
        save::oci_archive(self, source, path, names)
    }

    /// Makes an index of images, with the platform that each one's config names, and tags it at every
    /// destination. The images are brought there first; indexes among them are taken apart.
    ///
    /// # Errors
    /// Two images for one platform; something cannot be had or sent.
    pub fn create_index(
        &self,
        sources: &[Source],
        destinations: &[Reference],
        config: &IndexConfig,
    ) -> Result<Shipped, ShipError> {
        self.wait(index::create(self, sources, destinations, config))
    }

    /// Brings files to every destination, as one image with a layer for each.
    ///
    /// # Errors
    /// Something cannot be sent.
    pub fn send_files(
        &self,
        files: &[ArtifactFile],
        destinations: &[Reference],
    ) -> Result<Shipped, ShipError> {
        self.wait(artifact::send(self, files, destinations))
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits for what is done over the network, or for being asked for the end.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T, ShipError>>) -> Result<T, ShipError> {
        self.network.block_on(unless_asked(&self.cancel, work))
    }

    /// A blob of a registry as a reader, which fails once somebody asks for the end.
    pub(super) fn reader(&self, from: &Reference, descriptor: &Descriptor) -> BlobReader {
        self.registry.reader_until(from, descriptor, asked(&self.cancel))
    }

    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// Somebody asked for the end.
    pub(crate) fn go_on(&self) -> Result<(), ShipError> {
        self.cancel.signal().map_or(Ok(()), |_| Err(ShipError::cancelled(&self.cancel)))
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// The directory for what is decompressed, made if it is missing.
    pub(crate) fn spare(&self) -> Result<&Path, ShipError> {
        std::fs::create_dir_all(&self.spare)
            .map_err(|e| ShipError::new(format!("cannot create {}: {e}", self.spare.display())))?;
        Ok(&self.spare)
    }
}

impl Drop for Carrier {
    /// Uploads that were begun are no use to anybody.
    fn drop(&mut self) {
        self.network.block_on(self.registry.close());
    }
}
