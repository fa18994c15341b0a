//! `yadokari index create`, and bundles of Tekton resources.

use std::fs;
use std::io::Read;
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari_e2e::{Registry, run_ok, scratch, skopeo_inspect};

use super::{INDEX, digest, forge, put_index, raw, text, yadokari, yadokari_ok};

fn by_digest(registry: &Registry, name: &str) -> String {
    let repository = name.split(':').next().expect("a name");
    format!("{}@{}", registry.reference(repository), digest(&raw(&registry.reference(name))))
}

fn put(registry: &Registry, name: &str, architecture: &str) {
    let layout = scratch();
    forge(layout.path(), "linux", architecture);
    registry.put(layout.path(), name);
}

#[test]
fn images_of_a_matrix_become_one() {
    let (registry, other) = (Registry::open(), Registry::open());
    put(&registry, "app:amd64", "amd64");
    put(&registry, "elsewhere/app:arm64", "arm64");
    put(&other, "app:s390x", "s390x");
    let out = scratch();
    let file = |name: &str| text(&out.path().join(name));
    yadokari_ok(&[
        "index",
        "create",
        "-d",
        &registry.reference("app:1"),
        &by_digest(&registry, "app:amd64"),
        "",
        &by_digest(&registry, "elsewhere/app:arm64"),
        &by_digest(&other, "app:s390x"),
        "--destination",
        &registry.reference("app:latest"),
        "--annotation=org.opencontainers.image.title=an app, with words",
        "--annotation",
        "index:k=v=w",
        "--annotation=manifest-descriptor:a=1",
        "--annotation=manifest-descriptor[linux/arm64/v8],index:b=2",
        &format!("--digest-file={}", file("digest")),
        &format!("--output-file=image-ref={}", file("ref")),
        &format!("--env-file={}", file("env")),
    ]);
    let bytes = raw(&registry.reference("app:1"));
    assert_eq!(raw(&registry.reference("app:latest")), bytes);
    assert_eq!(fs::read_to_string(file("digest")).expect("written"), digest(&bytes));
    let reference = format!("{}@{}", registry.reference("app"), digest(&bytes));
    assert_eq!(fs::read_to_string(file("ref")).expect("written"), reference);
    let env = fs::read_to_string(file("env")).expect("written");
    assert!(env.contains(&format!("IMAGE_REF={reference}\n")), "{env}");
    let index: Value = serde_json::from_str(&bytes).expect("JSON");
    assert_eq!(index["mediaType"], INDEX);
    assert_eq!(
        index["annotations"],
        json!({"org.opencontainers.image.title": "an app, with words", "k": "v=w", "b": "2"})
    );
    let sources = [
        registry.reference("app:amd64"),
        registry.reference("elsewhere/app:arm64"),
        other.reference("app:s390x"),
    ];
    for (entry, source) in index["manifests"].as_array().expect("entries").iter().zip(&sources) {
        let manifest = raw(source);
        assert_eq!(entry["digest"], digest(&manifest));
        assert_eq!(entry["size"], manifest.len());
        let architecture = source.rsplit_once(':').expect("a tag").1;
        assert_eq!(entry["platform"], json!({"os": "linux", "architecture": architecture}));
        let own = if architecture == "arm64" { json!({"a": "1", "b": "2"}) } else { json!({"a": "1"}) };
        assert_eq!(entry["annotations"], own);
        let copied = format!("app@{}", digest(&manifest));
        assert_eq!(raw(&registry.reference(&copied)), manifest, "byte by byte");
        assert_eq!(registry.image(&copied).config["architecture"], architecture);
    }
    assert_eq!(skopeo_inspect(&format!("docker://{}", registry.reference("app:1")))["Architecture"], "amd64");
}

