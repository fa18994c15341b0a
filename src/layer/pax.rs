//! PAX records (POSIX.1-2008, pax, "pax Extended Header").

use super::entry::Timestamp;
use super::tar_error::TarError;
use super::tar_fields::narrow;

/// What PAX records, and GNU's long names, say about the next entry.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<PaxSparse>,
}

/// What the `GNU.sparse` records say (GNU tar manual, "Storing Sparse Files").
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    /// The file's real name.
    pub(super) name: Option<Vec<u8>>,
    /// The file's real size.
    pub(super) size: Option<u64>,
    /// Offsets and lengths, of versions 0.0 and 0.1.
    pub(super) map: Vec<u64>,
    /// The map stands before the content: version 1.0.
    pub(super) in_content: bool,
}

impl Pax {
    /// Reads the records of one header over what is already there.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        while !records.is_empty() {
            let Record { key, value, rest } = record(records)?;
            self.record(key, value)?;
            records = rest;
        }
        self.xattrs.sort();
        self.xattrs.dedup_by(|a, b| a.0 == b.0);
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        // An empty value takes the record back.
        let text = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = text.map(<[u8]>::to_vec),
            b"linkpath" => self.link = text.map(<[u8]>::to_vec),
            b"size" => self.size = text.map(|v| decimal(v, "size")).transpose()?,
            b"uid" => self.uid = text.map(|v| id(v, "uid")).transpose()?,
            b"gid" => self.gid = text.map(|v| id(v, "gid")).transpose()?,
            b"mtime" => self.mtime = text.map(time).transpose()?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                } else if let Some(field) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse(field, value)?;
                }
            }
        }
        Ok(())
    }

    fn sparse(&mut self, field: &[u8], value: &[u8]) -> Result<(), TarError> {
        let sparse = self.sparse.get_or_insert_default();
        match field {
            b"name" => sparse.name = Some(value.to_vec()),
            b"size" | b"realsize" => sparse.size = Some(decimal(value, "sparse size")?),
            b"offset" | b"numbytes" => sparse.map.push(decimal(value, "sparse map")?),
            b"map" => {
                let numbers = value.split(|b| *b == b',').filter(|n| !n.is_empty());
                sparse.map = numbers.map(|n| decimal(n, "sparse map")).collect::<Result<_, _>>()?;
            }
            b"major" => sparse.in_content = decimal(value, "sparse version")? == 1,
            _ => {}
        }
        Ok(())
    }
}

/// A record, and what follows it.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

fn record(records: &[u8]) -> Result<Record<'_>, TarError> {
    let wrong = || TarError::invalid("a PAX record is malformed");
    let space = records.iter().take(21).position(|b| *b == b' ').ok_or_else(wrong)?;
    let length = usize::try_from(decimal(&records[..space], "record length")?).map_err(|_| wrong())?;
    if length > records.len() || length < space + 3 || records[length - 1] != b'\n' {
        return Err(wrong());
    }
    let body = &records[space + 1..length - 1];
    let equals = body.iter().position(|b| *b == b'=').ok_or_else(wrong)?;
    if equals == 0 {
        return Err(wrong());
    }
    Ok(Record { key: &body[..equals], value: &body[equals + 1..], rest: &records[length..] })
}

/// An unsigned decimal number.
pub(super) fn decimal(text: &[u8], what: &str) -> Result<u64, TarError> {
    let digits = std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|t| t.parse().ok()).ok_or_else(|| {
        TarError::invalid(format!("'{}' is no {what}", String::from_utf8_lossy(text).escape_debug()))
    })
}

fn id(text: &[u8], what: &str) -> Result<u32, TarError> {
    narrow(decimal(text, what)?, what)
}

/// `-1.5` is one and a half seconds before 1970.
fn time(text: &[u8]) -> Result<Timestamp, TarError> {
    let wrong =
        || TarError::invalid(format!("'{}' is no time", String::from_utf8_lossy(text).escape_debug()));
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |b| *b == b'.');
    let whole = decimal(parts.next().unwrap_or_default(), "time")?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let nanoseconds =
        (0..9).fold(0u32, |n, i| n * 10 + fraction.get(i).map_or(0, |digit| u32::from(digit - b'0')));
    let seconds = i64::try_from(whole).map_err(|_| wrong())?;
    Ok(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[u8]) -> Result<Pax, TarError> {
        let mut pax = Pax::default();
        pax.read(records).map(|()| pax)
    }

    #[test]
    fn records_are_read() {
        let pax = read(b"9 path=x\n12 uid=4242\n25 SCHILY.xattr.user.a=\n\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"x"[..]));
        assert_eq!(pax.uid, Some(4242));
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"\n".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for records in [
            &b"x"[..],
            b"99 path=x\n",
            b"0 path=x\n",
            b"9 path=xy",
            b"6 =xy\n",
            b"8 pathx\n",
            b"-9 path=x\n",
            b"99999999999999999999999 a=b\n",
            b"10 uid=-42\n",
            b"22 uid=99999999999999\n",
            b"18 uid=4294967295\n",
            b"11 mtime=x\n",
        ] {
            assert!(read(records).is_err(), "{:?}", String::from_utf8_lossy(records));
        }
    }

    #[test]
    fn times_have_signs_and_fractions() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("12.5", 12, 500_000_000),
            ("12.1234567899", 12, 123_456_789),
            ("-1", -1, 0),
            ("-1.5", -2, 500_000_000),
            ("-0.25", -1, 750_000_000),
        ] {
            assert_eq!(time(text.as_bytes()).unwrap(), Timestamp { seconds, nanoseconds }, "{text}");
        }
    }
}
