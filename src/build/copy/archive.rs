//! `ADD` of a local archive: known by its content, unpacked into the destination.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::layer::{Content, Entry, Kind, NodeKind, Timestamp, join, parent};

use super::pending::Pending;
use super::select::read_error;
use super::{CopyError, SourceTree, clean, shown};

/// Bytes that a tar header has.
const BLOCK: usize = 512;

/// Most entries of an archive: what a layer may have.
const MAX_ENTRIES: usize = 10_000_000;

/// A plain tar in a nameless file.
pub(super) struct Archive {
    path: String,
    tar: Arc<File>,
}

/// Opens a file as an archive, if its content is one: plain tar, or gzip or zstd of a tar. An
/// archive in another compression is an error: copied as it is, the image would be wrong.
pub(super) fn open(
    source: &SourceTree<'_>,
    path: &[u8],
    spool: &dyn Fn() -> io::Result<File>,
) -> Result<Option<Archive>, CopyError> {
    let failed = |e| read_error(path, e);
    let mut file = source.view.open(path).map_err(failed)?;
    let mut head = Vec::with_capacity(BLOCK);
    (&mut file).take(BLOCK as u64).read_to_end(&mut head).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let name = shown(path);
    if is_tar(&head) {
        return Ok(Some(Archive { path: name, tar: Arc::new(file) }));
    }
    let wrong = |reason: String| CopyError::Archive { path: name.clone(), reason };
    let mut plain: Box<dyn Read> = match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::stream::read::Decoder::new(file).map_err(|e| wrong(e.to_string()))?)
        }
        [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let way =
                "ADD unpacks plain, gzip and zstd archives; recompress it, or use COPY to keep it as it is";
            return Err(wrong(format!("its compression is not supported: {way}")));
        }
        _ => return Ok(None),
    };
    let mut first = Vec::with_capacity(BLOCK);
    // What does not decompress is no archive, and is copied as the file it is.
    if plain.by_ref().take(BLOCK as u64).read_to_end(&mut first).is_err() || !is_tar(&first) {
        return Ok(None);
    }
    let mut tar = spool().map_err(|e| wrong(e.to_string()))?;
    tar.write_all(&first).map_err(|e| wrong(e.to_string()))?;
    io::copy(&mut plain, &mut tar).map_err(|e| wrong(e.to_string()))?;
    Ok(Some(Archive { path: name, tar: Arc::new(tar) }))
}

/// Whether a block is a tar header: its checksum is right and it is not empty.
fn is_tar(block: &[u8]) -> bool {
    if block.len() < BLOCK || block.iter().all(|b| *b == 0) {
        return false;
    }
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    header.cksum().is_ok_and(|stored| stored == sum)
}

/// Places the archive's entries below the destination, which becomes a directory. Owners are the
/// archive's unless `--chown` is given; `--chmod` does not apply (BuildKit).
pub(super) fn entries(
    archive: &Archive,
    destination: &str,
    pending: &mut Pending<'_>,
) -> Result<(), CopyError> {
    let wrong = |reason: String| CopyError::Archive { path: archive.path.clone(), reason };
    let root = pending.resolve(destination.as_bytes())?;
    pending.make_directory(&root)?;
    let mut file = archive.tar.try_clone().map_err(|e| wrong(e.to_string()))?;
    file.seek(SeekFrom::Start(0)).map_err(|e| wrong(e.to_string()))?;
    let mut reader = tar::Archive::new(file);
    let mut count = 0;
    for entry in reader.entries_with_seek().map_err(|e| wrong(e.to_string()))? {
        let mut entry = entry.map_err(|e| wrong(e.to_string()))?;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(wrong(format!("it has more than {MAX_ENTRIES} entries")));
        }
        let placed = Placed { archive, root: &root };
        if let Some(entry) = placed.entry(&mut entry, pending)? {
            pending.place(entry)?;
        }
    }
    Ok(())
}

/// Reads entries of one archive at one destination.
struct Placed<'a> {
    archive: &'a Archive,
    root: &'a [u8],
}

