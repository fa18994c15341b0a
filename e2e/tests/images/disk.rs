//! Between registries and disk: OCI layouts, archives of layouts, archives of `docker save`.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, Image, Place, Registry, podman_run, run_ok, scratch};

use super::{digest, forge, put_index, raw, read_json, text, yadokari, yadokari_ok};

#[test]
fn what_was_built_to_disk_is_pushed() {
    let registry = Registry::open();
    let build = Build::new("FROM busybox\nRUN echo built > /file\nCMD [\"cat\", \"/file\"]\n")
        .flag("--tar-path={out}/tar");
    build.run(Place::Overlay).succeeded();
    let digest_built = fs::read_to_string(build.out().join("digest")).expect("the digest");
    let (layout, archive) = (build.out().join("layout"), build.out().join("tar"));
    let file = build.out().join("pushed");
    yadokari_ok(&[
        "push",
        &text(&layout),
        "-d",
        &registry.reference("app:layout"),
        "--destination",
        &registry.reference("elsewhere:layout"),
        &format!("--digest-file={}", file.display()),
    ]);
    assert_eq!(registry.image("app:layout").digest, digest_built, "the same image");
    assert_eq!(registry.image("elsewhere:layout").digest, digest_built);
    assert_eq!(fs::read_to_string(&file).expect("written"), digest_built);

    yadokari_ok(&["push", &text(&archive), "-d", &registry.reference("app:tar")]);
    let pushed = registry.image("app:tar");
    assert_eq!(pushed.config, registry.image("app:layout").config);
    assert_eq!(pushed.layer_digests(), registry.image("app:layout").layer_digests());
    let finished = podman_run(&registry.reference("app:tar"), &[]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "built\n"), "{}", finished.stderr);
}

#[test]
fn plain_layers_of_docker_save_are_compressed() {
    let registry = Registry::open();
    let out = scratch();
    let (archive, named) = (out.path().join("save.tar"), out.path().join("save.tar.gz"));
    run_ok(
        Command::new("skopeo")
            .args(["copy", "--quiet"])
            .arg(format!("oci:{}:latest", Base::Busybox.layout().display()))
            .arg(format!("docker-archive:{}:example.com/busybox:1", archive.display())),
    );
    let members = run_ok(Command::new("tar").arg("tf").arg(&archive));
    assert!(members.contains("manifest.json"), "{members}");
    run_ok(Command::new("gzip").arg("-k").arg(&archive));
    for (tag, place) in [
        ("plain", text(&archive)),
        ("gzip", text(&named)),
        ("named", format!("{}:example.com/busybox:1", archive.display())),
        ("prefixed", format!("docker-archive:{}", archive.display())),
    ] {
        yadokari_ok(&["push", &place, "-d", &registry.reference(&format!("app:{tag}"))]);
        let image = registry.image(&format!("app:{tag}"));
        assert_eq!(image.layer(0).media_type, "application/vnd.docker.image.rootfs.diff.tar.gzip");
        assert_eq!(image.diff_ids(), Image::from_layout(&Base::Busybox.layout()).diff_ids());
    }
    let finished =
        yadokari(&["push", &format!("{}:nobody", text(&archive)), "-d", &registry.reference("a:1")]);
    assert!(finished.stderr.contains("it has example.com/busybox:1"), "{}", finished.stderr);
}

#[test]
fn an_archive_of_a_layout_is_pushed_as_it_is() {
    let registry = Registry::open();
    let out = scratch();
    let tar = out.path().join("oci.tar");
    run_ok(Command::new("tar").arg("cf").arg(&tar).arg("-C").arg(Base::Busybox.layout()).arg("."));
    yadokari_ok(&["push", &text(&tar), "-d", &registry.reference("app:1")]);
    assert_eq!(registry.image("app:1").digest, Image::from_layout(&Base::Busybox.layout()).digest);
    let input = fs::File::open(&tar).expect("there");
    let mut command = super::command(&["push", "-", "-d", &registry.reference("app:2")]);
    assert!(command.stdin(input).status().expect("it starts").success());
    assert_eq!(raw(&registry.reference("app:2")), raw(&registry.reference("app:1")));
}

