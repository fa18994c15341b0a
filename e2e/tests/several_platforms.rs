//! One build for several platforms: an image each, and the index that the tags name.

use std::fs;

use serde_json::{Value, json};
use yadokari_e2e::{
    Build, Finished, ForgedImage, ForgedLayer, Image, Place, Registry, podman_pull, run, run_ok, scratch,
    sha256, skopeo_pull, state,
};

use crate::images::{INDEX, MANIFEST, put_index, raw};

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What is compiled on this machine for each platform, and copied into images of theirs.
const CROSS: &str = "\
FROM --platform=$BUILDPLATFORM busybox AS tools
RUN cat /proc/sys/kernel/random/uuid > /tools
FROM tools AS compile
ARG TARGETPLATFORM
RUN echo $TARGETPLATFORM > /app
FROM ";

fn cross(base: &str) -> String {
    format!("{CROSS}{base}\nENV A=b\nCOPY --from=compile /app /\nCOPY --from=tools /tools /opt/\n")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The image of an index's entry, pulled by its digest.
fn pulled(registry: &Registry, repository: &str, entry: &Value) -> Image {
    let directory = scratch();
    let digest = entry["digest"].as_str().expect("a digest");
    let reference = format!("{}@{digest}", registry.reference(repository));
    skopeo_pull(&reference, directory.path(), None);
    Image::from_dir(directory.path()).keeping_directory(directory)
}

fn content(image: &Image, layer: isize, path: &str) -> String {
    String::from_utf8(image.layer(layer).entry(path).content().to_vec()).expect("text")
}

#[test]
fn two_platforms_make_an_index() {
    let registry = Registry::open();
    put_index(&registry, "base", "1", &["linux/amd64", "linux/arm64"]);
    let build = Build::new(&cross(&registry.reference("base:1")))
        .without_layout()
        .push(&registry, "app:1")
        .push(&registry, "app:latest")
        .push(&registry, "other/app:1")
        .flag("--platform=linux/arm64,linux/amd64")
        .flag("--metadata-file={out}/metadata");
    let built = build.run(Place::Overlay);
    built.succeeded();
    let text = raw(&registry.reference("app:1"));
    for name in ["app:latest", "other/app:1"] {
        assert_eq!(raw(&registry.reference(name)), text);
    }
    let digest = fs::read_to_string(build.out().join("digest")).expect("written");
    assert_eq!(digest, sha256(text.as_bytes()));

    let index = json_of(&text);
    assert_eq!(index["mediaType"], INDEX);
    let entries = index["manifests"].as_array().expect("a list");
    let platforms: Vec<&Value> = entries.iter().map(|entry| &entry["platform"]).collect();
    let wanted = ["arm64", "amd64"].map(|name| json!({"architecture": name, "os": "linux"}));
    assert_eq!(platforms, wanted.iter().collect::<Vec<_>>());
    let mut shared = Vec::new();
    for (entry, architecture) in entries.iter().zip(["arm64", "amd64"]) {
        assert_eq!(entry["mediaType"], MANIFEST);
        let image = pulled(&registry, "app", entry);
        assert_eq!(image.config["architecture"], architecture);
        assert_eq!(image.config["config"]["Env"][1], "A=b");
        assert_eq!(content(&image, 0, "etc/arch"), architecture);
        assert_eq!(content(&image, -2, "app"), format!("linux/{architecture}\n"));
        shared.push(content(&image, -1, "opt/tools"));
    }
    assert_eq!(shared[0], shared[1], "a stage that is the same for both ran twice");

    // Nothing but the index has a tag.
    let tags = run_ok(
        std::process::Command::new("skopeo")
            .args(["list-tags", "--tls-verify=false"])
            .arg(format!("docker://{}", registry.reference("app"))),
    );
    let tags = json_of(&tags)["Tags"].clone();
    assert!(tags == json!(["1", "latest"]) || tags == json!(["latest", "1"]), "{tags}");
    let metadata = json_of(&fs::read_to_string(build.out().join("metadata")).expect("written"));
    assert_eq!(
        metadata["containerimage.descriptor"],
        json!({"mediaType": INDEX, "digest": digest, "size": text.len()})
    );
    assert_eq!(metadata["containerimage.config.digest"], Value::Null);
    for label in [
        "[linux/amd64 tools 2/",
        "[linux/amd64->arm64 compile 3/",
        "[linux/amd64 compile 3/",
        "[linux/arm64 stage-2 ",
    ] {
        assert!(built.finished.stderr.contains(label), "'{label}' is not in:\n{}", built.finished.stderr);
    }
    for architecture in ["arm64", "amd64"] {
        let found = podman_pull(&registry.reference("app:1"), architecture);
        assert_eq!(found[0]["Architecture"], architecture);
    }
}

#[test]
fn what_both_need_is_known_the_second_time() {
    let registry = Registry::open();
    put_index(&registry, "base", "1", &["linux/amd64", "linux/arm64"]);
    let build = Build::new(&cross(&registry.reference("base:1")))
        .without_layout()
        .push(&registry, "app:1")
        .flag("--platform=linux/amd64")
        .flag("--platform=linux/arm64")
        .flag("--cache")
        .flag(&format!("--cache-repo={}", registry.reference("cache")));
    build.run(Place::Overlay).succeeded();
    let first = raw(&registry.reference("app:1"));
    let before = registry.requests().len();
    build.run(Place::Overlay).succeeded();
    let after = registry.requests().len();
    assert!(after > before);
    assert_eq!(raw(&registry.reference("app:1")), first);
    let mut layers = Vec::new();
    for entry in json_of(&first)["manifests"].as_array().expect("a list") {
        layers.extend(pulled(&registry, "app", entry).layer_digests());
    }
    let requests = registry.requests();
    let uploads = |line: &str| {
        ["PATCH", "PUT"].iter().any(|method| line.contains(&format!("\"{method} /v2/app/blobs/")))
    };
    let downloads = |line: &str| line.contains("\"GET ") && layers.iter().any(|layer| line.contains(layer));
    let moved: Vec<&String> =
        requests[before..after].iter().filter(|line| uploads(line) || downloads(line)).collect();
    assert!(moved.is_empty(), "{moved:#?}");
}

#[test]
fn the_index_is_the_same_in_place() {
    let registry = Registry::open();
    put_index(&registry, "base", "1", &["linux/amd64", "linux/arm64"]);
    let base = registry.reference("base:1");
    let dockerfile = cross(&base).replace("cat /proc/sys/kernel/random/uuid", "echo; test ! -e /app; echo");
    let build = Build::new(&dockerfile)
        .flag("--reproducible")
        .flag("--platform=linux/amd64,linux/arm64")
        .flag(&format!("--insecure-registry={}", registry.host()));
    let mut indexes = Vec::new();
    for place in [Place::Overlay, Place::Chroot, Place::InPlace] {
        build.run(place).succeeded();
        let layout = build.out().join("layout");
        let index = json_of(&fs::read_to_string(layout.join("index.json")).expect("written"));
        let digest = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        assert_eq!(index["manifests"][0]["mediaType"], INDEX);
        // Both images are there, whole.
        for architecture in ["amd64", "arm64"] {
            let arch = format!("--override-arch={architecture}");
            let to = scratch();
            run_ok(std::process::Command::new("skopeo").args([
                &arch,
                "copy",
                "--quiet",
                "--insecure-policy",
                &format!("oci:{}", layout.display()),
                &format!("dir:{}", to.path().display()),
            ]));
            assert_eq!(Image::from_dir(to.path()).config["architecture"], architecture);
        }
        fs::remove_dir_all(&layout).expect("removed");
        indexes.push(digest);
    }
    assert!(indexes.iter().all(|index| *index == indexes[0]), "{indexes:?}");
}

#[test]
fn docker_has_lists_and_archives_of_one() {
    let registry = Registry::open();
    let build = Build::new("FROM scratch\nARG TARGETARCH\nLABEL for=$TARGETARCH\nCOPY Dockerfile /\n")
        .without_layout()
        .flag("--platform=linux/amd64,linux/s390x");
    let pushed = build.push(&registry, "app:1").flag("--image-format=docker");
    pushed.run(Place::Overlay).succeeded();
    let list = json_of(&raw(&registry.reference("app:1")));
    assert_eq!(list["mediaType"], LIST);
    for (entry, architecture) in list["manifests"].as_array().expect("a list").iter().zip(["amd64", "s390x"])
    {
        assert_eq!(entry["mediaType"], DOCKER);
        let image = pulled(&registry, "app", entry);
        assert_eq!(image.config["config"]["Labels"]["for"], architecture);
    }
    let refused = pushed.flag("--tar-path={out}/image.tar").run(Place::Overlay);
    let error = refused.failed(1);
    assert!(error.contains("--tar-path") && error.contains("--oci-layout-path"), "{error}");
}

#[test]
fn what_cannot_be_executed_is_refused_before_anything_is() {
    let registry = Registry::open();
    put_index(&registry, "base", "1", &["linux/amd64", "linux/s390x"]);
    let dockerfile = format!(
        "FROM --platform=$BUILDPLATFORM busybox AS first\nRUN echo started\nFROM {} AS second\n\
         COPY --from=first /etc/passwd /\nRUN true\n",
        registry.reference("base:1")
    );
    for platforms in ["--platform=linux/amd64,linux/s390x", "--custom-platform=linux/s390x"] {
        let build = Build::new(&dockerfile)
            .without_layout()
            .push(&registry, "app:1")
            .flag(platforms)
            .run(Place::Overlay);
        let error = build.failed(1);
        for part in
            ["'second'", "linux/s390x", "Dockerfile:5", "$BUILDPLATFORM", "yadokari index create", "binfmt"]
        {
            assert!(error.contains(part), "'{part}' is not in:\n{error}");
        }
        assert!(!error.contains("started\n"), "{error}");
    }
    assert!(!registry.has_tag("app", "1"));
}

#[test]
fn one_platform_that_fails_leaves_nothing_under_the_tag() {
    let registry = Registry::open();
    let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS compile\nARG TARGETARCH\n\
                      RUN test $TARGETARCH = amd64 || exit 7\nFROM scratch\nCOPY --from=compile /etc/passwd /\n";
    let built = Build::new(dockerfile)
        .without_layout()
        .push(&registry, "app:1")
        .flag("--platform=linux/amd64,linux/arm64")
        .run(Place::Overlay);
    let error = built.failed(7);
    assert!(error.contains("[linux/amd64->arm64 compile 3/"), "{error}");
    assert!(!registry.has_tag("app", "1"));
    let manifests =
        registry.requests().into_iter().filter(|r| r.contains("PUT") && r.contains("/manifests/"));
    assert_eq!(manifests.count(), 0);
}

/// Makes its program known to the kernel in a user namespace of its own, and there alone.
const EMULATE: &str = r#"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":e2e:M::$magic:$mask:$1:$2" > /proc/sys/fs/binfmt_misc/register
shift 2
exec "$@"
"#;

/// A program for arm64 that ends with this code.
fn arm64_exit(code: u8) -> Vec<u8> {
    const START: u64 = 0x10000;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    for number in [START + 120, 64, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0]);
    for number in [0, START, START, 132, 132, 0x1000] {
        file.extend(number.to_le_bytes());
    }
    // mov x0, #code; mov x8, #93; svc #0
    for instruction in [0xd280_0000 | u32::from(code) << 5, 0xd280_0ba8, 0xd400_0001] {
        file.extend(instruction.to_le_bytes());
    }
    file
}

