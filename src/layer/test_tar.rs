//! Small tars for tests.

use std::io::Cursor;

use super::decompress::LayerSource;
use super::entry::Timestamp;
use super::tar_header::{END_OF_ARCHIVE, TAR_BLOCK, TarHeader};

/// A tar being written.
#[derive(Clone, Default)]
pub(super) struct Tar {
    pub(super) bytes: Vec<u8>,
}

impl Tar {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Any entry, with the owner of the test, so that tests need not be root.
    pub(super) fn entry(mut self, header: TarHeader<'_>, content: &[u8]) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let mtime = if header.mtime == Timestamp::default() {
            Timestamp { seconds: 1_000_000, nanoseconds: 0 }
        } else {
            header.mtime
        };
        TarHeader { uid, gid, mtime, size: content.len() as u64, ..header }.encode(&mut self.bytes);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(TAR_BLOCK), 0);
        self
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        let header = TarHeader { flag: b'0', name: name.as_bytes(), mode: 0o644, ..Default::default() };
        self.entry(header, content.as_bytes())
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(TarHeader { flag: b'5', name: name.as_bytes(), mode: 0o755, ..Default::default() }, b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        let (name, link) = (name.as_bytes(), target.as_bytes());
        self.entry(TarHeader { flag: b'2', name, link, mode: 0o777, ..Default::default() }, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        let (name, link) = (name.as_bytes(), target.as_bytes());
        self.entry(TarHeader { flag: b'1', name, link, mode: 0o644, ..Default::default() }, b"")
    }

    /// Bytes as they are, padded to a block.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(TAR_BLOCK), 0);
        self
    }

    pub(super) fn end(self) -> Vec<u8> {
        [self.bytes.as_slice(), &END_OF_ARCHIVE].concat()
    }

    pub(super) fn source(self, name: &str) -> LayerSource {
        source(name, self.end())
    }
}

pub(super) fn source(name: &str, bytes: Vec<u8>) -> LayerSource {
    LayerSource { name: name.to_owned(), reader: Box::new(Cursor::new(bytes)), diff_id: None }
}

/// A gzip stream of these bytes.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
