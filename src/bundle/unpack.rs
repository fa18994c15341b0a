//! An image becomes a bundle.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::seed::Seed;
use super::walk::{Walk, content_hash};
use super::{RECORD, ROOTFS, RUNTIME, SEED, mtree, runtime};
use crate::image::{ImageConfig, ManifestOrIndex, Platform};
use crate::layer::{DirView, Kind, LayerSource, Limits};
use crate::ship::{Carrier, Made, Place, ShipError, Source};

/// Unpacks the image at a place into a directory, which is made, or is empty: of an index, the image
/// for the platform. Gives what a user should know.
///
/// # Errors
/// The image cannot be had or unpacked, or the directory is in use; what was made of it is left, unless a signal was the
/// reason.
pub fn unpack(
    carrier: &Carrier,
    place: &Place,
    platform: Option<&Platform>,
    bundle: &Path,
) -> Result<Vec<String>, ShipError> {
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    let source = Source::open(carrier, place, false)?.pick(carrier, &wanted)?;
    let name = source.name().to_owned();
    let ManifestOrIndex::Manifest(manifest) = source.parsed()? else {
        return Err(ShipError::new(format!("{name} is no single image")));
    };
    let config: ImageConfig = serde_json::from_slice(&source.config(carrier, &manifest.config)?)
        .map_err(|e| ShipError::new(format!("{name}: the config is not valid: {e}")))?;
    if config.os == "windows" {
        return Err(ShipError::new(format!("{name} is a Windows image, which cannot be unpacked here")));
    }
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let (layers, ids) = (manifest.layers.len(), diff_ids.len());
        return Err(ShipError::new(format!("{name} has {layers} layers, and its config {ids} diff ids")));
    }
    let mut made = Made::whole(carrier);
    let rootfs = begin(bundle, &mut made)?;
    let layers = manifest.layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
        let reader = source.blob(carrier, layer)?;
        Ok(LayerSource { name: layer.digest.to_string(), reader, diff_id: Some(*diff_id) })
    });
    let layers = layers.collect::<Result<Vec<_>, ShipError>>()?;
    // A path's hash stands for it: a million of them must fit in memory.
    let mut contents: HashMap<u64, u128> = HashMap::new();
    let unpacked = crate::layer::unpack(layers, &rootfs, &Limits::default(), &mut |path, hash| {
        contents.insert(xxh3_64(path), hash);
    });
    let warnings = unpacked.map_err(|e| ShipError::new(format!("cannot unpack {name}: {e}")))?.warnings;
    let view = DirView::at(&rootfs).map_err(|e| failed("read", &rootfs, &e))?;
    let record = bundle.join(RECORD);
    made.file(record.clone());
    let go_on = || carrier.go_on().map_err(io::Error::other);
    write_record(&view, &rootfs, &record, &contents, &go_on).map_err(|e| failed("write", &record, &e))?;
    let path = bundle.join(RUNTIME);
    made.file(path.clone());
    made.file(bundle.join(SEED));
    let runtime =
        serde_json::to_vec_pretty(&runtime::of(&config, &view)).map_err(|e| ShipError::new(e.to_string()))?;
    fs::write(&path, runtime).map_err(|e| failed("write", &path, &e))?;
    carrier.go_on()?;
    // Last: what has it is whole.
    Seed::new(place, &source, manifest.config.digest, wanted)?.write(bundle)?;
    made.keep();
    Ok(warnings)
}

/// Makes the directories.
fn begin(bundle: &Path, made: &mut Made) -> Result<std::path::PathBuf, ShipError> {
    match fs::read_dir(bundle).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(ShipError::new(format!("{} is not empty", bundle.display()))
                .help("name a directory that does not exist yet"));
        }
        Ok(false) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            made.directory(bundle).map_err(|e| failed("create", bundle, &e))?;
        }
        Err(e) => return Err(failed("read", bundle, &e)),
    }
    let rootfs = bundle.join(ROOTFS);
    fs::create_dir(&rootfs).map_err(|e| failed("create", &rootfs, &e))?;
    made.tree(rootfs.clone());
    // As a runtime gives it to all users, whatever our umask; an image may say otherwise.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&rootfs, mode).map_err(|e| failed("set the mode of", &rootfs, &e))?;
    Ok(rootfs)
}

fn write_record(
    view: &DirView,
    rootfs: &Path,
    path: &Path,
    contents: &HashMap<u64, u128>,
    go_on: &dyn Fn() -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(mtree::HEAD.as_bytes())?;
    let mut walk = Walk::new(view, rootfs);
    while let Some(item) = walk.next()? {
        go_on()?;
        let path = &item.entry.path;
        let content = match (&item.entry.kind, contents.get(&xxh3_64(path))) {
            (Kind::File { .. }, Some(hash)) => Some(*hash),
            // The other names of a file were not written, but linked.
            (Kind::File { .. }, None) => Some(content_hash(view, path)?),
            _ => None,
        };
        out.write_all(mtree::line(&item, content).as_bytes())?;
    }
    out.flush()
}

/// What was tried when a file operation failed.
pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> ShipError {
    ShipError::new(format!("cannot {action} {}: {error}", path.display()))
}
