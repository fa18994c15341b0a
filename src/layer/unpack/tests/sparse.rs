//! Files with holes, in every form that tar has.

use super::*;

/// Sparse files as GNU tar writes them, in each of its formats.
#[test]
fn sparse_files_have_their_holes() {
    let expected = [b"ab".as_slice(), &[0; 8], b"cd", &[0; 88]].concat();
    let pax = |records: &[(&str, &str)]| {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let length = body + (body + 2).to_string().len();
            bytes.extend(format!("{length} {key}={value}\n").into_bytes());
        }
        bytes
    };
    let x = TarHeader { flag: b'x', name: b"x", ..Default::default() };
    let file = TarHeader { flag: b'0', name: b"GNUSparseFile/s", mode: 0o644, ..Default::default() };
    let v0 = pax(&[
        ("GNU.sparse.size", "100"),
        ("GNU.sparse.offset", "0"),
        ("GNU.sparse.numbytes", "2"),
        ("GNU.sparse.offset", "10"),
        ("GNU.sparse.numbytes", "2"),
        ("GNU.sparse.name", "s"),
    ]);
    let v01 = pax(&[("GNU.sparse.size", "100"), ("GNU.sparse.map", "0,2,10,2"), ("GNU.sparse.name", "s")]);
    let v1 = pax(&[
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", "100"),
    ]);
    let mut map = b"2\n0\n2\n10\n2\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abcd");
    let tars = [
        Tar::new().entry(x.clone(), &v0).entry(file.clone(), b"abcd"),
        Tar::new().entry(x.clone(), &v01).entry(file.clone(), b"abcd"),
        Tar::new().entry(x, &v1).entry(file, &map),
        Tar::new().raw(&old_gnu_sparse()).raw(b"abcd"),
    ];
    for tar in tars {
        let dir = tempfile::tempdir().unwrap();
        let mut hash = 0;
        let tar = tar.file("after", "x");
        let kept = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
        let kept = kept.read_layers(vec![tar.clone().source("x")], &Limits::default()).unwrap();
        assert_eq!(kept.read(b"s", 100).unwrap(), expected);
        assert_eq!(kept.read(b"after", 100).unwrap(), b"x");
        let layers = vec![tar.source("x")];
        unpack(layers, dir.path(), &Limits::default(), &mut |p, h| {
            if p == b"s" {
                hash = h;
            }
        })
        .unwrap();
        assert_eq!(fs::read(dir.path().join("s")).unwrap(), expected);
        assert_eq!(hash, xxh3_128(&expected));
        assert_eq!(fs::read(dir.path().join("after")).unwrap(), b"x");
    }
}

/// A header of GNU tar's own sparse format: `ab` at 0 and `cd` at 10 of 100 bytes.
fn old_gnu_sparse() -> Vec<u8> {
    let mut bytes =
        Tar::new().entry(TarHeader { flag: b'S', name: b"s", mode: 0o644, ..Default::default() }, b"").bytes;
    let mut put = |at: usize, n: u64| {
        bytes[at..at + 12].copy_from_slice(format!("{n:011o}\0").as_bytes());
    };
    put(124, 4);
    for (at, n) in [(386, 0), (398, 2), (410, 10), (422, 2), (483, 100)] {
        put(at, n);
    }
    bytes[257..265].copy_from_slice(b"ustar  \0");
    bytes[148..156].fill(b' ');
    let sum: u64 = bytes.iter().map(|b| u64::from(*b)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}
