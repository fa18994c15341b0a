//! Several images as one index (OCI image spec, image-index.md).

use std::collections::BTreeMap;

use crate::config::Annotation;
use crate::image::{
    Descriptor, Digest, ImageConfig, ImageFormat, Index, Manifest, ManifestOrIndex, MediaType, Platform,
    Reference,
};
use crate::registry::RawManifest;

use super::send::{self, repositories};
use super::tree::{Node, Tree};
use super::{Carrier, ShipError, Shipped, Source};

/// What BuildKit calls the platform of an attestation, which runs nowhere.
const NOWHERE: &str = "unknown";

/// What an index shall be.
#[derive(Debug, Clone, Default)]
pub struct IndexConfig {
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Those of its entries; what is for one platform wins over what is for all.
    pub entries: Vec<Annotation>,
    /// Its media type; Docker's where all its images are Docker's and nothing is annotated.
    pub format: Option<ImageFormat>,
}

/// Makes an index of images, brings them to every destination, and tags it there.
pub(super) async fn create(
    carrier: &Carrier,
    sources: &[Source],
    destinations: &[Reference],
    config: &IndexConfig,
) -> Result<Shipped, ShipError> {
    let mut trees = Vec::new();
    let mut entries: Vec<Descriptor> = Vec::new();
    for source in sources {
        let tree = Tree::read(carrier, source).await?;
        for entry in of_tree(carrier, source, &tree).await? {
            add(&mut entries, entry, source)?;
        }
        trees.push(tree);
    }
    annotate(&mut entries, &config.entries)?;
    let index = document(entries, config)?;
    let repositories = repositories(destinations);
    for (at, repository) in repositories.iter().enumerate() {
        for (source, tree) in sources.iter().zip(&trees) {
            send::images(carrier, source, tree, repository, &repositories[..at]).await?;
        }
    }
    for to in destinations {
        carrier.registry().put_manifest(to, index.bytes.clone(), &index.media_type).await?;
    }
    Ok(Shipped { digest: index.digest, images: trees.iter().map(Tree::images).sum() })
}

