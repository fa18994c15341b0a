//! Base images: every way a layer may be stored, odd entries that others accept, and hostile
//! ones that must be refused.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use tar::EntryType;
use yadokari_e2e::{
    Base, Blob, Build, Compress, ForgedImage, ForgedLayer, Place, Registry, Tree, everywhere, run_ok, scratch,
};

everywhere!(
    layers_in_every_compression,
    whiteouts_and_opaque_directories,
    harmless_oddities,
    devices_pipes_links_and_owners,
    what_leaves_the_root_is_refused,
    overlay_marks_of_an_image_mean_nothing,
);

/// The forged image with a shell in its lowest layer.
fn with_shell(layers: Vec<Blob>) -> ForgedImage {
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let mut shell = ForgedLayer::new().directory("bin/", 0o755).file("bin/busybox", 0o755, &busybox);
    for applet in ["sh", "ls", "cat", "find", "sort", "stat", "test", "touch", "mkdir", "echo", "true"] {
        shell = shell.symlink(&format!("bin/{applet}"), "busybox");
    }
    let layers = [vec![shell.blob(Compress::Gzip)], layers].concat();
    ForgedImage { layers, config: serde_json::json!({"Env": ["PATH=/bin"]}) }
}

fn gzip(layers: impl IntoIterator<Item = ForgedLayer>) -> Vec<Blob> {
    layers.into_iter().map(|layer| layer.blob(Compress::Gzip)).collect()
}

