//! What entries hold, as one number without times: the content id of a layer, and the identity of
//! files that a step will read (`docs/cache-format.md`, "Content ids").

use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::capability::open_capability;
use super::content::{ContentError, Contents};
use super::entry::{Content, Entry, Kind};
use crate::image::ContentId;

/// Bytes read at once: small files need one call, large ones few.
const READ: usize = 256 << 10;

/// Entries that one thread takes at a time; neighbours share their open directory.
const BATCH: usize = 32;

/// Hashes entries in their order, each framed so that no two lists give the same bytes.
#[derive(Default)]
pub struct IdentityHasher {
    entries: Sha256,
    files: Sha256,
}

impl IdentityHasher {
    /// Adds an entry; `digest` is the SHA-256 of a regular file's content.
    pub fn add(&mut self, entry: &Entry, digest: Option<&[u8; 32]>) {
        let mut bytes = Vec::with_capacity(128 + entry.path.len());
        framed(&mut bytes, &entry.path);
        // A deletion has neither mode nor owner, and a link's mode means nothing.
        let (mode, uid, gid) = match entry.kind {
            Kind::Whiteout => (0, 0, 0),
            Kind::Symlink(_) => (0o777, entry.uid, entry.gid),
            _ => (entry.mode & 0o7777, entry.uid, entry.gid),
        };
        bytes.push(kind_byte(&entry.kind));
        for number in [mode, uid, gid] {
            bytes.extend(number.to_be_bytes());
        }
        match &entry.kind {
            Kind::File { size } => {
                let start = bytes.len();
                bytes.extend(size.to_be_bytes());
                bytes.extend(digest.unwrap_or(&[0; 32]));
                self.files.update(&bytes[start..]);
            }
            Kind::Symlink(target) | Kind::HardLink(target) => framed(&mut bytes, target),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                bytes.extend(major.to_be_bytes());
                bytes.extend(minor.to_be_bytes());
            }
            Kind::Directory | Kind::Fifo | Kind::Whiteout => {}
        }
        bytes.extend((entry.xattrs.len() as u32).to_be_bytes());
        for (name, value) in &entry.xattrs {
            framed(&mut bytes, name);
            framed(&mut bytes, value);
        }
        self.entries.update(&bytes);
    }

    /// The identity of all entries, and that of the regular files' sizes and contents alone.
    pub fn finish(self) -> (ContentId, ContentId) {
        let id = |hash: Sha256| ContentId::from_sha256(hash.finalize().into());
        (id(self.entries), id(self.files))
    }
}

fn framed(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend((value.len() as u32).to_be_bytes());
    bytes.extend(value);
}

/// The tar type flag, and `w` for a deletion.
fn kind_byte(kind: &Kind) -> u8 {
    match kind {
        Kind::File { .. } => b'0',
        Kind::HardLink(_) => b'1',
        Kind::Symlink(_) => b'2',
        Kind::CharDevice { .. } => b'3',
        Kind::BlockDevice { .. } => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Whiteout => b'w',
    }
}

/// What reading a regular file said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRead {
    /// SHA-256 of the content.
    pub digest: [u8; 32],
    /// The value of `security.capability`, of a file that stands on disk by itself.
    pub capability: Option<Box<[u8]>>,
}

/// Reads every regular file, in the order of the entries, on `threads` threads; `None` for an entry
/// that is none.
///
/// # Errors
/// A file cannot be read, or is not of the size its entry says.
pub fn read_files(entries: &[&Entry], threads: usize) -> io::Result<Vec<Option<FileRead>>> {
    let mut files = vec![None; entries.len()];
    let slots: Vec<Mutex<&mut [Option<FileRead>]>> = files.chunks_mut(BATCH).map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        let mut reader = Reader { contents: Contents::default(), buffer: vec![0; READ] };
        loop {
            let batch = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(batch) else { return Ok(()) };
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            for (file, entry) in slot.iter_mut().zip(&entries[batch * BATCH..]) {
                *file = reader.read(entry)?;
            }
        }
    };
    let helpers = threads.min(slots.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut outcome = work();
        for thread in running {
            let other = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(other);
        }
        outcome
    })?;
    Ok(files)
}

/// What one thread reads files with.
struct Reader {
    contents: Contents,
    buffer: Vec<u8>,
}

