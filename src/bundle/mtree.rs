//! The record of a tree as it was unpacked, in the form of mtree(5): a file a line, full paths.

use std::fmt::Write as _;
use std::io::{self, BufRead, Lines};

use rustix::fs::FileType;

use super::walk::{Item, attributes};
use crate::layer::{Kind, Timestamp};
use crate::rootfs::change::{Attributes, target_hash};

/// Longest line: a path and a link's target, every byte escaped, and the rest.
const LONGEST: usize = 64 << 10;

/// The first line.
pub(super) const HEAD: &str = "#mtree v2.0\n";

/// One file as it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recorded {
    pub(super) path: Vec<u8>,
    pub(super) attributes: Attributes,
    /// XXH3-128 of a regular file.
    pub(super) content: Option<u128>,
    /// The owner that could be set, where it is not the true one and nothing on disk says which is.
    pub(super) on_disk: Option<(u32, u32)>,
}

/// A file as a line.
pub(super) fn line(item: &Item, content: Option<u128>) -> String {
    let entry = &item.entry;
    let (kind, more) = match &entry.kind {
        Kind::Directory => ("dir", String::new()),
        Kind::File { size } => ("file", format!(" size={size}")),
        Kind::Symlink(to) => ("link", format!(" link={}", escaped(to))),
        Kind::CharDevice { major, minor } => ("char", format!(" device=native,{major},{minor}")),
        Kind::BlockDevice { major, minor } => ("block", format!(" device=native,{major},{minor}")),
        Kind::Fifo | Kind::HardLink(_) | Kind::Whiteout => ("fifo", String::new()),
    };
    let name = if entry.path.is_empty() { ".".to_owned() } else { format!("./{}", escaped(&entry.path)) };
    let Timestamp { seconds, nanoseconds } = entry.mtime;
    let mut line = format!(
        "{name} type={kind} mode={:04o} uid={} gid={} time={seconds}.{nanoseconds:09}{more}",
        entry.mode, entry.uid, entry.gid
    );
    let attributes = attributes(entry, item.group);
    // Writing to a String cannot fail.
    if let Some(hash) = content {
        let _ = write!(line, " xxh128={hash:032x}");
    }
    if let Some(capability) = &attributes.capability {
        let hex: String = capability.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = write!(line, " capability={hex}");
    }
    if let Some(group) = item.group {
        let _ = write!(line, " inode={group}");
    }
    if let Some((uid, gid)) = item.on_disk.filter(|owner| *owner != (entry.uid, entry.gid)) {
        let _ = write!(line, " disk={uid}:{gid}");
    }
    line.push('\n');
    line
}

/// Bytes as vis(3) writes them: what is no visible ASCII in octal.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' | b'#' | b'=' => _ = write!(text, "\\{byte:03o}"),
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => _ = write!(text, "\\{byte:03o}"),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'\\' {
            let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 8).ok()?);
            rest = &rest[3..];
        } else {
            bytes.push(*byte);
        }
    }
    Some(bytes)
}

/// Reads a record, line by line.
pub(super) struct Record<R> {
    lines: Lines<R>,
}

impl<R: BufRead> Record<R> {
    pub(super) fn new(input: R) -> Self {
        Record { lines: input.lines() }
    }

    /// The next file.
    pub(super) fn next(&mut self) -> io::Result<Option<Recorded>> {
        loop {
            let Some(line) = self.lines.next().transpose()? else { return Ok(None) };
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let bad = || io::Error::new(io::ErrorKind::InvalidData, "a line of the record makes no sense");
            let parsed = Some(line).filter(|line| line.len() <= LONGEST).and_then(|line| parse(&line));
            return parsed.map(Some).ok_or_else(bad);
        }
    }
}

fn parse(line: &str) -> Option<Recorded> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let path = if name == "." { Vec::new() } else { unescaped(name.strip_prefix("./")?)? };
    let mut kind = FileType::Unknown;
    let mut recorded = Recorded {
        path,
        attributes: Attributes {
            mode: 0,
            uid: 0,
            gid: 0,
            device: (0, 0),
            size: 0,
            mtime: Timestamp::default(),
            target: 0,
            capability: None,
            group: None,
        },
        content: None,
        on_disk: None,
    };
    let side = &mut recorded.attributes;
    for word in words {
        let (key, value) = word.split_once('=')?;
        match key {
            "type" => kind = kind_of(value)?,
            "mode" => side.mode = u32::from_str_radix(value, 8).ok()?,
            "uid" => side.uid = value.parse().ok()?,
            "gid" => side.gid = value.parse().ok()?,
            "size" => side.size = value.parse().ok()?,
            "time" => {
                let (seconds, nanoseconds) = value.split_once('.')?;
                side.mtime =
                    Timestamp { seconds: seconds.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? };
            }
            "link" => side.target = target_hash(&unescaped(value)?),
            "device" => {
                let (major, minor) = value.strip_prefix("native,")?.split_once(',')?;
                side.device = (major.parse().ok()?, minor.parse().ok()?);
            }
            "xxh128" => recorded.content = Some(u128::from_str_radix(value, 16).ok()?),
            "capability" => side.capability = Some(hex(value)?.into_boxed_slice()),
            "inode" => side.group = Some(value.parse().ok()?),
            "disk" => {
                let (uid, gid) = value.split_once(':')?;
                recorded.on_disk = Some((uid.parse().ok()?, gid.parse().ok()?));
            }
            _ => {}
        }
    }
    side.mode |= kind.as_raw_mode();
    Some(recorded)
}

fn kind_of(text: &str) -> Option<FileType> {
    Some(match text {
        "dir" => FileType::Directory,
        "file" => FileType::RegularFile,
        "link" => FileType::Symlink,
        "char" => FileType::CharacterDevice,
        "block" => FileType::BlockDevice,
        "fifo" => FileType::Fifo,
        _ => return None,
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, Entry};

    #[test]
    fn what_is_written_is_read_again() {
        let entry = |path: &[u8], kind| Entry {
            path: path.to_vec(),
            kind,
            mode: 0o4755,
            uid: 7,
            gid: 4_000_000_000,
            mtime: Timestamp { seconds: -5, nanoseconds: 30 },
            xattrs: vec![(crate::layer::CAPABILITY.as_bytes().to_vec(), vec![1, 0, 0xff])],
            content: Content::None,
        };
        for (path, kind) in [
            (b"".as_slice(), Kind::Directory),
            (b"a b/\xff\\=#\n", Kind::File { size: 1 << 40 }),
            (b"l", Kind::Symlink(b"../x =y".to_vec())),
            (b"d", Kind::BlockDevice { major: 8, minor: 300 }),
        ] {
            let item = Item { entry: entry(path, kind), group: Some(3), on_disk: Some((0, 0)) };
            let text = line(&item, Some(5));
            assert_eq!(text.lines().count(), 1, "{text}");
            let read = Record::new(text.as_bytes()).next().unwrap().unwrap();
            assert_eq!(read.path, path);
            assert_eq!(read.attributes, attributes(&item.entry, Some(3)));
            assert_eq!((read.content, read.on_disk), (Some(5), Some((0, 0))));
        }
        for bad in ["./a type=x", "a type=dir", "./a mode=9", "./\\9 type=dir", "./a time=1"] {
            assert!(Record::new(bad.as_bytes()).next().is_err(), "{bad}");
        }
    }
}
