//! Reading the tar streams of layers: USTAR, PAX and GNU headers, sparse files. Everything the
//! stream says about itself is limited, because it comes from strangers.

use std::io::{self, BufRead};

use super::entry::{Kind, Timestamp};
use super::limits::Limits;
use super::pax::{self, Pax};
use super::sparse::{self, Segment};
use super::tar_error::TarError;
use super::tar_fields::{check_sum, header_name, id, mode, number, until_nul};
use super::tar_header::TAR_BLOCK;

/// One entry as the stream describes it. Paths are as written, not yet made safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// The name.
    pub path: Vec<u8>,
    /// What it is; never a whiteout, which only its name says.
    pub kind: Kind,
    /// Permission bits: 07777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Extended attributes of `SCHILY.xattr` records, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The parts that are not holes, if the file is sparse.
    segments: Option<Vec<Segment>>,
}

impl TarEntry {
    /// Whether the content has holes, so that it is not stored as it is.
    pub fn is_sparse(&self) -> bool {
        self.segments.is_some()
    }
}

/// A part of a regular file's content.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// This many zeros.
    Hole(u64),
}

/// Reads entries one after the other.
pub struct TarReader<R> {
    input: R,
    limits: Limits,
    /// Stored bytes of the current entry not yet read, and what pads them.
    left: u64,
    padding: u64,
    ended: bool,
    /// Entries and bytes so far, holes included.
    entries: u64,
    bytes: u64,
}

impl<R: BufRead> TarReader<R> {
    /// Reads from a decompressed stream.
    pub fn new(input: R, limits: Limits) -> Self {
        TarReader { input, limits, left: 0, padding: 0, ended: false, entries: 0, bytes: 0 }
    }

    /// The next entry; `None` at the end of the archive. What was not read of the last one's
    /// content is skipped.
    ///
    /// # Errors
    /// [`TarError`]
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, TarError> {
        let mut pax = Pax::default();
        loop {
            self.skip_content()?;
            let Some(block) = self.header()? else { return Ok(None) };
            let size = number(&block[124..136], "size")?;
            let size = u64::try_from(size).map_err(|_| TarError::invalid("a size is negative"))?;
            match block[156] {
                b'x' => {
                    let records = self.extended(size)?;
                    // A second header replaces the first; GNU's long names stay.
                    let (path, link) = (pax.path.take(), pax.link.take());
                    pax = Pax::default();
                    pax.read(&records)?;
                    pax.path = pax.path.or(path);
                    pax.link = pax.link.or(link);
                }
                // GNU's tar and Go's both end such a name at the first NUL.
                b'L' => pax.path = Some(until_nul(&self.extended(size)?).to_vec()),
                b'K' => pax.link = Some(until_nul(&self.extended(size)?).to_vec()),
                // Global headers say nothing about an image: Docker and containerd skip them.
                b'g' => self.content(size)?,
                _ => return self.entry(&block, size, pax).map(Some),
            }
        }
    }

    /// Gives the content of the entry just read, in pieces.
    ///
    /// # Errors
    /// [`TarError`], or what `sink` returns.
    pub fn read_content<E: From<TarError>>(
        &mut self,
        entry: &TarEntry,
        mut sink: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Kind::File { size } = entry.kind else { return Ok(()) };
        let Some(segments) = &entry.segments else {
            return self.read_stored(entry, size, &mut sink);
        };
        let mut at = 0;
        for segment in segments {
            if segment.offset > at {
                sink(Piece::Hole(segment.offset - at))?;
            }
            self.read_stored(entry, segment.length, &mut sink)?;
            at = segment.offset + segment.length;
        }
        if size > at {
            sink(Piece::Hole(size - at))?;
        }
        Ok(())
    }

    fn read_stored<E: From<TarError>>(
        &mut self,
        entry: &TarEntry,
        mut n: u64,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while n > 0 {
            let buffer = fill(&mut self.input).map_err(E::from)?;
            if buffer.is_empty() {
                let place = format!("'{}'", String::from_utf8_lossy(&entry.path));
                return Err(TarError::Truncated { place }.into());
            }
            let taken = usize::try_from(n).unwrap_or(usize::MAX).min(buffer.len());
            sink(Piece::Data(&buffer[..taken]))?;
            self.input.consume(taken);
            n -= taken as u64;
            self.left -= taken as u64;
        }
        Ok(())
    }

