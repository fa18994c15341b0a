//! Annotations: on manifests, on the index, and on what names them.

use std::fs;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari_e2e::{Build, Place, Registry, Runner, run_ok, scratch, skopeo_inspect};

use crate::github::{run as run_step, step};
use crate::images::{INDEX, raw};

const DOCKERFILE: &str = "FROM scratch\nCOPY Dockerfile /\n";

fn document(reference: &str) -> Value {
    serde_json::from_str(&raw(reference)).expect("JSON")
}

fn entry(build: &Build) -> Value {
    let index = fs::read_to_string(build.out().join("layout/index.json")).expect("written");
    serde_json::from_str::<Value>(&index).expect("JSON")["manifests"][0].clone()
}

#[test]
fn every_level_of_several_platforms_is_reached() {
    let registry = Registry::open();
    let build = Build::new(DOCKERFILE)
        .push(&registry, "app:1")
        .flag("--platform=linux/amd64,linux/arm64")
        .flag("--annotation=plain=all")
        .flag("--annotation=manifest[linux/arm64]:one=arm")
        .flag("--annotation=manifest[linux/amd64]:plain=own")
        .flag("--annotation=manifest:plain=all again")
        .flag("--annotation=index,manifest-descriptor[linux/arm64]:both=a=b:c")
        .flag("--annotation=manifest-descriptor:d=e")
        .flag("--annotation=index-descriptor:f=g")
        .flag("--annotation=manifest[linux/s390x]:none=none");
    let built = build.run(Place::Overlay);
    built.succeeded();
    let warning = "--annotation manifest[linux/s390x]:none has no effect: no image for linux/s390x";
    assert!(built.finished.stderr.contains(warning), "{}", built.finished.stderr);
    let index = document(&registry.reference("app:1"));
    assert_eq!(index["mediaType"], INDEX);
    assert_eq!(index["annotations"], json!({"both": "a=b:c"}));
    assert_eq!(index["manifests"][0]["annotations"], json!({"d": "e"}));
    assert_eq!(index["manifests"][1]["annotations"], json!({"both": "a=b:c", "d": "e"}));
    let manifest = |at: usize| {
        let digest = index["manifests"][at]["digest"].as_str().expect("a digest");
        document(&format!("{}@{digest}", registry.reference("app")))["annotations"].clone()
    };
    assert_eq!(manifest(0), json!({"plain": "own"}));
    assert_eq!(manifest(1), json!({"plain": "all again", "one": "arm"}));
    let entry = entry(&build);
    assert_eq!(entry["mediaType"], INDEX);
    assert_eq!(entry["annotations"]["f"], "g");
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
}

#[test]
fn one_platform_has_a_manifest_alone() {
    let registry = Registry::open();
    let build = || Build::new(DOCKERFILE).push(&registry, "app:1");
    let annotated = build().flag("--annotation=manifest:a=b").flag("--annotation=manifest-descriptor:c=d");
    annotated.run(Place::Overlay).succeeded();
    assert_eq!(document(&registry.reference("app:1"))["annotations"], json!({"a": "b"}));
    assert_eq!(entry(&annotated)["annotations"]["c"], "d");
    let requests = registry.requests().len();
    let several = "--platform=linux/amd64,linux/arm64";
    for (flags, said) in [
        (["--annotation=index:a=b", ""], "--annotation index:a: an image for one platform has no index"),
        (["--annotation=manifest,index-descriptor:a=b", ""], "annotate its manifest, --annotation a=…"),
        (["--annotation=org.example:a=b", several], "there is no level 'org.example'"),
        (["--annotation=index[linux/amd64]:a=b", several], "an index is for no platform"),
    ] {
        let refused = flags.iter().filter(|f| !f.is_empty()).fold(build(), |build, flag| build.flag(flag));
        let refused = refused.run(Place::Overlay);
        let error = refused.failed(1);
        assert!(error.contains(said), "{flags:?}: {error}");
    }
    let docker = build().flag(several).flag("--image-format=docker").flag("--annotation=index:a=b");
    let refused = docker.run(Place::Overlay);
    let error = refused.failed(1);
    assert!(error.contains("docker's manifest lists") && error.contains("--image-format=oci"), "{error}");
    assert_eq!(registry.requests().len(), requests, "something was pushed");
}

