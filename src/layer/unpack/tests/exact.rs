//! Trees as the layers say.

use super::*;

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
fn many_layers_apply_in_order() {
    let layers: Vec<Tar> =
        (0..20).map(|n| Tar::new().file("same", &n.to_string()).file(&format!("f{n:02}"), "")).collect();
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(sources(&layers), dir.path(), &Limits::default(), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("same")).unwrap(), "19");
    assert_eq!((unpacked.entries, unpacked.diff_ids.len()), (40, 20));
}
