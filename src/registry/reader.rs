//! A blob as an ordinary reader, for the threads that unpack it.

use std::io;

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// Pieces, of at most 400 KiB each, that wait to be read.
pub(super) const QUEUE: usize = 8;

/// What the network sends to a reader.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// All bytes were sent, and they are the right ones.
    End,
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// A blob on its way from a registry, read from a thread that is not one of the network's.
///
/// Its end comes only after size and digest were found right; a reader that stops early gets
/// no such promise. Dropped, it ends the transfer.
#[derive(Debug)]
pub struct BlobReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl BlobReader {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        BlobReader { pieces, current: Bytes::new(), ended: false }
    }
}

impl io::Read for BlobReader {
    /// # Errors
    /// The transfer failed; the error's inner one says why, for blobs a [`RegistryError`](super::RegistryError).
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other("the network's threads are gone")),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current[..length]);
        self.current.advance(length);
        Ok(length)
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Piece")
    }
}