impl Placed<'_> {
    fn entry(
        &self,
        entry: &mut tar::Entry<'_, File>,
        pending: &mut Pending<'_>,
    ) -> Result<Option<Entry>, CopyError> {
        let wrong = |reason: String| CopyError::Archive { path: self.archive.path.clone(), reason };
        let name = entry.path_bytes().into_owned();
        let Some(path) = self.target(&name, pending)? else { return Ok(None) };
        let header = entry.header();
        let number = |value: io::Result<u64>| {
            value
                .ok()
                .and_then(|v| u32::try_from(v).ok())
                .ok_or_else(|| wrong(format!("the owner of '{}' is no number", shown(&name))))
        };
        let (uid, gid) = match pending.owner() {
            Some(owner) => owner,
            None => (number(header.uid())?, number(header.gid())?),
        };
        let mode = header.mode().map_err(|e| wrong(e.to_string()))? & 0o7777;
        let mtime = Timestamp { seconds: header.mtime().unwrap_or(0).cast_signed(), nanoseconds: 0 };
        let device = |v: io::Result<Option<u32>>| v.ok().flatten().unwrap_or(0);
        let (major, minor) = (device(header.device_major()), device(header.device_minor()));
        let link = || entry.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default();
        use tar::EntryType as T;
        let (kind, content) = match header.entry_type() {
            T::Directory => (Kind::Directory, Content::None),
            T::Symlink => (Kind::Symlink(link()), Content::None),
            T::Fifo => (Kind::Fifo, Content::None),
            T::Char => (Kind::CharDevice { major, minor }, Content::None),
            T::Block => (Kind::BlockDevice { major, minor }, Content::None),
            T::Link => {
                let Some(target) = self.target(&link(), pending)? else {
                    return Err(wrong(format!("the hard link '{}' leads nowhere", shown(&name))));
                };
                if pending.node(&target)?.is_none_or(|n| n.kind == NodeKind::Directory) {
                    return Err(wrong(format!(
                        "the hard link '{}' leads to no file of the archive",
                        shown(&name)
                    )));
                }
                (Kind::HardLink(target), Content::None)
            }
            T::Regular | T::Continuous => {
                let content = Content::Range(self.archive.tar.clone(), entry.raw_file_position());
                (Kind::File { size: entry.size() }, content)
            }
            T::XGlobalHeader => return Ok(None),
            other => {
                return Err(wrong(format!(
                    "'{}' is of a kind that is not supported ({other:?})",
                    shown(&name)
                )));
            }
        };
        // A link's own mode means nothing; file systems give it as this.
        let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode };
        let xattrs = capability(entry).map_err(|e| wrong(e.to_string()))?;
        Ok(Some(Entry { path, kind, mode, uid, gid, mtime, xattrs, content }))
    }

    /// The true path of an archive's name below the destination; none for the destination itself.
    /// `..` is refused where it leaves the archive; links of the image on the way are followed
    /// inside its root.
    fn target(&self, name: &[u8], pending: &mut Pending<'_>) -> Result<Option<Vec<u8>>, CopyError> {
        let mut depth = 0_i64;
        for part in name.split(|b| *b == b'/') {
            depth += match part {
                b"" | b"." => 0,
                b".." => -1,
                _ => 1,
            };
            if depth < 0 {
                let reason = format!("'{}' leaves the directory it is unpacked to", shown(name));
                return Err(CopyError::Archive { path: self.archive.path.clone(), reason });
            }
        }
        let relative = clean(name);
        if relative.is_empty() {
            return Ok(None);
        }
        let directory = pending.resolve(&join(self.root, parent(&relative)))?;
        pending.make_directory(&directory)?;
        let last = relative.rsplit(|b| *b == b'/').next().unwrap_or_default();
        Ok(Some(join(&directory, last)))
    }
}

fn capability(entry: &mut tar::Entry<'_, File>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if extension.key_bytes() == b"SCHILY.xattr.security.capability" {
                found.push((b"security.capability".to_vec(), extension.value_bytes().to_vec()));
            }
        }
    }
    Ok(found)
}
