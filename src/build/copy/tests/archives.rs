//! Archives of `ADD`.

use super::*;

fn tar_of(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        header.set_uid(3);
        header.set_gid(4);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name_literal(content).unwrap();
            header.set_size(0);
        } else {
            header.set_size(content.len() as u64);
        }
        header.set_cksum();
        let body = if header.size().unwrap() == 0 { "" } else { content };
        builder.append(&header, body.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn add(archive: &[u8], destination: &str) -> Case {
    let case = case(&["a.bin"], destination).with(|s| s.add = true);
    fs::write(case.context.path().join("a.bin"), archive).unwrap();
    case
}

#[test]
fn add_unpacks_archives_by_content() {
    use tar::EntryType as T;
    let tar = tar_of(&[("./d/", T::Directory, ""), ("d/f", T::Regular, "hello"), ("d/h", T::Link, "d/f")]);
    let expected = ["t/ 755 0:0", "t/d/ 640 3:4", "t/d/f 640 3:4", "t/d/h = t/d/f 640 3:4"];
    assert_eq!(add(&tar, "/t").made(), expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    assert_eq!(add(&gzip.finish().unwrap(), "/t").made(), expected);
    assert_eq!(add(&zstd::encode_all(&tar[..], 1).unwrap(), "/t").made(), expected);
    assert_eq!(add(b"no archive", "/t/").made(), ["t/ 755 0:0", "t/a.bin 644 0:0"]);
    assert_eq!(add(&tar, "/t/").with(|s| s.unpack = Some(false)).made(), ["t/ 755 0:0", "t/a.bin 644 0:0"]);
    // What only begins like an archive is a file.
    for (bytes, size) in [(&b"BZh91AY&SY"[..], 10), (b"\x1f\x8b\x08junk", 7), (b"\xfd7zXZ\0", 6)] {
        let made = add(bytes, "/t").entries().unwrap();
        assert_eq!(made[0].kind, Kind::File { size });
    }
}

#[test]
fn add_refuses_archives_that_leave_their_place() {
    use tar::EntryType as T;
    for entries in [
        vec![("../x", T::Regular, "evil")],
        vec![("a/../../x", T::Regular, "evil")],
        vec![("h", T::Link, "../../etc/passwd")],
    ] {
        let error = add(&tar_of(&entries), "/t/").error();
        assert!(error.contains("leaves the directory") && error.contains("--compat"), "{error}");
    }
    let mut clamped = add(&tar_of(&[("../../x", T::Regular, "in"), ("a/../../y", T::Regular, "in")]), "/t/");
    clamped.compat = true;
    assert_eq!(clamped.made(), ["t/ 755 0:0", "t/x 640 3:4", "t/y 640 3:4"]);
    // For a link of the archive the destination is the root.
    let through = tar_of(&[("l", T::Symlink, "/../../etc"), ("l/x", T::Regular, "in")]);
    assert_eq!(
        add(&through, "/t/").made(),
        ["t/ 755 0:0", "t/etc/ 755 0:0", "t/etc/x 640 3:4", "t/l -> /../../etc 777 3:4"]
    );
}

#[test]
fn archives_of_every_compression() {
    use std::io::Write as _;
    use tar::EntryType as T;
    let tar = tar_of(&[("d/f", T::Regular, "hello")]);
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&tar).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    // A skippable frame may come first, and several members may follow each other.
    let skippable = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd::encode_all(&tar[..], 1).unwrap()].concat();
    let mut members = Vec::new();
    for part in tar.chunks(700) {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(part).unwrap();
        members.extend(gzip.finish().unwrap());
    }
    for archive in [tar, bzip2, skippable, members] {
        let made = add(&archive, "/t").entries().unwrap();
        let shown: Vec<_> = made.iter().map(shown_entry).collect();
        // A directory that no entry describes is root's.
        assert_eq!(shown, ["t/ 755 0:0", "t/d/ 755 0:0", "t/d/f 640 3:4"]);
        let mut layer = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
        made.iter().for_each(|entry| layer.insert(entry).unwrap());
        assert_eq!(layer.read(b"t/d/f", 100).unwrap(), b"hello");
    }
}

#[test]
fn owners_and_modes_of_what_is_unpacked() {
    use tar::EntryType as T;
    let tar = tar_of(&[("new/f", T::Regular, "x"), ("d/", T::Directory, "")]);
    let owned =
        |c: Case| c.with(|s| (s.chown, s.chmod) = (Some(Ownership("8:9".into())), Chmod::parse("777")));
    let made = owned(add(&tar, "/p/t")).made();
    let expected = ["p/ 755 8:9", "p/t/ 755 8:9", "p/t/d/ 640 8:9", "p/t/new/ 755 0:0", "p/t/new/f 640 8:9"];
    assert_eq!(made, expected);
}

