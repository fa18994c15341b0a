//! Bringing an image to registries.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::image::{Descriptor, ManifestOrIndex, Reference};
use crate::registry::{Blob, BlobContent};

use super::source::Blobs;
use super::tree::{Node, Tree};
use super::{Carrier, ShipError, Shipped, Source, referrers};

/// Blobs looked after at once; the registry's own limits say how many of them are on their way.
const AT_ONCE: usize = 16;

/// One reference for each repository, in order.
pub(super) fn repositories(destinations: &[Reference]) -> Vec<Reference> {
    let mut unique: Vec<Reference> = Vec::new();
    for to in destinations {
        let same = |r: &Reference| r.registry() == to.registry() && r.repository() == to.repository();
        if !unique.iter().any(same) {
            unique.push(to.clone());
        }
    }
    unique
}

/// Brings an image to every destination.
pub(super) async fn send(
    carrier: &Carrier,
    source: &Source,
    destinations: &[Reference],
    with_referrers: bool,
) -> Result<Shipped, ShipError> {
    let tree = Tree::read(carrier, source).await?;
    let repositories = repositories(destinations);
    for (at, repository) in repositories.iter().enumerate() {
        contents(carrier, source, &tree, repository, &repositories[..at]).await?;
        if with_referrers {
            referrers::copy(carrier, source, &tree, repository).await?;
        }
    }
    let root = &tree.root().raw;
    for to in destinations {
        carrier.registry().put_manifest(to, root.bytes.clone(), &root.media_type).await?;
    }
    Ok(Shipped { digest: root.digest, images: tree.images() })
}

/// Brings all that the root names into a repository.
pub(super) async fn contents(
    carrier: &Carrier,
    source: &Source,
    tree: &Tree,
    to: &Reference,
    nearer: &[Reference],
) -> Result<(), ShipError> {
    blobs(carrier, source, tree, to, nearer).await?;
    let below = tree.nodes.len() - 1;
    manifests(carrier, &tree.nodes[..below], to).await
}

/// Brings the images of a tree into a repository, but no index of theirs.
pub(super) async fn images(
    carrier: &Carrier,
    source: &Source,
    tree: &Tree,
    to: &Reference,
    nearer: &[Reference],
) -> Result<(), ShipError> {
    blobs(carrier, source, tree, to, nearer).await?;
    let is_image = |node: &&Node| matches!(node.parsed, ManifestOrIndex::Manifest(_));
    manifests(carrier, tree.nodes.iter().filter(is_image), to).await
}

/// Puts manifests by their digests.
async fn manifests(
    carrier: &Carrier,
    nodes: impl IntoIterator<Item = &Node>,
    to: &Reference,
) -> Result<(), ShipError> {
    for node in nodes {
        let to = to.clone_with_digest(node.raw.digest.to_string());
        carrier.registry().put_manifest(&to, node.raw.bytes.clone(), &node.raw.media_type).await?;
    }
    Ok(())
}

async fn blobs(
    carrier: &Carrier,
    source: &Source,
    tree: &Tree,
    to: &Reference,
    nearer: &[Reference],
) -> Result<(), ShipError> {
    let (blobs, foreign) = tree.blobs();
    if foreign > 0 {
        let events = carrier.events();
        events.info(format!("{foreign} layers that must not be distributed stay where their URLs say"));
    }
    stream::iter(blobs)
        .map(|blob| async move { put_blob(carrier, source, &blob, to, nearer).await })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

/// Brings one blob into a repository. A repository of the same registry that has it by now lends it.
async fn put_blob(
    carrier: &Carrier,
    source: &Source,
    blob: &Descriptor,
    to: &Reference,
    nearer: &[Reference],
) -> Result<(), ShipError> {
    let registry = carrier.registry();
    let content = match &source.blobs {
        Blobs::Registry(from) => {
            let near = |r: &&Reference| r.registry() == to.registry();
            let from = Some(from).filter(near).or_else(|| nearer.iter().find(near)).unwrap_or(from);
            if from.registry() == to.registry() && from.repository() == to.repository() {
                return Ok(());
            }
            registry.copy_blob(from, to, blob).await?;
            return Ok(());
        }
        Blobs::Layout(layout) => BlobContent::Path(layout.blob_path(&blob.digest)),
        Blobs::Derived { base, own, .. } if !own.contains_key(&blob.digest) => {
            return Box::pin(put_blob(carrier, base, blob, to, nearer)).await;
        }
        Blobs::OciArchive(_) | Blobs::DockerArchive { .. } | Blobs::Derived { .. } => {
            let part = source.part(blob)?;
            BlobContent::Part(part.file, source.name().into(), part.at)
        }
    };
    registry.put_blob(to, &Blob { descriptor: blob.clone(), content }, nearer).await?;
    Ok(())
}