    /// Notes that `size` bytes of content follow.
    fn content(&mut self, size: u64) -> Result<(), TarError> {
        self.count(size)?;
        self.left = size;
        self.padding = size.wrapping_neg() % TAR_BLOCK as u64;
        Ok(())
    }

    /// Counts bytes before they are read.
    fn count(&mut self, bytes: u64) -> Result<(), TarError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.limits.layer_size;
        if self.bytes > limit { Err(TarError::TooLarge { limit }) } else { Ok(()) }
    }

    /// Content must be whole; a stream that ends in the padding after it just ends, as for Go's
    /// `archive/tar` and so for every engine.
    fn skip_content(&mut self) -> Result<(), TarError> {
        let mut n = self.left.saturating_add(self.padding);
        while n > 0 {
            let available = fill(&mut self.input)?.len();
            if available == 0 && n <= self.padding {
                self.ended = true;
                break;
            }
            if available == 0 {
                return Err(TarError::Truncated { place: "the content of an entry".to_owned() });
            }
            let taken = usize::try_from(n).unwrap_or(usize::MAX).min(available);
            self.input.consume(taken);
            n -= taken as u64;
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header block; `None` after two empty ones, or where the stream ends before one.
    fn header(&mut self) -> Result<Option<[u8; TAR_BLOCK]>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; TAR_BLOCK];
        if !self.block(&mut block)? {
            self.ended = true;
            return Ok(None);
        }
        self.count(TAR_BLOCK as u64)?;
        if block == [0; TAR_BLOCK] {
            self.ended = true;
            if self.block(&mut block)? && block != [0; TAR_BLOCK] {
                return Err(TarError::invalid("an empty block stands between two headers"));
            }
            return Ok(None);
        }
        check_sum(&block)?;
        Ok(Some(block))
    }

    /// Reads a whole block; `false` at the end of the stream.
    fn block(&mut self, block: &mut [u8; TAR_BLOCK]) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < TAR_BLOCK {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                if filled == 0 {
                    return Ok(false);
                }
                return Err(TarError::Truncated { place: "a header".to_owned() });
            }
            let n = buffer.len().min(TAR_BLOCK - filled);
            block[filled..filled + n].copy_from_slice(&buffer[..n]);
            self.input.consume(n);
            filled += n;
        }
        Ok(true)
    }

    /// The content of an extended header.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let limit = self.limits.extended_header;
        if size > limit {
            return Err(TarError::Limit { what: format!("an extended header of {size} bytes"), limit });
        }
        self.content(size)?;
        let mut bytes = Vec::new();
        while self.left > 0 {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                return Err(TarError::Truncated { place: "an extended header".to_owned() });
            }
            let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
            bytes.extend_from_slice(&buffer[..n]);
            self.input.consume(n);
            self.left -= n as u64;
        }
        Ok(bytes)
    }

    fn entry(&mut self, block: &[u8; TAR_BLOCK], size: u64, pax: Pax) -> Result<TarEntry, TarError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(TarError::TooMany { limit: self.limits.entries });
        }
        let mut size = pax.size.unwrap_or(size);
        let path = self.checked_path(pax.path.unwrap_or_else(|| header_name(block)))?;
        let link = self.checked_path(pax.link.unwrap_or_else(|| until_nul(&block[157..257]).to_vec()))?;
        let device = || -> Result<(u32, u32), TarError> {
            Ok((id(&block[329..337], "device number")?, id(&block[337..345], "device number")?))
        };
        let mut segments = None;
        let kind = match block[156] {
            // Old archives mark directories by their name alone (as Go's reader).
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File { size },
            b'S' => {
                self.content(size)?;
                let (real, pieces) = sparse::old_gnu(block, &mut self.input, self.limits.sparse_pieces)?;
                segments = Some(pieces);
                Kind::File { size: real }
            }
            b'1' => Kind::HardLink(link),
            b'2' => Kind::Symlink(link),
            b'3' => device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            flag => {
                return Err(TarError::UnknownType { path: String::from_utf8_lossy(&path).into(), flag });
            }
        };
        let is_file = matches!(kind, Kind::File { .. });
        // What is no file has no content, whatever its size says (as Go's reader).
        size = if is_file { size } else { 0 };
        if segments.is_none() {
            self.content(size)?;
        }
        let mut entry = TarEntry {
            path,
            kind,
            mode: mode(&block[100..108])?,
            uid: pax.uid.map_or_else(|| id(&block[108..116], "uid"), Ok)?,
            gid: pax.gid.map_or_else(|| id(&block[116..124], "gid"), Ok)?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => Timestamp { seconds: number(&block[136..148], "mtime")?, nanoseconds: 0 },
            },
            xattrs: pax.xattrs,
            segments,
        };
        if is_file && let Some(said) = pax.sparse {
            self.pax_sparse(&mut entry, &said, size)?;
        }
        if let (Some(pieces), Kind::File { size: real }) = (&entry.segments, &entry.kind) {
            sparse::check(pieces, *real, self.left)?;
            self.count(real.saturating_sub(self.left))?;
        }
        Ok(entry)
    }

    /// Turns the sparse records of a PAX header into segments.
    fn pax_sparse(
        &mut self,
        entry: &mut TarEntry,
        said: &pax::PaxSparse,
        stored: u64,
    ) -> Result<(), TarError> {
        if let Some(name) = &said.name {
            entry.path = self.checked_path(name.clone())?;
        }
        let limit = self.limits.sparse_pieces;
        let pieces = if said.in_content {
            let mut left = stored;
            let pieces = sparse::pax_1_0(&mut self.input, &mut left, limit)?;
            self.left = left;
            pieces
        } else {
            sparse::pax_0(&said.map, limit)?
        };
        entry.kind = Kind::File { size: said.size.unwrap_or(stored) };
        entry.segments = Some(pieces);
        Ok(())
    }

    fn checked_path(&self, path: Vec<u8>) -> Result<Vec<u8>, TarError> {
        let limit = self.limits.path;
        if path.len() > limit {
            let what = format!("a path of {} bytes", path.len());
            return Err(TarError::Limit { what, limit: limit as u64 });
        }
        if path.contains(&0) {
            return Err(TarError::invalid("a path holds a NUL byte"));
        }
        Ok(path)
    }
}