/// Runs `script` in a stage on the forged image; gives its output.
fn output_on(place: Place, image: &ForgedImage, script: &str) -> String {
    let layout = scratch();
    image.write(layout.path());
    let build =
        Build::new(&format!("FROM forged\nRUN ({script}) > /output-of-run\n")).base("forged", layout.path());
    let tree = build.run(place).image();
    let layer = tree.layer(-1);
    let yadokari_e2e::Kind::File(content) = &layer.entry("output-of-run").kind else { panic!("a file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

fn layers_in_every_compression(place: Place) {
    let layer = |name: &str| ForgedLayer::new().file(name, 0o644, &vec![b'x'; 3_000_000]);
    let image = with_shell(vec![
        layer("plain").blob(Compress::Plain),
        layer("gzip").blob(Compress::Gzip),
        layer("members").blob(Compress::GzipMembers(100_000)),
        layer("zstd").blob(Compress::Zstd),
    ]);
    let output = output_on(place, &image, "stat -c '%n %s' /plain /gzip /members /zstd");
    assert_eq!(output, "/plain 3000000\n/gzip 3000000\n/members 3000000\n/zstd 3000000\n");
}

fn whiteouts_and_opaque_directories(place: Place) {
    let image = with_shell(gzip([
        ForgedLayer::new()
            .directory("d/", 0o755)
            .file("d/gone", 0o644, b"1")
            .file("d/kept", 0o644, b"1")
            .directory("o/", 0o700)
            .directory("o/sub/", 0o700)
            .file("o/sub/old", 0o644, b"1")
            .file("o/old", 0o644, b"1")
            .directory("all/", 0o755)
            .file("all/x", 0o644, b"1"),
        ForgedLayer::new()
            .file("d/.wh.gone", 0, b"")
            .directory("o/", 0o755)
            // The mark stands after what it must not hide.
            .file("o/new", 0o644, b"2")
            .file("o/.wh..wh..opq", 0, b"")
            .file(".wh.all", 0, b"")
            .file("d/.wh.never-there", 0, b""),
        ForgedLayer::new().directory("all/", 0o711).file("all/y", 0o644, b"3"),
    ]));
    let output = output_on(place, &image, "find /d /o /all | sort; stat -c %a /o /all");
    assert_eq!(output, "/all\n/all/y\n/d\n/d/kept\n/o\n/o/new\n755\n711\n");
}

fn harmless_oddities(place: Place) {
    let image = with_shell(gzip([
        ForgedLayer::new()
            .directory("/", 0o755)
            .directory("./", 0o755)
            .file("/leading", 0o644, b"1")
            .file("./dotted", 0o644, b"2")
            .file("a//b", 0o644, b"3")
            .file("a/./c", 0o644, b"4")
            .file("a/x/../d", 0o644, b"5")
            .directory("real/", 0o755)
            .symlink("link", "real")
            .file("twice", 0o644, b"first")
            .file("twice", 0o600, b"second")
            .hard_link("hard", "/leading"),
        // A directory over a link of a lower layer.
        ForgedLayer::new().directory("link/", 0o755).file("link/in", 0o644, b"6"),
        // Parents that no entry names.
        ForgedLayer::new().file("deep/er/file", 0o644, b"7"),
    ]));
    let output = output_on(
        place,
        &image,
        "cat /leading /dotted /a/b /a/c /a/d /link/in /deep/er/file /twice; \
         test -L /link || echo ' directory'; find /real; stat -c %h /hard /leading",
    );
    assert_eq!(output, "1234567second directory\n/real\n2\n2\n");
}

fn devices_pipes_links_and_owners(place: Place) {
    let image = with_shell(gzip([ForgedLayer::new()
        .directory("n/", 0o755)
        .entry(EntryType::Char, "n/null", 0o666, (0, 0), "", b"")
        .entry(EntryType::Fifo, "n/pipe", 0o640, (5, 6), "", b"")
        .entry(EntryType::Symlink, "n/link", 0o777, (7, 8), "gone", b"")
        .entry(EntryType::Regular, "n/suid", 0o4755, (9, 10), "", b"x")
        .entry(EntryType::Directory, "n/sticky/", 0o3777, (11, 12), "", b"")]));
    let output = output_on(place, &image, "stat -c '%n %F %a %u:%g' /n/pipe /n/link /n/suid /n/sticky");
    assert_eq!(
        output,
        "/n/pipe fifo 640 5:6\n/n/link symbolic link 777 7:8\n/n/suid regular file 4755 9:10\n\
         /n/sticky directory 3777 11:12\n"
    );
    // What cannot be made in a user namespace counts as unchanged: it is not deleted.
    let layout = scratch();
    image.write(layout.path());
    let build = Build::new("FROM forged\nRUN touch /n/new\n").base("forged", layout.path());
    let listing = build.run(place).image().layer(-1).listing();
    assert_eq!(listing, "d 0755 0:0 n\nf 0644 0:0 n/new \"\"\n");
}

fn what_leaves_the_root_is_refused(place: Place) {
    let outside = format!("escaped-{}", std::process::id());
    let dots = "../".repeat(12);
    let cases = [
        ("dots", ForgedLayer::new().file(&format!("{dots}{outside}"), 0o644, b"x")),
        ("dots inside", ForgedLayer::new().file(&format!("bin/{dots}{outside}"), 0o644, b"x")),
        ("a hard link", ForgedLayer::new().hard_link("stolen", &format!("{dots}etc/passwd"))),
    ];
    for (what, layer) in cases {
        let layout = scratch();
        with_shell(gzip([layer])).write(layout.path());
        let build = Build::new("FROM forged\nRUN true\n").base("forged", layout.path());
        let built = build.run(place);
        let error = built.failed(1);
        assert!(error.contains("refused") && error.contains("root"), "{what}: {error}");
        assert!(error.contains("layer sha256:"), "{what}: which layer? {error}");
        assert!(!Path::new("/").join(&outside).exists(), "{what} wrote /{outside}");
    }
    // Links to directories outside: what goes through them stays inside.
    let layout = scratch();
    with_shell(gzip([ForgedLayer::new()
        .symlink("up", &dots)
        .file(&format!("up/{outside}"), 0o644, b"inside")
        .symlink("abs", "/tmp")
        .file(&format!("abs/{outside}"), 0o644, b"inside")]))
    .write(layout.path());
    let build = Build::new(&format!("FROM forged\nRUN cat /{outside} /tmp/{outside}\n"))
        .base("forged", layout.path());
    build.run(place).succeeded().said("insideinside");
    for path in ["/", "/tmp"] {
        assert!(!Path::new(path).join(&outside).exists(), "a link led to {path}");
    }
}

fn overlay_marks_of_an_image_mean_nothing(place: Place) {
    let image = with_shell(gzip([
        ForgedLayer::new().directory("d/", 0o755).file("d/lower", 0o644, b"1"),
        ForgedLayer::new()
            .pax(&[
                ("SCHILY.xattr.trusted.overlay.opaque", b"y".as_slice()),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.trusted.overlay.redirect", b"/bin"),
            ])
            .directory("d/", 0o755)
            .file("d/upper", 0o644, b"2"),
    ]));
    assert_eq!(output_on(place, &image, "ls /d"), "lower\nupper\n");
}

#[test]
fn broken_layers_are_refused() {
    let sound = || ForgedLayer::new().file("x", 0o644, &vec![7; 500_000]).blob(Compress::Gzip);
    let truncated = {
        let mut blob = sound();
        blob.bytes.truncate(blob.bytes.len() / 2);
        blob.digest = digest_of(&blob.bytes);
        blob
    };
    let wrong_digest = {
        let mut blob = sound();
        let middle = blob.bytes.len() / 2;
        blob.bytes[middle] ^= 1;
        blob
    };
    let wrong_diff_id = {
        let mut blob = sound();
        blob.diff_id = digest_of(b"something else");
        blob
    };
    for (what, blob, named) in [
        ("truncated", truncated.clone(), truncated.digest),
        ("wrong digest", wrong_digest.clone(), wrong_digest.digest),
        ("wrong diff id", wrong_diff_id.clone(), wrong_diff_id.diff_id),
    ] {
        let layout = scratch();
        with_shell(vec![blob]).write(layout.path());
        // A layer that nobody unpacks is looked through for the destination of a COPY all the
        // same, and copied into the result.
        for step in ["RUN true", "COPY Dockerfile /bin/"] {
            let build = Build::new(&format!("FROM forged\n{step}\n")).base("forged", layout.path());
            let built = build.run(Place::Overlay);
            let error = built.failed(1);
            let short = &named["sha256:".len()..][..12];
            assert!(error.contains(short), "{what}, {step}: {short} is not in:\n{error}");
            assert!(!built.out().join("layout/index.json").exists(), "{what}, {step}: a result");
        }
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let mut sum = std::process::Command::new("sha256sum");
    let file = scratch();
    let path = file.path().join("blob");
    fs::write(&path, bytes).expect("written");
    let line = run_ok(sum.arg(&path));
    format!("sha256:{}", &line[..64])
}

#[test]
fn from_a_registry_by_tag_and_digest() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let base = registry.image("bases/busybox:1");
    for reference in ["bases/busybox:1".to_owned(), format!("bases/busybox@{}", base.digest)] {
        let reference = registry.reference(&reference);
        let image = Build::new(&format!("FROM {reference}\nRUN cat /etc/passwd > /copy\n"))
            .flag(&format!("--insecure-registry={}", registry.host()))
            .run(Place::Overlay)
            .image();
        assert_eq!(image.layer_digests()[0], base.layer_digests()[0]);
        assert_eq!(image.layer(-1).paths(), ["copy"]);
    }
}

#[test]
fn docker_types_stay_docker_and_can_be_forced() {
    let registry = Registry::open();
    let layout = format!("oci:{}:latest", Base::Busybox.layout().display());
    let docker = registry.reference("busybox:docker");
    run_ok(std::process::Command::new("skopeo").args([
        "copy",
        "--quiet",
        "--format=v2s2",
        "--dest-tls-verify=false",
        &layout,
        &format!("docker://{docker}"),
    ]));
    let build = |flags: &[&str]| {
        let mut build =
            Build::new(&format!("FROM {docker}\nRUN touch /x\n")).push(&registry, "result:docker");
        for flag in flags {
            build = build.flag(flag);
        }
        build.run(Place::Overlay)
    };
    build(&[]).succeeded();
    let image = registry.image("result:docker");
    assert_eq!(image.manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(image.manifest["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
    assert_eq!(image.layer(-1).media_type, "application/vnd.docker.image.rootfs.diff.tar.gzip");

    build(&["--image-format=oci"]).succeeded();
    let image = registry.image("result:docker");
    assert_eq!(image.manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(image.layer(-1).media_type, "application/vnd.oci.image.layer.v1.tar+gzip");

    let built = build(&["--compression=zstd"]);
    let error = built.failed(1);
    assert!(error.contains("zstd") && error.contains("--image-format"), "{error}");
}

#[test]
fn the_index_gives_the_platforms_manifest() {
    let registry = Registry::open();
    let arm = scratch();
    let mut image = with_shell(vec![]);
    image.config = serde_json::json!({"Labels": {"arch": "arm64"}});
    image.write(arm.path());
    registry.put(&Base::Busybox.layout(), "multi:amd64");
    registry.put(arm.path(), "multi:arm64");
    let entries = ["amd64", "arm64"].map(|arch| {
        let image = registry.image(&format!("multi:{arch}"));
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image.digest,
            "size": image.manifest_size,
            "platform": {"os": "linux", "architecture": arch},
        })
    });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
    });
    registry.put_manifest("multi", "latest", "application/vnd.oci.image.index.v1+json", &index.to_string());
    let dockerfile = format!("FROM {}\nCOPY Dockerfile /\n", registry.reference("multi:latest"));
    let insecure = format!("--insecure-registry={}", registry.host());
    let amd = Build::new(&dockerfile).flag(&insecure).run(Place::Overlay).image();
    assert_eq!(amd.config["config"]["Labels"], serde_json::json!(null));
    let arm = Build::new(&dockerfile)
        .flag(&insecure)
        .flag("--custom-platform=linux/arm64")
        .run(Place::Overlay)
        .image();
    assert_eq!(arm.config["config"]["Labels"]["arch"], "arm64");
    let built =
        Build::new(&dockerfile).flag(&insecure).flag("--custom-platform=linux/s390x").run(Place::Overlay);
    let error = built.failed(1);
    for part in ["linux/s390x", "linux/amd64", "linux/arm64"] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
}

#[test]
fn an_image_with_entries_of_ours_is_refused_in_place() {
    let layout = scratch();
    with_shell(gzip([ForgedLayer::new().directory("kaniko/", 0o755).file("kaniko/x", 0o644, b"x")]))
        .write(layout.path());
    let build = Build::new("FROM forged\nRUN true\n").base("forged", layout.path());
    let built = build.run(Place::InPlace);
    assert!(built.failed(1).contains("/kaniko"), "{}", built.finished.stderr);
    build.run(Place::Overlay).succeeded();
}

/// What we make of Debian's base is what umoci makes of it, to the last entry.
#[test]
fn the_whole_of_debian_survives() {
    let build = Build::new("FROM debian AS base\nRUN true\nFROM scratch\nCOPY --from=base / /\n");
    let copied = build.run(Place::Overlay).image().tree();
    let bundle = scratch();
    let root = yadokari_e2e::umoci_unpack(&Base::Debian.layout(), "latest", bundle.path());
    let differences = Tree::from_disk(&root).differences(&copied);
    assert!(differences.is_empty(), "{differences}");
}
