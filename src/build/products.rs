//! The image as files: `--oci-layout-path` and `--tar-path`. Complete before the push, and kept
//! if it fails.

use std::path::PathBuf;

use crate::config::BuildConfig;
use crate::event::Events;
use crate::image::{BlobSource, ImageBlob, LayoutImage, OciLayout, write_docker_archive};

use super::Error;
use super::assemble::Image;
use super::blobs::{Fetcher, Layer};

/// Writes what was asked for.
pub(super) fn write(
    config: &BuildConfig,
    fetcher: &Fetcher,
    image: &Image,
    layers: &[Layer],
    events: &Events,
) -> Result<(), Error> {
    if config.oci_layout_path.is_none() && config.tar_path.is_none() {
        return Ok(());
    }
    let files = layers.iter().map(|layer| layer.file(fetcher)).collect::<Result<Vec<_>, _>>()?;
    let names = &config.destinations;
    if let Some(path) = &config.oci_layout_path {
        let own = ImageBlob {
            descriptor: image.config_descriptor.clone(),
            source: BlobSource::Bytes(&image.config),
        };
        let blobs = std::iter::once(own).chain(layer_blobs(layers, &files)).collect();
        let descriptor = image.manifest_descriptor.clone();
        let layout = LayoutImage { descriptor, manifest: &image.manifest, blobs, names };
        OciLayout::write(path, &layout).map_err(Error::from_display)?;
        events.info(format!("wrote the OCI layout {}", path.display()));
    }
    if let Some(path) = &config.tar_path {
        let blobs: Vec<_> = layer_blobs(layers, &files).collect();
        write_docker_archive(path, &image.config, &blobs, names).map_err(Error::from_display)?;
        events.info(format!("wrote the archive {}", path.display()));
    }
    Ok(())
}

fn layer_blobs<'a>(layers: &'a [Layer], files: &'a [PathBuf]) -> impl Iterator<Item = ImageBlob<'a>> {
    layers.iter().zip(files).map(|(layer, file)| ImageBlob {
        descriptor: layer.descriptor.clone(),
        source: BlobSource::File(file),
    })
}
