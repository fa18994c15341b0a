//! All manifests of an image.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::image::{Descriptor, Digest, ManifestOrIndex, MediaType};
use crate::registry::RawManifest;

use super::source::{MAX_NESTING, Source, parse};
use super::{Carrier, ShipError};

/// Most manifests of one image; real ones have two for each platform.
const MAX_NODES: usize = 2000;
/// Most bytes of them together.
const MAX_BYTES: usize = 64 << 20;
/// Manifests asked for at once.
const QUESTIONS: usize = 8;

/// One manifest or index.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) raw: RawManifest,
    pub(super) parsed: ManifestOrIndex,
}

/// A manifest or an index with all it names: children before who names them, the root last.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    /// Fetches what the root of an image names.
    pub(super) async fn read(carrier: &Carrier, source: &Source) -> Result<Self, ShipError> {
        let root = Node { raw: source.root.clone(), parsed: source.parsed()? };
        let top = root.raw.digest;
        let mut bytes = root.raw.bytes.len();
        let mut level = children(&root);
        let mut known = HashMap::from([(top, root)]);
        for _ in 0..MAX_NESTING {
            level.retain(|child| !known.contains_key(&child.digest));
            let mut unique = HashSet::new();
            level.retain(|child| unique.insert(child.digest));
            if known.len() + level.len() > MAX_NODES {
                return Err(too_much(source, &format!("more than {MAX_NODES} manifests")));
            }
            let fetched: Vec<Node> = stream::iter(std::mem::take(&mut level))
                .map(|child| fetch(carrier, source, child))
                .buffered(QUESTIONS)
                .try_collect()
                .await?;
            for node in fetched {
                bytes += node.raw.bytes.len();
                if bytes > MAX_BYTES {
                    return Err(too_much(source, &format!("more than {MAX_BYTES} bytes of manifests")));
                }
                level.extend(children(&node));
                known.insert(node.raw.digest, node);
            }
        }
        if level.iter().any(|child| !known.contains_key(&child.digest)) {
            return Err(too_much(source, &format!("indexes nested more than {MAX_NESTING} deep")));
        }
        Ok(Tree { nodes: in_order(top, known) })
    }

    pub(super) fn root(&self) -> &Node {
        self.nodes.last().expect("a tree has its root")
    }

    /// Images in it.
    pub(super) fn images(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node.parsed, ManifestOrIndex::Manifest(_))).count()
    }

    /// Every config and layer once, but those that must not be distributed.
    pub(super) fn blobs(&self) -> (Vec<Descriptor>, usize) {
        let mut seen = HashSet::new();
        let mut foreign = 0;
        let mut all = Vec::new();
        for node in &self.nodes {
            let ManifestOrIndex::Manifest(manifest) = &node.parsed else { continue };
            for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                if !seen.insert(blob.digest) {
                    continue;
                }
                if is_foreign(blob) {
                    foreign += 1;
                } else {
                    all.push(blob.clone());
                }
            }
        }
        (all, foreign)
    }
}

/// Whether a layer stays where its URLs say, as those of Windows do (OCI image spec, layer.md,
/// "Non-Distributable Layers").
fn is_foreign(blob: &Descriptor) -> bool {
    let media_type = blob.media_type.as_str();
    media_type == MediaType::DOCKER_FOREIGN_LAYER || media_type.contains(".nondistributable.")
}

fn children(node: &Node) -> Vec<Descriptor> {
    match &node.parsed {
        ManifestOrIndex::Index(index) => index.manifests.clone(),
        ManifestOrIndex::Manifest(_) => Vec::new(),
    }
}

async fn fetch(carrier: &Carrier, source: &Source, child: Descriptor) -> Result<Node, ShipError> {
    let raw = source.manifest(carrier, &child).await.map_err(|mut e| {
        e.message = format!("the index {} names {}: {}", source.name, child.digest, e.message);
        e.help = e.help.or_else(|| Some("give --platform if one of its images is enough".to_owned()));
        e
    })?;
    let parsed = parse(&raw, &source.name)?;
    Ok(Node { raw, parsed })
}

/// Depth first, each node after its children.
fn in_order(top: Digest, mut known: HashMap<Digest, Node>) -> Vec<Node> {
    let mut ordered = Vec::with_capacity(known.len());
    let mut visited = HashSet::new();
    // The second time a digest is met on the stack, its children are done.
    let mut stack = vec![(top, false)];
    while let Some((digest, is_done)) = stack.pop() {
        if is_done {
            ordered.extend(known.remove(&digest));
            continue;
        }
        let Some(node) = known.get(&digest) else { continue };
        if visited.insert(digest) {
            stack.push((digest, true));
            stack.extend(children(node).iter().rev().map(|child| (child.digest, false)));
        }
    }
    ordered
}

fn too_much(source: &Source, what: &str) -> ShipError {
    ShipError::new(format!("{} has {what}, which is no image", source.name))
}
