//! What was changed in a bundle becomes one more layer.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::mtree::{Record, Recorded};
use super::seed::Seed;
use super::unpack::failed;
use super::walk::{Item, Walk, attributes, content_hash, order};
use super::{RECORD, ROOTFS};
use crate::config::CompressionConfig;
use crate::image::{Descriptor, Digest, History, ImageConfig, Manifest, ManifestOrIndex, MediaType};
use crate::layer::{Content, DirView, Entry, Kind, PackOptions, PackedLayer, View, expect_records, pack};
use crate::registry::RawManifest;
use crate::rootfs::RootfsError;
use crate::rootfs::change::{After, Attributes, Candidate, Verdict, compare, entries};
use crate::ship::{Carrier, ShipError, Source};

/// How a bundle is packed.
#[derive(Debug, Clone, Default)]
pub struct RepackConfig {
    /// What the history says made the layer.
    pub created_by: String,
    /// How the layer is compressed.
    pub compression: CompressionConfig,
    /// Seconds since 1970 that no time is after (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<i64>,
    /// Docker archives are read with their plain layers compressed: for who sends them to registries.
    pub compress: bool,
}

/// A bundle as an image again.
#[derive(Debug)]
pub struct Repacked {
    /// The image, to be sent or saved.
    pub source: Source,
    /// Entries of the new layer; none where nothing changed, and then there is no new layer.
    pub entries: u64,
}

/// Makes an image of a bundle: the one it was made from, with one layer of all that was changed in
/// `rootfs` since. Where nothing was, it is the same image.
///
/// # Errors
/// It is no bundle, its image is gone, or a file cannot be read or be in a layer.
pub fn repack(carrier: &Carrier, bundle: &Path, config: &RepackConfig) -> Result<Repacked, ShipError> {
    let seed = Seed::read(bundle)?;
    let base = Source::open(carrier, &seed.place()?, config.compress)?.pick(carrier, &seed.platform)?;
    let ManifestOrIndex::Manifest(manifest) = base.parsed()? else {
        return Err(ShipError::new(format!("{} is no single image", base.name())));
    };
    if manifest.config.digest != seed.config {
        return Err(ShipError::new(format!("{} is not the image any more that was unpacked", base.name()))
            .help("unpack it again, and change that"));
    }
    // Another process unpacked it, and may have recorded owners.
    expect_records();
    let rootfs = bundle.join(ROOTFS);
    let view = DirView::at(&rootfs).map_err(|e| failed("read", &rootfs, &e))?;
    let changes = changes(carrier, bundle, &rootfs, &view)?;
    if changes.is_empty() {
        return Ok(Repacked { source: base, entries: 0 });
    }
    let directory = tempfile::tempdir_in(carrier.spare()?)
        .map_err(|e| ShipError::new(format!("cannot make a directory for the layer: {e}")))?;
    let options = PackOptions {
        compression: config.compression,
        clamp_mtime: config.epoch,
        zero_times: false,
        fractions: false,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        directory: directory.path().to_owned(),
        content_id: false,
    };
    let wanted = changes.iter().take_while(|_| carrier.go_on().is_ok());
    let layer = pack(wanted, &options, &mut |_, _| {}).map_err(|e| ShipError::new(e.to_string()))?;
    // Then it has not all of them.
    carrier.go_on()?;
    let image = derive(carrier, &base, &manifest, &layer, config)?;
    let file = (image.layer, layer.path.clone());
    let source = base.derived(image.manifest, image.config, file, directory)?;
    Ok(Repacked { source, entries: layer.entries })
}

struct Derived {
    manifest: RawManifest,
    config: Vec<u8>,
    layer: Descriptor,
}

/// Config and manifest with the new layer.
fn derive(
    carrier: &Carrier,
    base: &Source,
    manifest: &Manifest,
    layer: &PackedLayer,
    config: &RepackConfig,
) -> Result<Derived, ShipError> {
    let wrong = |e: &dyn std::fmt::Display| ShipError::new(format!("{}: {e}", base.name()));
    let mut settings: ImageConfig =
        serde_json::from_slice(&base.config(carrier, &manifest.config)?).map_err(|e| wrong(&e))?;
    let now = match config.epoch {
        Some(seconds) => jiff::Timestamp::from_second(seconds).map_err(|e| wrong(&e))?,
        None => jiff::Timestamp::now(),
    };
    // Readers count one entry for each layer.
    let known = settings.history.iter().filter(|entry| !entry.empty_layer).count();
    settings.history.extend((known..manifest.layers.len()).map(|_| History::default()));
    settings.rootfs.diff_ids.push(layer.diff_id);
    settings.created = Some(now.to_string());
    settings.history.push(History {
        created: Some(now.to_string()),
        created_by: Some(config.created_by.clone()),
        ..History::default()
    });
    let settings = serde_json::to_vec(&settings).map_err(|e| wrong(&e))?;
    let format = base.root().media_type.format();
    let layer = Descriptor::new(MediaType::layer(format, layer.compression), layer.digest, layer.size);
    let mut manifest = manifest.clone();
    manifest.config = Descriptor { ..Descriptor::of(manifest.config.media_type.clone(), &settings) };
    manifest.layers.push(layer.clone());
    let bytes = serde_json::to_vec(&manifest).map_err(|e| wrong(&e))?;
    let media_type = base.root().media_type.clone();
    let manifest = RawManifest { digest: Digest::of(&bytes), bytes, media_type };
    Ok(Derived { manifest, config: settings, layer })
}

