//! What `docker save` writes, as an image with a manifest (docker's image specification, "Combined
//! Image JSON + Filesystem Changeset Format").

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::config::CompressionConfig;
use crate::image::{Descriptor, Digest, ImageConfig, ImageFormat, Manifest, MediaType, SavedImages};
use crate::layer::{PackOptions, compress_tar};
use crate::registry::RawManifest;
use crate::run::Cancel;

use super::ShipError;
use super::archive::{Archive, Part};
use super::stop::Stopping;

/// Most bytes of a config, as in registries.
const MAX_CONFIG: u64 = 8 << 20;

/// An image of an archive, given a manifest.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) manifest: RawManifest,
    pub(super) blobs: HashMap<Digest, Part>,
}

/// Finds an image by name, or the only one. Layers that are plain tars are compressed into files
/// in `compress_into`, if that is given.
pub(super) fn find(
    archive: &Archive,
    name: Option<&str>,
    compress_into: Option<&Path>,
    cancel: &Cancel,
) -> Result<Found, ShipError> {
    let wrong = |why: String| {
        ShipError::new(format!("{} is no archive of docker save: {why}", archive.path.display()))
    };
    let list = archive.read("manifest.json", SavedImages::LIMIT)?;
    let list: SavedImages =
        serde_json::from_slice(&list).map_err(|e| wrong(format!("manifest.json: {e}")))?;
    let image = list.choose(&archive.path, name).map_err(|e| ShipError::new(e.to_string()).help(e.help))?;
    let config = archive.read(&image.config, MAX_CONFIG)?;
    let parsed: ImageConfig =
        serde_json::from_slice(&config).map_err(|e| wrong(format!("{}: {e}", image.config)))?;
    let names = image.layers();
    if names.len() != parsed.rootfs.diff_ids.len() {
        let (layers, ids) = (names.len(), parsed.rootfs.diff_ids.len());
        return Err(wrong(format!("it has {layers} layers, and its config {ids} diff ids")));
    }
    let mut blobs = HashMap::new();
    let mut layers = Vec::new();
    for (name, diff_id) in names.iter().zip(&parsed.rootfs.diff_ids) {
        let part = archive.find(name).ok_or_else(|| wrong(format!("{name} is not in it")))?;
        let (descriptor, part) = layer(part, diff_id.to_string(), compress_into, cancel)
            .map_err(|e| wrong(format!("{name}: {e}")))?;
        blobs.insert(descriptor.digest, part);
        layers.push(descriptor);
    }
    // What go-containerregistry makes of such an archive, and with it kaniko; zstd is OCI's alone.
    let zstd = layers.iter().any(|layer| layer.media_type.is_zstd());
    let format = if zstd { ImageFormat::Oci } else { ImageFormat::Docker };
    for layer in &mut layers {
        layer.media_type = layer.media_type.layer_as(format);
    }
    let media_type = MediaType::manifest(format);
    let config_descriptor = Descriptor::of(MediaType::config(format), &config);
    if let Some(part) = archive.find(&image.config) {
        blobs.insert(config_descriptor.digest, part);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type.clone()),
        config: config_descriptor,
        layers,
        annotations: Default::default(),
        extra: Default::default(),
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|e| wrong(e.to_string()))?;
    Ok(Found { manifest: RawManifest { digest: Digest::of(&bytes), bytes, media_type }, blobs })
}

/// Type, digest and size of a layer's blob, and where it is.
fn layer(
    part: Part,
    diff_id: String,
    compress_into: Option<&Path>,
    cancel: &Cancel,
) -> io::Result<(Descriptor, Part)> {
    let mut reader = Stopping { reader: part.reader(), cancel: cancel.clone() };
    let mut start = Vec::new();
    part.reader().take(4).read_to_end(&mut start)?;
    let media_type = MediaType::of_layer(&start);
    let is_plain = media_type.as_str() == MediaType::OCI_LAYER;
    if let Some(directory) = compress_into.filter(|_| is_plain) {
        return compressed(&mut reader, &diff_id, directory);
    }
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match reader.read(&mut block)? {
            0 => break,
            read => {
                hash.update(&block[..read]);
                size += read as u64;
            }
        }
    }
    let digest = Digest::from_sha256(hash.finalize().into());
    // A plain tar's digest is its diff id, so that a damaged one is known at once.
    if is_plain && digest.to_string() != diff_id {
        return Err(damaged(&digest.to_string(), &diff_id));
    }
    Ok((Descriptor::new(media_type, digest, size), part))
}

fn compressed(plain: &mut dyn Read, diff_id: &str, directory: &Path) -> io::Result<(Descriptor, Part)> {
    let options = PackOptions {
        compression: CompressionConfig::default(),
        clamp_mtime: None,
        zero_times: false,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        directory: directory.to_owned(),
        content_id: false,
        fractions: false,
    };
    let packed = compress_tar(plain, &options).map_err(io::Error::other)?;
    if packed.diff_id.to_string() != diff_id {
        return Err(damaged(&packed.diff_id.to_string(), diff_id));
    }
    let file = std::sync::Arc::new(std::fs::File::open(&packed.path)?);
    let descriptor = Descriptor::new(MediaType::from(MediaType::OCI_LAYER_GZIP), packed.digest, packed.size);
    Ok((descriptor, Part { file, at: 0, size: packed.size }))
}

fn damaged(found: &str, wanted: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is {found}, but the config says {wanted}"))
}
