//! Images that are there already: pushed, pulled, copied.

mod bundle;
mod cancelled;
mod copy;
mod disk;
mod index;
mod inspect;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use yadokari_e2e::{Finished, ForgedImage, ForgedLayer, Registry, program, run, scratch};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The program with these words, as somebody without an account anywhere.
pub(crate) fn yadokari(words: &[&str]) -> Finished {
    run(&mut command(words))
}

/// The same, which must succeed; gives what it printed.
pub(crate) fn yadokari_ok(words: &[&str]) -> String {
    let finished = yadokari(words);
    assert_eq!(finished.code, 0, "yadokari {words:?}:\n{}", finished.output());
    finished.stdout
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).env_clear().env("HOME", "/nowhere").env("PATH", "/usr/bin:/bin");
    command
}

/// A directory's path as text.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a path of tests is UTF-8").to_owned()
}

/// What a registry answers for a manifest, as it is.
pub(crate) fn raw(reference: &str) -> String {
    let inspected = run(Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{reference}")));
    assert_eq!(inspected.code, 0, "{}", inspected.output());
    inspected.stdout
}

/// A small image of one file, for a platform.
pub(crate) fn forge(layout: &Path, os: &str, architecture: &str) {
    let layer = ForgedLayer::new().directory("etc", 0o755).file("etc/arch", 0o644, architecture.as_bytes());
    ForgedImage::of([layer]).write_for(layout, os, architecture);
}

/// Puts an index of small images into a registry, one for each platform; gives its bytes.
pub(crate) fn put_index(registry: &Registry, repository: &str, tag: &str, platforms: &[&str]) -> String {
    let mut entries = Vec::new();
    for platform in platforms {
        let (os, architecture) = platform.split_once('/').expect("os/architecture");
        let layout = scratch();
        forge(layout.path(), os, architecture);
        registry.put(layout.path(), &format!("{repository}:{architecture}"));
        let bytes = raw(&registry.reference(&format!("{repository}:{architecture}")));
        entries.push(json!({
            "mediaType": MANIFEST, "digest": digest(&bytes), "size": bytes.len(),
            "platform": {"os": os, "architecture": architecture},
        }));
    }
    // Spaces that nobody else would write: whoever serialises it again is found out.
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let index = format!("{index:#}\n\n");
    registry.put_manifest(repository, tag, INDEX, &index);
    index
}

/// `sha256:…`
pub(crate) fn digest(bytes: &str) -> String {
    let file = scratch();
    std::fs::write(file.path().join("f"), bytes).expect("written");
    let sum = yadokari_e2e::run_ok(Command::new("sha256sum").arg(file.path().join("f")));
    format!("sha256:{}", sum.split(' ').next().expect("a sum"))
}

pub(crate) fn read_json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