impl Reader {
    fn read(&mut self, entry: &Entry) -> io::Result<Option<FileRead>> {
        let Kind::File { size } = entry.kind else { return Ok(None) };
        if let Content::Bytes(bytes) = &entry.content {
            return Ok(Some(FileRead { digest: Sha256::digest(bytes).into(), capability: None }));
        }
        let named = |error: io::Error| {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            io::Error::new(error.kind(), format!("cannot read '{path}': {error}"))
        };
        let file = self.contents.open(entry, size).map_err(|error| match error {
            ContentError::Read(error) => named(error),
            ContentError::Changed(how) => named(io::Error::other(how)),
        })?;
        let mut hash = Sha256::new();
        let mut left = size;
        while left > 0 {
            let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = match rustix::io::read(&file, &mut self.buffer[..want]) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.map_err(|e| named(e.into()))?,
            };
            if n == 0 {
                return Err(named(io::Error::other(format!("it ended {left} bytes early"))));
            }
            hash.update(&self.buffer[..n]);
            left -= n as u64;
        }
        let capability = match entry.content {
            Content::At(..) => open_capability(file.as_fd()).map_err(|e| named(e.into()))?,
            _ => None,
        };
        let capability = capability.map(Vec::into_boxed_slice);
        Ok(Some(FileRead { digest: hash.finalize().into(), capability }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Timestamp;

    fn file(path: &str, content: &str) -> Entry {
        let bytes: std::sync::Arc<[u8]> = content.as_bytes().into();
        Entry {
            path: path.into(),
            kind: Kind::File { size: bytes.len() as u64 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
            content: Content::Bytes(bytes),
        }
    }

    fn id(entries: &[Entry]) -> ContentId {
        let all: Vec<&Entry> = entries.iter().collect();
        let files = read_files(&all, 2).unwrap();
        let mut hasher = IdentityHasher::default();
        for (entry, file) in entries.iter().zip(&files) {
            hasher.add(entry, file.as_ref().map(|f| &f.digest));
        }
        hasher.finish().0
    }

    #[test]
    fn everything_but_times_counts() {
        let first = id(&[file("a", "x")]);
        let mut later = file("a", "x");
        later.mtime = Timestamp { seconds: 9, nanoseconds: 1 };
        assert_eq!(id(&[later]), first);
        let changes: [fn(&mut Entry); 7] = [
            |e| e.path = b"b".to_vec(),
            |e| e.mode = 0o755,
            |e| e.uid = 1,
            |e| e.gid = 1,
            |e| e.content = Content::Bytes(b"y".as_slice().into()),
            |e| e.xattrs.push((b"security.capability".to_vec(), vec![1])),
            |e| (e.kind, e.content) = (Kind::Symlink(b"x".to_vec()), Content::None),
        ];
        let mut seen = vec![first];
        for change in changes {
            let mut entry = file("a", "x");
            change(&mut entry);
            seen.push(id(&[entry]));
        }
        let different: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len());
    }

    #[test]
    fn what_stands_between_names_counts() {
        assert_ne!(id(&[file("ab", "c"), file("d", "")]), id(&[file("a", "bc"), file("d", "")]));
        assert_ne!(id(&[file("a", ""), file("b", "")]), id(&[file("a", "")]));
    }

    #[test]
    fn the_number_of_threads_does_not() {
        let tree = tempfile::tempdir().unwrap();
        let root = std::sync::Arc::new(std::fs::File::open(tree.path()).unwrap().into());
        let entries: Vec<Entry> = (0..300)
            .map(|n: usize| {
                let name = format!("f{n:03}");
                std::fs::write(tree.path().join(&name), "x".repeat(n * 7)).unwrap();
                let kind = Kind::File { size: n as u64 * 7 };
                let content = Content::At(std::sync::Arc::clone(&root), name.clone().into());
                Entry { kind, content, ..file(&name, "") }
            })
            .collect();
        let entries: Vec<&Entry> = entries.iter().collect();
        assert_eq!(read_files(&entries, 1).unwrap(), read_files(&entries, 5).unwrap());
        std::fs::write(tree.path().join("f010"), "").unwrap();
        let error = read_files(&entries, 3).unwrap_err().to_string();
        assert!(error.contains("f010"), "{error}");
    }
}
