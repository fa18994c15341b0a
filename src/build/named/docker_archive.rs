//! What `docker save` writes, as an OCI layout (docker's image specification, "Combined Image JSON +
//! Filesystem Changeset Format").

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::build::Error;
use crate::image::{
    BlobSource, Descriptor, Digest, ImageBlob, LayoutImage, Manifest, MediaType, OciLayout, SavedImages,
};
use crate::layer::{DirView, View, resolve};

/// Most bytes of a config, as in registries.
const MAX_CONFIG: u64 = 8 << 20;

/// Writes the image of this name, or the only one, of an archive that was unpacked.
pub(super) fn to_layout(
    archive: &Path,
    unpacked: &Path,
    name: Option<&str>,
    layout: &Path,
) -> Result<(), Error> {
    let wrong = |what: &str, e: &dyn std::fmt::Display| {
        Error::other(format!("{} is no archive of docker save: {what}: {e}", archive.display()))
    };
    let view = DirView::at(unpacked).map_err(|e| wrong("/", &e))?;
    let list = view.read(b"manifest.json", SavedImages::LIMIT).map_err(|e| wrong("manifest.json", &e))?;
    let list: SavedImages = serde_json::from_slice(&list).map_err(|e| wrong("manifest.json", &e))?;
    let image = list
        .choose(archive, name)
        .map_err(|e| Error::Other { message: e.to_string(), help: Some(e.help) })?;
    let place = |path: &str| place(&view, unpacked, path).map_err(|e| wrong(path, &e));
    let config_at = resolve(&view, image.config.as_bytes(), true).map_err(|e| wrong(&image.config, &e))?;
    let config = view.read(&config_at, MAX_CONFIG).map_err(|e| wrong(&image.config, &e))?;
    let paths: Vec<PathBuf> = image.layers().iter().map(|layer| place(layer)).collect::<Result<_, _>>()?;
    let mut layers = Vec::new();
    for (path, name) in paths.iter().zip(image.layers()) {
        layers.push(describe(path).map_err(|e| wrong(name, &e))?);
    }
    let config_descriptor = Descriptor::of(MediaType::from(MediaType::OCI_CONFIG), &config);
    let media_type = MediaType::from(MediaType::OCI_MANIFEST);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type.clone()),
        config: config_descriptor.clone(),
        layers: layers.clone(),
        annotations: Default::default(),
        extra: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|e| Error::other(e.to_string()))?;
    let mut blobs = vec![ImageBlob { descriptor: config_descriptor, source: BlobSource::Bytes(&config) }];
    blobs.extend(
        layers
            .into_iter()
            .zip(&paths)
            .map(|(descriptor, path)| ImageBlob { descriptor, source: BlobSource::File(path) }),
    );
    let descriptor = Descriptor::of(media_type, &manifest);
    let image = LayoutImage { descriptor, manifest: &manifest, blobs, names: &[] };
    OciLayout::write(layout, &image).map_err(Error::from_display)
}

/// Where a file of the archive is, links in it followed inside the archive.
fn place(view: &DirView, root: &Path, path: &str) -> io::Result<PathBuf> {
    let path = resolve(view, path.as_bytes(), true)?;
    let path = std::str::from_utf8(&path).map_err(io::Error::other)?;
    // Only a regular file can be opened through the view.
    view.open(path.as_bytes())?;
    Ok(root.join(path))
}

/// Type, digest and size of a layer's blob.
fn describe(path: &Path) -> io::Result<Descriptor> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let (mut size, mut start) = (0, Vec::new());
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        if start.len() < 4 {
            start.extend_from_slice(&block[..read.min(4)]);
        }
        hash.update(&block[..read]);
        size += read as u64;
    }
    Ok(Descriptor::new(MediaType::of_layer(&start), Digest::from_sha256(hash.finalize().into()), size))
}