/// The next bytes of a stream, none at its end.
pub(super) fn fill(input: &mut impl BufRead) -> Result<&[u8], TarError> {
    loop {
        match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
            // Asked again: the borrow of a result that is returned from a loop outlives the loop.
            Ok(_) => return Ok(input.fill_buf()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layer::tar_header::TarHeader;

    /// A header whose fields are whatever they are, with a right checksum.
    fn sealed(mut block: Vec<u8>) -> Vec<u8> {
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    proptest! {
        /// Whatever a stream holds, it is read or refused, in bounded memory and without panic.
        #[test]
        fn any_bytes_are_read_or_refused(
            flag in prop::sample::select(b"0123456789xgLKSDVM\0".to_vec()),
            changes in prop::collection::vec((0usize..512, any::<u8>()), 0..12),
            records in "([0-9]{1,2} (path|size|uid|mtime|GNU.sparse.(map|size|major|offset))=[-0-9,.]{0,9}\n){0,4}",
            rest in prop::collection::vec(any::<u8>(), 0..3000),
            cut in 0usize..6000,
        ) {
            let mut stream = Vec::new();
            TarHeader { flag: b'x', name: b"x", size: records.len() as u64, ..Default::default() }
                .encode(&mut stream);
            stream.extend_from_slice(records.as_bytes());
            stream.resize(stream.len().next_multiple_of(TAR_BLOCK), 0);
            let mut block = Vec::new();
            TarHeader { flag, name: b"name", size: 700, ..Default::default() }.encode(&mut block);
            for (at, byte) in changes {
                block[at] = byte;
            }
            stream.extend(sealed(block));
            stream.extend_from_slice(&rest);
            stream.truncate(cut);
            let mut tar = TarReader::new(stream.as_slice(), Limits::default());
            let mut bytes = 0;
            while let Ok(Some(entry)) = tar.next_entry() {
                let _ = tar.read_content::<TarError>(&entry, |piece| {
                    if let Piece::Data(data) = piece {
                        bytes += data.len();
                    }
                    Ok(())
                });
            }
            prop_assert!(bytes <= stream.len());
        }
    }
}