#[test]
fn an_index_survives_the_way_to_disk_and_back() {
    let (from, to) = (Registry::open(), Registry::open());
    let index = put_index(&from, "app", "1", &["linux/amd64", "linux/arm64"]);
    let out = scratch();
    let layout = out.path().join("layout");
    let file = out.path().join("digest");
    yadokari_ok(&[
        "pull",
        &from.reference("app:1"),
        "--oci-layout-path",
        &text(&layout),
        &format!("--digest-file={}", file.display()),
    ]);
    assert_eq!(fs::read_to_string(file).expect("written"), digest(&index));
    // What others read.
    for architecture in ["amd64", "arm64"] {
        let target = out.path().join(architecture);
        run_ok(
            Command::new("skopeo")
                .args(["copy", "--quiet", &format!("--override-arch={architecture}")])
                .arg(format!("oci:{}:1", layout.display()))
                .arg(format!("dir:{}", target.display())),
        );
        assert_eq!(Image::from_dir(&target).config["architecture"], architecture);
    }
    // A second image comes beside it; the same tag anew replaces the first.
    let other = scratch();
    forge(other.path(), "linux", "amd64");
    from.put(other.path(), "app:2");
    yadokari_ok(&["pull", &from.reference("app:2"), "--oci-layout-path", &text(&layout)]);
    yadokari_ok(&["pull", &from.reference("app:1"), "--oci-layout-path", &text(&layout)]);
    assert_eq!(read_json(&layout.join("index.json"))["manifests"].as_array().expect("entries").len(), 2);
    let finished = yadokari(&["push", &text(&layout), "-d", &to.reference("app:1")]);
    assert!(finished.stderr.contains(":1, :2") || finished.stderr.contains(":2, :1"), "{}", finished.stderr);
    yadokari_ok(&["push", &format!("{}:1", text(&layout)), "-d", &to.reference("app:1")]);
    assert_eq!(raw(&to.reference("app:1")), index);
    let by_digest = format!("{}@{}", text(&layout), digest(&raw(&from.reference("app:arm64"))));
    yadokari_ok(&["push", &by_digest, "-d", &to.reference("app:arm")]);
    assert_eq!(raw(&to.reference("app:arm")), raw(&from.reference("app:arm64")));
}

#[test]
fn an_archive_that_is_pulled_is_loaded_by_others() {
    let registry = Registry::open();
    put_index(&registry, "app", "1", &["linux/amd64", "linux/arm64"]);
    let out = scratch();
    let archive = out.path().join("image.tar");
    yadokari_ok(&["pull", &registry.reference("app:1"), "--tar-path", &text(&archive), "--platform=arm64"]);
    let inspected = yadokari_e2e::skopeo_inspect(&format!("docker-archive:{}", archive.display()));
    assert_eq!(inspected["Architecture"], "arm64");
    assert_eq!(inspected["RepoTags"], serde_json::json!([]).clone(), "skopeo names none for archives");
    let members = run_ok(Command::new("tar").arg("-xOf").arg(&archive).arg("manifest.json"));
    assert!(members.contains(&format!("\"{}\"", registry.reference("app:1"))), "{members}");
    // Without a platform it is this machine's.
    yadokari_ok(&["copy", &registry.reference("app:1"), &format!("oci:{}/all", text(out.path()))]);
    yadokari_ok(&["pull", &registry.reference("app:1"), "--tar-path", &text(&archive)]);
    let inspected = yadokari_e2e::skopeo_inspect(&format!("docker-archive:{}", archive.display()));
    assert_eq!(inspected["Architecture"], "amd64");
}

