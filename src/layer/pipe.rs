//! The pipe from a tar stream to a compressed blob: the caller fills blocks, one thread takes the
//! diff id, several compress, one writes them in order and takes the digest. All queues are short,
//! so memory does not grow with the layer.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use flate2::Crc;
use sha2::{Digest as _, Sha256};

use super::compress::{BlockCompressor, Compressed, GZIP_HEADER, LevelError};
use crate::config::CompressionConfig;
use crate::image::{DiffId, Digest};

/// Bytes of tar compressed as one unit. Layer bytes depend on it.
pub(super) const BLOCK: usize = 1 << 20;

/// More compressors than this would wait for the diff id, which one thread computes.
const MAX_COMPRESSORS: usize = 8;

/// Bytes of a tar stream, kept initialised over its whole length.
pub(super) struct Block {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Block {
    fn new() -> Self {
        Block { bytes: vec![0; BLOCK].into_boxed_slice(), filled: 0 }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// One block on its way to a compressor.
struct Work {
    block: Arc<Block>,
    previous: Option<Arc<Block>>,
    last: bool,
    reply: Sender<io::Result<Compressed>>,
}

/// Where blocks go when nobody needs them any more.
#[derive(Clone)]
struct Pool(Sender<Block>);

impl Pool {
    /// Takes a block back from whoever lets go of it last.
    fn release(&self, block: Arc<Block>) {
        if let Some(mut block) = Arc::into_inner(block) {
            block.filled = 0;
            // A full pool, or one whose owner is gone, needs no block.
            let _ = self.0.try_send(block);
        }
    }
}

/// The end of the pipe that takes bytes.
pub(super) struct BlockWriter {
    current: Block,
    previous: Option<Arc<Block>>,
    keep_previous: bool,
    written: u64,
    spare: Receiver<Block>,
    pool: Pool,
    /// Blocks that may still be made before one must come back.
    unborn: usize,
    hash: Sender<Arc<Block>>,
    work: Sender<Work>,
    ordered: Sender<Receiver<io::Result<Compressed>>>,
}

/// The threads behind a [`BlockWriter`] ended early; why is their own result.
#[derive(Debug)]
pub(super) struct Stopped;

impl BlockWriter {
    /// Appends bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let n = room.len().min(bytes.len());
            room[..n].copy_from_slice(&bytes[..n]);
            self.commit(n);
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Appends `n` zeros, less than a tar block.
    pub(super) fn pad(&mut self, n: usize) -> Result<(), Stopped> {
        self.write(&[0; super::tar_header::TAR_BLOCK][..n])
    }

    /// Space to read into, never empty; what was put there is appended by [`Self::commit`].
    pub(super) fn room(&mut self) -> Result<&mut [u8], Stopped> {
        if self.current.filled == BLOCK {
            self.flush(false)?;
        }
        Ok(&mut self.current.bytes[self.current.filled..])
    }

    /// Appends the first `n` bytes of [`Self::room`], and gives them.
    pub(super) fn commit(&mut self, n: usize) -> &[u8] {
        let start = self.current.filled;
        self.current.filled += n;
        self.written += n as u64;
        &self.current.bytes[start..start + n]
    }

    /// Bytes appended so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    fn flush(&mut self, last: bool) -> Result<(), Stopped> {
        let next = if last { Block { bytes: Box::default(), filled: 0 } } else { self.fresh()? };
        let block = Arc::new(std::mem::replace(&mut self.current, next));
        let (reply, result) = bounded(1);
        let previous = self.previous.take();
        if self.keep_previous {
            self.previous = Some(Arc::clone(&block));
        }
        self.hash.send(Arc::clone(&block)).map_err(|_| Stopped)?;
        self.ordered.send(result).map_err(|_| Stopped)?;
        self.work.send(Work { block, previous, last, reply }).map_err(|_| Stopped)
    }

    fn fresh(&mut self) -> Result<Block, Stopped> {
        if self.unborn > 0 && self.spare.is_empty() {
            self.unborn -= 1;
            return Ok(Block::new());
        }
        self.spare.recv().map_err(|_| Stopped)
    }

    fn finish(mut self) -> Result<(), Stopped> {
        self.flush(true)?;
        if let Some(previous) = self.previous.take() {
            self.pool.release(previous);
        }
        Ok(())
    }
}

/// What came out of the pipe.
pub(super) struct Piped {
    pub(super) digest: Digest,
    pub(super) diff_id: DiffId,
    pub(super) size: u64,
    pub(super) uncompressed_size: u64,
}

/// Why the pipe broke.
pub(super) enum PipeError<E> {
    /// The caller's own error.
    Producer(E),
    /// The blob could not be compressed or written.
    Sink(io::Error),
}

/// Runs `produce` and compresses what it writes into `file`, on up to `threads` compressors.
/// `produce` must write something, and pass on [`Stopped`] as its own error. `grown` hears of
/// every piece that is in the file for good.
pub(super) fn run<T, E>(
    config: &CompressionConfig,
    threads: usize,
    file: &mut File,
    grown: Grown<'_>,
    produce: impl FnOnce(&mut BlockWriter) -> Result<T, E>,
) -> Result<Result<(T, Piped), PipeError<E>>, LevelError> {
    let threads = threads.clamp(1, MAX_COMPRESSORS);
    let compressors = (0..threads).map(|_| BlockCompressor::new(config)).collect::<Result<Vec<_>, _>>()?;
    let stream = matches!(compressors[0], BlockCompressor::Stream(_));
    // Each compressor has a block in hand and one waiting; the caller and the hash have one each.
    let blocks = 2 * threads + 3;
    let (pool, spare) = bounded(blocks);
    let pool = Pool(pool);
    let (hash, to_hash) = bounded::<Arc<Block>>(blocks);
    let (work, to_compress) = bounded::<Work>(threads);
    let (ordered, to_write) = bounded(2 * threads);
    let (used, unused) = bounded(2 * threads);
    let mut writer = BlockWriter {
        current: Block::new(),
        previous: None,
        keep_previous: stream,
        written: 0,
        spare,
        pool: pool.clone(),
        unborn: blocks - 1,
        hash,
        work,
        ordered,
    };
    Ok(thread::scope(|scope| {
        let hasher = {
            let pool = pool.clone();
            scope.spawn(move || diff_id(&to_hash, &pool))
        };
        for compressor in compressors {
            let (pool, jobs, unused) = (pool.clone(), to_compress.clone(), unused.clone());
            scope.spawn(move || compress(compressor, &jobs, &unused, &pool));
        }
        drop((to_compress, pool));
        let sink = Sink { file, grown, hash: Sha256::new(), size: 0 };
        let sink = scope.spawn(move || write_ordered(&to_write, &used, sink, stream));
        let produced = produce(&mut writer);
        let uncompressed_size = writer.written();
        let finished = match produced {
            Ok(value) => Ok((value, writer.finish())),
            Err(error) => {
                drop(writer);
                Err(error)
            }
        };
        let diff_id = DiffId::from_sha256(hasher.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        let sunk = sink.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
        match (finished, sunk) {
            // A broken sink is the reason, the producer's error its consequence.
            (_, Err(error)) => Err(PipeError::Sink(error)),
            (Err(error), Ok(_)) => Err(PipeError::Producer(error)),
            (Ok((_, Err(Stopped))), Ok(_)) => {
                Err(PipeError::Sink(io::Error::other("the compressing threads ended early")))
            }
            (Ok((value, Ok(()))), Ok((digest, size))) => {
                Ok((value, Piped { digest, diff_id, size, uncompressed_size }))
            }
        }
    }))
}

fn diff_id(blocks: &Receiver<Arc<Block>>, pool: &Pool) -> [u8; 32] {
    let mut hash = Sha256::new();
    for block in blocks {
        hash.update(block.filled());
        pool.release(block);
    }
    hash.finalize().into()
}

fn compress(
    mut compressor: BlockCompressor,
    jobs: &Receiver<Work>,
    buffers: &Receiver<Vec<u8>>,
    pool: &Pool,
) {
    for Work { block, previous, last, reply } in jobs {
        let dictionary = previous.as_deref().map(Block::filled);
        let buffer = buffers.try_recv().unwrap_or_default();
        let result = compressor.compress(block.filled(), dictionary, last, buffer);
        for block in previous.into_iter().chain([block]) {
            pool.release(block);
        }
        // Nobody waits for it once the writer failed.
        let _ = reply.send(result);
    }
}

/// Hears, from another thread, that the first so many bytes of the blob's file are written and
/// stay as they are.
pub type Grown<'a> = &'a (dyn Fn(&File, u64) + Sync);

/// The blob's file, with the digest of what is in it.
struct Sink<'a> {
    file: &'a mut File,
    grown: Grown<'a>,
    hash: Sha256,
    size: u64,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Written first: who follows the file can take the bytes while they are hashed.
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        (self.grown)(self.file, self.size);
        self.hash.update(bytes);
        Ok(())
    }
}

/// Writes the compressed blocks in the order of their tar, and takes digest and size.
fn write_ordered(
    results: &Receiver<Receiver<io::Result<Compressed>>>,
    used: &Sender<Vec<u8>>,
    mut sink: Sink<'_>,
    stream: bool,
) -> io::Result<(Digest, u64)> {
    let mut crc = Crc::new();
    if stream {
        sink.put(&GZIP_HEADER)?;
    }
    for result in results {
        let compressed = result.recv().map_err(|_| io::Error::other("a compressing thread ended"))??;
        sink.put(&compressed.bytes)?;
        if let Some(part) = compressed.crc {
            crc.combine(&part);
        }
        // Where enough wait already, this one is freed.
        let _ = used.try_send(compressed.bytes);
    }
    if stream {
        sink.put(&crc.sum().to_le_bytes())?;
        sink.put(&crc.amount().to_le_bytes())?;
    }
    Ok((Digest::from_sha256(sink.hash.finalize().into()), sink.size))
}
