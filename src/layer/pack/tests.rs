use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::layer::source_tree::{Keep, read_entry, read_tree};
use crate::layer::{DirView, LayerSource, Limits, Listing, View, unpack, write_entries};

fn options(directory: &Path) -> PackOptions {
    PackOptions {
        compression: CompressionConfig::default(),
        clamp_mtime: None,
        zero_times: false,
        fractions: false,
        threads: 2,
        content_id: false,
        directory: directory.to_owned(),
    }
}

fn entry(path: &str, kind: Kind, content: Content) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Timestamp { seconds: 1_700_000_000, nanoseconds: 999 },
        xattrs: Vec::new(),
        content,
    }
}

fn file(path: &str, bytes: &[u8]) -> Entry {
    entry(path, Kind::File { size: bytes.len() as u64 }, Content::Bytes(bytes.into()))
}

/// The tar in a packed layer.
fn tar_of(layer: &PackedLayer) -> Vec<u8> {
    let mut tar = Vec::new();
    let reader = Box::new(File::open(&layer.path).unwrap());
    crate::layer::decoder(reader).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

fn open(path: &Path) -> Arc<OwnedFd> {
    Arc::new(File::open(path).unwrap().into())
}

#[test]
fn nothing_is_the_empty_layer() {
    let dir = tempfile::tempdir().unwrap();
    let none: [Entry; 0] = [];
    let layer = pack(none, &options(dir.path()), &mut |_, _| ()).unwrap();
    assert_eq!(
        layer.diff_id.to_string(),
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    );
    assert_eq!((layer.uncompressed_size, layer.entries), (1024, 0));
    let blob = fs::read(&layer.path).unwrap();
    assert_eq!((Digest::of(&blob), blob.len() as u64), (layer.digest, layer.size));
}

/// The bytes of a layer with one of everything. Cached layers and promised reproducibility hang
/// on them: a change here is a change of every image.
#[test]
fn bytes_are_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let capability = vec![(b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 4, 0, 0])];
    let long = "long/".repeat(30) + "name";
    let entries = [
        Entry { mode: 0o1777, ..entry("tmp", Kind::Directory, Content::None) },
        entry("tmp/gone", Kind::Whiteout, Content::None),
        file("tmp/text", &b"some text\n".repeat(300_000)),
        Entry { mode: 0o4755, uid: 3_000_000, xattrs: capability, ..file("tmp/tool", b"#!") },
        entry("tmp/tool2", Kind::HardLink(b"tmp/tool".to_vec()), Content::None),
        entry("tmp/zero", Kind::CharDevice { major: 1, minor: 5 }, Content::None),
        entry("tmp/loop", Kind::BlockDevice { major: 7, minor: 0 }, Content::None),
        entry("tmp/pipe", Kind::Fifo, Content::None),
        Entry { mode: 0o777, ..entry("tmp/ünï", Kind::Symlink(b"../x".to_vec()), Content::None) },
        file(&long, b""),
        Entry { mtime: Timestamp { seconds: -3, nanoseconds: 5 }, ..file("zz", b"z") },
    ];
    let members = pack(&entries, &options(dir.path()), &mut |_, _| ()).unwrap();
    let single = CompressionConfig { single_member: true, ..Default::default() };
    let single = PackOptions { compression: single, ..options(dir.path()) };
    let single = pack(&entries, &single, &mut |_, _| ()).unwrap();
    let zstd = CompressionConfig { algorithm: Compression::Zstd, ..Default::default() };
    let zstd = PackOptions { compression: zstd, ..options(dir.path()) };
    let zstd = pack(&entries, &zstd, &mut |_, _| ()).unwrap();
    assert_eq!((members.diff_id, single.diff_id), (zstd.diff_id, zstd.diff_id));
    let golden = [
        (
            "diff id",
            members.diff_id.hex(),
            "ae352e9f0f0940b147a98a3dfae73aa1265215ca13e465203ab3101b15d58c52",
        ),
        ("members", members.digest.hex(), "2f3bb0b3ea7f1d4e5eb9d98259816b4385c78cf80eb939bd9554531fb7895fc1"),
        ("single", single.digest.hex(), "62c74e9022becb3de19722ee3bdba22dc75c12a718313a755c3bf20f2964abe2"),
        ("zstd", zstd.digest.hex(), "72474777e2dce9596e3117b1bb9852e36137e3932fd84d5e73e83e5f6a9eee94"),
    ];
    for (what, found, expected) in golden {
        assert_eq!(found, expected, "{what}");
    }
    let mut one_member = Vec::new();
    let blob = File::open(&single.path).unwrap();
    flate2::read::GzDecoder::new(blob).read_to_end(&mut one_member).unwrap();
    assert!(one_member == tar_of(&members));
}

