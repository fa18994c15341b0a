//! Archives of images, read where they are: only names and places of their members are kept.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layer::{Kind, Limits, TarError, TarReader, decoder};

use super::ShipError;
use super::stop::{Input, Stopping};
use crate::run::Cancel;

/// Most members of an archive; an image has a few for each layer.
const MAX_MEMBERS: usize = 100_000;
/// Links followed from a member to the one that has the bytes.
const MAX_LINKS: usize = 8;
/// Read of the file at once to find a header.
const HEADERS: usize = 8 << 10;

/// A tar file and where its members are.
#[derive(Debug)]
pub(super) struct Archive {
    /// What people call it.
    pub(super) path: PathBuf,
    file: Arc<File>,
    members: HashMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    Bytes { at: u64, size: u64 },
    Link(String),
}

/// The bytes of a member.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) size: u64,
}

impl Part {
    /// The bytes as an ordinary reader.
    pub(super) fn reader(&self) -> PartReader {
        PartReader { part: self.clone(), done: 0 }
    }
}

/// Reads a part without moving anybody else's place in the file.
#[derive(Debug)]
pub(super) struct PartReader {
    part: Part,
    done: u64,
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.part.size - self.done;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.part.file.read_at(&mut buffer[..wanted], self.part.at + self.done)?;
        self.done += read as u64;
        Ok(read)
    }
}

impl Archive {
    /// Opens an archive and finds its members. A compressed one is decompressed first, into a
    /// file without a name in `spare`, unless `cancel` asks for the end.
    pub(super) fn open(path: &Path, spare: &Path, cancel: &Cancel) -> Result<Self, ShipError> {
        let failed = |e: io::Error| ShipError::new(format!("cannot read {}: {e}", path.display()));
        let mut file = if path == Path::new("-") {
            let file = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?.into();
            spill(Box::new(Input { file, cancel: cancel.clone() }), spare).map_err(failed)?
        } else {
            File::open(path).map_err(failed)?
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is neither a file nor a directory")));
        }
        let mut start = [0; 4];
        let read = file.read_at(&mut start, 0).map_err(failed)?;
        if is_compressed(&start[..read]) {
            let whole = file.try_clone().map_err(failed)?;
            file =
                spill(Box::new(Stopping { reader: whole, cancel: cancel.clone() }), spare).map_err(failed)?;
        }
        let members = members(&mut file).map_err(|e| {
            ShipError::new(format!("{} is no archive of an image: {e}", path.display()))
                .help("give an OCI layout, or an archive that docker save, skopeo or --tar-path wrote")
        })?;
        Ok(Archive { path: path.to_owned(), file: Arc::new(file), members })
    }

    /// Whether it has a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Where a member is; links are followed inside the archive.
    pub(super) fn find(&self, name: &str) -> Option<Part> {
        let mut name = clean(name)?;
        for _ in 0..MAX_LINKS {
            match self.members.get(&name)? {
                Member::Bytes { at, size } => {
                    return Some(Part { file: self.file.clone(), at: *at, size: *size });
                }
                Member::Link(target) => name = target.clone(),
            }
        }
        None
    }

    /// The whole of a small member.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ShipError> {
        let wrong = |why: String| ShipError::new(format!("{}: {name}: {why}", self.path.display()));
        let part = self.find(name).ok_or_else(|| wrong("it is not in the archive".to_owned()))?;
        if part.size > limit {
            return Err(wrong(format!("it has {} bytes, more than the {limit} allowed", part.size)));
        }
        let mut bytes = Vec::new();
        part.reader().read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
        Ok(bytes)
    }
}

fn is_compressed(start: &[u8]) -> bool {
    matches!(start, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd])
}

/// What comes out of a stream, decompressed, in a file without a name.
fn spill(stream: Box<dyn Read + Send>, spare: &Path) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(spare)?;
    io::copy(&mut decoder(stream)?, &mut file)?;
    Ok(file)
}

