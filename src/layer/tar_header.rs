//! Writing tar headers: USTAR where its fields suffice, PAX records where they do not, byte for
//! byte as Go's `archive/tar` does, so that layers look like those of BuildKit and containerd.

use super::Timestamp;

/// Size of a tar block; headers are one, contents are padded to a multiple.
pub(crate) const TAR_BLOCK: usize = 512;

/// What ends an archive: two empty blocks, no further padding, as Go's writer.
pub(crate) const END_OF_ARCHIVE: [u8; 2 * TAR_BLOCK] = [0; 2 * TAR_BLOCK];

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..265;
const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
const DEVICE_MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;

/// The fields of one header, still without an encoding.
#[derive(Debug, Clone, Default)]
pub(crate) struct TarHeader<'a> {
    /// Type flag, such as `b'0'`.
    pub(crate) flag: u8,
    /// Name as written: a directory's ends in a slash.
    pub(crate) name: &'a [u8],
    /// Target of a link.
    pub(crate) link: &'a [u8],
    /// Permission bits.
    pub(crate) mode: u32,
    /// Numeric owner.
    pub(crate) uid: u32,
    /// Numeric group.
    pub(crate) gid: u32,
    /// Bytes of content that follow.
    pub(crate) size: u64,
    /// Only the seconds are written.
    pub(crate) mtime: Timestamp,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// Extended attributes, written as `SCHILY.xattr.<name>`.
    pub(crate) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl TarHeader<'_> {
    /// Appends the header to `out`, with a PAX header before it where the fields need one.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let split = split_name(self.name);
        let records = self.pax_records(split.is_some());
        if records.is_empty() {
            let (prefix, name) = split.unwrap_or((b"", self.name));
            let mut block = self.block(name);
            put_text(&mut block[PREFIX], prefix);
            seal(&mut block);
            out.extend_from_slice(&block);
            return;
        }
        out.extend_from_slice(&pax_block(self.name, records.len()));
        out.extend_from_slice(&records);
        out.resize(out.len().next_multiple_of(TAR_BLOCK), 0);
        let mut block = self.block(self.name);
        seal(&mut block);
        out.extend_from_slice(&block);
    }

    /// The PAX records the header needs, sorted by key; empty if USTAR suffices.
    fn pax_records(&self, name_splits: bool) -> Vec<u8> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut needed = !self.xattrs.is_empty();
        for (name, value) in self.xattrs {
            records.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
        }
        for (key, number, width) in
            [("gid", i64::from(self.gid), GID.len()), ("uid", i64::from(self.uid), UID.len())]
        {
            if !fits_octal(width, number) {
                records.push((key.into(), number.to_string().into()));
                needed = true;
            }
        }
        if !fits_octal(SIZE.len(), i64::try_from(self.size).unwrap_or(i64::MAX)) {
            records.push((b"size".to_vec(), self.size.to_string().into()));
            needed = true;
        }
        let Timestamp { seconds, nanoseconds } = self.mtime;
        if !fits_octal(MTIME.len(), seconds) || (seconds >= 0 && nanoseconds > 0) {
            let mut text = seconds.to_string();
            if seconds >= 0 && nanoseconds > 0 {
                text.push_str(&format!(".{nanoseconds:09}"));
            }
            records.push((b"mtime".to_vec(), text.into()));
            needed = true;
        }
        if !self.link.is_ascii() || self.link.len() > LINK.len() {
            records.push((b"linkpath".to_vec(), self.link.to_vec()));
            needed = true;
        }
        if !self.name.is_ascii() || self.name.len() > NAME.len() {
            // Go keeps the record of a name that splits if another field needs PAX anyway.
            needed |= !name_splits;
            records.push((b"path".to_vec(), self.name.to_vec()));
        }
        if !needed {
            return Vec::new();
        }
        records.sort();
        records.iter().flat_map(|(key, value)| pax_record(key, value)).collect()
    }

    /// The header block without checksum and prefix.
    fn block(&self, name: &[u8]) -> [u8; TAR_BLOCK] {
        let mut block = [0; TAR_BLOCK];
        put_text(&mut block[NAME], &ascii(name));
        put_number(&mut block[MODE], i64::from(self.mode));
        put_number(&mut block[UID], i64::from(self.uid));
        put_number(&mut block[GID], i64::from(self.gid));
        put_number(&mut block[SIZE], i64::try_from(self.size).unwrap_or(i64::MAX));
        put_number(&mut block[MTIME], self.mtime.seconds);
        block[TYPE] = self.flag;
        put_text(&mut block[LINK], &ascii(self.link));
        put_number(&mut block[DEVICE_MAJOR], i64::from(self.device.0));
        put_number(&mut block[DEVICE_MINOR], i64::from(self.device.1));
        block
    }
}