#[test]
fn an_archive_of_a_layout_holds_all_platforms() {
    let (from, to) = (Registry::open(), Registry::open());
    let index = put_index(&from, "app", "1", &["linux/amd64", "linux/arm64"]);
    let out = scratch();
    let (named, own) = (out.path().join("named.tar"), out.path().join("own.tar"));
    yadokari_ok(&["copy", &from.reference("app:1"), &format!("oci-archive:{}:released", text(&named))]);
    yadokari_ok(&["copy", &from.reference("app:1"), &format!("oci-archive:{}", text(&own))]);
    for (place, architecture) in
        [(format!("{}:released", text(&named)), "arm64"), (format!("{}:1", text(&own)), "amd64")]
    {
        let target = out.path().join(architecture);
        run_ok(
            Command::new("skopeo")
                .args(["copy", "--quiet", &format!("--override-arch={architecture}")])
                .arg(format!("oci-archive:{place}"))
                .arg(format!("dir:{}", target.display())),
        );
        assert_eq!(Image::from_dir(&target).config["architecture"], architecture);
    }
    // From one kind of archive to the other, and back into a registry as it was.
    yadokari_ok(&["copy", &format!("oci-archive:{}:released", text(&named)), &to.reference("app:1")]);
    assert_eq!(raw(&to.reference("app:1")), index);
    let docker = out.path().join("docker.tar");
    let words = ["copy", &text(&own), &format!("docker-archive:{}:example.com/app:2", text(&docker))];
    let finished = yadokari(&words);
    assert!(finished.code == 1 && finished.stderr.contains("--platform"), "{}", finished.stderr);
    assert!(!docker.exists());
    yadokari_ok(&["copy", words[1], words[2], "--platform=linux/arm64"]);
    let inspected = yadokari_e2e::skopeo_inspect(&format!("docker-archive:{}", docker.display()));
    assert_eq!(inspected["Architecture"], "arm64");
    let members = run_ok(Command::new("tar").arg("-xOf").arg(&docker).arg("manifest.json"));
    assert!(members.contains("\"example.com/app:2\""), "{members}");
}

#[test]
fn damage_is_found_and_leaves_no_tag() {
    let registry = Registry::open();
    let out = scratch();
    let layout = out.path().join("layout");
    forge(&layout, "linux", "amd64");
    let manifest = Image::from_layout(&layout).manifest;
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let blob = layout.join("blobs/sha256").join(&layer[7..]);
    let mut bytes = fs::read(&blob).expect("there");
    bytes[20] ^= 1;
    fs::write(&blob, bytes).expect("written");
    let tar = out.path().join("oci.tar");
    run_ok(Command::new("tar").arg("cf").arg(&tar).arg("-C").arg(&layout).arg("."));
    for place in [&layout, &tar] {
        let finished = yadokari(&["push", &text(place), "-d", &registry.reference("app:1")]);
        assert_eq!(finished.code, 1, "{}", finished.stderr);
        assert!(!registry.has_tag("app", "1"));
        let copied = out.path().join("copy");
        let to = format!("oci:{}", copied.display());
        let finished = yadokari(&["copy", &text(place), &to]);
        assert_eq!(finished.code, 1);
        assert!(finished.stderr.contains(&layer), "{}", finished.stderr);
        let index = read_json(&copied.join("index.json"));
        assert_eq!(index["manifests"], serde_json::json!([]), "nothing is named that is not whole");
    }
    let bundle = out.path().join("bundle");
    let finished = yadokari(&["unpack", &text(&layout), &text(&bundle)]);
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains(&layer) && !bundle.exists(), "{}", finished.stderr);
    let finished = yadokari(&["push", "/nowhere", "-d", &registry.reference("app:1")]);
    assert!(finished.stderr.contains("no OCI layout and no archive"), "{}", finished.stderr);
    let finished = yadokari(&["push", &text(&layout)]);
    assert!(finished.stderr.contains("give --destination"), "{}", finished.stderr);
}
