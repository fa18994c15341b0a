//! File handles: how overlayfs remembers which lower file an upper one was copied from.

use std::io;
use std::os::fd::AsRawFd;

use rustix::io::Errno;

use super::layer::{Layer, c_string};

/// A file handle, `name_to_handle_at(2)`, without its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Handle {
    kind: u8,
    bytes: Vec<u8>,
}

/// `MAX_HANDLE_SZ`
const LARGEST: usize = 128;

/// `struct file_handle` with room for the largest.
#[repr(C)]
struct Buffer {
    size: u32,
    kind: i32,
    bytes: [u8; LARGEST],
}

impl Handle {
    /// The handle of what stands at a path; none where the file system has none.
    pub(super) fn of(layer: &Layer, path: &[u8]) -> io::Result<Option<Self>> {
        let path = c_string(path)?;
        let mut buffer = Buffer { size: LARGEST as u32, kind: 0, bytes: [0; LARGEST] };
        let mut mount = 0;
        // SAFETY: the path is NUL-terminated; the buffer begins as `struct file_handle` does and has
        // the room its size says; both outlive the call.
        let done = unsafe {
            libc::name_to_handle_at(
                layer.root.as_raw_fd(),
                path.as_ptr(),
                (&raw mut buffer).cast(),
                &raw mut mount,
                0,
            )
        };
        if done == 0 {
            let bytes = buffer.bytes[..(buffer.size as usize).min(LARGEST)].to_vec();
            return Ok(Some(Handle { kind: buffer.kind as u8, bytes }));
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
            error => Err(error),
        }
    }

    /// The handle of the lower file that an upper file was copied from, from its `origin` attribute;
    /// none for a file that was not copied.
    pub(super) fn of_origin(upper: &Layer, path: &[u8], attribute: &str) -> io::Result<Option<Self>> {
        let mut value = [0; 256];
        match rustix::fs::lgetxattr(upper.through_proc(path), attribute, &mut value) {
            Ok(length) => Ok(parse(&value[..length])),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// `struct ovl_fb`, fs/overlayfs/overlayfs.h: version 0, magic 0xfb, length of all, flags, type, the
/// file system's UUID, handle.
fn parse(value: &[u8]) -> Option<Handle> {
    const HEADER: usize = 5 + 16;
    let [0, 0xfb, length, _, kind, ..] = *value else {
        return None;
    };
    let bytes = value.get(HEADER..usize::from(length))?;
    Some(Handle { kind, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_the_kernel_writes_it() {
        let mut value = vec![0, 0xfb, 29, 0, 1];
        value.extend([7; 16]);
        value.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(parse(&value), Some(Handle { kind: 1, bytes: vec![1, 2, 3, 4, 5, 6, 7, 8] }));
        assert_eq!(parse(&value[..20]), None);
        assert_eq!(parse(b""), None);
        value[1] = 0;
        assert_eq!(parse(&value), None);
    }
}
