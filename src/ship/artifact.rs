//! Files as an image that is none: each a layer of its own, with annotations that say what it is.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use serde_json::json;

use crate::image::{Descriptor, DiffId, Digest, ImageFormat, Manifest, MediaType, Reference};
use crate::registry::{Blob, BlobContent};

use super::send::repositories;
use super::{Carrier, ShipError, Shipped};

/// One file, and its layer's annotations.
#[derive(Debug, Clone)]
pub struct ArtifactFile {
    /// Its name in the layer's tar.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
    /// What the layer's descriptor says.
    pub annotations: BTreeMap<String, String>,
}

/// Brings files to every destination, as one image with a layer for each.
pub(super) async fn send(
    carrier: &Carrier,
    files: &[ArtifactFile],
    destinations: &[Reference],
) -> Result<Shipped, ShipError> {
    let failed = |e: &dyn std::fmt::Display| ShipError::new(format!("cannot pack the files: {e}"));
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    let mut blobs = Vec::new();
    for file in files {
        let tar = tar(file).map_err(|e| failed(&e))?;
        diff_ids.push(DiffId::of(&tar).to_string());
        let bytes = gzip(&tar).map_err(|e| failed(&e))?;
        let mut descriptor = Descriptor::of(MediaType::from(MediaType::DOCKER_LAYER_GZIP), &bytes);
        blobs.push(blob(&descriptor, bytes));
        descriptor.annotations.clone_from(&file.annotations);
        layers.push(descriptor);
    }
    // What go-containerregistry appends to its empty image, and so `tkn bundle push`.
    let never = "0001-01-01T00:00:00Z";
    let history: Vec<_> = files.iter().map(|_| json!({ "created": never })).collect();
    let config = json!({
        "architecture": "", "created": never, "history": history, "os": "", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = serde_json::to_vec(&config).map_err(|e| failed(&e))?;
    let descriptor = Descriptor::of(MediaType::config(ImageFormat::Docker), &config);
    blobs.push(blob(&descriptor, config));
    let media_type = MediaType::manifest(ImageFormat::Docker);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type.clone()),
        config: descriptor,
        layers,
        annotations: Default::default(),
        extra: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|e| failed(&e))?;
    let repositories = repositories(destinations);
    for (at, repository) in repositories.iter().enumerate() {
        for blob in &blobs {
            carrier.registry().put_blob(repository, blob, &repositories[..at]).await?;
        }
    }
    for to in destinations {
        carrier.registry().put_manifest(to, manifest.clone(), &media_type).await?;
    }
    Ok(Shipped { digest: Digest::of(&manifest), images: 1 })
}

fn blob(descriptor: &Descriptor, bytes: Vec<u8>) -> Blob {
    Blob { descriptor: descriptor.clone(), content: BlobContent::Bytes(Bytes::from(bytes)) }
}

fn tar(file: &ArtifactFile) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(file.content.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, &file.name, file.content.as_slice())?;
    archive.into_inner()
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}