/// The entries for one source; those of an index inside it are taken out of it.
async fn of_tree(carrier: &Carrier, source: &Source, tree: &Tree) -> Result<Vec<Descriptor>, ShipError> {
    let mut known: BTreeMap<Digest, &Descriptor> = BTreeMap::new();
    for node in &tree.nodes {
        if let ManifestOrIndex::Index(index) = &node.parsed {
            known.extend(index.manifests.iter().map(|entry| (entry.digest, entry)));
        }
    }
    let mut entries = Vec::new();
    for node in in_order(tree) {
        let ManifestOrIndex::Manifest(manifest) = &node.parsed else { continue };
        let mut entry =
            Descriptor::new(node.raw.media_type.clone(), node.raw.digest, node.raw.bytes.len() as u64);
        match known.get(&node.raw.digest) {
            // It says of itself that it is for no platform, and whose attestation it is.
            Some(named) if is_nowhere(named) => entry = (*named).clone(),
            named => {
                entry.platform = Some(platform(carrier, source, node, manifest).await?);
                if let Some(named) = named {
                    entry.annotations.clone_from(&named.annotations);
                }
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Nodes in the order in which indexes name them.
fn in_order(tree: &Tree) -> Vec<&Node> {
    let by_digest: BTreeMap<Digest, &Node> = tree.nodes.iter().map(|node| (node.raw.digest, node)).collect();
    let mut ordered = Vec::new();
    let mut stack = vec![tree.root().raw.digest];
    while let Some(digest) = stack.pop() {
        let Some(node) = by_digest.get(&digest) else { continue };
        match &node.parsed {
            ManifestOrIndex::Index(index) => stack.extend(index.manifests.iter().rev().map(|d| d.digest)),
            ManifestOrIndex::Manifest(_) => ordered.push(*node),
        }
    }
    ordered
}

fn is_nowhere(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(|platform| platform.os == NOWHERE)
}

/// The platform that an image's config names.
async fn platform(
    carrier: &Carrier,
    source: &Source,
    node: &Node,
    manifest: &Manifest,
) -> Result<Platform, ShipError> {
    let config = source.config_bytes(carrier, &manifest.config).await?;
    let name = source.name();
    let config: ImageConfig = serde_json::from_slice(&config).map_err(|e| {
        ShipError::new(format!("{name}: the config of {} is not valid: {e}", node.raw.digest))
    })?;
    if config.os.is_empty() || config.architecture.is_empty() {
        let message = format!("{name}: {} does not say for which platform it is", node.raw.digest);
        return Err(
            ShipError::new(message).help("an index is made of images; this one may be another document")
        );
    }
    let mut platform = config.platform();
    if let Some(features) = config.extra.get("os.features") {
        platform.extra.insert("os.features".to_owned(), features.clone());
    }
    Ok(platform)
}

/// Adds an entry: the same image once, two images for one platform never.
fn add(entries: &mut Vec<Descriptor>, entry: Descriptor, source: &Source) -> Result<(), ShipError> {
    if entries.iter().any(|known| known.digest == entry.digest) {
        return Ok(());
    }
    let same = |known: &&Descriptor| known.platform == entry.platform && !is_nowhere(known);
    if let (Some(known), Some(platform)) = (entries.iter().find(same), &entry.platform) {
        return Err(ShipError::new(format!(
            "two images are for {platform}: {} and {} of {}",
            known.digest,
            entry.digest,
            source.name()
        ))
        .help("name one image for each platform"));
    }
    entries.push(entry);
    Ok(())
}

/// Annotates entries for images; those of attestations are left as they are.
fn annotate(entries: &mut [Descriptor], annotations: &[Annotation]) -> Result<(), ShipError> {
    let is_for = |entry: &Descriptor, wanted: &Platform| {
        let own = entry.platform.as_ref();
        own.is_some_and(|own| Platform::new(&own.os, &own.architecture, own.variant.as_deref()) == *wanted)
    };
    let (all, own): (Vec<_>, Vec<_>) = annotations.iter().partition(|a| a.platform.is_none());
    for annotation in all.into_iter().chain(own) {
        let mut found = false;
        for entry in entries.iter_mut().filter(|entry| !is_nowhere(entry)) {
            if annotation.platform.as_ref().is_none_or(|platform| is_for(entry, platform)) {
                entry.annotations.insert(annotation.key.clone(), annotation.value.clone());
                found = true;
            }
        }
        if let (false, Some(platform)) = (found, &annotation.platform) {
            return Err(ShipError::new(format!("{}: no image is for {platform}", annotation.full_key()))
                .help("annotate the entries of platforms whose images are named"));
        }
    }
    Ok(())
}

fn document(manifests: Vec<Descriptor>, config: &IndexConfig) -> Result<RawManifest, ShipError> {
    let annotated = !config.annotations.is_empty() || !config.entries.is_empty();
    let all_docker = manifests.iter().all(|entry| entry.media_type.as_str() == MediaType::DOCKER_MANIFEST);
    let media_type = match config.format {
        Some(ImageFormat::Docker) if annotated => {
            return Err(ShipError::new("docker's manifest lists have no annotations")
                .help("give --image-format=oci, or no --annotation"));
        }
        Some(ImageFormat::Docker) => MediaType::DOCKER_LIST,
        None if all_docker && !annotated => MediaType::DOCKER_LIST,
        Some(ImageFormat::Oci) | None => MediaType::OCI_INDEX,
    };
    let media_type = MediaType::from(media_type);
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type.clone()),
        manifests,
        annotations: config.annotations.clone(),
        extra: Default::default(),
    };
    let bytes = serde_json::to_vec(&index).map_err(|e| ShipError::new(e.to_string()))?;
    Ok(RawManifest { digest: Digest::of(&bytes), bytes, media_type })
}
