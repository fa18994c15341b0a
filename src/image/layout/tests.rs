use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use super::*;
use crate::image::Index;
use crate::image::blob::{BlobSource, ImageBlob};

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn config_blob() -> ImageBlob<'static> {
    ImageBlob {
        descriptor: Descriptor::of(MediaType::from(MediaType::OCI_CONFIG), b"{}"),
        source: BlobSource::Bytes(b"{}"),
    }
}

fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::from(MediaType::OCI_MANIFEST)),
        config: config.clone(),
        layers: layers.to_vec(),
        annotations: BTreeMap::new(),
        extra: BTreeMap::new(),
    };
    serde_json::to_vec(&manifest).unwrap()
}

/// Writes an image of one layer and gives its manifest's descriptor.
fn write(directory: &Path, layer: &[u8], names: &[&str]) -> Descriptor {
    let file = directory.with_extension("blob");
    fs::write(&file, layer).unwrap();
    let blob = ImageBlob {
        descriptor: Descriptor::of(MediaType::from(MediaType::OCI_LAYER), layer),
        source: BlobSource::File(&file),
    };
    let manifest = manifest(&config_blob().descriptor, std::slice::from_ref(&blob.descriptor));
    let descriptor = Descriptor::of(MediaType::from(MediaType::OCI_MANIFEST), &manifest);
    let names = names.iter().map(|n| LayoutName::Reference(n.parse().unwrap()));
    let names: Vec<_> = names.collect();
    let blobs = vec![config_blob(), blob];
    let image = LayoutImage { descriptor: descriptor.clone(), manifest: &manifest, blobs, names: &names };
    OciLayout::write(directory, &image).unwrap();
    descriptor
}

#[test]
fn what_is_written_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let descriptor = write(&path, b"layer", &["registry.local/a:1", "registry.local/b:2"]);
    let layout = OciLayout::open(&path).unwrap();
    for (tag, digest) in
        [(None, None), (Some("1"), None), (Some("2"), None), (None, Some(&descriptor.digest))]
    {
        let found = layout.find(tag, digest, &amd64()).unwrap();
        assert_eq!(found.descriptor.digest, descriptor.digest);
        assert_eq!(layout.read(&found.manifest.config).unwrap(), b"{}");
        let mut layer = Vec::new();
        layout.blob(&found.manifest.layers[0]).unwrap().read_to_end(&mut layer).unwrap();
        assert_eq!(layer, b"layer");
    }
    let missing = layout.find(Some("3"), None, &amd64()).unwrap_err().to_string();
    assert!(missing.ends_with("has no image 3; it has :1, :2"), "{missing}");
    let other = layout.find(None, Some(&Digest::of(b"other")), &amd64()).unwrap_err();
    assert!(matches!(other, LayoutError::NotFound { .. }), "{other}");
}

#[test]
fn a_layout_keeps_blobs_and_changes_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let one = write(&path, b"one", &[]);
    let two = write(&path, b"two", &["x:new"]);
    let layout = OciLayout::open(&path).unwrap();
    assert_eq!(layout.find(None, None, &amd64()).unwrap().descriptor.digest, two.digest);
    assert_eq!(layout.find(None, Some(&one.digest), &amd64()).unwrap().descriptor.digest, one.digest);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["annotations"][REF_NAME], "new");
    assert_eq!(index["manifests"][0]["annotations"][CONTAINERD_NAME], "docker.io/library/x:new");
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn a_failed_write_keeps_the_old_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let one = write(&path, b"one", &[]);
    let short = |out: &mut dyn Write| out.write_all(b"shor");
    let blob = ImageBlob {
        descriptor: Descriptor::of(MediaType::from(MediaType::OCI_LAYER), b"short"),
        source: BlobSource::Stream(&short),
    };
    let manifest = manifest(&config_blob().descriptor, std::slice::from_ref(&blob.descriptor));
    let descriptor = Descriptor::of(MediaType::from(MediaType::OCI_MANIFEST), &manifest);
    let image = LayoutImage { descriptor, manifest: &manifest, blobs: vec![blob], names: &[] };
    let error = OciLayout::write(&path, &image).unwrap_err().to_string();
    assert!(error.contains("1 bytes short"), "{error}");
    let layout = OciLayout::open(&path).unwrap();
    assert_eq!(layout.find(None, None, &amd64()).unwrap().descriptor.digest, one.digest);
}

/// Puts an index of these images into a layout, over its own or as a blob that its own names.
fn put_index(path: &Path, manifests: Vec<Descriptor>, nested: bool) {
    let index = |manifests| Index {
        schema_version: 2,
        media_type: Some(MediaType::from(MediaType::OCI_INDEX)),
        manifests,
        annotations: BTreeMap::new(),
        extra: BTreeMap::new(),
    };
    let mut bytes = serde_json::to_vec(&index(manifests)).unwrap();
    if nested {
        let descriptor = Descriptor::of(MediaType::from(MediaType::OCI_INDEX), &bytes);
        fs::write(blob_path(path, &descriptor.digest), &bytes).unwrap();
        bytes = serde_json::to_vec(&index(vec![descriptor])).unwrap();
    }
    fs::write(path.join("index.json"), bytes).unwrap();
}

#[test]
fn the_platform_chooses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let on = |layer: &[u8], platform: &str| {
        let mut descriptor = write(&path, layer, &[]);
        descriptor.platform = Some(platform.parse().unwrap());
        descriptor
    };
    let (one, two) = (on(b"one", "linux/arm64"), on(b"two", "linux/amd64"));
    for nested in [false, true] {
        put_index(&path, vec![one.clone(), two.clone()], nested);
        let layout = OciLayout::open(&path).unwrap();
        assert_eq!(layout.find(None, None, &amd64()).unwrap().descriptor.digest, two.digest);
        let other = layout.find(None, None, &"linux/s390x".parse().unwrap());
        assert!(other.is_err());
    }
    let plain = |d: &Descriptor| Descriptor { platform: None, ..d.clone() };
    put_index(&path, vec![plain(&one), plain(&two)], false);
    let error = OciLayout::open(&path).unwrap().find(None, None, &amd64()).unwrap_err();
    assert!(matches!(error, LayoutError::Ambiguous { .. }), "{error}");
}

#[test]
fn hostile_layouts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    assert!(OciLayout::open(&path).unwrap_err().to_string().contains("it has no file oci-layout"));
    let descriptor = write(&path, b"layer", &[]);
    let blob = blob_path(&path, &descriptor.digest);
    let good = fs::read(&blob).unwrap();

    fs::write(&blob, [&good[..good.len() - 1], b" "].concat()).unwrap();
    let find = || OciLayout::open(&path).and_then(|l| l.find(None, None, &amd64())).map(drop);
    assert!(find().unwrap_err().to_string().contains("holds other bytes"));
    fs::write(&blob, [good.as_slice(), b" "].concat()).unwrap();
    assert!(find().unwrap_err().to_string().contains("longer than its size"));
    fs::write(&blob, &good).unwrap();
    find().unwrap();

    put_index(&path, vec![Descriptor { size: 5 << 20, ..descriptor.clone() }], false);
    assert!(matches!(find().unwrap_err(), LayoutError::TooLarge { .. }));

    let index = fs::read_to_string(path.join("index.json")).unwrap();
    fs::write(path.join("index.json"), index.replace(&descriptor.digest.hex(), "../../../../etc/passwd"))
        .unwrap();
    assert!(find().unwrap_err().to_string().contains("is not a digest"));

    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(find().unwrap_err().to_string().contains("its version is '2.0.0'"));
}
