//! From entries to a compressed layer in one pass.

use std::borrow::Borrow;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::compress::LevelError;
use super::content::{ContentError, Contents};
use super::entry::{Content, Entry, Kind, Timestamp};
use super::identity::IdentityHasher;
use super::layer_path::split_last;
use super::pipe::{self, BlockWriter, Grown, PipeError, Piped, Stopped};
use super::tar_header::{END_OF_ARCHIVE, TAR_BLOCK, TarHeader};
use super::view::join;
use crate::config::CompressionConfig;
use crate::image::{Compression, ContentId, DiffId, Digest};

/// What marks a deleted name in a layer (OCI image spec, layer.md, "Whiteouts").
pub(super) const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// How a layer is packed.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// How it is compressed.
    pub compression: CompressionConfig,
    /// Seconds since 1970 that no time may be after (`SOURCE_DATE_EPOCH`).
    pub clamp_mtime: Option<i64>,
    /// All times are 0.
    pub zero_times: bool,
    /// Times keep their fractions of a second, which layers of images do not have.
    pub fractions: bool,
    /// Compressing threads, at least 1; the bytes do not depend on it.
    pub threads: usize,
    /// Directory of the blob's file.
    pub directory: PathBuf,
    /// Whether to compute the content id, which costs another SHA-256.
    pub content_id: bool,
}

impl PackOptions {
    /// A file for a blob that goes again unless it is finished.
    pub(super) fn file(&self) -> Result<NamedTempFile, PackError> {
        tempfile::Builder::new()
            .prefix(".packing-")
            // It may become part of a layout that others read.
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&self.directory)
            .map_err(|source| self.unwritten(source))
    }

    /// Gives a blob the name of its digest; a layer of which no entries are known.
    pub(super) fn finish(&self, file: NamedTempFile, blob: &Piped) -> Result<PackedLayer, PackError> {
        let path = self.directory.join(format!("sha256-{}", blob.digest.hex()));
        file.persist(&path).map_err(|e| self.unwritten(e.error))?;
        Ok(PackedLayer {
            digest: blob.digest,
            diff_id: blob.diff_id,
            size: blob.size,
            uncompressed_size: blob.uncompressed_size,
            compression: self.compression.algorithm,
            path,
            entries: 0,
            content: None,
        })
    }

    /// The blob cannot be written.
    pub(super) fn unwritten(&self, source: io::Error) -> PackError {
        PackError::Write { directory: self.directory.clone(), source }
    }
}

/// A layer in a file.
#[derive(Debug, Clone)]
pub struct PackedLayer {
    /// Digest of the file.
    pub digest: Digest,
    /// Digest of the tar in it.
    pub diff_id: DiffId,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the tar.
    pub uncompressed_size: u64,
    /// The compression.
    pub compression: Compression,
    /// The file, named by its digest.
    pub path: PathBuf,
    /// Number of entries, whiteouts included.
    pub entries: u64,
    /// What it holds, times left out, where that was asked for.
    pub content: Option<PackedContent>,
}

/// What a layer holds, times left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedContent {
    /// Identifies entries and contents.
    pub id: ContentId,
    /// Identifies the sizes and contents of the regular files, in order: what a file that changed
    /// between being looked at and being packed shows in.
    pub files: ContentId,
    /// The latest time of an entry, as written, in seconds since 1970; the earliest there is for
    /// an empty layer.
    pub newest: i64,
}

