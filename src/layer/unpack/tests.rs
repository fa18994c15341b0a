use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::layer::tar_header::TarHeader;
use crate::layer::test_tar::{Tar, gzip, source};
use crate::layer::view::{Node, NodeKind, View, join};
use crate::layer::{DirView, Entry, Listing, Timestamp};

fn sources(layers: &[Tar]) -> Vec<LayerSource> {
    layers.iter().enumerate().map(|(n, tar)| tar.clone().source(&format!("{n}"))).collect()
}

/// The paths of a tree with their kinds: `d dir`, `f file`, `l link -> target`.
fn paths(view: &dyn View) -> Vec<String> {
    fn walk(view: &dyn View, directory: &[u8], out: &mut Vec<String>) {
        for name in view.names(directory).unwrap() {
            let path = join(directory, &name);
            let shown = String::from_utf8_lossy(&path).into_owned();
            match view.node(&path).unwrap().unwrap().kind {
                NodeKind::Directory => {
                    out.push(format!("d {shown}"));
                    walk(view, &path, out);
                }
                NodeKind::File => out.push(format!("f {shown}")),
                NodeKind::Symlink(target) => {
                    out.push(format!("l {shown} -> {}", String::from_utf8_lossy(&target)));
                }
                NodeKind::Other => out.push(format!("o {shown}")),
            }
        }
    }
    let mut out = Vec::new();
    walk(view, b"", &mut out);
    out
}

