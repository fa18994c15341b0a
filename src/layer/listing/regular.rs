//! Regular files of a tree in memory, and the file that holds their contents.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::layer::content::{ContentError, Contents};
use crate::layer::decompress::StreamError;
use crate::layer::entry::{Content, Entry, Kind};
use crate::layer::tar_reader::{Piece, TarEntry, TarReader};
use crate::layer::tree_writer::failed;
use crate::layer::unpack::ApplyError;

/// Bytes gathered before they are written: most files are smaller.
const BLOCK: usize = 256 << 10;

/// A regular file whose content is known; shared by its names.
#[derive(Debug)]
pub(super) struct Regular {
    pub(super) size: u64,
    /// Value of `security.capability`.
    pub(super) capability: Option<Vec<u8>>,
    pub(super) content: Content,
}

impl Regular {
    /// As much of the file as an entry of a layer names.
    pub(super) fn entry(&self, path: &[u8]) -> Entry {
        let xattrs = self.capability.iter().map(|v| (crate::layer::CAPABILITY.into(), v.clone())).collect();
        Entry {
            path: path.to_vec(),
            kind: Kind::File { size: self.size },
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Default::default(),
            xattrs,
            content: self.content.clone(),
        }
    }
}

/// The content of an entry, whole.
pub(super) fn read_whole(entry: &Entry, size: u64) -> io::Result<Arc<[u8]>> {
    if let Content::Bytes(bytes) = &entry.content {
        return Ok(Arc::clone(bytes));
    }
    let mut bytes = Vec::new();
    open(entry, size)?.take(size).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn open(entry: &Entry, size: u64) -> io::Result<File> {
    Contents::default().open(entry, size).map(File::from).map_err(|error| match error {
        ContentError::Read(error) => error,
        ContentError::Changed(how) => io::Error::other(how),
    })
}

/// The contents of many files, one after the other in a file without a name.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    out: BufWriter<File>,
    end: u64,
}

impl Spool {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let out = BufWriter::with_capacity(BLOCK, file.try_clone()?);
        Ok(Spool { file: Arc::new(file), out, end: 0 })
    }

    /// Appends the content of the entry that a tar is at. Holes stay holes.
    pub(super) fn keep<R: BufRead>(
        &mut self,
        tar: &mut TarReader<R>,
        entry: &TarEntry,
    ) -> Result<Content, StreamError<ApplyError>> {
        let start = self.end;
        tar.read_content::<StreamError<ApplyError>>(entry, |piece| {
            let written = match piece {
                Piece::Data(bytes) => self.append(bytes),
                Piece::Hole(length) => self.skip(length),
            };
            written.map_err(|e| StreamError::Entry(failed("keep the content of", &entry.path, e).into()))
        })?;
        Ok(Content::Range(Arc::clone(&self.file), start))
    }

    /// Appends the content of an entry that is to be read without the file it is in now.
    pub(super) fn copy(&mut self, entry: &Entry, size: u64) -> io::Result<Content> {
        let start = self.end;
        let copied = io::copy(&mut open(entry, size)?.take(size), &mut self.out)?;
        self.end += copied;
        if copied != size {
            return Err(io::Error::other(format!("it has {copied} bytes, not {size}")));
        }
        self.finish()?;
        Ok(Content::Range(Arc::clone(&self.file), start))
    }

    /// Makes what was appended readable.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        // A hole at the end is not there yet.
        self.file.set_len(self.end)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.end += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.end += length;
        self.out.seek(SeekFrom::Start(self.end)).map(drop)
    }
}
