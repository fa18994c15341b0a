//! Layers and archives that mean harm: whatever they hold, nothing outside the root is written,
//! and a small blob fills neither disk nor memory.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use tar::EntryType;
use tempfile::TempDir;
use yadokari_e2e::{Build, Compress, ForgedImage, ForgedLayer, Place, everywhere, scratch};

everywhere!(what_is_unusual_but_right);

/// A directory that nobody may touch, and what is in it.
struct Canary {
    directory: TempDir,
}

impl Canary {
    fn new() -> Canary {
        let directory = tempfile::Builder::new().prefix("c-").tempdir_in("/tmp").expect("a directory");
        let canary = Canary { directory };
        fs::create_dir(canary.path().join("d")).expect("made");
        fs::write(canary.path().join("d/f"), "sings").expect("written");
        fs::write(canary.path().join("f"), "sings").expect("written");
        canary
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Everything about everything in it.
    fn state(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut left: Vec<PathBuf> = vec![self.path().to_owned()];
        while let Some(path) = left.pop() {
            let meta = fs::symlink_metadata(&path).expect("readable");
            let (mode, owner) = (meta.permissions().mode(), (meta.uid(), meta.gid()));
            let (times, links) = ((meta.mtime_nsec(), meta.ctime_nsec()), meta.nlink());
            let content = if meta.is_file() { fs::read(&path).expect("readable") } else { Vec::new() };
            lines.push(format!("{} {mode:o} {owner:?} {times:?} {links} {content:?}", path.display()));
            if meta.is_dir() {
                left.extend(fs::read_dir(&path).expect("readable").map(|e| e.expect("an entry").path()));
            }
        }
        lines.sort();
        lines
    }
}

/// Layers that try to reach a directory outside by its absolute path.
fn corpus(outside: &str) -> Vec<(&'static str, Vec<ForgedLayer>)> {
    let new = ForgedLayer::new;
    let dots = format!("{}{}", "../".repeat(9), outside.trim_start_matches('/'));
    let link = |name: &str| new().symlink(name, outside);
    let whiteout = |path: &str| new().file(path, 0, b"");
    vec![
        ("a file by dots", vec![new().file(&format!("{dots}/x"), 0o644, b"x")]),
        (
            "a file by dots behind a directory",
            vec![new().directory("a/", 0o755).file(&format!("a/{dots}/x"), 0o644, b"x")],
        ),
        ("a directory by dots", vec![new().directory(&format!("{dots}/d/"), 0o777)]),
        ("a link by dots", vec![new().symlink(&format!("{dots}/x"), "f")]),
        ("a pipe by dots", vec![new().entry(EntryType::Fifo, &format!("{dots}/x"), 0o644, (0, 0), "", b"")]),
        (
            "a device by dots",
            vec![new().entry(EntryType::Char, &format!("{dots}/x"), 0o644, (0, 0), "", b"")],
        ),
        ("a whiteout by dots", vec![whiteout(&format!("{dots}/.wh.f"))]),
        ("an opaque mark by dots", vec![whiteout(&format!("{dots}/d/.wh..wh..opq"))]),
        ("a whiteout of the parent", vec![whiteout("a/.wh..."), whiteout(".wh.."), whiteout(".wh.")]),
        ("a file through a link", vec![link("l").file("l/f", 0o600, b"x").file("l/x", 0o644, b"x")]),
        ("a file through a link below", vec![link("l"), new().file("l/f", 0o600, b"x")]),
        ("a file through a relative link", vec![new().symlink("l", &dots).file("l/f", 0o600, b"x")]),
        ("a file through two links", vec![link("l").symlink("m", "l/d").file("m/f", 0o600, b"x")]),
        ("a file over a link", vec![new().symlink("l", &format!("{outside}/f")).file("l", 0o600, b"x")]),
        (
            "a file over a link below",
            vec![new().symlink("l", &format!("{outside}/f")), new().file("l", 0o600, b"x")],
        ),
        (
            "a directory's mode through a link",
            vec![link("l").directory("l/", 0o777).directory("l/d/", 0o777)],
        ),
        (
            "an owner through a link",
            vec![
                link("l"),
                new().entry(EntryType::Directory, "l/", 0o777, (7, 7), "", b"").entry(
                    EntryType::Regular,
                    "l/f",
                    0o777,
                    (7, 7),
                    "",
                    b"x",
                ),
            ],
        ),
        ("a whiteout through a link", vec![link("l"), whiteout("l/.wh.f").file("l/d/.wh.f", 0, b"")]),
        ("a whiteout through a link in one layer", vec![link("l").file("l/.wh.f", 0, b"")]),
        ("an opaque mark through a link", vec![link("l"), whiteout("l/.wh..wh..opq")]),
        ("a whiteout of a link", vec![link("l"), whiteout(".wh.l")]),
        (
            "a hard link to outside by dots",
            vec![new().hard_link("h", &format!("{dots}/f")).file("h", 0o600, b"x")],
        ),
        ("a hard link by its path", vec![new().hard_link("h", &format!("{outside}/f"))]),
        ("a hard link through a link", vec![link("l").hard_link("h", "l/f").file("h", 0o600, b"x")]),
        (
            "a hard link to a link",
            vec![
                new().symlink("l", &format!("{outside}/f")).hard_link("h", "l"),
                new().file("h", 0o600, b"x"),
            ],
        ),
        (
            "a hard link placed through a link",
            vec![link("l").file("mine", 0o600, b"x").hard_link("l/x", "mine")],
        ),
        (
            "a directory that becomes a link",
            vec![
                new().directory("a/", 0o755).file("a/x", 0o644, b"x"),
                link("a"),
                new().file("a/f", 0o600, b"x"),
            ],
        ),
        (
            "a directory that becomes a link in one layer",
            vec![new().directory("a/", 0o755).symlink("a", outside).file("a/f", 0o600, b"x")],
        ),
        ("the root as a link", vec![new().symlink("/", outside).file("f", 0o600, b"x")]),
        ("the root as a link by a dot", vec![new().symlink(".", outside).file("f", 0o600, b"x")]),
        ("the root as a file", vec![new().file("./", 0o600, b"x")]),
        ("a loop of links", vec![new().symlink("a", "b").symlink("b", "a").file("a/f", 0o600, b"x")]),
        (
            "attributes through a link",
            vec![link("l"), new().pax(&[("SCHILY.xattr.user.x", b"y".as_slice())]).directory("l/", 0o700)],
        ),
        ("a name with a NUL", vec![new().pax(&[("path", b"a\0/../../x".as_slice())]).file("a", 0o644, b"x")]),
        (
            "a name of dots in PAX",
            vec![new().pax(&[("path", format!("{dots}/f").as_bytes())]).file("a", 0o644, b"x")],
        ),
        (
            "a sparse name of dots",
            vec![
                new()
                    .pax(&[
                        ("GNU.sparse.size", b"1".as_slice()),
                        ("GNU.sparse.map", b"0,1"),
                        ("GNU.sparse.name", format!("{dots}/f").as_bytes()),
                    ])
                    .file("a", 0o644, b"x"),
            ],
        ),
    ]
}

/// An image of these layers on busybox.
fn image_of(layers: Vec<ForgedLayer>) -> TempDir {
    let layout = scratch();
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let shell = ForgedLayer::new()
        .directory("bin/", 0o755)
        .file("bin/busybox", 0o755, &busybox)
        .symlink("bin/sh", "busybox")
        .symlink("bin/true", "busybox");
    ForgedImage::of([shell].into_iter().chain(layers)).write(layout.path());
    layout
}

#[test]
fn layers_touch_nothing_outside() {
    for (place, steps) in [
        (Place::Overlay, "RUN true"),
        (Place::InPlace, "RUN true"),
        // Nothing is unpacked, but looked through.
        (Place::Overlay, "COPY Dockerfile /l/a/"),
    ] {
        let canary = Canary::new();
        let outside = canary.path().display().to_string();
        let before = canary.state();
        for (what, layers) in corpus(&outside) {
            let layout = image_of(layers);
            let build = Build::new(&format!("FROM forged\n{steps}\n"))
                .base("forged", layout.path())
                // In place the directory is one of the container's own.
                .container(|c| c.volume(canary.path(), &outside));
            let built = build.run(place);
            let error = &built.finished.stderr;
            assert!(matches!(built.finished.code, 0 | 1), "{what} in {place:?}: {error}");
            assert!(built.finished.code == 0 || error.contains("error"), "{what} in {place:?}: {error}");
            assert!(!error.contains("panicked"), "{what} in {place:?}: {error}");
            assert_eq!(canary.state(), before, "{what} in {place:?}, {steps}");
        }
    }
}

#[test]
fn archives_touch_nothing_outside() {
    let canary = Canary::new();
    let outside = canary.path().display().to_string();
    let before = canary.state();
    for (what, layers) in corpus(&outside) {
        for layer in layers {
            let archive = layer.blob(Compress::Gzip).bytes;
            for base in ["scratch", "busybox"] {
                let build =
                    Build::new(&format!("FROM {base}\nADD archive.tgz /d/\n")).file("archive.tgz", &archive);
                let built = build.run(Place::Overlay);
                assert!(matches!(built.finished.code, 0 | 1), "{what}: {}", built.finished.output());
                assert!(!built.finished.stderr.contains("panicked"), "{what}: {}", built.finished.stderr);
                if built.finished.code == 0 {
                    for path in built.image().layer(0).paths() {
                        assert!(!path.split('/').any(|part| part == ".."), "{what}: {path}");
                    }
                }
                assert_eq!(canary.state(), before, "{what}");
            }
        }
    }
}

/// A build on this layer, by a command and by looking through, must fail and say `text`.
fn is_stopped(layer: impl Fn() -> ForgedLayer, flag: &str, text: &str) {
    for (steps, compress) in [("RUN true", Compress::Gzip), ("COPY Dockerfile /bin/", Compress::Zstd)] {
        let layout = scratch();
        let layers = vec![layer().blob(compress)];
        ForgedImage { layers, config: serde_json::json!({}) }.write(layout.path());
        let mut build = Build::new(&format!("FROM forged\n{steps}\n")).base("forged", layout.path());
        if !flag.is_empty() {
            build = build.flag(flag);
        }
        let built = build.run(Place::Overlay);
        let error = built.failed(1);
        assert!(error.contains(text) && error.contains("layer sha256:"), "{steps}: {error}");
        assert!(!built.out().join("digest").exists());
    }
}

#[test]
fn bombs_are_stopped() {
    let zeros = vec![0; 30_000_000];
    let large = || ForgedLayer::new().file("zeros", 0o644, &zeros);
    is_stopped(large, "--max-layer-size=20m", "more than the 20.0 MiB that --max-layer-size allows");
    let many = || (0..50).fold(ForgedLayer::new(), |layer, n| layer.file(&format!("f{n}"), 0o644, b""));
    is_stopped(many, "--max-image-entries=49", "more than the 49 entries that --max-image-entries allows");
    // Without a flag too, and before anything is written.
    let lie = || ForgedLayer::new().with_size("f", 100 << 30, b"x");
    is_stopped(lie, "", "more than the 64.0 GiB that --max-layer-size allows");
    let holes = || {
        let records = [("GNU.sparse.size", b"9000000000000".as_slice()), ("GNU.sparse.map", b"0,1")];
        ForgedLayer::new().pax(&records).file("f", 0o644, b"x")
    };
    is_stopped(holes, "", "more than the 64.0 GiB that --max-layer-size allows");
    let header = || ForgedLayer::new().pax(&[("comment", &[b'x'; 2 << 20])]).file("f", 0o644, b"x");
    is_stopped(header, "", "extended header");
    // An archive too.
    let archive = large().blob(Compress::Gzip).bytes;
    let build = Build::new("FROM scratch\nADD a.tgz /\n").file("a.tgz", archive);
    let built = build.flag("--max-layer-size=20m").run(Place::Overlay);
    assert!(built.failed(1).contains("20.0 MiB that --max-layer-size allows"), "{}", built.finished.stderr);
    // A limit that the image keeps.
    let layout = image_of(vec![ForgedLayer::new().file("zeros", 0o644, &zeros)]);
    let build = Build::new("FROM forged\nRUN true\n").base("forged", layout.path());
    build.flag("--max-layer-size=31m").flag("--max-image-entries=5").run(Place::Overlay).succeeded();
}

fn what_is_unusual_but_right(place: Place) {
    let new = ForgedLayer::new;
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let layers = vec![
        // A child before its parent, whose mode and owner count all the same; one file twice.
        new()
            .file("late/child", 0o640, b"child")
            .entry(EntryType::Directory, "late/", 0o711, (5, 6), "", b"")
            .file("twice", 0o600, b"first and longer")
            .file("twice", 0o644, b"second")
            .entry(EntryType::Directory, "./", 0o751, (0, 0), "", b"")
            .pax(&[("path", long.as_bytes())])
            .file("short", 0o644, b"long"),
        // A file with holes, and a hard link to a file of the layer below.
        new()
            .pax(&[("GNU.sparse.size", b"100000".as_slice()), ("GNU.sparse.map", b"0,1,99999,1")])
            .file("sparse", 0o644, b"xy")
            .entry(EntryType::Link, "other", 0o640, (0, 0), "late/child", b""),
        // A directory becomes a link, and with the next layer a directory again.
        new().directory("flip/", 0o755).file("flip/old", 0o644, b"1"),
        new().file(".wh.flip", 0, b"").symlink("flip", "late"),
        new().directory("flip/", 0o700).file("flip/new", 0o644, b"2"),
        // Opaque, with what the layer itself has before and after the mark.
        new().file("o/lower", 0o644, b"1").file("o/both", 0o644, b"1"),
        new().file("o/both", 0o644, b"22").file("o/.wh..wh..opq", 0, b"").file("o/upper", 0o644, b"2"),
    ];
    let layout = image_of(layers);
    let script = "busybox stat -c '%n %a %u:%g' / /late; \
                  busybox stat -c '%n %a %u:%g %h' /late/child /other; busybox cat /twice; echo; \
                  busybox stat -c '%s' /sparse; busybox tail -c 1 /sparse; echo; \
                  busybox head -c 99999 /sparse | busybox tr -d '\\000' | busybox wc -c; \
                  busybox find /flip /o | busybox sort; busybox stat -c %a /flip; \
                  busybox find / -xdev -size 4c -name 'fff*' | busybox wc -l";
    let build = Build::new(&format!("FROM forged\nENV PATH=/bin\nRUN ({script}) > /output\n"))
        .base("forged", layout.path());
    let image = build.run(place).image();
    let layer = image.layer(-1);
    let yadokari_e2e::Kind::File(content) = &layer.entry("output").kind else { panic!("a file") };
    let output = String::from_utf8_lossy(content);
    let expected = "/ 751 0:0\n/late 711 5:6\n/late/child 640 0:0 2\n/other 640 0:0 2\nsecond\n\
                    100000\ny\n1\n/flip\n/flip/new\n/o\n/o/both\n/o/upper\n700\n1\n";
    assert_eq!(output, expected, "{place:?}");
}
