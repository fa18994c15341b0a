//! Blobs of an image about to be written somewhere, and checking those that are read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Descriptor, Digest};

/// A config or a layer, and where its bytes are.
pub struct ImageBlob<'a> {
    /// Its digest and size.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub source: BlobSource<'a>,
}

/// Where a blob's bytes are.
pub enum BlobSource<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file of ours that nobody changes: it may be hard-linked.
    File(&'a Path),
    /// Wherever this function takes them from, such as a registry.
    Stream(&'a StreamBlob<'a>),
}

/// Writes the bytes of a blob to where it is told.
pub type StreamBlob<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

impl ImageBlob<'_> {
    /// Copies the blob and checks that it is what its descriptor says.
    ///
    /// # Errors
    /// Failure to read or write; [`io::ErrorKind::InvalidData`] for other bytes.
    pub(super) fn copy_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        let mut check = Checked::new(sink, &self.descriptor);
        match &self.source {
            BlobSource::Bytes(bytes) => check.write_all(bytes)?,
            BlobSource::File(path) => drop(io::copy(&mut File::open(path)?, &mut check)?),
            BlobSource::Stream(stream) => stream(&mut check)?,
        }
        check.finish()
    }
}

/// Hashes what passes, and refuses more than the descriptor's size.
pub(crate) struct Checked<W> {
    inner: W,
    hash: Sha256,
    left: u64,
    digest: Digest,
}

impl<W> Checked<W> {
    pub(crate) fn new(inner: W, descriptor: &Descriptor) -> Self {
        Checked { inner, hash: Sha256::new(), left: descriptor.size, digest: descriptor.digest }
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is longer than its size", self.digest))
        })?;
        self.hash.update(bytes);
        Ok(())
    }

    /// Whether all bytes came, and the right ones.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let found = Digest::from_sha256(std::mem::take(&mut self.hash).finalize().into());
        let wrong = if self.left > 0 {
            format!("{} is {} bytes short", self.digest, self.left)
        } else if found != self.digest {
            format!("{} holds other bytes, of digest {found}", self.digest)
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, wrong))
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.pass(&bytes[..n])?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.pass(&buffer[..n])?;
        if n == 0 && !buffer.is_empty() {
            self.finish()?;
        }
        Ok(n)
    }
}
