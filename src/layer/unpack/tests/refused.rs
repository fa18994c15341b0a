//! What is refused, and why.

use super::*;

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