#[test]
fn hard_links_of_archives() {
    use tar::EntryType as T;
    // The first name by bytes has the content, and all have what the last header says.
    let mut tar = tar_of(&[("z", T::Regular, "x"), ("m", T::Link, "z"), ("a", T::Link, "./m")]);
    let mode_of_a = 512 * 3 + 100;
    tar[mode_of_a..mode_of_a + 8].copy_from_slice(b"0000600\0");
    let sum: u32 = tar[512 * 3..512 * 4]
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    tar[512 * 3 + 148..512 * 3 + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(add(&tar, "/").made(), ["a 600 3:4", "m = a 600 3:4", "z = a 600 3:4"]);
    // Linked to a file that was replaced since: the old one stays.
    let tar = tar_of(&[("f", T::Regular, "old"), ("g", T::Link, "f"), ("f", T::Regular, "newer")]);
    let made = add(&tar, "/").entries().unwrap();
    let sizes: Vec<_> = made.iter().map(|e| e.kind.clone()).collect();
    assert_eq!(sizes, [Kind::File { size: 5 }, Kind::File { size: 3 }]);
    // A link has no inode of its own in a layer: it is written twice.
    let tar = tar_of(&[("s", T::Symlink, "to"), ("h", T::Link, "s")]);
    assert_eq!(add(&tar, "/").made(), ["h -> to 777 3:4", "s -> to 777 3:4"]);
    for (target, why) in
        [("gone", "nothing that"), ("d", "a directory"), (".", "a directory"), ("h", "itself")]
    {
        let tar = tar_of(&[("d/", T::Directory, ""), ("h", T::Link, target)]);
        let error = add(&tar, "/").error();
        assert!(error.contains(&format!("the hard link 'h' leads to {why}")), "{error}");
    }
    let on_base = add(&tar_of(&[("h", T::Link, "b")]), "/").image("b", Kind::File { size: 0 }, 0o644);
    assert!(on_base.error().contains("nothing that the archive had before it"));
}

#[test]
fn what_an_archive_replaces() {
    use tar::EntryType as T;
    let file = |path: &str| tar_of(&[(path, T::Regular, "x")]);
    let full = |c: Case| c.directory("d", 0o700).directory("d/in", 0o700);
    // A file takes a directory's place, and nothing of that is left.
    assert_eq!(full(add(&file("d"), "/")).made(), ["d 640 3:4"]);
    let again = tar_of(&[("d", T::Regular, "x"), ("d/in/f", T::Regular, "y")]);
    assert!(full(add(&again, "/")).error().contains("something else than a directory"));
    let again = tar_of(&[("d", T::Regular, "x"), ("d/", T::Directory, "")]);
    assert!(full(add(&again, "/")).error().contains("a file in the place of that directory"));
    // A directory takes a link's place; without one the link is followed, inside the destination.
    let linked = |c: Case| c.directory("o", 0o755).image("o/l", Kind::Symlink(b"/r".to_vec()), 0o777);
    let directory = tar_of(&[("l/", T::Directory, ""), ("l/f", T::Regular, "x")]);
    assert_eq!(linked(add(&directory, "/o")).made(), ["o/ 755 0:0", "o/l/ 640 3:4", "o/l/f 640 3:4"]);
    assert_eq!(linked(add(&file("l/f"), "/o")).made(), ["o/ 755 0:0", "o/r/ 755 0:0", "o/r/f 640 3:4"]);
    assert_eq!(linked(add(&file("l"), "/o")).made(), ["o/ 755 0:0", "o/l 640 3:4"]);
    // The destination itself is no entry, and must be a directory.
    let root = tar_of(&[("./", T::Directory, ""), ("/", T::Directory, "")]);
    assert_eq!(add(&root, "/o").made(), ["o/ 755 0:0"]);
    assert!(add(&root, "/f").image("f", Kind::File { size: 0 }, 0o644).error().contains("something else"));
}

#[test]
fn odd_entries() {
    use tar::EntryType as T;
    let tar = tar_of(&[("p", T::Fifo, ""), ("n", T::Char, ""), (".wh.x", T::Regular, "")]);
    let case = add(&tar, "/");
    assert_eq!(case.made(), [".wh.x 640 3:4", "p 640 3:4"], "a name means nothing here");
    assert!(case.warnings.borrow()[0].starts_with("a.bin: 'n' is left out"), "{:?}", case.warnings);
    let deep = "d/".repeat(60);
    assert_eq!(add(&tar_of(&[(&deep[..90], T::Directory, "")]), "/").made().len(), 45);
    let unknown = add(&tar_of(&[("v", T::Regular, ""), ("w", T::new(b'V'), "")]), "/").error();
    assert!(unknown.contains("cannot unpack 'a.bin'") && unknown.contains("unknown tar type"), "{unknown}");
    // Nobody describes the parents; below a directory with the setgid bit they have its group.
    let mut shared = add(&tar_of(&[("p/q/f", T::Regular, "")]), "/s").directory("s", 0o2775);
    let node = shared.image.node(b"s").unwrap().unwrap();
    shared.image.insert(&Entry::directory(b"s", &crate::layer::Node { gid: 8, ..node })).unwrap();
    assert_eq!(shared.made(), ["s/ 2775 0:8", "s/p/ 755 0:8", "s/p/q/ 755 0:0", "s/p/q/f 640 3:4"]);
    // What pads the last file may be missing.
    assert_eq!(add(&tar_of(&[("f", T::Regular, "text")])[..600], "/").made(), ["f 640 3:4"]);
    let cut = tar_of(&[("f", T::Regular, &"x".repeat(2000))]);
    let error = add(&cut[..1500], "/").error();
    assert!(error.contains("cannot unpack 'a.bin'") && error.contains("ends in the middle"), "{error}");
}

#[test]
fn dictionaries_of_xz_are_limited() {
    // A block that asks for a dictionary of 768 MiB: stream header, block header, nothing else.
    let mut xz = b"\xfd7zXZ\0\0\0\xff\x12\xd9\x41".to_vec();
    let block = [0x02, 0x00, 0x21, 0x01, 0x23, 0, 0, 0];
    let mut crc = flate2::Crc::new();
    crc.update(&block);
    xz.extend(block);
    xz.extend(crc.sum().to_le_bytes());
    let error = add(&xz, "/").error();
    assert!(error.contains("takes more than 128 MiB of memory"), "{error}");
}
