//! One directory of a stack.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustix::fd::AsFd;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::links::Links;
use super::{Features, RootfsError, Session, failed};
use crate::layer::file_capability;
use crate::rootfs::change::{Attributes, target_hash};
use crate::rootfs::index::{Stat, open_below, stat};
use crate::rootfs::removal::{names, open_directory};

/// A directory that is, or was, an upper directory, or an unpacked base.
#[derive(Debug)]
pub(super) struct Layer {
    /// Relative to the session's directory.
    pub(super) name: PathBuf,
    /// The directory itself.
    pub(super) root: Arc<OwnedFd>,
    links: OnceLock<Links>,
}

impl Layer {
    pub(super) fn open(session: &Session, name: PathBuf) -> Result<Self, RootfsError> {
        let path = session.path().join(&name);
        let root = Arc::new(open_directory(&path).map_err(failed("open", path))?);
        Ok(Layer { name, root, links: OnceLock::new() })
    }

    /// What stands at a path whose parents are known to be directories of this layer.
    pub(super) fn stat(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        match stat(&*self.root, &c_string(path)?) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in a directory, sorted by bytes; whiteouts are among them.
    pub(super) fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        names(open_below(&self.root, path, flags)?.as_fd())
    }

    /// Whether a directory hides the lower ones of its name.
    pub(super) fn is_opaque(&self, path: &[u8], features: Features) -> io::Result<bool> {
        super::is_opaque(&self.through_proc(path), features)
    }

    /// A path that names something in this layer, for calls that take no descriptor.
    pub(super) fn through_proc(&self, path: &[u8]) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.root.as_raw_fd())).join(super::as_path(path))
    }

    /// The target of a symbolic link.
    pub(super) fn target(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&*self.root, path, Vec::new())?.into_bytes())
    }

    /// What the definition of a change looks at; names of an inode are left to the caller.
    pub(super) fn attributes(&self, path: &[u8], found: &Stat) -> io::Result<Attributes> {
        let kind = found.file_type();
        let capability = match kind {
            FileType::RegularFile => self.capability(path)?,
            _ => None,
        };
        let target = match kind {
            FileType::Symlink => target_hash(&self.target(path)?),
            _ => 0,
        };
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        Ok(Attributes {
            mode: found.mode,
            uid: found.uid,
            gid: found.gid,
            device: if is_device { found.device } else { (0, 0) },
            size: if kind == FileType::RegularFile { found.size } else { 0 },
            mtime: found.mtime,
            target,
            capability,
            group: None,
        })
    }

    /// The `security.capability` of a regular file.
    pub(super) fn capability(&self, path: &[u8]) -> io::Result<Option<Box<[u8]>>> {
        Ok(file_capability(self.root.as_fd(), path)?.map(Vec::into_boxed_slice))
    }

    /// Whether nobody has asked for [`Layer::links`], so that files may still be added.
    pub(super) fn may_grow(&self) -> bool {
        self.links.get().is_none()
    }

    /// Which names share an inode in this layer. Found by walking it, once and only when asked for.
    pub(super) fn links(&self) -> io::Result<&Links> {
        if let Some(links) = self.links.get() {
            return Ok(links);
        }
        let links = Links::read(self)?;
        Ok(self.links.get_or_init(|| links))
    }
}

/// Whether it says that the lower files of its name are gone.
pub(super) fn is_whiteout(found: &Stat) -> bool {
    found.file_type() == FileType::CharacterDevice && found.device == (0, 0)
}

pub(super) fn c_string(path: &[u8]) -> io::Result<CString> {
    Ok(CString::new(path)?)
}
