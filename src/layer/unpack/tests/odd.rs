//! What is unusual and allowed all the same.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

/// PAX records.
fn records(all: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in all {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length += 1;
        }
        bytes.extend(format!("{length} {key}=").into_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

fn with_records(tar: Tar, all: &[(&str, &[u8])]) -> Tar {
    tar.entry(TarHeader { flag: b'x', name: b"x", ..Default::default() }, &records(all))
}

/// What files hold after unpacking; both ways of reading agree.
fn contents(layers: &[Tar], names: &[&str]) -> Vec<String> {
    both(layers).unwrap();
    let dir = tempfile::tempdir().unwrap();
    unpack(sources(layers), dir.path(), &Limits::default(), &mut |_, _| ()).unwrap();
    names.iter().map(|name| fs::read_to_string(dir.path().join(name)).unwrap()).collect()
}

#[test]
fn names_are_bytes() {
    let names: [&[u8]; 4] = [b"new\nline", b"\xff\xfe", b"tab\tand \x1b[1m", "\u{fc}".as_bytes()];
    let mut layer = Tar::new();
    for name in names {
        layer = layer.entry(TarHeader { flag: b'0', name, mode: 0o644, ..Default::default() }, b"x");
    }
    let layer = layer
        .entry(TarHeader { flag: b'2', name: b"l", link: b"\xff\n", mode: 0o777, ..Default::default() }, b"");
    both(std::slice::from_ref(&layer)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    unpack(vec![layer.source("x")], dir.path(), &Limits::default(), &mut |_, _| ()).unwrap();
    for name in names {
        assert_eq!(fs::read(dir.path().join(OsStr::from_bytes(name))).unwrap(), b"x");
    }
    assert_eq!(fs::read_link(dir.path().join("l")).unwrap().as_os_str().as_bytes(), b"\xff\n");
}

/// GNU tar's own form of long names and targets: an entry before the entry.
#[test]
fn long_names_in_gnu_form() {
    let name = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let target = "t/".repeat(120);
    let long = |flag, text: &str| {
        let header = TarHeader { flag, name: b"././@LongLink", ..Default::default() };
        Tar::new().entry(header, format!("{text}\0").as_bytes()).bytes
    };
    let layer =
        Tar::new().raw(&long(b'L', &name)).file("short", "long").raw(&long(b'L', &format!("{name}2")));
    let layer = layer.raw(&long(b'K', &target)).symlink("short", "short").file("after", "x");
    let expected = [
        "f after".to_owned(),
        format!("d {}", "d".repeat(150)),
        format!("f {name}"),
        format!("l {name}2 -> {target}"),
    ];
    assert_eq!(tree(std::slice::from_ref(&layer)), expected);
    assert_eq!(contents(&[layer], &[&name, "after"]), ["long", "x"]);
}

#[test]
fn a_file_that_was_linked_to_can_be_replaced() {
    let t = Tar::new;
    for layers in [
        vec![t().file("a", "1").hard_link("b", "a").file("a", "2")],
        vec![t().file("a", "1").hard_link("b", "a"), t().file("a", "2")],
        vec![t().file("a", "1"), t().hard_link("b", "a").file("a", "2")],
        vec![t().file("a", "1"), t().hard_link("b", "a"), t().file(".wh.a", "").file("a", "2")],
        vec![t().file("a", "1").hard_link("b", "a").file("c", "2").hard_link("a", "c")],
    ] {
        assert_eq!(contents(&layers, &["a", "b"]), ["2", "1"]);
    }
    // Whose target a whiteout of the same layer hides: it is of the layer below.
    let layers = [t().file("a", "1"), t().hard_link("b", "a").file(".wh.a", "")];
    assert_eq!(tree(&layers), ["f b"]);
}

#[test]
fn one_name_can_be_many_things_in_turn() {
    let t = Tar::new;
    for (layer, expected) in [
        (t().file("a", "").dir("a/").file("a/x", "").symlink("a", ".."), vec!["l a -> .."]),
        (t().symlink("a", "b").file("a", "").dir("a/").file("a/x", ""), vec!["d a", "f a/x"]),
        (t().dir("a/").file("a/x", "").dir("a/"), vec!["d a", "f a/x"]),
        (t().dir("a/").file("a/x", "").file("a", "").dir("a/"), vec!["d a"]),
        (t().file("a/x", "").dir("a/").dir("./").dir("/"), vec!["d a", "f a/x"]),
    ] {
        assert_eq!(tree(std::slice::from_ref(&layer)), expected);
        // The same over a lower layer that has something else there.
        assert_eq!(tree(&[t().symlink("a", "nowhere"), layer]), expected);
    }
}

#[test]
fn times_before_1970_and_parts_of_seconds() {
    let layer = with_records(Tar::new(), &[("mtime", b"-1.5")]).file("before", "");
    let layer = with_records(layer, &[("mtime", b"1.000000001999")]).file("after", "");
    let layer = with_records(layer, &[("mtime", b"-1.5")]).dir("d/").file("d/x", "");
    both(std::slice::from_ref(&layer)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    unpack(vec![layer.source("x")], dir.path(), &Limits::default(), &mut |_, _| ()).unwrap();
    let time = |name: &str| {
        let found = fs::metadata(dir.path().join(name)).unwrap();
        (found.mtime(), found.mtime_nsec())
    };
    assert_eq!(time("before"), (-2, 500_000_000));
    assert_eq!(time("after"), (1, 1));
    assert_eq!(time("d"), (-2, 500_000_000));
}

#[test]
fn attributes_of_any_size_up_to_the_limit() {
    let big = vec![b'v'; 60_000];
    let layer =
        with_records(Tar::new(), &[("SCHILY.xattr.user.big", &big), ("comment", &big)]).file("f", "x");
    assert_eq!(contents(&[layer], &["f"]), ["x"]);
    let huge = vec![b'v'; usize::try_from(Limits::default().extended_header).unwrap()];
    let layer = with_records(Tar::new(), &[("SCHILY.xattr.user.huge", &huge)]).file("f", "x");
    let error = both(&[layer]).map(|(tree, _)| tree).unwrap_err();
    assert!(error.contains("an extended header of"), "{error}");
}
