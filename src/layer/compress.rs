//! Compressing one block at a time, so that all cores work on one layer and the bytes do not
//! depend on how many they are.

use std::io;

use flate2::{Compress, Crc, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor};

use crate::config::CompressionConfig;
use crate::image::Compression;

/// libdeflate's level 1 compresses real trees smaller than Go's `compress/gzip` at level 1, at
/// twice its speed.
const GZIP_LEVEL: u32 = 1;

/// zlib's level 1 would be larger than Go's, its level 3 is smaller.
const STREAM_LEVEL: u32 = 3;

/// zstd's own default.
const ZSTD_LEVEL: u32 = 3;

/// How far back deflate can refer: the dictionary of a block that continues a stream.
const WINDOW: usize = 32 << 10;

/// Header of a gzip member without name and time, for Unix-like "unknown" (RFC 1952, 2.3).
pub(super) const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A configuration whose level its format does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("compression level {level} is not a level of {format}: choose {range}")]
pub struct LevelError {
    /// The level asked for.
    pub level: u32,
    /// Name of the format.
    pub format: &'static str,
    /// The levels there are.
    pub range: &'static str,
}

/// Compresses blocks of one layer.
pub(super) enum BlockCompressor {
    /// A gzip member for each block. The second compressor only stores.
    Members(Compressor, Compressor),
    /// Blocks of one deflate stream, at this level.
    Stream(flate2::Compression),
    /// A zstd frame for each block.
    Frames(Box<zstd::bulk::Compressor<'static>>),
}

impl BlockCompressor {
    /// A compressor for this configuration.
    pub(super) fn new(config: &CompressionConfig) -> Result<Self, LevelError> {
        let gzip = config.level.unwrap_or(GZIP_LEVEL);
        match (config.algorithm, config.single_member) {
            (Compression::Gzip, false) => {
                let wrong = LevelError { level: gzip, format: "gzip", range: "0 to 12" };
                let level = |l: u32| i32::try_from(l).ok().and_then(|l| CompressionLvl::new(l).ok());
                let (Some(level), Some(store)) = (level(gzip), level(0)) else { return Err(wrong) };
                Ok(BlockCompressor::Members(Compressor::new(level), Compressor::new(store)))
            }
            (Compression::Gzip, true) => {
                let gzip = config.level.unwrap_or(STREAM_LEVEL);
                if gzip > 9 {
                    return Err(LevelError { level: gzip, format: "single-member gzip", range: "0 to 9" });
                }
                Ok(BlockCompressor::Stream(flate2::Compression::new(gzip)))
            }
            (Compression::Zstd, _) => {
                let level = config.level.unwrap_or(ZSTD_LEVEL);
                let wrong = LevelError { level, format: "zstd", range: "1 to 22" };
                if !(1..=22).contains(&level) {
                    return Err(wrong);
                }
                let frames = zstd::bulk::Compressor::new(level as i32).map_err(|_| wrong)?;
                Ok(BlockCompressor::Frames(Box::new(frames)))
            }
        }
    }

    /// Compresses a block. `previous` is the block before it and `last` whether none follows;
    /// both matter to a single stream only. The result takes the place of `bytes`, so that its
    /// memory is used again.
    pub(super) fn compress(
        &mut self,
        block: &[u8],
        previous: Option<&[u8]>,
        last: bool,
        mut bytes: Vec<u8>,
    ) -> io::Result<Compressed> {
        match self {
            BlockCompressor::Members(squeeze, store) => {
                let deflate = if is_random(block) { store } else { squeeze };
                bytes.resize(deflate.gzip_compress_bound(block.len()), 0);
                let length = deflate.gzip_compress(block, &mut bytes).map_err(io::Error::other)?;
                bytes.truncate(length);
                Ok(Compressed { bytes, crc: None })
            }
            BlockCompressor::Frames(frames) => {
                bytes.clear();
                bytes.reserve(zstd::zstd_safe::compress_bound(block.len()));
                frames.compress_to_buffer(block, &mut bytes)?;
                Ok(Compressed { bytes, crc: None })
            }
            BlockCompressor::Stream(level) => {
                let mut crc = Crc::new();
                crc.update(block);
                bytes.clear();
                // A new one each time: what zlib-rs makes of a block depends on what a compressor that
                // is reset had before.
                let mut deflate = Compress::new(*level, false);
                compress_part(&mut deflate, block, previous, last, &mut bytes)?;
                Ok(Compressed { bytes, crc: Some(crc) })
            }
        }
    }
}

/// A compressed block.
pub(super) struct Compressed {
    pub(super) bytes: Vec<u8>,
    /// Checksum of the block's own bytes, where the stream's trailer needs it.
    pub(super) crc: Option<Crc>,
}

/// One part of a deflate stream: primed with what precedes it, ending on a byte boundary.
fn compress_part(
    deflate: &mut Compress,
    block: &[u8],
    previous: Option<&[u8]>,
    last: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    if let Some(previous) = previous {
        let dictionary = &previous[previous.len().saturating_sub(WINDOW)..];
        deflate.set_dictionary(dictionary).map_err(io::Error::other)?;
    }
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let consumed = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        // Room for the worst case, so that one call takes all: what zlib-rs makes of a block depends
        // on how much room it finds, and the room on which buffer is used again.
        out.reserve(block.len() + block.len() / 64 + 4096);
        let room = out.capacity() - out.len();
        let before = deflate.total_out();
        let status = deflate.compress_vec(&block[consumed..], out, flush).map_err(io::Error::other)?;
        let all_in = usize::try_from(deflate.total_in()).map_err(io::Error::other)? == block.len();
        // zlib has flushed everything once it leaves room in the output.
        let flushed = deflate.total_out() - before < room as u64;
        if (last && status == Status::StreamEnd) || (!last && all_in && flushed) {
            return Ok(());
        }
    }
}

