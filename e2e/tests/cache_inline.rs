//! A cache in the image itself: `--cache-to type=inline`.

use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use yadokari_e2e::{Base, Build, Place, Registry, everywhere, run, scratch};

everywhere!(an_image_knows_its_own_layers);

const STAGES: &str = "FROM BASE AS build\nCOPY src /src\nRUN cp /src /made && echo built-'it'\n\
    FROM BASE\nCOPY --from=build /made /made\nARG N\nRUN echo $N > /n && echo ran-'it'\nENV A=1\n";

fn build(registry: &Registry, n: &str) -> Build {
    let dockerfile = STAGES.replace("BASE", &registry.reference("base:1"));
    Build::new(&dockerfile)
        .file("src", "1")
        .flag(&format!("--build-arg=N={n}"))
        .flag("--cache-to=type=inline")
        .push(registry, "app:1")
        .without_layout()
}

fn an_image_knows_its_own_layers(place: Place) {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let image = registry.reference("app:1");
    let cold = build(&registry, "1").flag(&format!("--cache-from={image}")).run(place);
    cold.succeeded().said("built-it").said("ran-it");
    let first = registry.image("app:1");
    for from in [image.clone(), format!("type=registry,ref={image}"), "type=inline".to_owned()] {
        let warm = build(&registry, "1").flag(&format!("--cache-from={from}")).run(place);
        warm.succeeded().said("4 of 4 steps known").said("the stage 'build' is not needed");
        assert_eq!(registry.image("app:1").digest, first.digest, "the same image again");
    }
    let other = build(&registry, "2").flag(&format!("--cache-from={image}")).run(place);
    other.succeeded().said("3 of 4 steps known").said("ran-it");
    assert_eq!(registry.image("app:1").layer_digests()[..2], first.layer_digests()[..2]);
    assert!(!registry.has_tag("app", "yc1-"), "nothing but the image is written");
}

#[test]
fn an_image_without_records_is_no_cache() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let base = registry.reference("base:1");
    let built = build(&registry, "1").flag(&format!("--cache-from={base}")).run(Place::Overlay);
    built.succeeded().said("0 of 4 steps");
    // What is built on the image does not take its records for its own.
    let above =
        Build::new(&format!("FROM {}\nENV B=1\n", registry.reference("app:1"))).push(&registry, "above:1");
    above.run(Place::Overlay).succeeded();
    let config = registry.image("above:1").config.to_string();
    assert!(!config.contains("dev.yadokari"), "{config}");
    assert!(registry.image("app:1").config.to_string().contains("dev.yadokari.cache.v1"));
}

#[test]
fn a_cache_of_buildkit_is_named() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    registry.put_manifest("cache", "empty", "application/vnd.oci.image.index.v1+json", index);
    let empty = registry.reference("cache:empty");
    build(&registry, "1").flag(&format!("--cache-from={empty}")).run(Place::Overlay).succeeded();
    // An image that BuildKit exported with its inline cache has a field of its own in the config.
    let layout = scratch();
    with_field(&Base::Busybox.layout(), layout.path());
    registry.put(layout.path(), "app:kit");
    let from = registry.reference("app:kit");
    let built = build(&registry, "2").flag(&format!("--cache-from={from}")).run(Place::Overlay);
    built.succeeded().said("is BuildKit's, which is not read here").said("0 of 4 steps");
}

/// A copy of an image with BuildKit's field in its config.
fn with_field(from: &Path, to: &Path) {
    let copied = run(Command::new("cp").arg("-r").arg(from.join(".")).arg(to));
    assert_eq!(copied.code, 0, "{}", copied.output());
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON") };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        to.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    };
    let put = |descriptor: &mut Value, content: &Value| {
        let bytes = serde_json::to_vec(content).expect("JSON");
        let hex: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        descriptor["digest"] = format!("sha256:{hex}").into();
        descriptor["size"] = bytes.len().into();
        fs::write(to.join("blobs/sha256").join(hex), bytes).expect("written");
    };
    let mut index = read(&to.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]));
    let mut config = read(&blob(&manifest["config"]));
    config["moby.buildkit.cache.v0"] = "W10=".into();
    put(&mut manifest["config"], &config);
    put(&mut index["manifests"][0], &manifest);
    fs::write(to.join("index.json"), index.to_string()).expect("written");
}

/// What steps are told besides the Dockerfile counts: names of hosts, not their addresses, and networks.
#[test]
fn hosts_and_networks_are_in_keys() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let dockerfile =
        format!("FROM {}\nRUN cat /etc/hosts > /hosts; hostname > /name\n", registry.reference("base:1"));
    let known = |flags: &[&str]| {
        let build = Build::new(&dockerfile).push(&registry, "app:1").flag("--cache").without_layout();
        let built = flags.iter().fold(build, |build, flag| build.flag(flag)).run(Place::Overlay);
        built.succeeded().finished.output().contains("1 of 1 steps known")
    };
    let all: [&[&str]; 5] = [
        &[],
        &["--add-host=db:10.0.0.1"],
        &["--add-host=cache:10.0.0.1"],
        &["--hostname=other"],
        &["--network=none"],
    ];
    for flags in all {
        assert!(!known(flags), "{flags:?} is something else");
        assert!(known(flags), "{flags:?} is known now");
    }
    assert!(known(&["--add-host=db:10.0.0.2"]), "an address may change");
}
