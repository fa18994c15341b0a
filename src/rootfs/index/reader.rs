//! The names of one directory at a time.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::RawDir;

use super::Directory;

/// Lists directories, reusing its memory.
pub(super) struct Reader {
    buffer: Vec<MaybeUninit<u8>>,
    /// The names, each with its zero byte.
    bytes: Vec<u8>,
    /// Where each starts, sorted by name.
    starts: Vec<usize>,
}

impl Reader {
    pub(super) fn new() -> Self {
        // What the C library asks for at a time.
        Reader { buffer: vec![MaybeUninit::uninit(); 32 << 10], bytes: Vec::new(), starts: Vec::new() }
    }

    /// Reads the names of a directory.
    pub(super) fn list(&mut self, directory: &OwnedFd) -> rustix::io::Result<()> {
        self.bytes.clear();
        self.starts.clear();
        let mut entries = RawDir::new(directory, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                self.starts.push(self.bytes.len());
                self.bytes.extend_from_slice(name.to_bytes_with_nul());
            }
        }
        let bytes = &self.bytes;
        self.starts.sort_unstable_by_key(|at| name_at(bytes, *at).to_bytes());
        Ok(())
    }

    /// Takes the names from a record, where they are sorted already.
    pub(super) fn keep(&mut self, record: &Directory) {
        self.bytes.clear();
        self.starts.clear();
        for item in &record.items {
            self.starts.push(self.bytes.len());
            self.bytes.extend_from_slice(record.name(item));
            self.bytes.push(0);
        }
    }

    /// The names, sorted by bytes.
    pub(super) fn names(&self) -> impl Iterator<Item = &CStr> {
        self.starts.iter().map(|at| name_at(&self.bytes, *at))
    }
}

fn name_at(bytes: &[u8], at: usize) -> &CStr {
    CStr::from_bytes_until_nul(&bytes[at..]).unwrap_or(c"")
}
