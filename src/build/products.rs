//! The image as files: `--oci-layout-path`, `--oci-archive-path` and `--tar-path`. Complete before the push, and kept
//! if it fails.

use std::path::PathBuf;

use crate::config::BuildConfig;
use crate::event::Events;
use crate::image::{
    BlobSource, Descriptor, ImageBlob, LayoutImage, LayoutName, OciLayout, write_docker_archive,
    write_oci_archive,
};

use super::Error;
use super::assemble::{Image, Root};
use super::blobs::{Fetcher, Layer};

/// Writes what was asked for.
pub(super) fn write(
    config: &BuildConfig,
    fetcher: &Fetcher,
    images: &[Image],
    root: &Root,
    events: &Events,
) -> Result<(), Error> {
    let asked = [&config.oci_layout_path, &config.oci_archive_path, &config.tar_path];
    if asked.iter().all(|path| path.is_none()) {
        return Ok(());
    }
    let of_image = |image: &Image| image.layers.iter().map(|layer| layer.file(fetcher)).collect();
    let files: Vec<Vec<PathBuf>> = images.iter().map(of_image).collect::<Result<_, Error>>()?;
    let names = &config.destinations;
    if config.oci_layout_path.is_some() || config.oci_archive_path.is_some() {
        let mut blobs = Vec::new();
        for (image, files) in images.iter().zip(&files) {
            blobs.push(own(&image.config_descriptor, &image.config));
            blobs.extend(layer_blobs(&image.layers, files));
            blobs.push(own(&image.manifest_descriptor, &image.manifest));
        }
        let names: Vec<_> = names.iter().cloned().map(LayoutName::Reference).collect();
        let descriptor = root.descriptor.clone();
        let layout = LayoutImage { descriptor, manifest: &root.bytes, blobs, names: &names };
        if let Some(path) = &config.oci_layout_path {
            OciLayout::write(path, &layout).map_err(Error::from_display)?;
            events.info(format!("wrote the OCI layout {}", path.display()));
        }
        if let Some(path) = &config.oci_archive_path {
            write_oci_archive(path, &layout).map_err(Error::from_display)?;
            events.info(format!("wrote the OCI archive {}", path.display()));
        }
    }
    if let (Some(path), [image], [files]) = (&config.tar_path, images, files.as_slice()) {
        let blobs: Vec<_> = layer_blobs(&image.layers, files).collect();
        write_docker_archive(path, &image.config, &blobs, names).map_err(Error::from_display)?;
        events.info(format!("wrote the archive {}", path.display()));
    }
    Ok(())
}

/// A document of ours.
fn own<'a>(descriptor: &Descriptor, bytes: &'a [u8]) -> ImageBlob<'a> {
    ImageBlob { descriptor: descriptor.clone(), source: BlobSource::Bytes(bytes) }
}

fn layer_blobs<'a>(layers: &'a [Layer], files: &'a [PathBuf]) -> impl Iterator<Item = ImageBlob<'a>> {
    layers.iter().zip(files).map(|(layer, file)| ImageBlob {
        descriptor: layer.descriptor.clone(),
        source: BlobSource::File(file),
    })
}