/// Why a layer could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file of the layer could not be read.
    #[error("cannot read /{path} for the layer: {source}")]
    Read {
        /// Path in the image.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it was when the layer's entries were listed.
    #[error("/{path} changed while it was packed into the layer: {how}; whatever writes it must have ended")]
    Changed {
        /// Path in the image.
        path: String,
        /// What is different.
        how: String,
    },
    /// The name means something else in a layer.
    #[error("/{path} cannot be in a layer: names that begin with '.wh.' delete files there")]
    ReservedName {
        /// Path in the image.
        path: String,
    },
    /// The name is none that a layer can hold.
    #[error("'{path}' is no path of a layer entry")]
    Name {
        /// The path.
        path: String,
    },
    /// The compression has no such level.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The blob could not be written.
    #[error("cannot write a layer in {}: {source}", directory.display())]
    Write {
        /// The directory of blobs.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Packs entries, which come sorted with parents first, into a blob below `options.directory`.
/// For each the observer gets the XXH3-128 of a regular file's content. Nothing is left behind
/// on failure.
///
/// # Errors
/// [`PackError`]
pub fn pack<I>(
    entries: I,
    options: &PackOptions,
    observer: &mut dyn FnMut(&Entry, Option<u128>),
) -> Result<PackedLayer, PackError>
where
    I: IntoIterator,
    I::Item: Borrow<Entry>,
{
    pack_followed(entries, options, &|_, _| (), observer)
}

/// As [`pack`], and tells `grown` how far the blob's file has come, so that its bytes can be sent
/// while the rest is packed.
///
/// # Errors
/// [`PackError`]; then nobody needs what was sent.
pub fn pack_followed<I>(
    entries: I,
    options: &PackOptions,
    grown: Grown<'_>,
    observer: &mut dyn FnMut(&Entry, Option<u128>),
) -> Result<PackedLayer, PackError>
where
    I: IntoIterator,
    I::Item: Borrow<Entry>,
{
    let mut file = options.file()?;
    let piped = pipe::run(&options.compression, options.threads, file.as_file_mut(), grown, |blocks| {
        let mut packer = Packer {
            blocks,
            options,
            contents: Contents::default(),
            header: Vec::with_capacity(2048),
            identity: options.content_id.then(IdentityHasher::default),
            newest: i64::MIN,
            file_hash: None,
        };
        let mut count = 0;
        for entry in entries {
            let entry = entry.borrow();
            if entry.path.is_empty() {
                continue;
            }
            let hash = packer.entry(entry)?;
            packer.identify(entry);
            observer(entry, hash);
            count += 1;
        }
        packer.blocks.write(&END_OF_ARCHIVE)?;
        let newest = packer.newest;
        let content = packer.identity.map(|identity| {
            let (id, files) = identity.finish();
            PackedContent { id, files, newest }
        });
        Ok((count, content))
    })?;
    let ((entries, content), piped) = piped.map_err(|error| match error {
        PipeError::Sink(source) => options.unwritten(source),
        PipeError::Producer(Failure::Pack(error)) => error,
        PipeError::Producer(Failure::Stopped) => {
            options.unwritten(io::Error::other("the compressing threads ended early"))
        }
    })?;
    Ok(PackedLayer { entries, content, ..options.finish(file, &piped)? })
}

/// Why the packing side ended: its own error, or the pipe's.
enum Failure {
    Pack(PackError),
    Stopped,
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Failure::Stopped
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        Failure::Pack(error)
    }
}

struct Packer<'a> {
    blocks: &'a mut BlockWriter,
    options: &'a PackOptions,
    contents: Contents,
    header: Vec<u8>,
    identity: Option<IdentityHasher>,
    /// The latest time written.
    newest: i64,
    /// SHA-256 of the last regular file, where identities are wanted.
    file_hash: Option<[u8; 32]>,
}

