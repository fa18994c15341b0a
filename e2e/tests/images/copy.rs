//! From registry to registry.

use std::fs;

use pretty_assertions::assert_eq;
use serde_json::json;
use yadokari_e2e::{Fault, FaultyProxy, Registry, Rule, scratch};

use super::{INDEX, MANIFEST, digest, forge, put_index, raw, yadokari, yadokari_ok};

fn uploads(registry: &Registry) -> usize {
    let requests = registry.requests();
    let puts = requests.iter().filter(|r| r.contains("\"PUT /v2/") && r.contains("/blobs/uploads/"));
    puts.filter(|r| r.contains("\" 201 ")).count()
}

#[test]
fn an_index_goes_over_with_all_its_platforms_byte_by_byte() {
    let (from, to) = (Registry::open(), Registry::open());
    let index = put_index(&from, "app", "1", &["linux/amd64", "linux/arm64", "linux/s390x"]);
    let out = scratch();
    let file = out.path().join("digest");
    let names = out.path().join("names");
    yadokari_ok(&[
        "copy",
        &from.reference("app:1"),
        &to.reference("team/app:1"),
        &to.reference("team/app:latest"),
        &to.reference("other/app:1"),
        &format!("--digest-file={}", file.display()),
        &format!("--image-name-tag-with-digest-file={}", names.display()),
    ]);
    for name in ["team/app:1", "team/app:latest", "other/app:1"] {
        assert_eq!(raw(&to.reference(name)), index);
    }
    assert_eq!(fs::read_to_string(file).expect("written"), digest(&index));
    assert_eq!(
        fs::read_to_string(names).expect("written").lines().nth(2).expect("three"),
        format!("{}@{}", to.reference("other/app:1"), digest(&index))
    );
    for architecture in ["amd64", "arm64", "s390x"] {
        let manifest = raw(&from.reference(&format!("app:{architecture}")));
        let by_digest = format!("other/app@{}", digest(&manifest));
        assert_eq!(raw(&to.reference(&by_digest)), manifest);
        assert_eq!(to.image(&by_digest).tree().nodes.len(), 2);
    }
    // Three images of a layer and a config; the second repository mounts them.
    assert_eq!(uploads(&to), 6, "{:#?}", to.requests());
}

#[test]
fn within_a_registry_nothing_is_sent() {
    let registry = Registry::open();
    let index = put_index(&registry, "app", "1", &["linux/amd64", "linux/arm64"]);
    let before = uploads(&registry);
    yadokari_ok(&["copy", &registry.reference("app:1"), &registry.reference("released/app:1")]);
    assert_eq!(raw(&registry.reference("released/app:1")), index);
    // In one repository even less is to be done.
    yadokari_ok(&["copy", &registry.reference("app:1"), &registry.reference("app:stable")]);
    assert_eq!(raw(&registry.reference("app:stable")), index);
    assert_eq!(uploads(&registry), before, "{:#?}", registry.requests());
}

#[test]
fn a_platform_is_picked() {
    let (from, to) = (Registry::open(), Registry::open());
    put_index(&from, "app", "1", &["linux/amd64", "linux/arm64"]);
    yadokari_ok(&["copy", "--platform=linux/arm64", &from.reference("app:1"), &to.reference("app:arm")]);
    assert_eq!(raw(&to.reference("app:arm")), raw(&from.reference("app:arm64")));
    let finished =
        yadokari(&["copy", "--platform=linux/riscv64", &from.reference("app:1"), &to.reference("app:x")]);
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("the index has linux/amd64, linux/arm64"), "{}", finished.stderr);
    assert!(!to.has_tag("app", "x"));
}

#[test]
fn what_refers_to_an_image_goes_with_it() {
    let (from, to) = (Registry::open(), Registry::open());
    let layout = scratch();
    forge(layout.path(), "linux", "amd64");
    from.put(layout.path(), "app:1");
    let image = raw(&from.reference("app:1"));
    let subject = json!({"mediaType": MANIFEST, "digest": digest(&image), "size": image.len()});
    // A document about the image; its layers are those of the image, which the registry has.
    let mut document: serde_json::Value = serde_json::from_str(&image).expect("JSON");
    document["subject"] = subject;
    document["artifactType"] = json!("application/example");
    let document = document.to_string();
    from.put_manifest("app", &digest(&document), MANIFEST, &document);
    let entry = json!({"mediaType": MANIFEST, "digest": digest(&document), "size": document.len(),
        "artifactType": "application/example"});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
    let tag = digest(&image).replace(':', "-");
    from.put_manifest("app", &tag, INDEX, &list);
    from.put_manifest("app", &format!("{tag}.sig"), MANIFEST, &image.replace("\"layers\"", " \"layers\""));

    yadokari_ok(&["copy", &from.reference("app:1"), &to.reference("app:1")]);
    assert!(!to.has_tag("app", &tag), "only if asked for");
    yadokari_ok(&["copy", "--referrers", &from.reference("app:1"), &to.reference("app:1")]);
    assert_eq!(raw(&to.reference(&format!("app@{}", digest(&document)))), document);
    let copied: serde_json::Value =
        serde_json::from_str(&raw(&to.reference(&format!("app:{tag}")))).expect("an index");
    assert_eq!(copied["manifests"][0]["digest"], digest(&document));
    assert_eq!(
        raw(&to.reference(&format!("app:{tag}.sig"))),
        raw(&from.reference(&format!("app:{tag}.sig")))
    );
    // Again, and nothing is listed twice.
    yadokari_ok(&["copy", "--referrers", &from.reference("app:1"), &to.reference("app:1")]);
    let again: serde_json::Value =
        serde_json::from_str(&raw(&to.reference(&format!("app:{tag}")))).expect("an index");
    assert_eq!(again["manifests"].as_array().expect("entries").len(), 1);
}

#[test]
fn a_platform_that_is_missing_is_named() {
    let (from, to) = (Registry::open(), Registry::open());
    let gone = format!("sha256:{}", "1".repeat(64));
    let index = put_index(&from, "app", "1", &["linux/amd64"]);
    // The registry itself takes no index of what it does not have; one in between shows another.
    let sparse = index.replace(&digest(&raw(&from.reference("app:amd64"))), &gone);
    let layout = scratch();
    let blobs = layout.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("made");
    fs::write(blobs.join(&digest(&sparse)[7..]), &sparse).expect("written");
    fs::write(layout.path().join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("written");
    let entry = json!({"mediaType": INDEX, "digest": digest(&sparse), "size": sparse.len()});
    let root = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    fs::write(layout.path().join("index.json"), root).expect("written");
    let finished = yadokari(&["push", &super::text(layout.path()), "-d", &to.reference("app:1")]);
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains(&gone), "{}", finished.stderr);
    assert!(finished.stderr.contains("--platform"), "{}", finished.stderr);
    assert!(!to.has_tag("app", "1"));
}

#[test]
fn a_connection_that_breaks_is_taken_up_again() {
    let (from, to) = (Registry::open(), Registry::open());
    from.put(&yadokari_e2e::Base::Busybox.layout(), "app:1");
    let rule = Rule { method: "GET", contains: "/blobs/", times: 2, fault: Fault::CutAnswer(300_000) };
    let proxy = FaultyProxy::before(&from, vec![rule]);
    yadokari_ok(&["copy", &proxy.reference("app:1"), &to.reference("app:1")]);
    assert_eq!(raw(&to.reference("app:1")), raw(&from.reference("app:1")));
    assert_eq!(to.image("app:1").tree().nodes.len(), from.image("app:1").tree().nodes.len());
}