/// Whether the bytes of a block are spread as evenly as random ones, which deflate can only
/// store. Even a few per cent of text or machine code, or any repetition, makes the spread
/// uneven: the chi-square statistic of truly random bytes is 255 with a deviation of 23.
fn is_random(block: &[u8]) -> bool {
    const LIMIT: u64 = 400;
    if block.len() < 64 << 10 {
        return false;
    }
    // Four tables, so that equal neighbours do not wait for each other's increment.
    let mut counts = [[0u32; 256]; 4];
    let (quads, rest) = block.as_chunks::<4>();
    for quad in quads {
        counts[0][usize::from(quad[0])] += 1;
        counts[1][usize::from(quad[1])] += 1;
        counts[2][usize::from(quad[2])] += 1;
        counts[3][usize::from(quad[3])] += 1;
    }
    for byte in rest {
        counts[0][usize::from(*byte)] += 1;
    }
    let squares: u64 = (0..256)
        .map(|i| {
            let n: u64 = counts.iter().map(|c| u64::from(c[i])).sum();
            n * n
        })
        .sum();
    let total = block.len() as u64;
    // Sum of (n - total/256)² / (total/256), kept in integers.
    (squares * 256 / total).saturating_sub(total) < LIMIT
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn random(n: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..n)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    #[test]
    fn only_random_blocks_are_stored() {
        let noise = random(1 << 20);
        assert!(is_random(&noise));
        let mut mixed = noise.clone();
        mixed[..40_000].fill(b'e');
        assert!(!is_random(&mixed));
        assert!(!is_random(&noise[..4096].repeat(256)));
        assert!(!is_random(&noise[..1000]));
    }

    #[test]
    fn parts_of_a_stream_join() {
        let config = CompressionConfig { single_member: true, ..Default::default() };
        let text: Vec<u8> = (0..60_000u32).flat_map(|n| format!("{} ", n % 977).into_bytes()).collect();
        for input in [text, random(200_000), b"x".to_vec()] {
            let blocks: Vec<&[u8]> = input.chunks(70_000).collect();
            let mut stream = Vec::new();
            for (n, block) in blocks.iter().enumerate() {
                let mut compressor = BlockCompressor::new(&config).unwrap();
                let previous = n.checked_sub(1).map(|p| blocks[p]);
                stream.extend(
                    compressor.compress(block, previous, n + 1 == blocks.len(), Vec::new()).unwrap().bytes,
                );
            }
            let mut back = Vec::new();
            flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == input);
        }
    }

    #[test]
    fn levels_are_checked() {
        for (algorithm, single_member, level, good) in [
            (Compression::Gzip, false, 12, true),
            (Compression::Gzip, false, 13, false),
            (Compression::Gzip, true, 9, true),
            (Compression::Gzip, true, 10, false),
            (Compression::Zstd, false, 22, true),
            (Compression::Zstd, false, 0, false),
            (Compression::Zstd, false, 23, false),
        ] {
            let config = CompressionConfig { algorithm, single_member, level: Some(level) };
            assert_eq!(BlockCompressor::new(&config).is_ok(), good, "{config:?}");
        }
    }
}
