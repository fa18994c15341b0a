//! What is mounted where, from `/proc/self/mountinfo` (see `proc_pid_mountinfo(5)`).

use std::io;

/// One mount below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where, from the root, without leading slash.
    pub(crate) path: Vec<u8>,
    /// Nothing can be written there.
    pub(crate) read_only: bool,
    /// Type of the file system.
    pub(crate) kind: String,
}

/// Mounts of this process, those of the root itself left out.
///
/// # Errors
/// `/proc` is not there or not proc.
pub(crate) fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// Reads the text of `mountinfo`. A later mount on the same path hides the earlier one.
fn parse(text: &[u8]) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let Some(mount) = parse_line(line) else { continue };
        found.retain(|m| m.path != mount.path);
        found.push(mount);
    }
    found.retain(|m| !m.path.is_empty());
    found
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let path = unescape(fields.nth(4)?);
    let options = fields.next()?;
    let mut rest = fields.skip_while(|f| *f != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    let super_options = rest.nth(1).unwrap_or_default();
    let read_only = |options: &[u8]| options.split(|b| *b == b',').any(|o| o == b"ro");
    Some(Mount {
        path: path.strip_prefix(b"/")?.to_vec(),
        read_only: read_only(options) || read_only(super_options),
        kind,
    })
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(u8::is_ascii_digit));
        match octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// Writes a path as the kernel does in `mountinfo`.
pub(crate) fn escape(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            _ => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_docker() {
        let text = b"\
600 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u\n\
601 600 0:51 / /proc rw,nosuid - proc proc rw\n\
602 600 254:0 /v/_data /my\\040work\\134space rw,relatime master:1 shared:2 - ext4 /dev/vda rw\n\
603 600 254:0 /hosts /etc/hosts ro,relatime - ext4 /dev/vda rw\n\
604 600 0:52 / /run/secrets rw - tmpfs tmpfs ro,size=1k\n\
605 600 254:0 /a /twice ro - ext4 /dev/vda rw\n\
606 605 254:0 /b /twice rw - ext4 /dev/vda rw\n\
broken line\n";
        let found = parse(text);
        let shown: Vec<_> =
            found.iter().map(|m| (String::from_utf8_lossy(&m.path), m.read_only, m.kind.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("proc".into(), false, "proc"),
                ("my work\\space".into(), false, "ext4"),
                ("etc/hosts".into(), true, "ext4"),
                ("run/secrets".into(), true, "tmpfs"),
                ("twice".into(), false, "ext4"),
            ]
        );
    }

    #[test]
    fn escapes_come_back() {
        let path = b"a b\tc\nd\\040e";
        assert_eq!(escape(path), b"a\\040b\\011c\\012d\\134040e");
        assert_eq!(unescape(&escape(path)), path);
        assert_eq!(unescape(b"end\\04"), b"end\\04");
    }
}
