//! Files that a build writes: archives, layouts, result files.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Container, Place, Registry, podman_run, run_ok};

#[test]
fn docker_and_podman_load_the_archive() {
    let registry = Registry::open();
    let name = format!("archive-{}", std::process::id());
    let build = Build::new(
        "FROM busybox\nRUN echo loaded > /file && ln /file /link\nENTRYPOINT [\"cat\", \"/link\"]\n",
    )
    .named(&[&registry.reference(&format!("{name}:1"))])
    .flag("--tar-path={out}/image.tar");
    build.run(Place::Overlay).succeeded();
    let archive = build.out().join("image.tar");
    let reference = registry.reference(&format!("{name}:1"));

    let loaded = run_ok(Command::new("docker").args(["load", "--input"]).arg(&archive));
    assert!(loaded.contains(&reference), "{loaded}");
    let finished = Container::of(&reference).run_command("cat", &["/file"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "loaded\n"), "{}", finished.stderr);
    run_ok(Command::new("docker").args(["rmi", "--force", &reference]));

    let finished = podman_run(&format!("docker-archive:{}", archive.display()), &[]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "loaded\n"), "{}", finished.stderr);
}

#[test]
fn skopeo_reads_the_layout_under_every_tag() {
    let build = Build::new("FROM scratch\nCOPY x /x\n")
        .file("x", "x")
        .named(&["example.com/app:1", "example.com/app:2"]);
    let image = build.run(Place::Overlay).image();
    let layout = build.out().join("layout");
    let tags = run_ok(Command::new("umoci").args(["list", "--layout"]).arg(&layout));
    let mut tags: Vec<_> = tags.lines().collect();
    tags.sort_unstable();
    assert_eq!(tags, ["1", "2"]);
    for tag in tags {
        let inspected = yadokari_e2e::skopeo_inspect(&format!("oci:{}:{tag}", layout.display()));
        assert_eq!(inspected["Digest"], image.digest);
    }
}

#[test]
fn the_digest_file_has_no_newline_and_makes_its_directory() {
    let build = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x").flag("--digest-file={out}/a/b/digest");
    build.run(Place::Overlay).succeeded();
    let digest = fs::read_to_string(build.out().join("a/b/digest")).expect("written");
    assert_eq!(digest.len(), 71);
    assert!(digest.starts_with("sha256:"));
    let mode = fs::metadata(build.out().join("a/b/digest")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// A regular file is replaced in one step; a device, a pipe or a mounted file is written to.
#[test]
fn how_result_files_are_written() {
    let build = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x").flag("--digest-file={out}/there");
    let there = build.out().join("there");
    fs::write(&there, "old").expect("written");
    let hard_link = build.out().join("link");
    fs::hard_link(&there, &hard_link).expect("linked");
    build.run(Place::Overlay).succeeded();
    assert!(fs::read_to_string(&there).expect("readable").starts_with("sha256:"));
    assert_eq!(
        fs::read_to_string(&hard_link).expect("readable"),
        "old",
        "renamed into place, not written over"
    );

    let pipe = build.out().join("pipe");
    run_ok(Command::new("mkfifo").arg(&pipe));
    let build = build.flag("--digest-file={out}/pipe");
    fs::remove_dir_all(build.out().join("layout")).expect("removed");
    let mut reader =
        Command::new("timeout").args(["60", "cat"]).arg(&pipe).stdout(Stdio::piped()).spawn().expect("cat");
    build.run(Place::Overlay).succeeded();
    let mut read = String::new();
    reader.stdout.take().expect("piped").read_to_string(&mut read).expect("read");
    reader.wait().expect("it ends");
    assert!(read.starts_with("sha256:"), "{read}");
    assert!(fs::metadata(&pipe).expect("there").file_type().is_fifo());
}

#[test]
fn the_termination_log_of_a_pod_is_written_to() {
    let build = Build::new("FROM busybox\nRUN true\n").flag("--digest-file=/dev/termination-log");
    let log = build.out().join("log");
    fs::write(&log, "").expect("written");
    let inode = fs::metadata(&log).expect("there").ino();
    let build = build.container(|c| c.volume(&log, "/dev/termination-log"));
    build.run(Place::InPlace).succeeded();
    assert!(fs::read_to_string(&log).expect("readable").starts_with("sha256:"));
    assert_eq!(fs::metadata(&log).expect("there").ino(), inode);
}

#[test]
fn standard_output_as_the_digest_file() {
    let build = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x").flag("--digest-file=/dev/stdout");
    let built = build.run(Place::Overlay);
    built.succeeded();
    assert!(built.finished.stdout.contains("sha256:"), "{:?}", built.finished);
}

/// An index too: each platform's image is whole.
#[test]
fn an_oci_archive_is_read_by_others() {
    let build = Build::new("FROM scratch\nARG TARGETARCH\nLABEL for=$TARGETARCH\nCOPY Dockerfile /\n")
        .without_layout()
        .named(&["example.com/image:v1"])
        .flag("--platform=linux/amd64,linux/arm64")
        .flag("--oci-archive-path={out}/image.tar");
    build.run(Place::Overlay).succeeded();
    for architecture in ["amd64", "arm64"] {
        let inspected = yadokari_e2e::run_ok(std::process::Command::new("skopeo").args([
            &format!("--override-arch={architecture}"),
            "inspect",
            &format!("oci-archive:{}:v1", build.out().join("image.tar").display()),
        ]));
        let inspected: serde_json::Value = serde_json::from_str(&inspected).expect("JSON");
        assert_eq!(inspected["Labels"]["for"], architecture);
    }
    // And by us, as a base.
    let archive = format!("base=oci-archive:{}", build.out().join("image.tar").display());
    let next = Build::new("FROM base\n").flag(&format!("--build-context={archive}"));
    let image = next.flag("--platform=linux/arm64").run(Place::Overlay).image();
    assert_eq!(image.config["config"]["Labels"]["for"], "arm64");
}

#[test]
fn a_push_by_digest_writes_no_tag() {
    let registry = Registry::open();
    let build = || Build::new("FROM scratch\nCOPY Dockerfile /\n").without_layout().flag("--push-by-digest");
    let pushed = build().push(&registry, "app").flag("--env-file={out}/env");
    pushed.run(Place::Overlay).succeeded();
    let digest = fs::read_to_string(pushed.out().join("digest")).expect("written");
    let image = registry.image(&format!("app@{digest}"));
    assert_eq!(image.digest, digest);
    assert!(!registry.has_tag("app", "latest"));
    let environment = fs::read_to_string(pushed.out().join("env")).expect("written");
    let reference = format!("IMAGE_REF={}@{digest}\n", registry.reference("app"));
    assert!(environment.contains(&reference), "{environment}");
    let tagged = build().push(&registry, "app:1").run(Place::Overlay);
    let error = tagged.failed(1);
    assert!(error.contains("app:1") && error.contains("has a tag"), "{error}");
}