/// What metadata-action's output makes of one list, for builds of one platform and of several.
#[test]
fn workflows_give_one_list_to_all_builds() {
    let registry = Registry::open();
    let told = |name: &str, platforms: &str| -> Runner {
        step()
            .file("Dockerfile", DOCKERFILE)
            .input("platforms", platforms)
            .input("insecure-registries", &registry.host())
            .input("images", &registry.reference(name))
            .input("tags", "type=raw,value=1")
            .input("annotations", "com.example.a=b")
            .input("push", "true")
            .variable("DOCKER_METADATA_ANNOTATIONS_LEVELS", "manifest,index")
    };
    let one = run_step(&told("one", "linux/amd64")).succeeded();
    let manifest = document(&registry.reference("one:1"));
    assert_eq!(manifest["annotations"]["com.example.a"], "b");
    assert!(one.finished.output().contains("annotations of the index are left out"));
    let several = run_step(&told("two", "linux/amd64,linux/arm64")).succeeded();
    let index = document(&registry.reference("two:1"));
    assert_eq!(index["annotations"]["com.example.a"], "b");
    let outputs = several.outputs();
    for line in ["manifest:com.example.a=b", "index:com.example.a=b"] {
        assert!(outputs["annotations"].lines().any(|found| found == line), "{}", outputs["annotations"]);
    }
    let digests: Value = serde_json::from_str(&outputs["platform-digests"]).expect("JSON");
    let platforms = [("linux/amd64", 0), ("linux/arm64", 1)];
    for (platform, at) in platforms {
        assert_eq!(digests[platform], index["manifests"][at]["digest"]);
    }
    // The output goes into another step's input as it is.
    let again = step()
        .file("Dockerfile", DOCKERFILE)
        .input("platforms", "linux/amd64,linux/arm64")
        .input("insecure-registries", &registry.host())
        .input("tags", &registry.reference("three:1"))
        .input("annotations", &outputs["annotations"])
        .input("push", "true");
    assert_eq!(run_step(&again).finished.code, 0);
    assert_eq!(document(&registry.reference("three:1"))["annotations"], index["annotations"]);
}

/// `oci-archive-path` and `push-by-digest` of `yadokari.yaml`.
#[test]
fn the_file_asks_for_an_archive_and_for_no_tag() {
    let registry = Registry::open();
    let directory = scratch();
    let file = format!(
        "targets:\n  app:\n    image: {}\n    insecure-registries: [\"{}\"]\n    platforms: [linux/amd64, linux/arm64]\n    \
         push-by-digest: true\n    oci-archive-path: image.tar\n    digest-file: digest\n    \
         annotations:\n      index:a: b\n      manifest[linux/arm64]:c: d\n",
        registry.reference("app"),
        registry.host()
    );
    fs::write(directory.path().join("Dockerfile"), DOCKERFILE).expect("written");
    fs::write(directory.path().join("yadokari.yaml"), file).expect("written");
    let mut command = std::process::Command::new(yadokari_e2e::program());
    command.args(["build", "--config=yadokari.yaml", "app", "--context=.", "--isolation=overlay"]);
    command.arg(format!("--work-dir={}", directory.path().join(".work").display()));
    run_ok(command.current_dir(directory.path()).env("HOME", directory.path()));
    let digest = fs::read_to_string(directory.path().join("digest")).expect("written");
    let index = document(&format!("{}@{digest}", registry.reference("app")));
    assert_eq!(index["annotations"], json!({"a": "b"}));
    assert!(!registry.has_tag("app", "latest"));
    let archive = directory.path().join("image.tar");
    let inspected = skopeo_inspect(&format!("oci-archive:{}", archive.display()));
    assert_eq!(inspected["Architecture"], "amd64");
}
