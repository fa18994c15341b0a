//! From the file of an archive to the tar in it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes read at once.
const BLOCK: usize = 256 << 10;

/// KiB that unpacking xz may take: a dictionary of 128 MiB, twice that of `xz -9`.
const XZ_MEMORY: u32 = (129 << 20) / 1024;

/// Bytes that any archive may unpack to, and how many times its size a large one may.
const ALWAYS: u64 = 16 << 30;
const TIMES: u64 = 250;

/// How far a stream has been read.
pub(super) type Position = Rc<Cell<u64>>;

/// An archive, or what may be one.
pub(super) struct Opened {
    /// The tar.
    pub(super) reader: Counted<BufReader<Box<dyn Read>>>,
    /// The file, if the tar is in it as it is.
    pub(super) plain: Option<Arc<File>>,
    /// How far `reader` is.
    pub(super) position: Position,
    /// How many bytes of files the archive may unpack to.
    pub(super) most: u64,
}

/// Opens the tar in a file, whose compression its first bytes tell (BuildKit,
/// `util/archiveutil/compression.go`).
pub(super) fn open(mut file: File) -> io::Result<Opened> {
    let mut start = Vec::with_capacity(6);
    (&mut file).take(6).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    let most = file.metadata()?.len().saturating_mul(TIMES).max(ALWAYS);
    let input = || file.try_clone().map(|file| BufReader::with_capacity(BLOCK, file));
    let bounded = |reader: Box<dyn Read>| -> Box<dyn Read> { Box::new(Bounded { reader, left: most }) };
    let mut plain = None;
    let reader = match start.as_slice() {
        [0x1f, 0x8b, 0x08, ..] => bounded(Box::new(flate2::bufread::MultiGzDecoder::new(input()?))),
        [b'B', b'Z', b'h', ..] => bounded(Box::new(bzip2::bufread::MultiBzDecoder::new(input()?))),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            bounded(Box::new(lzma_rust2::XzReader::new_mem_limit(input()?, true, XZ_MEMORY)))
        }
        // A frame, or a skippable one before it (RFC 8878, 3.1).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            bounded(Box::new(zstd::stream::read::Decoder::with_buffer(input()?)?))
        }
        _ => {
            let own = file.try_clone()?;
            plain = Some(Arc::new(file));
            Box::new(own)
        }
    };
    let position = Position::default();
    let reader = Counted { inner: BufReader::with_capacity(BLOCK, reader), at: Rc::clone(&position) };
    Ok(Opened { reader, plain, position, most })
}

/// Whether an archive was given up because of what it asks for, so that it is no ordinary file.
pub(super) fn is_too_much(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::FileTooLarge)
        || error.to_string().contains("requires too much memory")
}

/// Counts what is consumed.
pub(super) struct Counted<R> {
    inner: R,
    at: Position,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.at.set(self.at.get() + n as u64);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.at.set(self.at.get() + n as u64);
        self.inner.consume(n);
    }
}

/// Ends in an error where a stream gives more than allowed.
struct Bounded {
    reader: Box<dyn Read>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => io::Error::new(
                io::ErrorKind::OutOfMemory,
                "unpacking it takes more than 128 MiB of memory: compress it with a smaller dictionary, or unpack it in a RUN",
            ),
            _ => error,
        })?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            let why =
                "it unpacks to far more than its size: unpack it in a RUN, or keep it with --unpack=false";
            io::Error::new(io::ErrorKind::FileTooLarge, why)
        })?;
        Ok(n)
    }
}
