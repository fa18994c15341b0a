//! From layers to a tree on disk, as Docker and containerd apply them.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, FileType, SeekFrom};
use rustix::process::{getegid, geteuid};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::apply::Applier;
use super::decompress::{LayerError, LayerSource, StreamError, each_layer};
use super::layer_path::{LayerPath, PathError, classify, clean};
use super::limits::Limits;
use super::tar_reader::{Piece, TarEntry, TarReader};
use super::tree_writer::{TreeError, failed};
use super::{Kind, decompress::TarStream};
use crate::image::DiffId;

/// Why layers could not be unpacked.
pub type UnpackError = LayerError<ApplyError>;

/// Why an entry of a layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The entry is hostile or contradicts itself.
    #[error("'{path}' is refused: {reason}")]
    Refused {
        /// The name as the layer has it.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// More entries in all layers together than [`Limits::entries`].
    #[error("the image has more than the {limit} entries that --max-image-entries allows")]
    TooMany {
        /// How many are allowed.
        limit: u64,
    },
    /// A file operation failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What was unpacked.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Diff ids of the layers, as found.
    pub diff_ids: Vec<DiffId>,
    /// Entries of all layers.
    pub entries: u64,
    /// Bytes of content of all layers.
    pub bytes: u64,
    /// What a user should know: links replaced, attributes that could not be set.
    pub warnings: Vec<String>,
}

/// Unpacks layers, from the bottom, into a directory. `observer` gets the path and the XXH3-128
/// of each regular file's content as it is written; a later call for a path replaces an earlier
/// one, and a path may be gone again when all is done.
///
/// # Errors
/// [`UnpackError`]; what was written so far is left there. Nothing outside the directory is touched
/// whatever the layers hold.
pub fn unpack(
    layers: Vec<LayerSource>,
    target: &Path,
    limits: &Limits,
    observer: &mut dyn FnMut(&[u8], u128),
) -> Result<Unpacked, UnpackError> {
    let at_target = |error| LayerError::Entry {
        layer: layers.first().map(|l| l.name.clone()).unwrap_or_default(),
        source: ApplyError::Tree(failed("open the directory of", b"", error)),
    };
    let root = File::open(target).map_err(at_target)?;
    run(layers, &root, limits, observer, None)
}

/// Unpacks one archive that is no layer into an empty directory, by the same rules but these:
/// everything belongs to us, whatever the archive says, and no name is a whiteout.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_archive(archive: LayerSource, target: &Path, limits: &Limits) -> Result<Unpacked, UnpackError> {
    let root = File::open(target).map_err(|error| LayerError::Entry {
        layer: archive.name.clone(),
        source: ApplyError::Tree(failed("open the directory of", b"", error)),
    })?;
    let owner = (geteuid().as_raw(), getegid().as_raw());
    run(vec![archive], &root, limits, &mut |_, _| {}, Some(owner))
}

fn run(
    layers: Vec<LayerSource>,
    root: &File,
    limits: &Limits,
    observer: &mut dyn FnMut(&[u8], u128),
    owner: Option<(u32, u32)>,
) -> Result<Unpacked, UnpackError> {
    let applier = Applier::new(root.as_fd(), limits.depth);
    let mut unpacker = Unpacker { applier, limits, entries: 0, bytes: 0, observer, owner };
    let diff_ids = each_layer(layers, limits, |stream| unpacker.layer(stream))?;
    let Unpacker { applier, entries, bytes, .. } = unpacker;
    let warnings = applier
        .finish()
        .map_err(|source| LayerError::Entry { layer: "(all)".to_owned(), source: source.into() })?;
    Ok(Unpacked { diff_ids, entries, bytes, warnings })
}

struct Unpacker<'a> {
    applier: Applier<'a>,
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    observer: &'a mut dyn FnMut(&[u8], u128),
    /// Whom everything belongs to where the archive is no layer.
    owner: Option<(u32, u32)>,
}

