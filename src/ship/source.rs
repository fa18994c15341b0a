//! An image wherever it is.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::image::{
    Checked, Descriptor, Digest, LayoutIndex, ManifestOrIndex, MediaType, OciLayout, Platform, Reference,
};
use crate::registry::{Direction, RawManifest};

use super::archive::{Archive, Part};
use super::stop::Stopping;
use super::{Carrier, ShipError, docker_archive};

/// Most bytes of a manifest or a config, as in registries.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;
/// Most bytes of a config.
const MAX_CONFIG: u64 = 8 << 20;
/// Indexes inside indexes.
pub(super) const MAX_NESTING: usize = 4;

/// Where an image is, or shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a registry.
    Registry(Reference),
    /// In an OCI layout.
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which of its images.
        tag: Option<String>,
        /// Which of its images, if the tag does not say.
        digest: Option<Digest>,
    },
    /// In an archive: an OCI layout as a tar, or what `docker save` writes. It may be compressed.
    Archive {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// Which of both it is; what it looks like where nobody says.
        kind: Option<ArchiveKind>,
        /// Which of its images.
        name: Option<String>,
    },
}

/// The two forms of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// An OCI layout as a tar.
    Oci,
    /// What `docker save` writes.
    Docker,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Registry(reference) => write!(f, "{reference}"),
            Place::Layout { path, tag, digest } => {
                write!(f, "{}", path.display())?;
                tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
                digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
            }
            Place::Archive { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// An image or an index of images: what it says, and where its blobs are.
#[derive(Debug)]
pub struct Source {
    pub(super) root: RawManifest,
    pub(super) blobs: Blobs,
    /// What messages call it.
    pub(super) name: String,
}

/// Where the blobs of an image are.
#[derive(Debug)]
pub(super) enum Blobs {
    Registry(Reference),
    Layout(OciLayout),
    OciArchive(Archive),
    DockerArchive {
        blobs: HashMap<Digest, Part>,
        /// Where those are that had to be compressed, for as long as they are needed.
        _compressed: TempDir,
    },
    /// Another image's, and a few of our own.
    Derived {
        base: Box<Source>,
        own: HashMap<Digest, Part>,
        /// Where the own ones are, for as long as they are needed.
        _directory: TempDir,
    },
}

impl Source {
    /// Opens the image at a place. `compress` is for who sends it: plain tars of `docker save` become
    /// gzip.
    ///
    /// # Errors
    /// It cannot be had, or there are several and none was chosen.
    pub fn open(carrier: &Carrier, place: &Place, compress: bool) -> Result<Self, ShipError> {
        let name = place.to_string();
        match place {
            Place::Registry(reference) => {
                let found = carrier.registry().manifest(reference, Direction::Pull);
                let root = typed(carrier.wait(async { Ok(found.await?) })?, &name)?;
                Ok(Source { root, blobs: Blobs::Registry(reference.clone()), name })
            }
            Place::Layout { path, tag, digest } => {
                let layout = OciLayout::open(path)?;
                let root = match digest {
                    // It may be named by an index of the layout only.
                    Some(wanted) if layout.index().find(wanted).is_none() => Some(layout.hidden(wanted)?),
                    _ => layout.index().root(tag.as_deref(), digest.as_ref())?,
                };
                let root = match root {
                    None => whole(layout.index()),
                    Some(descriptor) => {
                        let bytes = layout.read(&descriptor)?;
                        RawManifest { digest: descriptor.digest, bytes, media_type: descriptor.media_type }
                    }
                };
                Ok(Source { root: typed(root, &name)?, blobs: Blobs::Layout(layout), name })
            }
            Place::Archive { path, kind, name: image } => {
                Self::archive(carrier, path, *kind, image.as_deref(), compress, name)
            }
        }
    }

    fn archive(
        carrier: &Carrier,
        path: &Path,
        kind: Option<ArchiveKind>,
        image: Option<&str>,
        compress: bool,
        name: String,
    ) -> Result<Self, ShipError> {
        let spare = carrier.spare()?;
        let archive = Archive::open(path, spare, carrier.cancel())?;
        let is_layout = archive.has("oci-layout") && archive.has("index.json");
        let is_layout = kind.map_or(is_layout, |kind| kind == ArchiveKind::Oci);
        if !is_layout {
            if !archive.has("manifest.json") {
                let message =
                    format!("{name} is no archive of an image: it has neither index.json nor manifest.json");
                return Err(ShipError::new(message)
                    .help("give an OCI layout, or an archive that docker save, skopeo or --tar-path wrote"));
            }
            let spare = tempfile::tempdir_in(spare)
                .map_err(|e| ShipError::new(format!("cannot write in {}: {e}", spare.display())))?;
            let found =
                docker_archive::find(&archive, image, compress.then(|| spare.path()), carrier.cancel())?;
            let blobs = Blobs::DockerArchive { blobs: found.blobs, _compressed: spare };
            return Ok(Source { root: found.manifest, blobs, name });
        }
        let index = LayoutIndex::read(path, &archive.read("index.json", MAX_DOCUMENT)?)?;
        let digest: Option<Digest> = image.and_then(|image| image.parse().ok());
        let root = match index.root(image.filter(|_| digest.is_none()), digest.as_ref())? {
            None => whole(&index),
            Some(descriptor) => {
                let bytes = member(&archive, &descriptor, MAX_DOCUMENT)?;
                RawManifest { digest: descriptor.digest, bytes, media_type: descriptor.media_type }
            }
        };
        Ok(Source { root: typed(root, &name)?, blobs: Blobs::OciArchive(archive), name })
    }

    /// The manifest or the index as it is.
    pub fn root(&self) -> &RawManifest {
        &self.root
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its reference, if it is in a registry.
    pub fn reference(&self) -> Option<&Reference> {
        match &self.blobs {
            Blobs::Registry(reference) => Some(reference),
            _ => None,
        }
    }

    /// Whether it is in an OCI layout, in a directory or an archive.
    pub fn is_layout(&self) -> bool {
        matches!(self.blobs, Blobs::Layout(_) | Blobs::OciArchive(_))
    }

    /// An image of this one's blobs, a config, and a layer in a file below `directory`.
    pub(crate) fn derived(
        self,
        manifest: RawManifest,
        config: Vec<u8>,
        (layer, path): (Descriptor, PathBuf),
        directory: TempDir,
    ) -> Result<Self, ShipError> {
        let failed = |e: std::io::Error| ShipError::new(format!("cannot keep the new layer: {e}"));
        let beside = directory.path().join("config");
        std::fs::write(&beside, &config).map_err(failed)?;
        let part = |path: &Path, size| {
            let file = std::fs::File::open(path).map_err(failed)?;
            Ok::<_, ShipError>(Part { file: std::sync::Arc::new(file), at: 0, size })
        };
        let own = HashMap::from([
            (Digest::of(&config), part(&beside, config.len() as u64)?),
            (layer.digest, part(&path, layer.size)?),
        ]);
        let name = self.name.clone();
        let blobs = Blobs::Derived { base: Box::new(self), own, _directory: directory };
        Ok(Source { root: manifest, blobs, name })
    }

    /// Whether it is several images.
    ///
    /// # Errors
    /// It is neither a manifest nor an index.
    pub fn parsed(&self) -> Result<ManifestOrIndex, ShipError> {
        parse(&self.root, &self.name)
    }

    /// The same image, of one platform.
    ///
    /// # Errors
    /// An index has none for the platform, or it cannot be had.
    pub fn pick(mut self, carrier: &Carrier, platform: &Platform) -> Result<Self, ShipError> {
        for _ in 0..=MAX_NESTING {
            let ManifestOrIndex::Index(index) = self.parsed()? else { return Ok(self) };
            let chosen = index.select(platform).map_err(|e| ShipError::new(format!("{}: {e}", self.name)))?;
            self.root = carrier.wait(self.manifest(carrier, chosen))?;
        }
        Err(ShipError::new(format!("{}: indexes are nested more than {MAX_NESTING} deep", self.name)))
    }

    /// A manifest or an index that another one names.
    pub(super) async fn manifest(
        &self,
        carrier: &Carrier,
        descriptor: &Descriptor,
    ) -> Result<RawManifest, ShipError> {
        if let Blobs::Registry(reference) = &self.blobs {
            let pinned = reference.clone_with_digest(descriptor.digest.to_string());
            let found = carrier.registry().manifest(&pinned, Direction::Pull).await?;
            return typed(found, &self.name);
        }
        let bytes = self.small(descriptor, MAX_DOCUMENT)?;
        let found =
            RawManifest { digest: descriptor.digest, bytes, media_type: descriptor.media_type.clone() };
        typed(found, &self.name)
    }

    /// A config, checked.
    ///
    /// # Errors
    /// It is larger than 8 MiB, cannot be had, or is not what the descriptor says.
    pub fn config(&self, carrier: &Carrier, descriptor: &Descriptor) -> Result<Vec<u8>, ShipError> {
        carrier.wait(self.config_bytes(carrier, descriptor))
    }

    /// As [`config`](Self::config), for who waits for the network already.
    pub(super) async fn config_bytes(
        &self,
        carrier: &Carrier,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, ShipError> {
        match &self.blobs {
            Blobs::Registry(reference) => {
                Ok(carrier.registry().blob_bytes(reference, descriptor, MAX_CONFIG).await?)
            }
            // A derived image has a config of its own.
            _ => self.small(descriptor, MAX_CONFIG),
        }
    }

    /// A blob as a stream. Reading it to its end fails if it is not what the descriptor says.
    ///
    /// # Errors
    /// It is not there.
    pub fn blob(
        &self,
        carrier: &Carrier,
        descriptor: &Descriptor,
    ) -> Result<Box<dyn Read + Send>, ShipError> {
        let reader: Box<dyn Read + Send> = match &self.blobs {
            Blobs::Registry(reference) => return Ok(Box::new(carrier.reader(reference, descriptor))),
            Blobs::Derived { base, own, .. } if !own.contains_key(&descriptor.digest) => {
                return base.blob(carrier, descriptor);
            }
            Blobs::Layout(layout) => layout.blob(descriptor)?,
            _ => Box::new(Checked::new(self.part(descriptor)?.reader(), descriptor)),
        };
        Ok(Box::new(Stopping { reader, cancel: carrier.cancel().clone() }))
    }

    /// Where a blob of an archive is.
    pub(super) fn part(&self, descriptor: &Descriptor) -> Result<Part, ShipError> {
        let found = match &self.blobs {
            Blobs::OciArchive(archive) => archive.find(&blob_name(&descriptor.digest)),
            Blobs::DockerArchive { blobs, .. } => blobs.get(&descriptor.digest).cloned(),
            Blobs::Derived { own, .. } => own.get(&descriptor.digest).cloned(),
            Blobs::Registry(_) | Blobs::Layout(_) => None,
        };
        found.filter(|part| part.size == descriptor.size).ok_or_else(|| {
            ShipError::new(format!(
                "{} has no blob {} of {} bytes",
                self.name, descriptor.digest, descriptor.size
            ))
        })
    }

    fn small(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, ShipError> {
        match &self.blobs {
            Blobs::Layout(layout) => Ok(layout.read(descriptor)?),
            Blobs::OciArchive(archive) => member(archive, descriptor, limit),
            Blobs::DockerArchive { .. } | Blobs::Derived { .. } => {
                read_part(&self.part(descriptor)?, descriptor, limit, &self.name)
            }
            Blobs::Registry(_) => Err(ShipError::new(format!("{} is in no file", descriptor.digest))),
        }
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn member(archive: &Archive, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, ShipError> {
    let name = archive.path.display().to_string();
    let part = archive.find(&blob_name(&descriptor.digest));
    let part = part.ok_or_else(|| ShipError::new(format!("{name} has no blob {}", descriptor.digest)))?;
    read_part(&part, descriptor, limit, &name)
}

fn read_part(part: &Part, descriptor: &Descriptor, limit: u64, name: &str) -> Result<Vec<u8>, ShipError> {
    let digest = descriptor.digest;
    if descriptor.size > limit {
        let size = descriptor.size;
        return Err(ShipError::new(format!("{name}: {digest} has {size} bytes, more than {limit}")));
    }
    let mut bytes = Vec::new();
    let mut checked = Checked::new(part.reader(), descriptor);
    checked.read_to_end(&mut bytes).map_err(|e| ShipError::new(format!("{name}: {e}")))?;
    Ok(bytes)
}

/// A layout's `index.json` as an index.
fn whole(index: &LayoutIndex) -> RawManifest {
    let bytes = index.bytes().to_vec();
    RawManifest { digest: Digest::of(&bytes), bytes, media_type: MediaType::from(MediaType::OCI_INDEX) }
}

/// A manifest or an index, read.
pub(super) fn parse(raw: &RawManifest, name: &str) -> Result<ManifestOrIndex, ShipError> {
    let parsed = ManifestOrIndex::parse(&raw.bytes, Some(raw.media_type.as_str()));
    parsed.map_err(|e| ShipError::new(format!("{name}: {}: {e}", raw.digest)))
}

/// The same with a type that a registry takes: its own word, where nobody else said one.
fn typed(mut raw: RawManifest, name: &str) -> Result<RawManifest, ShipError> {
    if !raw.media_type.is_manifest() && !raw.media_type.is_index() {
        let (own, shape) = match parse(&raw, name)? {
            ManifestOrIndex::Manifest(manifest) => (manifest.media_type, MediaType::OCI_MANIFEST),
            ManifestOrIndex::Index(index) => (index.media_type, MediaType::OCI_INDEX),
        };
        raw.media_type = own.unwrap_or_else(|| MediaType::from(shape));
    }
    Ok(raw)
}
