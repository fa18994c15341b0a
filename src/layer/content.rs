//! Opening the files that entries take their content from.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};

use super::dirs::open_beneath;
use super::entry::{Content, Entry};
use super::layer_path::split_last;

/// Opens files without following links. Neighbours share the open directory.
#[derive(Default)]
pub(super) struct Contents {
    /// The directory of the last file: its tree, its path, itself.
    parent: Option<(Arc<OwnedFd>, Vec<u8>, OwnedFd)>,
}

/// Why there is no file of the size an entry names.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("{0}")]
    Changed(String),
}

impl Contents {
    /// The file of an entry of `size` bytes, which it still is, at the start of the content.
    pub(super) fn open(&mut self, entry: &Entry, size: u64) -> Result<OwnedFd, ContentError> {
        let (tree, path) = match &entry.content {
            Content::Below(tree) => (tree, entry.path.as_slice()),
            Content::At(tree, path) => (tree, path.as_os_str().as_bytes()),
            Content::Range(file, offset) => return range(file, *offset, size),
            Content::None | Content::Bytes(_) => {
                return Err(io::Error::other("the entry names no file").into());
            }
        };
        let file = self.open_in(tree, path)?;
        let stat = fstat(&file).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ContentError::Changed("it is no regular file any more".to_owned()));
        }
        let now = stat.st_size.unsigned_abs();
        if now != size {
            return Err(ContentError::Changed(format!("it has {now} bytes, not {size}")));
        }
        Ok(file)
    }

    fn open_in(&mut self, tree: &Arc<OwnedFd>, path: &[u8]) -> io::Result<OwnedFd> {
        let (directory, name) = split_last(path);
        let kept = matches!(&self.parent, Some((t, p, _)) if Arc::ptr_eq(t, tree) && p == directory);
        if !kept {
            self.parent = None;
            let fd = open_beneath(tree.as_fd(), directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
            self.parent = Some((Arc::clone(tree), directory.to_vec(), fd));
        }
        let fd = self.parent.as_ref().map_or(tree.as_fd(), |(_, _, fd)| fd.as_fd());
        // A pipe that took the file's place must not make us wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(fd, name, flags, Mode::empty())?)
    }
}

/// The file of a range, opened anew: the descriptor's own position belongs to everybody who has it.
fn range(file: &File, offset: u64, size: u64) -> Result<OwnedFd, ContentError> {
    let length = file.metadata()?.len();
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Err(ContentError::Changed(format!("it ends at byte {length}, before its content does")));
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let own = openat(rustix::fs::CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)?;
    rustix::fs::seek(&own, rustix::fs::SeekFrom::Start(offset)).map_err(io::Error::from)?;
    Ok(own)
}