/// Unpacks below a directory that stands in another, and reads the same layers as a listing:
/// both must see the same tree or both refuse; nothing beside the directory may appear.
fn both(layers: &[Tar]) -> Result<(Vec<String>, Unpacked), String> {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("root");
    fs::create_dir(&target).unwrap();
    fs::write(outer.path().join("secret"), "untouched").unwrap();
    let unpacked = unpack(sources(layers), &target, &Limits::default(), &mut |_, _| ());
    let listed = Listing::new().read_layers(sources(layers), &Limits::default());
    let mut beside: Vec<_> =
        fs::read_dir(outer.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    beside.sort();
    assert_eq!(beside, ["root", "secret"]);
    let secret = outer.path().join("secret");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
    match (unpacked, listed) {
        (Ok(unpacked), Ok(listed)) => {
            let tree = paths(&DirView::new(fs::File::open(&target).unwrap().into()));
            assert_eq!(paths(&listed), tree);
            let kept = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
            let kept = kept.read_layers(sources(layers), &Limits::default()).unwrap();
            assert_eq!(paths(&kept), tree);
            same_entries(&kept, &DirView::at(&target).unwrap(), b"");
            Ok((tree, unpacked))
        }
        (Err(one), Err(two)) => {
            assert_eq!(one.to_string(), two.to_string());
            Err(one.to_string())
        }
        (one, two) => panic!("unpack says {one:?}, the listing {:?}", two.map(|l| paths(&l))),
    }
}

/// What a view in memory and one on disk must agree about below a directory: what would be packed.
fn same_entries(memory: &dyn View, disk: &dyn View, directory: &[u8]) {
    let mut links = std::collections::BTreeMap::new();
    for name in disk.names(directory).unwrap() {
        let path = join(directory, &name);
        let [ours, theirs] = [memory, disk].map(|v| v.entry(&path).unwrap().unwrap());
        let known = |e: &Entry| (e.path.clone(), e.kind.clone(), e.uid, e.gid, e.xattrs.clone());
        assert_eq!(known(&ours.entry), known(&theirs.entry));
        match ours.entry.kind {
            // One that no layer has an entry for was made by unpacking, now.
            Kind::Directory => same_entries(memory, disk, &path),
            Kind::File { size } => {
                let attributes = |e: &Entry| (e.mode, e.mtime);
                assert_eq!(attributes(&ours.entry), attributes(&theirs.entry));
                let [ours_read, theirs_read] = [memory, disk].map(|v| v.read(&path, size).unwrap());
                assert_eq!(ours_read, theirs_read, "{}", String::from_utf8_lossy(&path));
                if let Some(link) = theirs.link {
                    assert_eq!(links.entry(link).or_insert(ours.link), &ours.link);
                }
            }
            _ => assert_eq!(ours.entry.mtime, theirs.entry.mtime),
        }
    }
}

fn tree(layers: &[Tar]) -> Vec<String> {
    both(layers).unwrap().0
}

#[test]
fn hostile_layers_are_refused() {
    let t = Tar::new;
    let long = "n/".repeat(300) + "f";
    for (layers, reason) in [
        (vec![t().file("../x", "")], "leads out of the image's root"),
        (vec![t().file("a/../../x", "")], "leads out of the image's root"),
        (vec![t().file("/../secret", "")], "leads out of the image's root"),
        (vec![t().file("..", "")], "leads out of the image's root"),
        (vec![t().dir("../")], "leads out of the image's root"),
        (vec![t().symlink("../l", "x")], "leads out of the image's root"),
        (vec![t().file("a", "").hard_link("../b", "a")], "leads out of the image's root"),
        (vec![t().hard_link("b", "../secret")], "target leads out of the image's root"),
        (vec![t().hard_link("b", "a/../../secret")], "target leads out of the image's root"),
        (vec![t().hard_link("b", "secret")], "target is not there"),
        (vec![t().hard_link("b", "/")], "a hard link to the image's root"),
        (vec![t().dir("d/").hard_link("b", "d")], "target is a directory"),
        (vec![t().symlink("up", "..").hard_link("b", "up/secret")], "target is not there"),
        (vec![t().file("../.wh.secret", "")], "leads out of the image's root"),
        (vec![t().file(".wh.", "")], "whiteout names no file"),
        (vec![t().file("a/.wh...", "")], "whiteout names no file"),
        (vec![t().file(&long, "")], "nested too deep"),
        (vec![t().symlink("a", "b").symlink("b", "a").file("a/f", "")], "too many links"),
        (vec![t().file("a", "").file("a/f", "")], "it is no directory"),
        (vec![t().file("./", "")], "root is a directory"),
        (vec![t().symlink("l", "")], "the link has no target"),
        (
            vec![t().entry(TarHeader { flag: b'Z', name: b"z", ..Default::default() }, b"")],
            "unknown tar type 'Z'",
        ),
    ] {
        let error = both(&layers).map(|(tree, _)| tree).expect_err(reason);
        assert!(error.contains(reason), "{error}\nis not: {reason}");
    }
}

#[test]
fn links_lead_nowhere_outside() {
    let t = Tar::new;
    for (layers, expected) in [
        // In one layer a link as parent resolves inside the root, wherever it points.
        (vec![t().symlink("up", "..").file("up/x", "")], vec!["l up -> ..", "f x"]),
        (vec![t().symlink("up", "../../..").file("up/a/x", "")], vec!["d a", "f a/x", "l up -> ../../.."]),
        (vec![t().symlink("abs", "/e").file("abs/x", "")], vec!["l abs -> /e", "d e", "f e/x"]),
        (
            vec![t().dir("d/").symlink("d/l", "../e").symlink("e", "/f").file("d/l/x", "")],
            vec!["d d", "l d/l -> ../e", "l e -> /f", "d f", "f f/x"],
        ),
        // A link that is replaced by a directory is one no more.
        (vec![t().symlink("a", "/etc").dir("a/").file("a/x", "")], vec!["d a", "f a/x"]),
        // A file takes the place of a link, it is not written through it.
        (vec![t().symlink("l", "../secret").file("l", "new")], vec!["f l"]),
        (vec![t().symlink("l", "../secret"), t().file("l", "new")], vec!["f l"]),
        // The root's own name in many spellings.
        (
            vec![t().dir("./").file("/abs", "").file("./rel", "").file("a//b/./c", "")],
            vec!["d a", "d a/b", "f a/b/c", "f abs", "f rel"],
        ),
        (vec![t().file("a/../b", "")], vec!["f b"]),
    ] {
        assert_eq!(tree(&layers), expected);
    }
}

#[test]
fn a_link_of_a_lower_layer_becomes_a_directory() {
    let layers = [Tar::new().dir("usr/lib/").symlink("lib", "usr/lib"), Tar::new().file("lib/x", "")];
    let (tree, unpacked) = both(&layers).unwrap();
    assert_eq!(tree, ["d lib", "f lib/x", "d usr", "d usr/lib"]);
    assert_eq!(unpacked.warnings.len(), 1);
    assert!(unpacked.warnings[0].starts_with("/lib of a lower layer is no directory"));

    let silent = [Tar::new().symlink("lib", "usr/lib"), Tar::new().dir("lib/").file("lib/x", "")];
    let (tree, unpacked) = both(&silent).unwrap();
    assert_eq!(tree, ["d lib", "f lib/x"]);
    assert!(unpacked.warnings.is_empty());
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    let t = Tar::new;
    let base = || t().dir("d/").file("d/a", "").dir("d/s/").file("d/s/x", "").file("f", "");
    for (upper, expected) in [
        (t().file(".wh.f", ""), vec!["d d", "f d/a", "d d/s", "f d/s/x"]),
        (t().file("/d/.wh.s", ""), vec!["d d", "f d/a", "f f"]),
        (t().file(".wh.d", ""), vec!["f f"]),
        (t().file(".wh.none", ""), vec!["d d", "f d/a", "d d/s", "f d/s/x", "f f"]),
        (t().file("d/.wh..wh..opq", ""), vec!["d d", "f f"]),
        (t().file(".wh..wh..opq", ""), vec![]),
        // What the layer itself has stays, before and after the mark.
        (t().file("d/new", "").file("d/.wh..wh..opq", ""), vec!["d d", "f d/new", "f f"]),
        (t().file("d/.wh..wh..opq", "").file("d/new", ""), vec!["d d", "f d/new", "f f"]),
        (t().file("d/s/new", "").file("d/.wh..wh..opq", ""), vec!["d d", "d d/s", "f d/s/new", "f f"]),
        (t().file("f", "new").file(".wh.f", ""), vec!["d d", "f d/a", "d d/s", "f d/s/x", "f f"]),
        (t().dir("d/").file("d/new", "").file(".wh.d", ""), vec!["d d", "f d/new", "f f"]),
        (t().file(".wh.d", "").file("d", ""), vec!["f d", "f f"]),
        (
            t().file(".wh..wh.aufs", "").file(".wh..wh.plnk/9.9", ""),
            vec!["d d", "f d/a", "d d/s", "f d/s/x", "f f"],
        ),
        // A directory gives way to a file, and a file to a directory.
        (t().file("d", ""), vec!["f d", "f f"]),
        (t().dir("f/"), vec!["d d", "f d/a", "d d/s", "f d/s/x", "d f"]),
    ] {
        assert_eq!(tree(&[base(), upper]), expected);
    }
}

#[test]
fn an_overlay_cannot_be_faked() {
    let xattrs = [
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.overlay.redirect".to_vec(), b"/".to_vec()),
    ];
    let header = TarHeader { flag: b'5', name: b"d/", mode: 0o755, xattrs: &xattrs, ..Default::default() };
    let whiteout = TarHeader { flag: b'3', name: b"w", ..Default::default() };
    let layer = Tar::new().entry(header, b"").entry(whiteout, b"");
    let (tree, unpacked) = both(&[layer]).unwrap();
    assert_eq!(tree, ["d d"]);
    assert!(unpacked.warnings.is_empty());
}

#[test]
fn attributes_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    let time = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
    let layer = Tar::new()
        .entry(
            TarHeader { flag: b'5', name: b"d/", mode: 0o3755, mtime: time(77, 0), ..Default::default() },
            b"",
        )
        .entry(
            TarHeader { flag: b'0', name: b"d/su", mode: 0o6755, mtime: time(-5, 0), ..Default::default() },
            b"content",
        )
        .hard_link("d/su2", "d/su")
        .entry(TarHeader { flag: b'6', name: b"d/pipe", mode: 0o600, ..Default::default() }, b"")
        .entry(
            TarHeader { flag: b'2', name: b"l", link: b"nowhere", mtime: time(9, 0), ..Default::default() },
            b"",
        );
    let mut hashes = Vec::new();
    let layers = vec![layer.source("1")];
    unpack(layers, dir.path(), &Limits::default(), &mut |p, h| hashes.push((p.to_vec(), h))).unwrap();
    let stat = |name: &str| fs::symlink_metadata(dir.path().join(name)).unwrap();
    assert_eq!((stat("d").mode() & 0o7777, stat("d").mtime()), (0o3755, 77));
    assert_eq!((stat("l").mtime(), stat("d/pipe").permissions().mode() & 0o7777), (9, 0o600));
    assert_eq!(stat("d/su").ino(), stat("d/su2").ino());
    assert_eq!(fs::read(dir.path().join("d/su")).unwrap(), b"content");
    assert_eq!(hashes, [(b"d/su".to_vec(), xxh3_128(b"content"))]);
}

