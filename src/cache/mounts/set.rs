//! What was saved of one directory: its layers, in a manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::key::{Components, Key, KeyKind};
use super::super::repository::{ARTIFACT, EMPTY, EMPTY_TYPE, USED};
use crate::image::{Descriptor, DiffId, Manifest, MediaType};

/// Annotation that holds what a manifest does not say by itself.
const SET: &str = "dev.yadokari.cache.mount";
/// Version of the format.
const VERSION: u32 = 1;
/// More layers than this are no set of ours.
const MOST_LAYERS: usize = 64;
/// From this many layers on all is saved anew, as one.
const MERGE_LAYERS: usize = 16;
/// Bytes that may be saved beside those that are needed before all is saved anew.
const SLACK: u64 = 16 << 20;
/// After how many seconds the time of last use is written again.
const REFRESH: i64 = 24 * 3600;

/// What was saved of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSet {
    /// What it is found by.
    pub name: Key,
    /// Its layers from the bottom, with what their tars hash to and hold.
    pub layers: Vec<(Descriptor, DiffId, u64)>,
    /// Bytes of all files together.
    pub bytes: u64,
    /// When it was saved, in seconds since 1970.
    pub saved: i64,
    /// When a build used it last, to a day.
    pub used: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    version: u32,
    name: Key,
    diff_ids: Vec<DiffId>,
    sizes: Vec<u64>,
    bytes: u64,
    saved: i64,
}

impl MountSet {
    /// The name of what is saved for a scope and a cache, which is told by its id and by what it
    /// starts with.
    pub fn name(scope: &str, cache: &str) -> Key {
        let mut parts = Components::new();
        parts.add("scope", scope).add("cache", cache);
        parts.key(KeyKind::Mount)
    }

