//! How a name in a directory is kept: 64 bytes and the name itself.

use rustix::fs::FileType;

use super::stat::Stat;
use crate::layer::Timestamp;
use crate::rootfs::change::Attributes;

/// One name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) inode: u64,
    pub(super) ctime: i64,
    mtime: i64,
    /// Bytes of a regular file, or major and minor number of a device.
    size: u64,
    /// Hash of a regular file's content or of a link's target; a directory's place in the index.
    payload: [u64; 2],
    uid: u32,
    gid: u32,
    pub(super) name_at: u32,
    mode: u16,
    pub(super) name_length: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Item>() == 64, "a million names must fit the memory budget");

/// The payload is set.
const HASHED: u8 = 1;
/// The inode has several names.
const LINKED: u8 = 2;
/// The inode's `security.capability` is kept beside.
const CAPABLE: u8 = 4;

/// Nanoseconds since 1970. Wraps after 2262, where a touched file then seems changed.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    time.seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(time.nanoseconds))
}

impl Item {
    pub(super) fn new(stat: &Stat, name_at: u32, name_length: u8) -> Self {
        let kind = stat.file_type();
        let size = match kind {
            FileType::RegularFile => stat.size,
            FileType::CharacterDevice | FileType::BlockDevice => {
                u64::from(stat.device.0) << 32 | u64::from(stat.device.1)
            }
            _ => 0,
        };
        let linked = kind != FileType::Directory && stat.links > 1;
        Item {
            inode: stat.inode,
            ctime: nanoseconds(stat.ctime),
            mtime: nanoseconds(stat.mtime),
            size,
            payload: [0; 2],
            uid: stat.uid,
            gid: stat.gid,
            name_at,
            mode: stat.mode as u16,
            name_length,
            flags: if linked { LINKED } else { 0 },
        }
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(u32::from(self.mode))
    }

    pub(super) fn is_directory(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether nothing can have happened to the inode since `other` was taken.
    pub(super) fn untouched(&self, other: &Item) -> bool {
        (self.inode, self.ctime, self.mode) == (other.inode, other.ctime, other.mode)
    }

    pub(super) fn hash(&self) -> Option<u128> {
        let known = self.flags & HASHED != 0 && !self.is_directory();
        known.then(|| u128::from(self.payload[0]) << 64 | u128::from(self.payload[1]))
    }

    pub(super) fn set_hash(&mut self, hash: u128) {
        self.payload = [(hash >> 64) as u64, hash as u64];
        self.flags |= HASHED;
    }

    pub(super) fn clear_hash(&mut self) {
        self.flags &= !HASHED;
    }

    /// The place of a directory's own names in the index.
    pub(super) fn slot(&self) -> Option<u32> {
        (self.is_directory() && self.flags & HASHED != 0).then_some(self.payload[0] as u32)
    }

    pub(super) fn set_slot(&mut self, slot: u32) {
        self.payload = [u64::from(slot), 0];
        self.flags |= HASHED;
    }

    pub(super) fn is_linked(&self) -> bool {
        self.flags & LINKED != 0
    }

    pub(super) fn is_capable(&self) -> bool {
        self.flags & CAPABLE != 0
    }

    pub(super) fn set_capable(&mut self) {
        self.flags |= CAPABLE;
    }

    /// As the definition of a change wants it; the capability is kept elsewhere.
    pub(super) fn attributes(&self, capability: Option<Box<[u8]>>) -> Attributes {
        let kind = self.file_type();
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        Attributes {
            mode: u32::from(self.mode),
            uid: self.uid,
            gid: self.gid,
            device: if is_device { ((self.size >> 32) as u32, self.size as u32) } else { (0, 0) },
            size: if kind == FileType::RegularFile { self.size } else { 0 },
            mtime: Timestamp {
                seconds: self.mtime.div_euclid(1_000_000_000),
                nanoseconds: self.mtime.rem_euclid(1_000_000_000) as u32,
            },
            target: if kind == FileType::Symlink { self.hash().unwrap_or(0) } else { 0 },
            capability,
            group: self.is_linked().then_some(self.inode),
        }
    }
}