#[test]
fn an_index_in_an_index_is_taken_apart_and_one_platform_twice_is_refused() {
    let registry = Registry::open();
    put_index(&registry, "some", "1", &["linux/amd64", "linux/arm64"]);
    put(&registry, "app:s390x", "s390x");
    let to = registry.reference("app:1");
    let index = registry.reference("some:1");
    let amd64 = by_digest(&registry, "some:amd64");
    // The same image twice is one image.
    yadokari_ok(&["index", "create", "-d", &to, &by_digest(&registry, "app:s390x"), &index, &amd64]);
    let made: Value = serde_json::from_str(&raw(&to)).expect("JSON");
    let entries = made["manifests"].as_array().expect("entries");
    let architectures: Vec<_> = entries.iter().map(|e| e["platform"]["architecture"].clone()).collect();
    assert_eq!(architectures, ["s390x", "amd64", "arm64"]);

    let other = scratch();
    let layer = yadokari_e2e::ForgedLayer::new().file("other", 0o644, b"x");
    yadokari_e2e::ForgedImage::of([layer]).write(other.path());
    registry.put(other.path(), "app:amd64");
    let second = by_digest(&registry, "app:amd64");
    let finished = yadokari(&["index", "create", "-d", &registry.reference("app:2"), &amd64, &second]);
    assert_eq!(finished.code, 1);
    let error = &finished.stderr;
    assert!(error.contains("two images are for linux/amd64"), "{error}");
    assert!(
        amd64.split('@').all(|part| part.contains(':'))
            && error.contains(second.split('@').nth(1).expect(""))
    );
    assert!(!registry.has_tag("app", "2"));
    let finished = yadokari(&["index", "create", "-d", &registry.reference("app:2"), ""]);
    assert!(finished.stderr.contains("no images"), "{}", finished.stderr);
    let to = registry.reference("app:2");
    for (annotation, said) in [
        (
            "manifest-descriptor[linux/s390x]:a=b",
            "manifest-descriptor[linux/s390x]:a: no image is for linux/s390x",
        ),
        ("manifest:a=b", "manifest:a: only the index is made here"),
    ] {
        let finished = yadokari(&["index", "create", "-d", &to, &amd64, "--annotation", annotation]);
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    assert!(!registry.has_tag("app", "2"));
}

#[test]
fn tekton_finds_its_resources_in_a_bundle() {
    let registry = Registry::open();
    let out = scratch();
    let task = concat!(env!("CARGO_MANIFEST_DIR"), "/../tekton/task/yadokari/0.1/yadokari.yaml");
    let two = out.path().join("two.yaml");
    let of = |kind: &str| format!("apiVersion: tekton.dev/v1beta1\nkind: {kind}\nmetadata:\n  name: other\n");
    fs::write(&two, format!("---\n{}---\n{}", of("Pipeline"), of("StepAction"))).expect("written");
    let bundle = registry.reference("bundle:0.1");
    let file = text(&out.path().join("digest"));
    yadokari_ok(&["bundle", "push", "-t", &bundle, "-f", task, "-f", &text(&two), "--digest-file", &file]);
    let bytes = raw(&bundle);
    assert_eq!(fs::read_to_string(file).expect("written"), digest(&bytes));
    let manifest: Value = serde_json::from_str(&bytes).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    let expected =
        [("yadokari", "task", "v1"), ("other", "pipeline", "v1beta1"), ("other", "stepaction", "v1beta1")];
    assert_eq!(layers.len(), expected.len());
    let blobs = out.path().join("blobs");
    run_ok(
        Command::new("skopeo")
            .args(["copy", "--quiet", "--src-tls-verify=false", &format!("docker://{bundle}")])
            .arg(format!("dir:{}", blobs.display())),
    );
    for (layer, (name, kind, version)) in layers.iter().zip(expected) {
        assert_eq!(layer["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
        let annotations = json!({
            "dev.tekton.image.name": name, "dev.tekton.image.kind": kind, "dev.tekton.image.apiVersion": version,
        });
        assert_eq!(layer["annotations"], annotations);
        let digest = layer["digest"].as_str().expect("a digest");
        let blob = fs::File::open(blobs.join(&digest[7..])).expect("there");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob));
        let mut entries = archive.entries().expect("a tar");
        let mut entry = entries.next().expect("one entry").expect("whole");
        assert_eq!(entry.path().expect("a path").to_str(), Some(name));
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("text");
        let resource: Value = serde_json::from_str(&content).expect("JSON");
        assert_eq!(resource["metadata"]["name"], name);
        assert_eq!(resource["kind"].as_str().map(str::to_lowercase).as_deref(), Some(kind));
        if name == "yadokari" {
            assert_eq!(resource["apiVersion"], "tekton.dev/v1");
            assert!(resource["spec"]["steps"].is_array());
        }
        assert!(entries.next().is_none());
    }
}