#[test]
fn entries_are_as_other_tools_read_them() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [
        entry("d", Kind::Directory, Content::None),
        entry("d/gone", Kind::Whiteout, Content::None),
        entry("d/l", Kind::Symlink(b"/x".to_vec()), Content::None),
        file("f", b"content"),
        entry("g", Kind::HardLink(b"f".to_vec()), Content::None),
    ];
    let options = PackOptions { clamp_mtime: Some(1_000), ..options(dir.path()) };
    let mut seen = Vec::new();
    let layer = pack(&entries, &options, &mut |e, hash| seen.push((e.path.clone(), hash))).unwrap();
    assert_eq!(seen[3], (b"f".to_vec(), Some(xxh3_128(b"content"))));
    assert_eq!(seen.iter().filter(|(_, hash)| hash.is_some()).count(), 1);
    let tar = tar_of(&layer);
    let mut archive = tar::Archive::new(tar.as_slice());
    let read: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|e| {
            let e = e.unwrap();
            let link = e.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned());
            (e.path().unwrap().display().to_string(), e.header().mtime().unwrap(), link.unwrap_or_default())
        })
        .collect();
    let expect = |path: &str, mtime, link: &str| (path.to_owned(), mtime, link.to_owned());
    assert_eq!(
        read,
        [
            expect("d/", 1_000, ""),
            expect("d/.wh.gone", 0, ""),
            expect("d/l", 1_000, "/x"),
            expect("f", 1_000, ""),
            expect("g", 1_000, "f"),
        ]
    );
}

/// Where the test may set capabilities they come through; where it may not, that is an error.
#[test]
fn capabilities_are_kept_or_missed() {
    let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let ping = Entry {
        mode: 0o755,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        xattrs: vec![(b"security.capability".to_vec(), value.to_vec())],
        ..file("ping", b"#!")
    };
    let dir = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    let layer = pack([ping], &options(dir.path()), &mut |_, _| ()).unwrap();
    let reader = Box::new(File::open(&layer.path).unwrap());
    let source = LayerSource { name: "layer".to_owned(), reader, diff_id: None };
    match unpack(vec![source], tree.path(), &Limits::default(), &mut |_, _| ()) {
        Ok(_) => {
            let entries = read_tree(&open(tree.path()), b"", &mut |_, _| Keep::Yes).unwrap();
            assert_eq!(entries[0].xattrs, [(b"security.capability".to_vec(), value.to_vec())]);
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("cannot set the attribute security.capability of /ping"), "{text}");
            assert!(text.contains("file capabilities need CAP_SETFCAP"), "{text}");
        }
    }
}