/// What differs from the record, as entries of a layer.
fn changes(carrier: &Carrier, bundle: &Path, rootfs: &Path, view: &DirView) -> Result<Vec<Entry>, ShipError> {
    let record = bundle.join(RECORD);
    let file = File::open(&record).map_err(|e| failed("read", &record, &e))?;
    let mut record = Record::new(BufReader::new(file));
    let found = candidates(carrier, &mut record, view, rootfs);
    let (candidates, contents) = found.map_err(|e| failed("compare", rootfs, &e))?;
    let root = File::open(rootfs).map_err(|e| failed("read", rootfs, &e))?;
    let after = OnDisk { view, root: Arc::new(root.into()), contents };
    entries(candidates, &after).map_err(|e| ShipError::new(e.to_string()))
}

/// Paths that may have changed, and the contents that regular files among them had.
type Found = (Vec<Candidate>, HashMap<Vec<u8>, u128>);

/// Goes through record and tree side by side: only what differs, and what shares an inode, is kept.
fn candidates(
    carrier: &Carrier,
    record: &mut Record<BufReader<File>>,
    view: &DirView,
    rootfs: &Path,
) -> io::Result<Found> {
    let mut walk = Walk::new(view, rootfs);
    let (mut before, mut after) = (record.next()?, walk.next()?);
    let mut found: Found = Default::default();
    loop {
        carrier.go_on().map_err(io::Error::other)?;
        let which = match (&before, &after) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => order(&old.path, &new.entry.path),
        };
        let old = if which == Ordering::Greater { None } else { before.take() };
        let new = if which == Ordering::Less { None } else { after.take() };
        if old.is_some() {
            before = record.next()?;
        }
        if new.is_some() {
            after = walk.next()?;
        }
        consider(old, new, view, &mut found)?;
    }
}

fn consider(
    old: Option<Recorded>,
    new: Option<Item>,
    view: &DirView,
    (candidates, contents): &mut Found,
) -> io::Result<()> {
    let path = match (&old, &new) {
        (Some(old), _) => old.path.clone(),
        (None, Some(new)) => new.entry.path.clone(),
        (None, None) => return Ok(()),
    };
    // `/` itself is in no layer.
    if path.is_empty() {
        return Ok(());
    }
    let after = new.map(|new| {
        let mut side = attributes(&new.entry, new.group);
        // The true owner of a link could not be set, and stands in the record only.
        if let Some(old) = old.as_ref().filter(|old| old.on_disk.is_some() && old.on_disk == new.on_disk)
            && old.attributes.file_type() == side.file_type()
        {
            (side.uid, side.gid) = (old.attributes.uid, old.attributes.gid);
        }
        side
    });
    let content = old.as_ref().and_then(|old| old.content);
    let before = old.map(|old| old.attributes);
    let linked = [&before, &after].iter().any(|side| side.as_ref().is_some_and(|side| side.group.is_some()));
    let differs = match compare(before.as_ref(), after.as_ref()) {
        Verdict::Same => false,
        Verdict::Changed => true,
        Verdict::Content => content != Some(content_hash(view, &path)?),
    };
    if differs || linked {
        contents.extend(content.map(|hash| (path.clone(), hash)));
        candidates.push(Candidate { path, before, after });
    }
    Ok(())
}

/// The tree as it is now.
struct OnDisk<'a> {
    view: &'a DirView,
    root: Arc<OwnedFd>,
    contents: HashMap<Vec<u8>, u128>,
}

fn unreadable(path: &[u8]) -> impl FnOnce(io::Error) -> RootfsError + use<> {
    let path = Path::new("/").join(String::from_utf8_lossy(path).as_ref());
    move |source| RootfsError::Io { action: "read", path, source }
}

impl After for OnDisk<'_> {
    fn same_content(&self, paths: &[&[u8]]) -> Result<Vec<bool>, RootfsError> {
        let same = |path: &&[u8]| {
            let now = content_hash(self.view, path).map_err(unreadable(path))?;
            Ok(self.contents.get(*path) == Some(&now))
        };
        paths.iter().map(same).collect()
    }

    fn directory(&self, path: &[u8]) -> Result<Attributes, RootfsError> {
        let found = self.view.entry(path).map_err(unreadable(path))?;
        let found = found.ok_or_else(|| unreadable(path)(io::ErrorKind::NotFound.into()))?;
        Ok(attributes(&found.entry, None))
    }

    fn target(&self, path: &[u8]) -> Result<Vec<u8>, RootfsError> {
        let found = self.view.entry(path).map_err(unreadable(path))?;
        match found.map(|found| found.entry.kind) {
            Some(Kind::Symlink(target)) => Ok(target),
            _ => Err(unreadable(path)(io::Error::other("it is no symbolic link any more"))),
        }
    }

    fn content(&self, _: &[u8]) -> Content {
        Content::Below(self.root.clone())
    }
}
