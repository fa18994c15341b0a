//! Writing an image to disk: as an OCI layout, as one in a tar, or as an archive of `docker save`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::image::{
    BlobSource, Descriptor, ImageBlob, LayoutImage, LayoutName, ManifestOrIndex, OciLayout, Platform,
    Reference, StreamBlob, write_docker_archive, write_oci_archive,
};

use super::tree::{Node, Tree};
use super::{Carrier, Made, ShipError, Shipped, Source};

/// Blobs written at once.
const WRITERS: usize = 4;

/// Writes an image to a layout.
pub(super) fn layout(
    carrier: &Carrier,
    source: &Source,
    directory: &Path,
    names: &[LayoutName],
) -> Result<Shipped, ShipError> {
    let tree = carrier.wait(Tree::read(carrier, source))?;
    let blobs = directory.join("blobs").join("sha256");
    let mut made = Made::in_parts(carrier);
    made.directory(&blobs).map_err(|e| ShipError::new(format!("cannot create {}: {e}", blobs.display())))?;
    // What is added to a layout that was there is of use when it is asked for again, and nothing names it.
    if fs::symlink_metadata(directory.join("index.json")).is_err() {
        let written = tree.blobs().0.into_iter().chain(tree.nodes.iter().map(descriptor));
        written.for_each(|blob| made.file(blobs.join(blob.digest.hex())));
        ["oci-layout", "index.json"].into_iter().for_each(|name| made.file(directory.join(name)));
    }
    OciLayout::begin(directory)?;
    let layout = OciLayout::open(directory)?;
    let blobs = blobs_of(carrier, &tree);
    in_parallel(&blobs, |blob| put(carrier, source, &layout, blob))?;
    for node in &tree.nodes {
        let descriptor = descriptor(node);
        layout.put_blob(&ImageBlob { descriptor, source: BlobSource::Bytes(&node.raw.bytes) })?;
    }
    let root = root_of(carrier, source, &tree);
    carrier.go_on()?;
    layout.name(&root, names)?;
    made.keep();
    Ok(Shipped { digest: root.digest, images: tree.images() })
}

/// Writes an image, or an index with all its images, as an OCI layout in a tar.
pub(super) fn oci_archive(
    carrier: &Carrier,
    source: &Source,
    path: &Path,
    names: &[LayoutName],
) -> Result<Shipped, ShipError> {
    let tree = carrier.wait(Tree::read(carrier, source))?;
    let fetched = blobs_of(carrier, &tree);
    let streams = streams(carrier, source, &fetched);
    let children = tree.nodes[..tree.nodes.len() - 1]
        .iter()
        .map(|node| ImageBlob { descriptor: descriptor(node), source: BlobSource::Bytes(&node.raw.bytes) });
    let root = root_of(carrier, source, &tree);
    let shipped = Shipped { digest: root.digest, images: tree.images() };
    let blobs = streamed(&fetched, &streams).chain(children).collect();
    write_oci_archive(
        path,
        &LayoutImage { descriptor: root, manifest: &tree.root().raw.bytes, blobs, names },
    )?;
    Ok(shipped)
}

/// The blobs of all images that may be written.
fn blobs_of(carrier: &Carrier, tree: &Tree) -> Vec<Descriptor> {
    let (blobs, foreign) = tree.blobs();
    if foreign > 0 {
        let events = carrier.events();
        events.warn(format!("{foreign} layers that must not be distributed are left out of the layout"));
    }
    blobs
}

/// How a layout's index names an image.
fn root_of(carrier: &Carrier, source: &Source, tree: &Tree) -> Descriptor {
    let mut root = descriptor(tree.root());
    root.platform = platform(carrier, source, tree.root());
    root
}

fn put(carrier: &Carrier, source: &Source, layout: &OciLayout, blob: &Descriptor) -> Result<(), ShipError> {
    let stream = stream(carrier, source, blob);
    layout.put_blob(&ImageBlob { descriptor: blob.clone(), source: BlobSource::Stream(&stream) })?;
    Ok(())
}

/// The bytes of a blob, fetched when they are asked for.
fn stream<'a>(
    carrier: &'a Carrier,
    source: &'a Source,
    blob: &'a Descriptor,
) -> impl Fn(&mut dyn Write) -> io::Result<()> + 'a {
    move |out| {
        let mut from = source.blob(carrier, blob).map_err(io::Error::other)?;
        io::copy(&mut from, out).map(drop)
    }
}

/// The same of several.
fn streams<'a>(
    carrier: &'a Carrier,
    source: &'a Source,
    blobs: &'a [Descriptor],
) -> Vec<Box<StreamBlob<'a>>> {
    let boxed = |blob| Box::new(stream(carrier, source, blob)) as Box<StreamBlob<'a>>;
    blobs.iter().map(boxed).collect()
}

/// Blobs as what an archive is written from.
fn streamed<'a>(
    blobs: &'a [Descriptor],
    streams: &'a [Box<StreamBlob<'a>>],
) -> impl Iterator<Item = ImageBlob<'a>> {
    blobs.iter().zip(streams).map(|(blob, stream)| ImageBlob {
        descriptor: blob.clone(),
        source: BlobSource::Stream(stream.as_ref()),
    })
}

/// Does something with each blob, a few at a time; the first error ends it.
fn in_parallel(
    blobs: &[Descriptor],
    work: impl Fn(&Descriptor) -> Result<(), ShipError> + Sync,
) -> Result<(), ShipError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS.min(blobs.len()) {
            scope.spawn(|| {
                while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(blob) {
                        next.store(blobs.len(), Ordering::Relaxed);
                        failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
}

fn descriptor(node: &Node) -> Descriptor {
    Descriptor::new(node.raw.media_type.clone(), node.raw.digest, node.raw.bytes.len() as u64)
}

/// The platform of one image, as its config says; others need none, and a config that cannot be
/// read is no reason not to keep the image.
fn platform(carrier: &Carrier, source: &Source, node: &Node) -> Option<Platform> {
    let ManifestOrIndex::Manifest(manifest) = &node.parsed else { return None };
    let config = source.config(carrier, &manifest.config).ok()?;
    let config: crate::image::ImageConfig = serde_json::from_slice(&config).ok()?;
    Some(config.platform()).filter(|_| !config.os.is_empty() && !config.architecture.is_empty())
}

/// Writes one image as an archive of `docker save`.
pub(super) fn docker_archive(
    carrier: &Carrier,
    source: &Source,
    path: &Path,
    names: &[Reference],
) -> Result<Shipped, ShipError> {
    let ManifestOrIndex::Manifest(manifest) = source.parsed()? else {
        return Err(ShipError::new(format!(
            "{} is several images, and such an archive holds one",
            source.name
        ))
        .help("choose one with --platform, or write oci-archive:FILE"));
    };
    if manifest.layers.iter().any(|layer| layer.media_type.is_zstd()) {
        return Err(ShipError::new(format!(
            "{} has zstd layers, which docker load cannot read",
            source.name
        ))
        .help("write oci-archive:FILE or an OCI layout in its place"));
    }
    let config = source.config(carrier, &manifest.config)?;
    let streams = streams(carrier, source, &manifest.layers);
    let layers: Vec<_> = streamed(&manifest.layers, &streams).collect();
    write_docker_archive(path, &config, &layers, names)?;
    Ok(Shipped { digest: source.root.digest, images: 1 })
}