/// Builds where an emulator of arm64 is registered with these flags.
fn emulated(build: &Build, flags: &str) -> Finished {
    let command = build.host_command();
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-euc", EMULATE, "sh"]);
    unshare.arg(state().join("tools/bin/qemu-aarch64-static")).arg(flags);
    unshare.arg(command.get_program()).args(command.get_args());
    run(&mut unshare)
}

#[test]
fn an_emulator_that_the_kernel_knows_executes_commands() {
    let base = scratch();
    let programs =
        ForgedLayer::new().file("right", 0o755, &arm64_exit(0)).file("wrong", 0o755, &arm64_exit(7));
    ForgedImage::of([programs]).write_for(base.path(), "linux", "arm64");
    let build = |program: &str| {
        Build::new(&format!("FROM foreign\nRUN [\"/{program}\"]\nCOPY Dockerfile /\n"))
            .base("foreign", base.path())
            .flag("--platform=linux/arm64")
    };
    let right = build("right");
    let finished = emulated(&right, "F");
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(Image::from_layout(&right.out().join("layout")).config["architecture"], "arm64");
    let finished = emulated(&build("wrong"), "F");
    assert_eq!(finished.code, 7, "{}", finished.output());
    // Without the flag F the emulator would have to be in the image.
    let finished = emulated(&build("right"), "OC");
    assert_eq!(finished.code, 1, "{}", finished.output());
    for part in ["without the flag F", "linux/arm64", "Dockerfile:2"] {
        assert!(finished.stderr.contains(part), "'{part}' is not in:\n{}", finished.stderr);
    }
}
