//! What refers to an image goes with it: signatures, attestations, lists of contents.

use std::collections::HashSet;

use crate::image::{Descriptor, Digest, Index, MediaType, Reference};
use crate::registry::{Direction, RawManifest, referrers_tag};

use super::source::{Blobs, Source};
use super::tree::Tree;
use super::{Carrier, ShipError, send};

/// Most documents that refer to one image, directly or not.
const MAX_REFERRERS: usize = 1000;
/// Ends of the tags that cosign keeps beside an image (sigstore/cosign, `SBOM_SPEC.md` and
/// `SIGNATURE_SPEC.md`).
const COSIGN: [&str; 3] = ["sig", "att", "sbom"];

/// Brings what refers to a manifest of the tree into a repository.
pub(super) async fn copy(
    carrier: &Carrier,
    source: &Source,
    tree: &Tree,
    to: &Reference,
) -> Result<(), ShipError> {
    let Blobs::Registry(from) = &source.blobs else {
        let message = format!("{} is in no registry, which would know what refers to it", source.name);
        return Err(ShipError::new(message).help("leave out --referrers"));
    };
    let mut waiting: Vec<Digest> = tree.nodes.iter().map(|node| node.raw.digest).collect();
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut copied = 0;
    while let Some(subject) = waiting.pop() {
        if !seen.insert(subject) {
            continue;
        }
        let found = of(carrier, from, &subject, Direction::Pull).await?;
        if seen.len() + found.len() > MAX_REFERRERS + tree.nodes.len() {
            return Err(ShipError::new(format!(
                "more than {MAX_REFERRERS} documents refer to {}",
                source.name
            )));
        }
        for descriptor in &found {
            let root = source.manifest(carrier, descriptor).await?;
            let digest = to.clone_with_digest(descriptor.digest.to_string());
            one(carrier, from, root, to, &digest).await?;
            waiting.push(descriptor.digest);
            copied += 1;
        }
        list(carrier, to, &subject, &found).await?;
        copied += cosign(carrier, from, &subject, to).await?;
    }
    carrier.events().info(format!("{copied} documents refer to the image, and went with it"));
    Ok(())
}

/// Brings one document, which looks like an image, into a repository.
async fn one(
    carrier: &Carrier,
    from: &Reference,
    root: RawManifest,
    to: &Reference,
    named: &Reference,
) -> Result<(), ShipError> {
    let (bytes, media_type) = (root.bytes.clone(), root.media_type.clone());
    let source = Source { root, blobs: Blobs::Registry(from.clone()), name: from.to_string() };
    let tree = Tree::read(carrier, &source).await?;
    send::contents(carrier, &source, &tree, to, &[]).await?;
    carrier.registry().put_manifest(named, bytes, &media_type).await?;
    Ok(())
}

/// What a repository says refers to a manifest: asked, or read from the index under its tag.
async fn of(
    carrier: &Carrier,
    repository: &Reference,
    subject: &Digest,
    direction: Direction,
) -> Result<Vec<Descriptor>, ShipError> {
    match carrier.registry().referrers(repository, subject, direction).await? {
        Some(index) => Ok(index.manifests),
        None => {
            Ok(tagged(carrier, repository, subject, direction).await?.map_or(Vec::new(), |i| i.manifests))
        }
    }
}

/// The index under the tag that stands in for the question.
async fn tagged(
    carrier: &Carrier,
    repository: &Reference,
    subject: &Digest,
    direction: Direction,
) -> Result<Option<Index>, ShipError> {
    let tag = referrers_tag(subject);
    let Some(raw) = by_tag(carrier, repository, &tag, direction).await? else { return Ok(None) };
    let index = serde_json::from_slice(&raw.bytes);
    index.map(Some).map_err(|e| ShipError::new(format!("{}:{tag} is no index: {e}", repository.repository())))
}

async fn by_tag(
    carrier: &Carrier,
    repository: &Reference,
    tag: &str,
    direction: Direction,
) -> Result<Option<RawManifest>, ShipError> {
    let reference = repository.clone_with_tag(tag).map_err(|e| ShipError::new(e.to_string()))?;
    match carrier.registry().manifest(&reference, direction).await.map_err(ShipError::from) {
        Ok(raw) => Ok(Some(raw)),
        Err(error) if error.is_absence() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the list down where the registry does not keep one itself.
async fn list(
    carrier: &Carrier,
    to: &Reference,
    subject: &Digest,
    found: &[Descriptor],
) -> Result<(), ShipError> {
    let registry = carrier.registry();
    if found.is_empty() || registry.referrers(to, subject, Direction::Push).await?.is_some() {
        return Ok(());
    }
    let mut index = tagged(carrier, to, subject, Direction::Push).await?.unwrap_or_else(|| Index {
        schema_version: 2,
        media_type: Some(MediaType::from(MediaType::OCI_INDEX)),
        manifests: Vec::new(),
        annotations: Default::default(),
        extra: Default::default(),
    });
    let before = index.manifests.len();
    for descriptor in found {
        if !index.manifests.iter().any(|known| known.digest == descriptor.digest) {
            index.manifests.push(descriptor.clone());
        }
    }
    if index.manifests.len() > before {
        let bytes = serde_json::to_vec(&index).map_err(|e| ShipError::new(e.to_string()))?;
        let tag = to.clone_with_tag(&referrers_tag(subject)).map_err(|e| ShipError::new(e.to_string()))?;
        registry.put_manifest(&tag, bytes, &MediaType::from(MediaType::OCI_INDEX)).await?;
    }
    Ok(())
}

/// Brings what cosign keeps under tags beside the image.
async fn cosign(
    carrier: &Carrier,
    from: &Reference,
    subject: &Digest,
    to: &Reference,
) -> Result<usize, ShipError> {
    let mut copied = 0;
    for end in COSIGN {
        let tag = format!("{}.{end}", referrers_tag(subject));
        if let Some(root) = by_tag(carrier, from, &tag, Direction::Pull).await? {
            let named = to.clone_with_tag(&tag).map_err(|e| ShipError::new(e.to_string()))?;
            one(carrier, from, root, to, &named).await?;
            copied += 1;
        }
    }
    Ok(copied)
}