/// The header of a PAX header: named for people who unpack it with a tool that knows no PAX.
fn pax_block(name: &[u8], size: usize) -> [u8; TAR_BLOCK] {
    let trimmed = name.strip_suffix(b"/");
    // Go splits after the last slash, so a directory's PAX header has its whole name as directory.
    let (directory, file) = match name.iter().rposition(|b| *b == b'/') {
        _ if trimmed.is_some() => (trimmed.unwrap_or_default(), &b""[..]),
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (&b""[..], name),
    };
    let parts: Vec<&[u8]> =
        [directory, b"PaxHeaders.0", file].into_iter().filter(|p| !p.is_empty()).collect();
    let mut pax_name = ascii(&parts.join(&b'/'));
    pax_name.truncate(NAME.len());
    while pax_name.last() == Some(&b'/') {
        pax_name.pop();
    }
    let mut block = [0; TAR_BLOCK];
    put_text(&mut block[NAME], &pax_name);
    block[TYPE] = b'x';
    for field in [MODE, UID, GID, MTIME] {
        put_number(&mut block[field], 0);
    }
    put_number(&mut block[SIZE], i64::try_from(size).unwrap_or(i64::MAX));
    seal(&mut block);
    block
}

/// `"<length> <key>=<value>\n"`, where the length counts itself.
fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// Prefix and name of a long path as USTAR splits it; `None` if it needs no split or allows none.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME.len() || !name.is_ascii() {
        return None;
    }
    let longest = name.len().min(PREFIX.len() + 1);
    // A directory's own trailing slash is no place to split.
    let searched = if longest == name.len() && name.ends_with(b"/") { longest - 1 } else { longest };
    let at = name[..searched].iter().rposition(|b| *b == b'/')?;
    let (prefix, rest) = (&name[..at], &name[at + 1..]);
    (at > 0 && rest.len() <= NAME.len() && !rest.is_empty() && prefix.len() <= PREFIX.len())
        .then_some((prefix, rest))
}

/// A name for readers that know no PAX: without what is not ASCII.
fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|b| b.is_ascii() && *b != 0).collect()
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let n = text.len().min(field.len());
    field[..n].copy_from_slice(&text[..n]);
    // Some readers take a regular file whose cut name ends in a slash for a directory.
    if text.len() > field.len() && field[n - 1] == b'/' {
        let kept = field.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
        field[kept] = 0;
    }
}

fn fits_octal(width: usize, number: i64) -> bool {
    let bits = (width - 1) * 3;
    number >= 0 && (bits >= 63 || number < 1 << bits)
}