#[test]
fn all_compressions_and_members_are_read() {
    let plain = Tar::new().file("a", &"text ".repeat(100_000)).file("b", "").end();
    let (one, two) = plain.split_at(300_000);
    let members = [gzip(one), gzip(two)].concat();
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &zstd].concat();
    for bytes in [plain.clone(), gzip(&plain), members, zstd, skippable] {
        let dir = tempfile::tempdir().unwrap();
        let layer = LayerSource { diff_id: Some(DiffId::of(&plain)), ..source("x", bytes) };
        let unpacked = unpack(vec![layer], dir.path(), &Limits::default(), &mut |_, _| ()).unwrap();
        assert_eq!(unpacked.diff_ids, [DiffId::of(&plain)]);
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().len(), 500_000);
    }
}

#[test]
fn damaged_blobs_are_refused() {
    let plain = Tar::new().file("a", &"text ".repeat(1000)).end();
    let packed = gzip(&plain);
    let mut flipped = packed.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    let mut wrong_sum = plain.clone();
    wrong_sum[0] = b'z';
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("gzip cut", packed[..packed.len() - 9].to_vec(), "the gzip stream is cut off"),
        ("gzip cut in its trailer", packed[..packed.len() - 1].to_vec(), "the gzip stream is cut off"),
        ("gzip changed", flipped, "the gzip stream is damaged"),
        ("gzip and more", [packed.as_slice(), b"garbage garbage"].concat(), "the gzip stream is damaged"),
        ("zstd cut", zstd[..zstd.len() - 3].to_vec(), "layer x: "),
        ("tar cut in a file", plain[..700].to_vec(), "ends in the middle of 'a'"),
        ("tar cut in a header", plain[..300].to_vec(), "ends in the middle of a header"),
        ("no tar", wrong_sum, "the checksum of a header is wrong"),
    ];
    for (what, bytes, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        let result = unpack(vec![source("x", bytes)], dir.path(), &Limits::default(), &mut |_, _| ());
        let error = result.map(|_| ()).expect_err(what).to_string();
        assert!(error.contains(reason), "{what}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let other = LayerSource { diff_id: Some(DiffId::of(b"other")), ..source("x", packed) };
    let error = unpack(vec![other], dir.path(), &Limits::default(), &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, LayerError::WrongDiffId { .. }), "{error}");
}