impl Unpacker<'_> {
    fn layer(&mut self, stream: &mut TarStream) -> Result<(), StreamError<ApplyError>> {
        self.applier.begin_layer();
        let mut tar = TarReader::new(stream, *self.limits);
        while let Some(mut entry) = tar.next_entry()? {
            if let Some((uid, gid)) = self.owner {
                (entry.uid, entry.gid) = (uid, gid);
            }
            self.count(&entry).map_err(StreamError::Entry)?;
            self.entry(&mut tar, &entry)?;
        }
        Ok(())
    }

    fn count(&mut self, entry: &TarEntry) -> Result<(), ApplyError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ApplyError::TooMany { limit: self.limits.entries });
        }
        if let Kind::File { size } = entry.kind {
            self.bytes = self.bytes.saturating_add(size);
        }
        Ok(())
    }

    fn entry<R: std::io::BufRead>(
        &mut self,
        tar: &mut TarReader<R>,
        entry: &TarEntry,
    ) -> Result<(), StreamError<ApplyError>> {
        let depth = self.limits.depth;
        let name = match self.owner {
            Some(_) => clean(&entry.path, depth).map(LayerPath::Entry),
            None => classify(&entry.path, depth),
        };
        let path = match name.map_err(|e| refused(entry, e))? {
            LayerPath::Entry(path) => path,
            LayerPath::Whiteout(path) => return self.applier.whiteout(&path).map_err(StreamError::Entry),
            LayerPath::Opaque(path) => return self.applier.opaque(&path).map_err(StreamError::Entry),
            LayerPath::Ignored => return Ok(()),
        };
        let Some(place) = self.applier.place(&path, entry).map_err(StreamError::Entry)? else {
            return Ok(());
        };
        let Kind::File { size } = entry.kind else {
            return self.applier.other(&place, entry).map_err(StreamError::Entry);
        };
        let file = self.applier.create(&place).map_err(StreamError::Entry)?;
        let hash = write_content(tar, entry, size, &file, &place.path)?;
        self.applier.close(&place, entry, &file).map_err(StreamError::Entry)?;
        (self.observer)(&place.path, hash);
        Ok(())
    }
}

pub(super) fn refused(entry: &TarEntry, error: PathError) -> StreamError<ApplyError> {
    StreamError::Entry(ApplyError::Refused {
        path: String::from_utf8_lossy(&entry.path).into_owned(),
        reason: error.to_string(),
    })
}

/// Writes a file's content and gives its hash.
fn write_content<R: std::io::BufRead>(
    tar: &mut TarReader<R>,
    entry: &TarEntry,
    size: u64,
    file: &OwnedFd,
    path: &[u8],
) -> Result<u128, StreamError<ApplyError>> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut stream: Option<Box<Xxh3>> = None;
    let mut whole: Option<u128> = None;
    let mut holes = false;
    let write_error = |e: rustix::io::Errno| StreamError::Entry(ApplyError::Tree(failed("write", path, e)));
    tar.read_content(entry, |piece| match piece {
        // Most files come in one piece.
        Piece::Data(bytes) if bytes.len() as u64 == size => {
            whole = Some(xxh3_128(bytes));
            write_all(file, bytes).map_err(write_error)
        }
        Piece::Data(bytes) => {
            stream.get_or_insert_with(Default::default).update(bytes);
            write_all(file, bytes).map_err(write_error)
        }
        Piece::Hole(length) => {
            holes = true;
            let hash = stream.get_or_insert_with(Default::default);
            let mut left = length;
            while left > 0 {
                let n = left.min(ZEROS.len() as u64);
                hash.update(&ZEROS[..n as usize]);
                left -= n;
            }
            let forward = SeekFrom::Current(i64::try_from(length).unwrap_or(i64::MAX));
            fs::seek(file, forward).map(drop).map_err(write_error)
        }
    })?;
    if holes {
        fs::ftruncate(file, size).map_err(write_error)?;
    }
    Ok(whole.unwrap_or_else(|| stream.map_or_else(|| xxh3_128(b""), |hash| hash.digest128())))
}

pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), rustix::io::Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The file type of a device or pipe.
pub(super) fn node_type(kind: &Kind) -> Option<(FileType, (u32, u32))> {
    match kind {
        Kind::CharDevice { major, minor } => Some((FileType::CharacterDevice, (*major, *minor))),
        Kind::BlockDevice { major, minor } => Some((FileType::BlockDevice, (*major, *minor))),
        Kind::Fifo => Some((FileType::Fifo, (0, 0))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