/// Octal digits and a NUL; 0 for what does not fit and stands in a PAX record.
fn put_number(field: &mut [u8], number: i64) {
    let digits = field.len() - 1;
    let mut rest = if fits_octal(field.len(), number) { number } else { 0 };
    for byte in field[..digits].iter_mut().rev() {
        *byte = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[digits] = 0;
}

/// Writes magic, version and checksum.
fn seal(block: &mut [u8; TAR_BLOCK]) {
    block[MAGIC].copy_from_slice(b"ustar\x0000");
    block[CHECKSUM].fill(b' ');
    let sum: i64 = block.iter().map(|b| i64::from(*b)).sum();
    put_number(&mut block[CHECKSUM][..7], sum);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn encode(header: &TarHeader<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        header.encode(&mut out);
        out
    }

    /// Reads one header with another implementation.
    fn decode(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, u64, u64, i64) {
        let padded = [bytes, &END_OF_ARCHIVE].concat();
        let mut archive = tar::Archive::new(padded.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let mut mtime = entry.header().mtime().unwrap() as i64;
        let mut uid = entry.header().uid().unwrap();
        if let Some(records) = entry.pax_extensions().unwrap() {
            for record in records.map(Result::unwrap) {
                match record.key().unwrap() {
                    "mtime" => mtime = record.value().unwrap().parse().unwrap(),
                    "uid" => uid = record.value().unwrap().parse().unwrap(),
                    _ => {}
                }
            }
        }
        let link = entry.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default();
        let out = (entry.path_bytes().into_owned(), link, entry.size(), uid, mtime);
        let mut rest = Vec::new();
        entry.read_to_end(&mut rest).unwrap();
        out
    }

    #[test]
    fn what_fits_is_one_block() {
        let header = TarHeader {
            flag: b'0',
            name: b"etc/passwd",
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime: Timestamp { seconds: 5, nanoseconds: 0 },
            ..Default::default()
        };
        let bytes = encode(&header);
        assert_eq!(bytes.len(), TAR_BLOCK);
        assert_eq!(&bytes[MODE], b"0000644\0");
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert_eq!(decode(&bytes), (b"etc/passwd".to_vec(), vec![], 0, 1, 5));
    }

    #[test]
    fn long_names_split_before_they_need_pax() {
        let splits = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        let bytes = encode(&TarHeader { flag: b'0', name: splits.as_bytes(), ..Default::default() });
        assert_eq!(bytes.len(), TAR_BLOCK);
        assert_eq!(decode(&bytes).0, splits.as_bytes());

        let whole = "x".repeat(150);
        let bytes = encode(&TarHeader { flag: b'0', name: whole.as_bytes(), ..Default::default() });
        assert_eq!(bytes.len(), 3 * TAR_BLOCK);
        assert_eq!(decode(&bytes).0, whole.as_bytes());

        let directory = format!("{}/", "y".repeat(150));
        let bytes = encode(&TarHeader { flag: b'5', name: directory.as_bytes(), ..Default::default() });
        assert_eq!(decode(&bytes).0, directory.as_bytes());
    }

    #[test]
    fn what_ustar_cannot_say_is_pax() {
        let cases: [(&str, TarHeader<'_>); 5] = [
            ("path", TarHeader { name: "ä".as_bytes(), ..Default::default() }),
            ("linkpath", TarHeader { flag: b'2', name: b"l", link: "ö".as_bytes(), ..Default::default() }),
            ("uid", TarHeader { name: b"u", uid: 1 << 21, ..Default::default() }),
            ("size", TarHeader { name: b"s", size: 1 << 33, ..Default::default() }),
            (
                "mtime",
                TarHeader {
                    name: b"m",
                    mtime: Timestamp { seconds: -7, nanoseconds: 0 },
                    ..Default::default()
                },
            ),
        ];
        for (key, mut header) in cases {
            if header.flag == 0 {
                header.flag = b'0';
            }
            let bytes = encode(&header);
            assert_eq!(bytes[TYPE], b'x', "{key}");
            let text = String::from_utf8_lossy(&bytes[TAR_BLOCK..2 * TAR_BLOCK]).into_owned();
            assert!(text.contains(&format!(" {key}=")), "{text}");
            if key != "size" {
                let (path, link, _, uid, mtime) = decode(&bytes);
                assert_eq!(path, header.name);
                assert_eq!(link, header.link);
                assert_eq!(uid, u64::from(header.uid));
                assert_eq!(mtime, header.mtime.seconds);
            }
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_pax() {
        let header = TarHeader {
            flag: b'0',
            name: b"m",
            mtime: Timestamp { seconds: 7, nanoseconds: 9 },
            ..Default::default()
        };
        let bytes = encode(&header);
        let text = String::from_utf8_lossy(&bytes[TAR_BLOCK..2 * TAR_BLOCK]).into_owned();
        assert!(text.starts_with("21 mtime=7.000000009\n"), "{text}");
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for n in [0, 1, 85, 86, 87, 88, 89, 90, 984, 985, 986, 987, 9_990] {
            let record = pax_record(b"path", &vec![b'v'; n]);
            let space = record.iter().position(|b| *b == b' ').unwrap();
            let said: usize = std::str::from_utf8(&record[..space]).unwrap().parse().unwrap();
            assert_eq!(said, record.len());
        }
    }
}
