//! A cache in a repository: a small manifest for each key, and an index for each target
//! (`docs/cache-format.md`, "In a repository").

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::CacheError;
use super::index::{Entry, Index};
use super::key::Key;
use super::mounts::{MOUNT_TAG, MountSet};
use super::record::Record;
use super::store::LayerSource;
use crate::image::{self, Descriptor, Manifest, ManifestOrIndex, MediaType, Reference};
use crate::registry::{Blob, BlobContent, Direction, Registry, RegistryError};

/// Before the key in the tag of a record.
const RECORD_TAG: &str = "yc1-";
/// Before the name in the tag of an index.
const INDEX_TAG: &str = "yci1-";
/// Annotation that holds a record.
const RECORD: &str = "dev.yadokari.cache.record";
/// Annotation that holds the time of a record's last use.
pub(super) const USED: &str = "dev.yadokari.cache.used";
/// Type of what is no image (OCI image spec, manifest.md, "Guidelines for Artifact Usage").
pub(super) const ARTIFACT: &str = "application/vnd.yadokari.cache.v1";
/// The config of what has none.
pub(super) const EMPTY: &[u8] = b"{}";
pub(super) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Records asked for at the same time.
const AT_ONCE: usize = 16;

/// A repository with records and layers.
#[derive(Debug, Clone)]
pub struct RepositoryCache {
    registry: Registry,
    repository: Reference,
}

impl RepositoryCache {
    /// The cache in the repository of a reference.
    pub fn new(registry: &Registry, repository: &Reference) -> Self {
        RepositoryCache { registry: registry.without_mirrors(), repository: repository.clone() }
    }

    /// The repository.
    pub fn repository(&self) -> &Reference {
        &self.repository
    }

    pub(super) fn tagged(&self, prefix: &str, key: &Key) -> Reference {
        let tag = format!("{prefix}{key}");
        self.repository.clone_with_tag(&tag).expect("letters and digits are a tag")
    }

    /// An index; none if there is none.
    pub(super) async fn index(&self, name: &Key) -> Result<Option<Index>, CacheError> {
        let Some(bytes) = self.document(&self.tagged(INDEX_TAG, name)).await? else { return Ok(None) };
        match ManifestOrIndex::parse(&bytes, None) {
            Ok(ManifestOrIndex::Index(index)) => Ok(Some(read_index(&index))),
            Ok(ManifestOrIndex::Manifest(_)) => {
                Err(CacheError::Garbage("the index is no index but a manifest".to_owned()))
            }
            Err(error) => Err(CacheError::Garbage(format!("the index makes no sense: {error}"))),
        }
    }

    /// The records of these keys, and what is wrong with those that were refused.
    pub(super) async fn records(
        &self,
        keys: &[Key],
    ) -> Result<(BTreeMap<Key, Record>, Vec<String>), CacheError> {
        let one = |key: Key| async move { (key, self.document(&self.tagged(RECORD_TAG, &key)).await) };
        let mut answers = futures_util::stream::iter(keys.to_vec()).map(one).buffer_unordered(AT_ONCE);
        let (mut found, mut refused) = (BTreeMap::new(), Vec::new());
        while let Some((key, document)) = answers.next().await {
            let Some(bytes) = document? else { continue };
            match read_record(&bytes, &key) {
                Ok(record) => drop(found.insert(key, record)),
                Err(problem) => refused.push(format!("the record {}: {problem}", key.short())),
            }
        }
        Ok((found, refused))
    }

