//! `ADD` of an archive: known by its content, unpacked into the destination, which is the archive's
//! root (BuildKit, `solver/llbsolver/file/unpack.go`, with moby/go-archive's rules).

mod place;
mod stream;

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::layer::{Content, Kind, Piece, TarEntry, TarError, TarReader};

use super::pending::Pending;
use super::select::read_error;
use super::{CopyError, CopyJob, SourceTree, shown};
use place::Place;
use stream::{Opened, Position};

/// Most entries of an archive.
const MAX_ENTRIES: u64 = 2_000_000;

/// Most bytes of all names, link targets and attributes of an archive: they are kept in memory.
const MAX_NAMES: u64 = 256 << 20;

/// Bytes gathered before they are written: most files are smaller.
const BLOCK: usize = 256 << 10;

/// Unpacks a file if it is an archive: plain tar, or tar in gzip, bzip2, xz or zstd; whether it was.
/// What does not decompress or does not begin with a header is a file like any other.
pub(super) fn unpack(
    job: &CopyJob<'_>,
    source: &SourceTree<'_>,
    path: &[u8],
    pending: &mut Pending<'_>,
) -> Result<bool, CopyError> {
    let wrong = |reason: String| CopyError::Archive { path: shown(path), reason };
    let file = source.view.open(path).map_err(|e| read_error(path, e))?;
    let Opened { reader, plain, position, most } = stream::open(file).map_err(|e| read_error(path, e))?;
    let mut reader = TarReader::new(reader, job.limits);
    let first = match reader.next_entry() {
        Ok(Some(entry)) => Ok(entry),
        Ok(None) => return Ok(false),
        Err(TarError::Read(error)) if stream::is_too_much(&error) => return Err(wrong(error.to_string())),
        Err(TarError::Read(_) | TarError::Truncated { .. } | TarError::Invalid { .. }) => return Ok(false),
        Err(error) => Err(error),
    };
    let mut next = Some(first.map_err(|e| wrong(e.to_string()))?);
    let mut place = Place::new(job.step.place(), pending, job.compat, &wrong)?;
    let mut contents = Contents { plain, position, spool: None, make: job.spool };
    let mut allowed = Allowed { entries: MAX_ENTRIES, names: MAX_NAMES, bytes: most };
    while let Some(entry) = next {
        allowed.count(&entry).map_err(&wrong)?;
        let content = contents.of(&mut reader, &entry).map_err(&wrong)?;
        if let Some(skipped) = place.entry(entry, content)? {
            (job.warn)(format!("{}: {skipped}", shown(path)));
        }
        next = reader.next_entry().map_err(|e| wrong(e.to_string()))?;
    }
    contents.finish().map_err(|e| wrong(e.to_string()))?;
    Ok(true)
}

/// What an archive may still ask for.
struct Allowed {
    entries: u64,
    names: u64,
    bytes: u64,
}

impl Allowed {
    fn count(&mut self, entry: &TarEntry) -> Result<(), String> {
        let attributes: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let (link, size) = match &entry.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => (target.len(), 0),
            Kind::File { size } => (0, *size),
            _ => (0, 0),
        };
        let names = (entry.path.len() + link + attributes) as u64;
        self.entries =
            self.entries.checked_sub(1).ok_or_else(|| format!("it has more than {MAX_ENTRIES} entries"))?;
        self.names = self.names.checked_sub(names).ok_or("its names take more than 256 MiB")?;
        let wrong =
            "it unpacks to far more than its size: unpack it in a RUN, or keep it with --unpack=false";
        self.bytes = self.bytes.checked_sub(size).ok_or(wrong)?;
        Ok(())
    }
}

/// Where the contents of an archive's files are: in the archive itself if nothing has to be
/// decompressed, else in a nameless file.
struct Contents<'a> {
    plain: Option<Arc<File>>,
    position: Position,
    spool: Option<(Arc<File>, BufWriter<File>, u64)>,
    make: &'a dyn Fn() -> std::io::Result<File>,
}

impl Contents<'_> {
    /// The content of the entry that the reader is at.
    fn of<R: std::io::BufRead>(
        &mut self,
        reader: &mut TarReader<R>,
        entry: &TarEntry,
    ) -> Result<Content, String> {
        let Kind::File { .. } = entry.kind else { return Ok(Content::None) };
        if let Some(archive) = self.plain.as_ref().filter(|_| !entry.is_sparse()) {
            return Ok(Content::Range(Arc::clone(archive), self.position.get()));
        }
        if self.spool.is_none() {
            let file = (self.make)().map_err(|e| e.to_string())?;
            let out = BufWriter::with_capacity(BLOCK, file.try_clone().map_err(|e| e.to_string())?);
            self.spool = Some((Arc::new(file), out, 0));
        }
        let Some((file, out, end)) = &mut self.spool else { return Ok(Content::None) };
        let start = *end;
        let kept = reader.read_content::<TarError>(entry, |piece| {
            match piece {
                Piece::Data(bytes) => {
                    *end += bytes.len() as u64;
                    out.write_all(bytes)?;
                }
                Piece::Hole(length) => {
                    *end += length;
                    out.seek(SeekFrom::Start(*end))?;
                }
            }
            Ok(())
        });
        kept.map_err(|e| e.to_string())?;
        Ok(Content::Range(Arc::clone(file), start))
    }

    /// Makes the contents readable.
    fn finish(self) -> std::io::Result<()> {
        if let Some((file, mut out, end)) = self.spool {
            out.flush()?;
            // A hole at the end is not there yet.
            file.set_len(end)?;
        }
        Ok(())
    }
}
