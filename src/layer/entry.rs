//! One entry of a layer, before it is tar and after.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::OwnedFd;

use super::view::Node;

/// A time with nanoseconds, as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970, may be negative.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of this many bytes.
    File {
        /// Bytes of content.
        size: u64,
    },
    /// A symbolic link and its target, verbatim.
    Symlink(Vec<u8>),
    /// Another name for an earlier entry of this path, in this layer.
    HardLink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// The path of lower layers is gone: `.wh.<name>` in the tar.
    Whiteout,
}

/// Where a regular file's bytes are read from when it is packed.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing: the entry is no regular file.
    None,
    /// The entry's own path below this directory, whose parents are real directories.
    Below(Arc<OwnedFd>),
    /// A path below a directory; its parents are real directories, its last part no link.
    At(Arc<OwnedFd>, PathBuf),
    /// The bytes of this file from an offset on, as many as the entry's size.
    Range(Arc<std::fs::File>, u64),
    /// These bytes.
    Bytes(Arc<[u8]>),
}

/// One entry of a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path from the root without a leading slash; empty for the root itself, which is never packed.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, setuid, setgid and sticky: 07777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time; layers of images have it in whole seconds.
    pub mtime: Timestamp,
    /// Extended attributes to keep, sorted by name: `security.capability` only when packing.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The bytes of a regular file.
    pub content: Content,
}

impl Entry {
    /// Removes what lower layers have at a path.
    pub fn whiteout(path: &[u8]) -> Self {
        Entry {
            path: path.to_vec(),
            kind: Kind::Whiteout,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
            content: Content::None,
        }
    }

    /// A directory that looks like one that stands somewhere.
    pub fn directory(path: &[u8], node: &Node) -> Self {
        Entry {
            path: path.to_vec(),
            kind: Kind::Directory,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            mtime: node.mtime,
            xattrs: Vec::new(),
            content: Content::None,
        }
    }
}