impl Packer<'_> {
    /// Adds an entry that was just packed to the content id.
    fn identify(&mut self, entry: &Entry) {
        if entry.kind != Kind::Whiteout {
            self.newest = self.newest.max(self.time(entry.mtime).seconds);
        }
        let digest = self.file_hash.take();
        if let Some(identity) = &mut self.identity {
            identity.add(entry, digest.as_ref());
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<Option<u128>, Failure> {
        check_name(entry)?;
        let mut name = entry.path.clone();
        let mut header = TarHeader {
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            mtime: self.time(entry.mtime),
            xattrs: &entry.xattrs,
            ..TarHeader::default()
        };
        match &entry.kind {
            Kind::Directory => {
                header.flag = b'5';
                name.push(b'/');
            }
            Kind::File { size } => {
                header.flag = b'0';
                header.size = *size;
            }
            Kind::Symlink(target) => {
                header.flag = b'2';
                header.link = target;
            }
            Kind::HardLink(target) => {
                header.flag = b'1';
                header.link = target;
            }
            Kind::CharDevice { major, minor } => {
                header.flag = b'3';
                header.device = (*major, *minor);
            }
            Kind::BlockDevice { major, minor } => {
                header.flag = b'4';
                header.device = (*major, *minor);
            }
            Kind::Fifo => header.flag = b'6',
            Kind::Whiteout => {
                // Owner, mode and time are nobody's: what they name is gone (as containerd).
                header = TarHeader { flag: b'0', ..TarHeader::default() };
                let (directory, hidden) = split_last(&entry.path);
                name = join(directory, &[WHITEOUT_PREFIX, hidden].concat());
            }
        }
        header.name = &name;
        if let Kind::File { size } = entry.kind {
            // Opened first: a file that is gone must not leave a header behind it.
            return self.file(entry, size, &header).map(Some);
        }
        self.put_header(&header)?;
        Ok(None)
    }

    fn put_header(&mut self, header: &TarHeader<'_>) -> Result<(), Stopped> {
        self.header.clear();
        header.encode(&mut self.header);
        self.blocks.write(&self.header)
    }

    fn time(&self, mtime: Timestamp) -> Timestamp {
        let seconds = match (self.options.zero_times, self.options.clamp_mtime) {
            (true, _) => 0,
            (false, Some(limit)) => mtime.seconds.min(limit),
            (false, None) => mtime.seconds,
        };
        let whole = !self.options.fractions || seconds != mtime.seconds;
        Timestamp { seconds, nanoseconds: if whole { 0 } else { mtime.nanoseconds } }
    }

    /// Writes header and content of a regular file, and gives the content's hash.
    fn file(&mut self, entry: &Entry, size: u64, header: &TarHeader<'_>) -> Result<u128, Failure> {
        let hash = if let Content::Bytes(bytes) = &entry.content {
            if bytes.len() as u64 != size {
                return Err(changed(entry, format!("{} bytes, not {size}", bytes.len())).into());
            }
            self.put_header(header)?;
            self.blocks.write(bytes)?;
            self.file_hash = self.identity.as_ref().map(|_| Sha256::digest(bytes).into());
            xxh3_128(bytes)
        } else {
            let file = self.contents.open(entry, size).map_err(|error| match error {
                ContentError::Read(source) => read_error(entry, source),
                ContentError::Changed(how) => changed(entry, how),
            })?;
            self.put_header(header)?;
            self.copy(entry, size, &file)?
        };
        let over = (size % TAR_BLOCK as u64) as usize;
        if over > 0 {
            self.blocks.pad(TAR_BLOCK - over)?;
        }
        Ok(hash)
    }

    /// Copies exactly `size` bytes and, if the file is the entry's alone, makes sure that it ends there.
    fn copy(&mut self, entry: &Entry, size: u64, file: &OwnedFd) -> Result<u128, Failure> {
        let mut stream: Option<Box<Xxh3>> = None;
        let mut sha = self.identity.as_ref().map(|_| Sha256::new());
        let mut left = size;
        // One byte more than is left shows the end of the file in the same call.
        let beyond = u64::from(!matches!(entry.content, Content::Range(..)));
        loop {
            let room = self.blocks.room()?;
            let want = usize::try_from(left.saturating_add(beyond)).unwrap_or(usize::MAX).min(room.len());
            let n = match rustix::io::read(file, &mut room[..want]) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.map_err(|e| read_error(entry, e.into()))?,
            };
            if n as u64 > left {
                return Err(changed(entry, format!("it grew beyond {size} bytes")).into());
            }
            if n == 0 && left > 0 {
                return Err(changed(entry, format!("it ended after {} of {size} bytes", size - left)).into());
            }
            let bytes = self.blocks.commit(n);
            left -= n as u64;
            // A regular file gives less than asked for only at its end.
            let ended = left == 0 && (beyond == 0 || n < want);
            if let Some(sha) = &mut sha {
                sha.update(bytes);
                if ended {
                    self.file_hash = Some(std::mem::take(sha).finalize().into());
                }
            }
            if ended && stream.is_none() {
                return Ok(xxh3_128(bytes));
            }
            let hash = stream.get_or_insert_with(Default::default);
            hash.update(bytes);
            if ended {
                return Ok(hash.digest128());
            }
        }
    }
}

fn check_name(entry: &Entry) -> Result<(), PackError> {
    let shown = || String::from_utf8_lossy(&entry.path).into_owned();
    let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
    if entry.path.split(|b| *b == b'/').any(bad) {
        return Err(PackError::Name { path: shown() });
    }
    if entry.path.split(|b| *b == b'/').any(|part| part.starts_with(WHITEOUT_PREFIX)) {
        return Err(PackError::ReservedName { path: shown() });
    }
    Ok(())
}

fn read_error(entry: &Entry, source: io::Error) -> PackError {
    PackError::Read { path: String::from_utf8_lossy(&entry.path).into_owned(), source }
}

fn changed(entry: &Entry, how: String) -> PackError {
    PackError::Changed { path: String::from_utf8_lossy(&entry.path).into_owned(), how }
}

#[cfg(test)]
mod tests;