    /// The set as a manifest.
    pub fn manifest(&self) -> (Vec<u8>, Descriptor) {
        let annotation = Annotation {
            version: VERSION,
            name: self.name,
            diff_ids: self.layers.iter().map(|(_, diff_id, _)| *diff_id).collect(),
            sizes: self.layers.iter().map(|(_, _, size)| *size).collect(),
            bytes: self.bytes,
            saved: self.saved,
        };
        let json = serde_json::to_string(&annotation).expect("plain data has a JSON form");
        let kind = MediaType::from(MediaType::OCI_MANIFEST);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(kind.clone()),
            config: Descriptor::of(MediaType::from(EMPTY_TYPE), EMPTY),
            layers: self.layers.iter().map(|(layer, ..)| layer.clone()).collect(),
            annotations: BTreeMap::from([(SET.to_owned(), json), (USED.to_owned(), self.used.to_string())]),
            extra: BTreeMap::from([("artifactType".to_owned(), ARTIFACT.into())]),
        };
        let bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        let descriptor = Descriptor::of(kind, &bytes);
        (bytes, descriptor)
    }

    /// Reads a manifest; `name` is what it was found by, where it was looked for.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub fn parse(bytes: &[u8], name: Option<&Key>) -> Result<MountSet, String> {
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|e| format!("its manifest makes no sense: {e}"))?;
        let json = manifest.annotations.get(SET).ok_or("its manifest names no saved directory")?;
        let found: Annotation =
            serde_json::from_str(json).map_err(|e| format!("its annotation makes no sense: {e}"))?;
        let count = manifest.layers.len();
        if found.version != VERSION {
            return Err(format!("it is of version {}, not {VERSION}", found.version));
        }
        if name.is_some_and(|name| *name != found.name) {
            return Err("it is what was saved of another directory".to_owned());
        }
        if count == 0 || count > MOST_LAYERS || found.diff_ids.len() != count || found.sizes.len() != count {
            return Err("its layers are not what its annotation says".to_owned());
        }
        let is_layer = |l: &Descriptor| l.media_type.as_str().starts_with(MediaType::OCI_LAYER);
        if !manifest.layers.iter().all(is_layer) {
            return Err("it has something that is no layer".to_owned());
        }
        let used = manifest.annotations.get(USED).and_then(|u| u.parse().ok()).unwrap_or(found.saved);
        let layers = manifest.layers.into_iter().zip(found.diff_ids).zip(found.sizes);
        Ok(MountSet {
            name: found.name,
            layers: layers.map(|((layer, diff_id), size)| (layer, diff_id, size)).collect(),
            bytes: found.bytes,
            saved: found.saved,
            used,
        })
    }

    /// Whether a layer of `size` bytes on top of these is one too many, or makes more to move than
    /// saving all `bytes` anew.
    pub fn is_worn(&self, size: u64, bytes: u64) -> bool {
        let stored: u64 = self.layers.iter().map(|(_, _, size)| *size).fold(size, u64::saturating_add);
        self.layers.len() + 1 > MERGE_LAYERS || stored > bytes.saturating_mul(2).saturating_add(SLACK)
    }

    /// Whether the time of last use is to be written again.
    pub fn is_stale(&self, now: i64) -> bool {
        self.used.saturating_add(REFRESH) <= now
    }

    /// Bytes of all layers as they are moved.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|(layer, ..)| layer.size).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::image::Digest;

    pub(in super::super) fn set() -> MountSet {
        let layer = |n: &[u8]| {
            let kind = MediaType::from(MediaType::OCI_LAYER_ZSTD);
            (Descriptor::new(kind, Digest::of(n), 3), DiffId::of(n), 1536)
        };
        MountSet {
            name: MountSet::name("", "/root/.cache"),
            layers: vec![layer(b"a"), layer(b"b")],
            bytes: 7,
            saved: 1_700_000_000,
            used: 1_700_000_001,
        }
    }

    /// The format is a promise: other versions read what this one writes.
    #[test]
    fn golden_manifest() {
        assert_eq!(set().name.hex(), "abd942242700c90dd09dfd6031def488f151b7f74c1d0304f4d676dfcf3033c7");
        let manifest = String::from_utf8(set().manifest().0).unwrap();
        assert_eq!(
            manifest,
            concat!(
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"#,
                r#""layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","size":3},"#,
                r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d","size":3}],"#,
                r#""annotations":{"dev.yadokari.cache.mount":"{\"version\":1,\"name\":\"abd942242700c90dd09dfd6031def488f151b7f74c1d0304f4d676dfcf3033c7\","#,
                r#"\"diffIds\":[\"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\","#,
                r#"\"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\"],"#,
                r#"\"sizes\":[1536,1536],\"bytes\":7,\"saved\":1700000000}","#,
                r#""dev.yadokari.cache.used":"1700000001"},"artifactType":"application/vnd.yadokari.cache.v1"}"#
            )
        );
    }

    #[test]
    fn a_set_survives_its_manifest() {
        let set = set();
        assert_eq!(MountSet::parse(&set.manifest().0, Some(&set.name)).unwrap(), set);
        assert_ne!(MountSet::name("a", "b"), MountSet::name("", "b"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let set = set();
        let other = MountSet::name("other", "");
        let parse = |s: &MountSet| MountSet::parse(&s.manifest().0, None);
        assert!(MountSet::parse(&set.manifest().0, Some(&other)).unwrap_err().contains("another"));
        assert!(parse(&MountSet { layers: Vec::new(), ..set.clone() }).is_err());
        let many = vec![set.layers[0].clone(); MOST_LAYERS + 1];
        assert!(parse(&MountSet { layers: many, ..set.clone() }).is_err());
        let mut config = set.clone();
        config.layers[0].0.media_type = MediaType::from(MediaType::OCI_CONFIG);
        assert!(parse(&config).unwrap_err().contains("no layer"));
        let text =
            String::from_utf8(set.manifest().0).unwrap().replace("\\\"version\\\":1", "\\\"version\\\":2");
        assert!(MountSet::parse(text.as_bytes(), None).unwrap_err().contains("version 2"));
        assert!(MountSet::parse(b"<html>", None).is_err());
    }

    #[test]
    fn many_or_wasteful_layers_are_worn() {
        let set = set();
        assert!(!set.is_worn(1 << 20, 1 << 20));
        assert!(set.is_worn(64 << 20, 1 << 20));
        let many = vec![set.layers[0].clone(); MERGE_LAYERS];
        assert!(MountSet { layers: many, ..set }.is_worn(1, 1 << 30));
    }
}