    /// A manifest or an index; none if there is none.
    pub(super) async fn document(&self, reference: &Reference) -> Result<Option<Vec<u8>>, CacheError> {
        match self.registry.manifest(reference, Direction::Pull).await {
            Ok(raw) => Ok(Some(raw.bytes)),
            Err(RegistryError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a layer is here.
    pub(super) async fn has_layer(&self, layer: &Descriptor) -> Result<bool, CacheError> {
        Ok(self.registry.has_blob(&self.repository, &layer.digest, Direction::Pull).await?)
    }

    /// Puts a layer and its record here; mounted where another repository of the registry has the
    /// layer.
    pub(super) async fn store(&self, record: &Record, layer: &LayerSource) -> Result<(), CacheError> {
        let (blob, empty) = futures_util::join!(self.put_layer(&record.layer, layer), self.put_empty());
        blob?;
        empty?;
        let (bytes, descriptor) = record_manifest(record);
        for key in &record.keys {
            let to = self.tagged(RECORD_TAG, key);
            self.registry.put_manifest(&to, bytes.clone(), &descriptor.media_type).await?;
        }
        Ok(())
    }

    /// Puts a layer here.
    pub(super) async fn put_layer(&self, layer: &Descriptor, from: &LayerSource) -> Result<(), CacheError> {
        match from {
            LayerSource::File { path, mount_from } => {
                let blob = Blob { descriptor: layer.clone(), content: BlobContent::Path(path.clone()) };
                self.registry.put_blob(&self.repository, &blob, mount_from).await?
            }
            LayerSource::Repository(from) => self.registry.copy_blob(from, &self.repository, layer).await?,
        };
        Ok(())
    }

    /// Puts the config of what has none here.
    pub(super) async fn put_empty(&self) -> Result<(), CacheError> {
        let descriptor = Descriptor::of(MediaType::from(EMPTY_TYPE), EMPTY);
        let blob = Blob { descriptor, content: BlobContent::Bytes(Bytes::from_static(EMPTY)) };
        self.registry.put_blob(&self.repository, &blob, &[]).await?;
        Ok(())
    }

    /// All indexes by name, and the keys of all records.
    pub(super) async fn contents(&self) -> Result<(BTreeMap<Key, Index>, Vec<Key>), CacheError> {
        let (mut indexes, mut keys) = (BTreeMap::new(), Vec::new());
        for tag in self.registry.tags(&self.repository).await? {
            if let Some(key) = tag.strip_prefix(RECORD_TAG).and_then(|k| k.parse().ok()) {
                keys.push(key);
            } else if let Some(name) = tag.strip_prefix(INDEX_TAG).and_then(|k| k.parse().ok())
                && let Some(index) = self.index(&name).await?
            {
                indexes.insert(name, index);
            }
        }
        Ok((indexes, keys))
    }

    /// What is saved of cache mounts.
    pub(super) async fn mounts(&self) -> Result<Vec<MountSet>, CacheError> {
        let mut sets = Vec::new();
        for tag in self.registry.tags(&self.repository).await? {
            if let Some(name) = tag.strip_prefix(MOUNT_TAG).and_then(|k| k.parse().ok())
                && let Some(bytes) = self.document(&self.tagged(MOUNT_TAG, &name)).await?
            {
                sets.extend(MountSet::parse(&bytes, Some(&name)));
            }
        }
        Ok(sets)
    }

    /// Removes a record; false where the registry removes nothing.
    pub(super) async fn remove(&self, record: &Record) -> Result<bool, CacheError> {
        self.remove_manifest(&record_manifest(record).1).await
    }

    /// Removes a manifest; false where the registry removes nothing.
    pub(super) async fn remove_manifest(&self, manifest: &Descriptor) -> Result<bool, CacheError> {
        Ok(self.registry.remove_manifest(&self.repository, &manifest.digest).await?)
    }

    /// Puts an index here, after every record it names.
    pub(super) async fn store_index(&self, name: &Key, index: &Index) -> Result<(), CacheError> {
        let manifests = index.entries.iter().map(|entry| {
            let (_, mut descriptor) = record_manifest(&entry.record);
            let json = String::from_utf8(entry.record.to_json()).expect("JSON is UTF-8");
            descriptor.annotations.insert(RECORD.to_owned(), json);
            descriptor.annotations.insert(USED.to_owned(), entry.used.to_string());
            descriptor
        });
        let document = image::Index {
            schema_version: 2,
            media_type: Some(MediaType::from(MediaType::OCI_INDEX)),
            manifests: manifests.collect(),
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&document).expect("an index is plain data");
        let kind = MediaType::from(MediaType::OCI_INDEX);
        self.registry.put_manifest(&self.tagged(INDEX_TAG, name), bytes, &kind).await?;
        Ok(())
    }
}

/// The manifest of a record: the registry keeps the layer because of it.
fn record_manifest(record: &Record) -> (Vec<u8>, Descriptor) {
    let json = String::from_utf8(record.to_json()).expect("JSON is UTF-8");
    let kind = MediaType::from(MediaType::OCI_MANIFEST);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(kind.clone()),
        config: Descriptor::of(MediaType::from(EMPTY_TYPE), EMPTY),
        layers: vec![record.layer.clone()],
        annotations: BTreeMap::from([(RECORD.to_owned(), json)]),
        extra: BTreeMap::from([("artifactType".to_owned(), ARTIFACT.into())]),
    };
    let bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data");
    let descriptor = Descriptor::of(kind, &bytes);
    (bytes, descriptor)
}

fn read_record(bytes: &[u8], key: &Key) -> Result<Record, String> {
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|e| format!("its manifest makes no sense: {e}"))?;
    let json = manifest.annotations.get(RECORD).ok_or("its manifest holds none")?;
    let record = Record::parse(json.as_bytes(), Some(key)).map_err(|e| e.to_string())?;
    match manifest.layers.as_slice() {
        [layer] if layer.digest == record.layer.digest && layer.size == record.layer.size => Ok(record),
        _ => Err("its manifest names another layer".to_owned()),
    }
}

/// The entries that make sense: one that does not is no reason to lose the others.
fn read_index(index: &image::Index) -> Index {
    let read = |descriptor: &Descriptor| {
        let json = descriptor.annotations.get(RECORD)?;
        let record = Record::parse(json.as_bytes(), None).ok()?;
        let used = descriptor.annotations.get(USED)?.parse().ok()?;
        Some(Entry { record, used })
    };
    Index { entries: index.manifests.iter().filter_map(read).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn a_record_survives_its_manifest() {
        let record = record();
        let (bytes, descriptor) = record_manifest(&record);
        assert_eq!(read_record(&bytes, &record.keys[0]).unwrap(), record);
        let again = record_manifest(&read_record(&bytes, &record.keys[0]).unwrap()).1;
        assert_eq!(again, descriptor, "an index names a manifest that is there");
    }

    #[test]
    fn manifests_that_contradict_their_record_are_refused() {
        let record = record();
        let (bytes, _) = record_manifest(&record);
        let mut manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
        manifest.layers[0].size += 1;
        let other = serde_json::to_vec(&manifest).unwrap();
        assert!(read_record(&other, &record.keys[0]).unwrap_err().contains("another layer"));
        manifest.annotations.clear();
        let none = serde_json::to_vec(&manifest).unwrap();
        assert!(read_record(&none, &record.keys[0]).is_err());
        assert!(read_record(b"<html>", &record.keys[0]).is_err());
    }
}