#[test]
fn what_cannot_be_packed_is_named_and_leaves_nothing() {
    let tree = tempfile::tempdir().unwrap();
    let blobs = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("f"), "12345").unwrap();
    symlink("f", tree.path().join("link")).unwrap();
    fs::create_dir(tree.path().join("real")).unwrap();
    fs::write(tree.path().join("real/f"), "12345").unwrap();
    symlink("real", tree.path().join("dir")).unwrap();
    let fd = open(tree.path());
    let at = |path: &str, size| entry(path, Kind::File { size }, Content::Below(Arc::clone(&fd)));
    for (entry, reason) in [
        (at("f", 6), "changed while it was packed into the layer: it has 5 bytes, not 6"),
        (at("f", 4), "changed while it was packed into the layer: it has 5 bytes, not 4"),
        (at("real", 4096), "it is no regular file any more"),
        (at("link", 5), "cannot read /link"),
        (at("dir/f", 5), "cannot read /dir/f"),
        (at("gone", 5), "cannot read /gone"),
        (file("a/.wh.b", b""), "names that begin with '.wh.'"),
        (file("a/../b", b""), "is no path of a layer entry"),
        (file("/b", b""), "is no path of a layer entry"),
        (file("b/", b""), "is no path of a layer entry"),
        (entry("n", Kind::File { size: 1 }, Content::None), "the entry names no file"),
    ] {
        let error = pack([entry], &options(blobs.path()), &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}\nis not: {reason}");
        assert_eq!(fs::read_dir(blobs.path()).unwrap().count(), 0);
    }
    // Proc files have a size of 0 and grow as they are read.
    let proc = open(Path::new("/proc/self"));
    let status = Entry { content: Content::At(proc, "status".into()), ..at("status", 0) };
    let error = pack([status], &options(blobs.path()), &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("it grew beyond 0 bytes"), "{error}");
    let nowhere = PackOptions { directory: "/nowhere/at/all".into(), ..options(blobs.path()) };
    let error = pack([file("f", b"")], &nowhere, &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write a layer in /nowhere/at/all"), "{error}");
    let level = CompressionConfig { level: Some(99), ..Default::default() };
    let level = PackOptions { compression: level, ..options(blobs.path()) };
    assert!(matches!(pack([file("f", b"")], &level, &mut |_, _| ()), Err(PackError::Level(_))));
}

