//! From layer blobs to tar streams: each layer is decompressed and hashed on threads of its own,
//! some layers ahead of whoever reads them.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::limits::Limits;
use super::tar_error::TarError;
use crate::image::DiffId;

/// Bytes of tar handed from one thread to the next.
const BLOCK: usize = 256 << 10;

/// Blocks that wait between two threads.
const QUEUE: usize = 8;

/// Layers decompressed at the same time. Those behind the first wait with full queues, so more
/// would only hold memory.
const AHEAD: usize = 3;

/// A layer's bytes: gzip (of any number of members), zstd or plain tar, told apart by their start.
pub struct LayerSource {
    /// What messages call the layer, such as its digest.
    pub name: String,
    /// The blob. It is read to its end, on another thread.
    pub reader: Box<dyn Read + Send>,
    /// What the tar must hash to.
    pub diff_id: Option<DiffId>,
}

/// Why a layer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError<E> {
    /// The stream is damaged or no tar.
    #[error("layer {layer}: {source}")]
    Tar {
        /// The layer's name.
        layer: String,
        /// What is wrong.
        source: TarError,
    },
    /// The tar is another than the image's config names.
    #[error("layer {layer} unpacks to {found}, but the image says {wanted}; pull the image again")]
    WrongDiffId {
        /// The layer's name.
        layer: String,
        /// The diff id the config names.
        wanted: DiffId,
        /// The diff id of what came.
        found: DiffId,
    },
    /// What was done with its entries failed.
    #[error("layer {layer}: {source}")]
    Entry {
        /// The layer's name.
        layer: String,
        /// What failed.
        source: E,
    },
}

/// Why the entries of one layer could not be dealt with.
pub(super) enum StreamError<E> {
    Tar(TarError),
    Entry(E),
}

impl<E> From<TarError> for StreamError<E> {
    fn from(error: TarError) -> Self {
        StreamError::Tar(error)
    }
}

/// Decompresses layers concurrently and gives each one's tar to `apply`, in order. Then the
/// layer's diff id is checked; the diff ids are returned.
pub(super) fn each_layer<E: Send>(
    layers: Vec<LayerSource>,
    limits: &Limits,
    mut apply: impl FnMut(&mut TarStream) -> Result<(), StreamError<E>>,
) -> Result<Vec<DiffId>, LayerError<E>> {
    thread::scope(|scope| {
        let mut waiting = layers.into_iter();
        let mut running: VecDeque<_> = waiting.by_ref().take(AHEAD).map(|l| start(scope, l)).collect();
        let mut diff_ids = Vec::new();
        while let Some(mut layer) = running.pop_front() {
            let in_layer = |error| match error {
                StreamError::Tar(source) => LayerError::Tar { layer: layer.name.clone(), source },
                StreamError::Entry(source) => LayerError::Entry { layer: layer.name.clone(), source },
            };
            apply(&mut layer.stream).map_err(in_layer)?;
            // What follows the archive's end belongs to the diff id too.
            layer.stream.drain(limits.layer_size).map_err(|e| in_layer(StreamError::Tar(e)))?;
            let found = layer.hasher.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            if let Some(wanted) = layer.diff_id
                && wanted != found
            {
                return Err(LayerError::WrongDiffId { layer: layer.name, wanted, found });
            }
            diff_ids.push(found);
            running.extend(waiting.next().map(|l| start(scope, l)));
        }
        Ok(diff_ids)
    })
}

struct Running<'scope> {
    name: String,
    diff_id: Option<DiffId>,
    stream: TarStream,
    hasher: ScopedJoinHandle<'scope, DiffId>,
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>, layer: LayerSource) -> Running<'scope> {
    let (to_reader, blocks) = bounded(QUEUE);
    let (to_hasher, hashed) = bounded::<Arc<Vec<u8>>>(QUEUE);
    scope.spawn(move || decompress(layer.reader, &to_hasher, &to_reader));
    let hasher = scope.spawn(move || {
        let mut hash = Sha256::new();
        for block in hashed {
            hash.update(&*block);
        }
        DiffId::from_sha256(hash.finalize().into())
    });
    let stream = TarStream { blocks, current: Arc::default(), at: 0 };
    Running { name: layer.name, diff_id: layer.diff_id, stream, hasher }
}

type BlockResult = io::Result<Arc<Vec<u8>>>;

/// Sends the decompressed stream to both, until it ends or nobody listens.
fn decompress(reader: Box<dyn Read + Send>, hasher: &Sender<Arc<Vec<u8>>>, tar: &Sender<BlockResult>) {
    let mut decoder = match decoder(reader) {
        Ok(decoder) => decoder,
        Err(error) => return drop(tar.send(Err(error))),
    };
    loop {
        let mut block = vec![0; BLOCK];
        let (filled, error) = fill_block(&mut decoder, &mut block);
        block.truncate(filled);
        if filled > 0 {
            let block = Arc::new(block);
            if hasher.send(Arc::clone(&block)).is_err() || tar.send(Ok(block)).is_err() {
                return;
            }
        }
        match error {
            Some(error) => return drop(tar.send(Err(error))),
            None if filled < BLOCK => return,
            None => {}
        }
    }
}

/// Reads until the block is full or the stream ends.
fn fill_block(decoder: &mut dyn Read, block: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < block.len() {
        match decoder.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// A reader of the tar in a blob.
///
/// # Errors
/// Failure to read the first bytes.
pub fn decoder(mut reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut start = [0; 4];
    let (filled, error) = fill_block(&mut reader, &mut start);
    if let Some(error) = error {
        return Err(error);
    }
    let start = start[..filled].to_vec();
    let kind = start.clone();
    let whole = BufReader::with_capacity(BLOCK, io::Cursor::new(start).chain(reader));
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(Gunzip(MultiGzDecoder::new(whole))),
        // A zstd frame, or a skippable one before it (RFC 8878, 3.1).
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(whole)?)
        }
        _ => Box::new(whole),
    })
}

/// Names what is wrong with a gzip stream: flate2's own words do not.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the gzip stream is cut off"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                io::Error::new(error.kind(), format!("the gzip stream is damaged: {error}"))
            }
            _ => error,
        })
    }
}

/// The tar of one layer, as it comes from its threads.
pub(super) struct TarStream {
    blocks: Receiver<BlockResult>,
    current: Arc<Vec<u8>>,
    at: usize,
}

impl TarStream {
    /// Reads what is left, at most so many bytes.
    fn drain(&mut self, limit: u64) -> Result<(), TarError> {
        let mut drained = 0;
        loop {
            let n = self.fill_buf()?.len();
            if n == 0 {
                return Ok(());
            }
            drained += n as u64;
            if drained > limit {
                return Err(TarError::TooLarge { limit });
            }
            self.consume(n);
        }
    }
}

impl BufRead for TarStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len()
            && let Ok(block) = self.blocks.recv()
        {
            (self.current, self.at) = (block?, 0);
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

impl Read for TarStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}