/// Goes from header to header; the contents are not read.
fn members(file: &mut File) -> Result<HashMap<String, Member>, TarError> {
    let length = file.metadata()?.len();
    let limits = Limits { layer_size: u64::MAX, ..Limits::default() };
    let mut found = HashMap::new();
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = Cell::new(0);
        let input = Counted { input: BufReader::with_capacity(HEADERS, &*file), read: &read };
        let Some(entry) = TarReader::new(input, limits).next_entry()? else { return Ok(found) };
        let begin = at + read.get();
        let mut size = 0;
        if let Kind::File { size: stored } = entry.kind {
            if entry.is_sparse() {
                return Err(TarError::Invalid { reason: "a member has holes".to_owned() });
            }
            size = stored;
        }
        let end = begin.checked_add(size).filter(|end| *end <= length);
        let end = end.ok_or_else(|| TarError::Truncated { place: "a member".to_owned() })?;
        at = end.next_multiple_of(512);
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        let Some(name) = clean(&name) else { continue };
        let target = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let member = match &entry.kind {
            Kind::File { .. } => Some(Member::Bytes { at: begin, size }),
            Kind::HardLink(path) => clean(&target(path)).map(Member::Link),
            Kind::Symlink(path) => {
                let above = name.rsplit_once('/').map_or("", |(above, _)| above);
                clean(&format!("{above}/{}", target(path))).map(Member::Link)
            }
            _ => None,
        };
        if let Some(member) = member {
            found.insert(name, member);
        }
        if found.len() > MAX_MEMBERS {
            return Err(TarError::Limit { what: "more members".to_owned(), limit: MAX_MEMBERS as u64 });
        }
    }
}

/// A name without `.`, `..` and superfluous slashes; none if it leads out of the archive.
fn clean(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Counts the bytes that were taken.
struct Counted<'a, R> {
    input: R,
    read: &'a Cell<u64>,
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.read.set(self.read.get() + n as u64);
        self.input.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        build(&mut tar);
        let path = directory.path().join("image.tar");
        std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
        (directory, path)
    }

    fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    }

    #[test]
    fn members_are_found_where_they_are() {
        let long = format!("{}/file", "d".repeat(150));
        let (directory, path) = archive(|tar| {
            add(tar, "./one", b"first");
            add(tar, "two/layer.tar", &vec![7; 20_000]);
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, "three/layer.tar", "../two/layer.tar").unwrap();
            tar.append_pax_extensions([("comment", b"x".as_slice())]).unwrap();
            add(tar, &long, b"behind a long name");
        });
        let archive = Archive::open(&path, directory.path(), &Cancel::new()).unwrap();
        assert_eq!(archive.read("one", 100).unwrap(), b"first");
        assert_eq!(archive.read("three/layer.tar", 20_000).unwrap(), vec![7; 20_000]);
        assert_eq!(archive.read(&long, 100).unwrap(), b"behind a long name");
        assert!(archive.read("two/layer.tar", 19_999).is_err());
        assert!(archive.find("four").is_none());
    }

    #[test]
    fn links_in_a_circle_and_out_of_the_archive_lead_nowhere() {
        let (directory, path) = archive(|tar| {
            for (name, target) in [("a", "b"), ("b", "a"), ("c", "../../etc/passwd")] {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, name, target).unwrap();
            }
        });
        let archive = Archive::open(&path, directory.path(), &Cancel::new()).unwrap();
        assert!(archive.find("a").is_none() && archive.find("c").is_none());
    }

    #[test]
    fn a_member_beyond_the_end_is_refused() {
        let (directory, path) = archive(|tar| add(tar, "one", &vec![1; 10_000]));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..4096]).unwrap();
        let error = Archive::open(&path, directory.path(), &Cancel::new()).unwrap_err();
        assert!(error.message.contains("ends in the middle"), "{error}");
    }
}
