//! `yadokari inspect`, and Windows images, of which no more is done.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari_e2e::{Build, ForgedImage, ForgedLayer, Image, Place, Registry, scratch};

use super::{forge, put_index, raw, text, yadokari, yadokari_ok};

#[test]
fn an_image_is_the_same_wherever_it_is() {
    let registry = Registry::open();
    let build = Build::new(
        "FROM busybox\nLABEL a=1\nENV B=2\nEXPOSE 80\nUSER 7\nWORKDIR /w\nRUN echo x > /w/x || true\nCMD [\"sh\", \"-c\", \"x\"]\n",
    )
    .push(&registry, "app:1")
    .flag("--tar-path={out}/tar");
    build.run(Place::Overlay).succeeded();
    let layout = text(&build.out().join("layout"));
    let image = Image::from_layout(&build.out().join("layout"));
    let json = |name: &str| -> Value {
        serde_json::from_str(&yadokari_ok(&["inspect", "--format=json", name])).expect("JSON")
    };
    let found = json(&registry.reference("app:1"));
    assert_eq!(found["digest"], image.digest);
    assert_eq!(found["imageId"], image.manifest["config"]["digest"]);
    assert_eq!(found["platform"], "linux/amd64");
    assert_eq!(found["config"], image.config["config"]);
    assert_eq!(found["config"]["Labels"]["a"], "1");
    let digests: Vec<_> =
        found["layers"].as_array().expect("layers").iter().map(|l| l["digest"].clone()).collect();
    assert_eq!(digests, image.layer_digests());
    let sizes = image.manifest["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .map(|l| l["size"].as_u64().expect("a size"));
    assert_eq!(found["size"], sizes.sum::<u64>());
    let history = found["history"].as_array().expect("a history");
    assert_eq!(history.len(), image.history().len());
    for (step, (text, has_layer)) in history.iter().zip(image.history()) {
        assert_eq!(
            (step["createdBy"].as_str().unwrap_or_default(), !step["digest"].is_null()),
            (text.as_str(), has_layer)
        );
    }
    for name in [layout.clone(), text(&build.out().join("tar"))] {
        let other = json(&name);
        assert_eq!((&other["imageId"], &other["history"]), (&found["imageId"], &found["history"]), "{name}");
    }
    assert_eq!(yadokari_ok(&["inspect", "--raw", &layout]), raw(&registry.reference("app:1")));
    let config: Value =
        serde_json::from_str(&yadokari_ok(&["inspect", "--config", "--raw", &layout])).expect("JSON");
    assert_eq!(config, image.config);
    let table = yadokari_ok(&["inspect", &layout]);
    for part in [
        image.digest.as_str(),
        "linux/amd64",
        "B=2",
        "80/tcp",
        "[\"sh\",\"-c\",\"x\"]",
        "RUN /bin/sh -c echo x",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
}

#[test]
fn an_index_shows_its_platforms() {
    let registry = Registry::open();
    let index = put_index(&registry, "app", "1", &["linux/amd64", "linux/arm64"]);
    let name = registry.reference("app:1");
    assert_eq!(yadokari_ok(&["inspect", "--raw", &name]), index);
    let table = yadokari_ok(&["inspect", &name]);
    assert!(table.contains("linux/amd64") && table.contains("linux/arm64"), "{table}");
    let json: Value =
        serde_json::from_str(&yadokari_ok(&["inspect", "--format", "json", &name])).expect("JSON");
    assert_eq!(json["manifests"][1]["platform"], "linux/arm64");
    let one = yadokari_ok(&["inspect", "--format=json", "--platform=linux/arm64", &name]);
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!((&one["platform"], &one["digest"]), (&json!("linux/arm64"), &json["manifests"][1]["digest"]));
}

#[test]
fn hostile_words_move_no_cursor() {
    let layout = scratch();
    let mut image = ForgedImage::of([ForgedLayer::new().file("x", 0o644, b"x")]);
    let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\r\u{202e}\nDigest:       sha256:0";
    image.config = json!({"Labels": {"l": evil, evil: "k"}, "Cmd": [evil], "User": evil, "Env": [evil]});
    image.write(layout.path());
    for words in [vec!["inspect"], vec!["inspect", "--format=json"], vec!["inspect", "--config"]] {
        let words = [words, vec![layout.path().to_str().expect("UTF-8")]].concat();
        let output = yadokari_ok(&words);
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!output.contains(bad), "{words:?}: {output:?}");
        assert!(!output.contains("\nDigest:       sha256:0"), "{output}");
    }
}

#[test]
fn a_windows_base_is_refused_before_anything_is_fetched() {
    let registry = Registry::open();
    let layout = scratch();
    forge(layout.path(), "windows", "amd64");
    registry.put(layout.path(), "windows:1");
    put_index(&registry, "windows", "all", &["windows/amd64"]);
    let from = |name: &str| format!("FROM {}\nRUN echo\n", registry.reference(name));
    let local = Build::new("FROM win\nRUN echo\n").base("win", layout.path());
    for build in [Build::new(&from("windows:1")), Build::new(&from("windows:all")), local] {
        let built = build.flag("--no-push").run(Place::Overlay);
        assert_eq!(built.finished.code, 1);
        let output = built.finished.output();
        assert!(output.contains("only Linux images can be built here"), "{output}");
    }
    let built =
        Build::new("FROM scratch\nCOPY . /\n").flag("--custom-platform=windows/amd64").run(Place::Overlay);
    assert!(
        built.finished.output().contains("images for windows/amd64 cannot be built"),
        "{}",
        built.finished.output()
    );
    let layers =
        registry.requests().iter().filter(|r| r.contains("\"GET /v2/") && r.contains("/blobs/")).count();
    assert!(layers <= 2, "configs only: {:#?}", registry.requests());
    // It can be copied all the same.
    yadokari_ok(&["copy", &registry.reference("windows:all"), &registry.reference("other:all")]);
    assert_eq!(raw(&registry.reference("other:all")), raw(&registry.reference("windows:all")));
    let finished = yadokari(&["inspect", "--no-such-flag", "x"]);
    assert_eq!(finished.code, 1);
}