#[test]
fn limits_hold() {
    let small = Limits { entries: 3, layer_size: 4000, path: 50, extended_header: 600, ..Limits::default() };
    let t = Tar::new;
    let huge = TarHeader { flag: b'x', name: b"x", ..Default::default() };
    let endless = |flag| {
        let mut bytes = Vec::new();
        TarHeader { flag, name: b"a", size: 5000, ..Default::default() }.encode(&mut bytes);
        bytes
    };
    let holes = b"33 GNU.sparse.size=9999999999999\n22 GNU.sparse.map=0,2\n";
    let file = TarHeader { flag: b'0', name: b"sparse", mode: 0o644, ..Default::default() };
    let behind = [t().file("a", "").end(), vec![0; 8000]].concat();
    let too_large = "more than the 4000 bytes that --max-layer-size allows";
    for (tar, reason) in [
        (
            t().dir("a/").dir("b/").dir("c/").dir("d/").end(),
            "more than the 3 entries that --max-image-entries",
        ),
        (t().file("a", &"x".repeat(1600)).file("b", &"x".repeat(1600)).end(), too_large),
        (endless(b'0'), too_large),
        (endless(b'g'), too_large),
        (t().entry(huge.clone(), holes).entry(file, b"ab").end(), too_large),
        (behind, too_large),
        (t().file(&"p".repeat(51), "").end(), "a path of 51 bytes"),
        (t().entry(huge, &[b'x'; 601]).end(), "an extended header of 601 bytes"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let layer = || vec![source("x", gzip(&tar))];
        let error = unpack(layer(), dir.path(), &small, &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        let listed = Listing::new().read_layers(layer(), &small);
        assert_eq!(listed.err().map(|e| e.to_string()), Some(error));
    }
    // The entries of all layers count together, their bytes do not.
    let layer = |name: &str| t().file(name, &"x".repeat(1600));
    let layers = |n: usize| (0..n).map(|n| layer(&n.to_string()).source("x")).collect::<Vec<_>>();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(unpack(layers(3), dir.path(), &small, &mut |_, _| ()).unwrap().bytes, 4800);
    let error = unpack(layers(4), dir.path(), &small, &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("the image has more than the 3 entries"), "{error}");
}

#[test]
fn many_layers_apply_in_order() {
    let layers: Vec<Tar> =
        (0..20).map(|n| Tar::new().file("same", &n.to_string()).file(&format!("f{n:02}"), "")).collect();
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(sources(&layers), dir.path(), &Limits::default(), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("same")).unwrap(), "19");
    assert_eq!((unpacked.entries, unpacked.diff_ids.len()), (40, 20));
}

#[test]
fn a_listing_keeps_account_files() {
    let layers = [
        Tar::new().file("usr/lib/passwd", "root:x:0:0").symlink("etc/passwd", "../usr/lib/passwd"),
        Tar::new().file("etc/group", "old").file("etc/hosts", "h"),
        Tar::new().file("etc/group", "new"),
    ];
    let listing = Listing::new().read_layers(sources(&layers), &Limits::default()).unwrap();
    let path = crate::layer::resolve(&listing, b"/etc/passwd", true).unwrap();
    assert_eq!(listing.read(&path, 100).unwrap(), b"root:x:0:0");
    assert_eq!(listing.read(b"etc/group", 100).unwrap(), b"new");
    assert_eq!(listing.read(b"etc/group", 2).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(listing.read(b"etc/hosts", 9).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    let Some(Node { kind, mode, mtime, .. }) = listing.node(b"etc/hosts").unwrap() else { panic!() };
    assert_eq!((kind, mode, mtime.seconds), (NodeKind::File, 0o644, 1_000_000));
}

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

/// Root sets everything; anybody else learns what could not be set.
#[test]
fn rights_we_lack_are_named() {
    let header =
        |flag, name| TarHeader { flag, name, mode: 0o644, uid: 12_345, gid: 54_321, ..Default::default() };
    let device = TarHeader { device: (1, 3), uid: 0, gid: 0, ..header(b'3', b"null") };
    for (header, reason) in [
        (header(b'0', b"f"), "set the owner 12345:54321 of /f"),
        (header(b'2', b"l"), "set the owner 12345:54321 of /l"),
        (header(b'5', b"d/"), "set the owner 12345:54321 of /d"),
        (device, "create the device /null"),
    ] {
        let mut bytes = Vec::new();
        TarHeader { link: b"x", ..header }.encode(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        let layer = source("x", Tar { bytes }.end());
        match unpack(vec![layer], dir.path(), &Limits::default(), &mut |_, _| ()) {
            Ok(_) => assert!(rustix::process::geteuid().is_root(), "{reason}"),
            Err(error) => assert!(error.to_string().contains(&format!("cannot {reason}")), "{error}"),
        }
    }
}

#[test]
fn a_listing_keeps_contents_that_are_added_to_it() {
    let listing = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
    let mut listing =
        listing.read_layers(sources(&[Tar::new().file("a", "base")]), &Limits::default()).unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("b"), "copied").unwrap();
    let found = DirView::at(source.path()).unwrap().entry(b"b").unwrap().unwrap().entry;
    let named = |path: &[u8], entry: &Entry| Entry { path: path.to_vec(), ..entry.clone() };
    listing.insert(&named(b"stays", &found)).unwrap();
    listing.insert(&named(b"kept", &listing.keep(&found).unwrap())).unwrap();
    assert_eq!(listing.read(b"stays", 9).unwrap(), b"copied");
    fs::remove_file(source.path().join("b")).unwrap();
    assert_eq!(listing.read(b"stays", 9).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(listing.read(b"kept", 9).unwrap(), b"copied");
    assert_eq!(listing.read(b"a", 9).unwrap(), b"base");
    // A tree that goes on from another adds to the same file, and neither sees the other's.
    let mut other = listing.clone();
    let bytes = crate::layer::Content::Bytes(b"other".as_slice().into());
    other.insert(&Entry { kind: Kind::File { size: 5 }, content: bytes, ..named(b"a", &found) }).unwrap();
    assert_eq!(
        (listing.read(b"a", 9).unwrap(), other.read(b"a", 9).unwrap()),
        (b"base".into(), b"other".into())
    );
}