/// A full disk must end the build, not hang it: the writing thread fails while all queues fill.
#[test]
fn a_failing_sink_ends_the_pipe() {
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let config = CompressionConfig::default();
    let block = vec![7; 3 << 20];
    let ended = pipe::run(&config, 2, &mut full, &|_, _| (), |blocks| -> Result<(), Stopped> {
        for _ in 0..100 {
            blocks.write(&block)?;
        }
        Ok(())
    });
    let Ok(Err(PipeError::Sink(error))) = ended else { panic!("the disk was not full") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

/// A tree with links of both kinds, read, packed, unpacked, listed and written again.
#[test]
fn a_tree_survives_the_round_trip() {
    let source = tempfile::tempdir().unwrap();
    let s = source.path();
    fs::create_dir_all(s.join("a/b")).unwrap();
    fs::write(s.join("a/b/big"), vec![b'x'; 3_000_000]).unwrap();
    fs::write(s.join("a-b"), "sorts between a and a/b").unwrap();
    fs::hard_link(s.join("a/b/big"), s.join("a/big2")).unwrap();
    symlink("nowhere", s.join("a/link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(s.join("socket")).unwrap();
    fs::write(s.join("skipped"), "").unwrap();
    let entries = read_tree(&open(s), b"", &mut |path, _| match path {
        b"skipped" => Keep::No,
        _ => Keep::Yes,
    })
    .unwrap();
    let paths: Vec<_> = entries.iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect();
    assert_eq!(paths, ["a", "a-b", "a/b", "a/b/big", "a/big2", "a/link", "socket"]);
    assert_eq!(entries[4].kind, Kind::HardLink(b"a/b/big".to_vec()));
    assert_eq!(entries[6].kind, Kind::File { size: 0 });

    let blobs = tempfile::tempdir().unwrap();
    let layer = pack(&entries, &options(blobs.path()), &mut |_, _| ()).unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    let again = || LayerSource {
        name: "layer".to_owned(),
        reader: Box::new(File::open(&layer.path).unwrap()),
        diff_id: Some(layer.diff_id),
    };
    unpack(vec![again()], unpacked.path(), &Limits::default(), &mut |_, _| ()).unwrap();
    let written = tempfile::tempdir().unwrap();
    write_entries(open(written.path()).as_fd(), &entries).unwrap();
    let mut inserted = Listing::new();
    for entry in &entries {
        inserted.insert(entry).unwrap();
    }
    let listed = Listing::new().read_layers(vec![again()], &Limits::default()).unwrap();
    for path in &paths {
        let node = |view: &dyn View| {
            let mut node = view.node(path.as_bytes()).unwrap().unwrap();
            node.mtime.nanoseconds = 0;
            node
        };
        let expected = node(&listed);
        for (what, root) in [("unpacked", unpacked.path()), ("written", written.path())] {
            assert_eq!(node(&DirView::new(File::open(root).unwrap().into())), expected, "{what} {path}");
        }
        assert_eq!(node(&inserted), expected, "inserted {path}");
    }
    for root in [unpacked.path(), written.path()] {
        assert!(fs::read(root.join("a/b/big")).unwrap() == fs::read(s.join("a/b/big")).unwrap());
        let inode = |p: &str| fs::metadata(root.join(p)).unwrap().ino();
        assert_eq!(inode("a/b/big"), inode("a/big2"));
    }
    assert_eq!(read_entry(&open(s), b"a/none").unwrap().map(|e| e.path), None);
    assert_eq!(read_entry(&open(s), b"a/b/big").unwrap().unwrap().kind, Kind::File { size: 3_000_000 });
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let name = prop_oneof!["[a-z]{1,8}", "[a-zäö]{90,130}"];
    let kind = prop_oneof![
        Just(Kind::Directory),
        Just(Kind::Fifo),
        Just(Kind::Whiteout),
        "[a-z/]{1,120}".prop_map(|t| Kind::Symlink(t.into())),
        (0u64..2_500_000).prop_map(|size| Kind::File { size }),
    ];
    let one = (name, kind, any::<u8>(), -10i64..1 << 34, 0u32..1 << 22);
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let mut names = BTreeSet::new();
        let mut entries: Vec<Entry> = all
            .into_iter()
            .filter(|(name, ..)| names.insert(name.clone()))
            .map(|(name, kind, seed, seconds, uid)| {
                let content = match kind {
                    Kind::File { size } => {
                        // Half compresses well, half hardly.
                        let byte = |n: u64| if n.is_multiple_of(2) { seed } else { ((n * n) >> 7) as u8 };
                        Content::Bytes((0..size).map(byte).collect())
                    }
                    _ => Content::None,
                };
                let mtime = Timestamp { seconds, nanoseconds: 7 };
                Entry { uid, mtime, ..entry(&name, kind, content) }
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However many threads work, the bytes are the same, in every compression.
    #[test]
    fn bytes_do_not_depend_on_threads(entries in any_entries(), kind in 0..3) {
        let dir = tempfile::tempdir().unwrap();
        let compression = CompressionConfig {
            algorithm: if kind == 2 { Compression::Zstd } else { Compression::Gzip },
            level: None,
            single_member: kind == 1,
        };
        let with = |threads| {
            let options = PackOptions { compression, threads, ..options(dir.path()) };
            pack(&entries, &options, &mut |_, _| ()).unwrap()
        };
        let one = with(1);
        for threads in [2, 3, 8] {
            let many = with(threads);
            prop_assert_eq!(many.digest, one.digest);
            prop_assert_eq!(many.diff_id, one.diff_id);
        }
        let tar = tar_of(&one);
        prop_assert_eq!(DiffId::of(&tar), one.diff_id);
        prop_assert_eq!(tar.len() as u64, one.uncompressed_size);
        let count = tar::Archive::new(tar.as_slice()).entries().unwrap().filter(|e| e.is_ok()).count();
        prop_assert_eq!(count, entries.len());
    }
}
