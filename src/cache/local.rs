//! A cache in a directory: an OCI layout with records beside its blobs
//! (`docs/cache-format.md`, "In a directory"). Every file appears by rename, so that several
//! builds may use it at the same time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CacheError;
use super::index::{Entry, Index};
use super::key::Key;
use super::mounts::MountSet;
use super::record::{MAX_RECORD, Record};
use crate::image::{BlobSource, Descriptor, ImageBlob, OciLayout};

/// Most bytes of an index.
const MAX_INDEX: u64 = 16 << 20;

/// An index as a file.
#[derive(Serialize, Deserialize)]
struct IndexFile {
    version: u32,
    entries: Vec<EntryFile>,
}

#[derive(Serialize, Deserialize)]
struct EntryFile {
    used: i64,
    record: serde_json::Value,
}

/// A directory with records and layers.
#[derive(Debug, Clone)]
pub struct LocalCache {
    path: PathBuf,
    layout: Arc<OciLayout>,
}

impl LocalCache {
    /// Opens a cache that is there; none if there is no directory or no layout in it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Option<Self>, CacheError> {
        match path.join("oci-layout").try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(CacheError::file("look at", path)(error)),
        }
        let layout = OciLayout::open(path).map_err(|e| CacheError::Garbage(e.to_string()))?;
        let path = layout.stable_path();
        Ok(Some(LocalCache { path, layout: Arc::new(layout) }))
    }

    /// Opens a cache, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, read or written.
    pub fn create(path: &Path) -> Result<Self, CacheError> {
        for part in ["blobs/sha256", "yadokari/records", "yadokari/indexes"] {
            let directory = path.join(part);
            fs::create_dir_all(&directory).map_err(CacheError::file("create", &directory))?;
        }
        OciLayout::begin(path).map_err(|e| CacheError::Garbage(e.to_string()))?;
        let opened = Self::open(path)?;
        opened.ok_or_else(|| CacheError::Garbage(format!("{} went away", path.display())))
    }

    /// The blobs.
    pub fn layout(&self) -> &Arc<OciLayout> {
        &self.layout
    }

    fn record_path(&self, key: &Key) -> PathBuf {
        self.path.join("yadokari/records").join(format!("{key}.json"))
    }

    fn index_path(&self, name: &Key) -> PathBuf {
        self.path.join("yadokari/indexes").join(format!("{name}.json"))
    }

    pub(super) fn index(&self, name: &Key) -> Result<Option<Index>, CacheError> {
        let path = self.index_path(name);
        let Some(bytes) = read_bounded(&path, MAX_INDEX)? else { return Ok(None) };
        let file: IndexFile = serde_json::from_slice(&bytes)
            .map_err(|e| CacheError::Garbage(format!("{}: {e}", path.display())))?;
        let entry = |e: EntryFile| {
            let record = Record::parse(&serde_json::to_vec(&e.record).ok()?, None).ok()?;
            Some(Entry { record, used: e.used })
        };
        Ok(Some(Index { entries: file.entries.into_iter().filter_map(entry).collect() }))
    }

    pub(super) fn records(&self, keys: &[Key]) -> Result<(BTreeMap<Key, Record>, Vec<String>), CacheError> {
        let (mut found, mut refused) = (BTreeMap::new(), Vec::new());
        for key in keys {
            let path = self.record_path(key);
            let Some(bytes) = read_bounded(&path, MAX_RECORD as u64)? else { continue };
            match Record::parse(&bytes, Some(key)) {
                Ok(record) => drop(found.insert(*key, record)),
                Err(error) => refused.push(format!("the record {}: {error}", key.short())),
            }
        }
        Ok((found, refused))
    }

    /// Whether a layer is here, of the right size.
    pub(super) fn has_layer(&self, layer: &Descriptor) -> bool {
        let metadata = fs::metadata(self.layout.blob_path(&layer.digest));
        metadata.is_ok_and(|m| m.is_file() && m.len() == layer.size)
    }

    /// Puts a layer here from a file.
    pub(super) fn put_layer(&self, layer: &Descriptor, from: &Path) -> Result<(), CacheError> {
        let known = self.layout.blob_path(&layer.digest);
        if known != from && self.has_layer(layer) && !self.is_whole(layer) {
            remove(&known)?;
        }
        let blob = ImageBlob { descriptor: layer.clone(), source: BlobSource::File(from) };
        self.layout.put_blob(&blob).map_err(|e| CacheError::Garbage(e.to_string()))
    }

    fn mount_path(&self, name: &Key) -> PathBuf {
        self.path.join("yadokari/mounts").join(format!("{name}.json"))
    }

    /// The manifest of what was saved of a cache mount.
    pub(super) fn mount(&self, name: &Key) -> Result<Option<Vec<u8>>, CacheError> {
        read_bounded(&self.mount_path(name), MAX_INDEX)
    }

    /// Puts the manifest of what was saved of a cache mount here, after its layers.
    pub(super) fn store_mount(&self, name: &Key, manifest: &[u8]) -> Result<(), CacheError> {
        write_whole(&self.mount_path(name), manifest)
    }

    /// What is saved of cache mounts.
    pub(super) fn mounts(&self) -> Result<Vec<MountSet>, CacheError> {
        let mut sets = Vec::new();
        for name in names(&self.path.join("yadokari/mounts"))? {
            sets.extend(self.mount(&name)?.and_then(|bytes| MountSet::parse(&bytes, Some(&name)).ok()));
        }
        Ok(sets)
    }

    pub(super) fn remove_mount(&self, name: &Key) -> Result<(), CacheError> {
        remove(&self.mount_path(name))
    }

    /// Whether a blob holds the bytes of its digest.
    fn is_whole(&self, layer: &Descriptor) -> bool {
        let read = self.layout.blob(layer).map(|mut blob| io::copy(&mut blob, &mut io::sink()));
        matches!(read, Ok(Ok(_)))
    }

    /// Puts a record here whose layer is.
    pub(super) fn store_record(&self, record: &Record) -> Result<(), CacheError> {
        record.keys.iter().try_for_each(|key| write_whole(&self.record_path(key), &record.to_json()))
    }

    pub(super) fn store_index(&self, name: &Key, index: &Index) -> Result<(), CacheError> {
        let entry =
            |e: &Entry| Ok(EntryFile { used: e.used, record: serde_json::from_slice(&e.record.to_json())? });
        let entries: Result<Vec<EntryFile>, serde_json::Error> = index.entries.iter().map(entry).collect();
        let file = entries.and_then(|entries| serde_json::to_vec(&IndexFile { version: 1, entries }));
        let bytes = file.map_err(|e| CacheError::Garbage(format!("an index has no JSON form: {e}")))?;
        write_whole(&self.index_path(name), &bytes)
    }

    /// All indexes by name, and the keys of all records.
    pub(super) fn contents(&self) -> Result<(BTreeMap<Key, Index>, Vec<Key>), CacheError> {
        let mut indexes = BTreeMap::new();
        for name in names(&self.path.join("yadokari/indexes"))? {
            if let Some(index) = self.index(&name)? {
                indexes.insert(name, index);
            }
        }
        Ok((indexes, names(&self.path.join("yadokari/records"))?))
    }

    pub(super) fn remove_record(&self, key: &Key) -> Result<(), CacheError> {
        remove(&self.record_path(key))
    }

    pub(super) fn remove_layer(&self, layer: &Descriptor) -> Result<(), CacheError> {
        remove(&self.layout.blob_path(&layer.digest))
    }
}

/// The keys that are names of files in a directory.
fn names(directory: &Path) -> Result<Vec<Key>, CacheError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(CacheError::file("list", directory))?,
    };
    let name = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok();
    Ok(entries.flatten().filter_map(name).collect())
}

pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CacheError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(CacheError::file("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(CacheError::file("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(CacheError::Garbage(format!("{} has more than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}

pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(CacheError::file("create", directory))?;
    let written = tempfile::Builder::new()
        .prefix(".writing-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(directory)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(path).map_err(|e| e.error)
        });
    written.map(drop).map_err(CacheError::file("write", path))
}

fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::file("remove", path)(error)),
        _ => Ok(()),
    }
}
