//! What we ship for Tekton: read by its rules, and executed as its pods do.

mod credentials;
mod objects;
mod pod;
mod runs;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use yadokari_e2e::{Base, Finished, Registry, scratch};

pub(crate) const TASK: &str = "tekton/task/yadokari/0.1/yadokari.yaml";
pub(crate) const USERNS: &str = "tekton/task/yadokari-userns/0.1/yadokari-userns.yaml";
pub(crate) const RESTRICTED: &str = "tekton/task/yadokari-restricted/0.1/yadokari-restricted.yaml";
pub(crate) const ACTION: &str = "tekton/stepaction/yadokari/0.1/yadokari.yaml";

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

pub(crate) fn read_yaml(path: &str) -> Value {
    let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A workspace `source` with `app/Dockerfile` on a base of `registry`, and a file beside it.
pub(crate) fn source(registry: &Registry, instructions: &str) -> TempDir {
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let directory = scratch();
    let dockerfile = format!("FROM {}\n{instructions}", registry.reference("bases/busybox:1"));
    fs::create_dir(directory.path().join("app")).expect("made");
    fs::write(directory.path().join("app/Dockerfile"), dockerfile).expect("written");
    fs::write(directory.path().join("app/file"), "content").expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), open).expect("the mode is set");
    directory
}

/// All steps ended well; what they printed.
pub(crate) fn succeeded(steps: &[Finished]) -> String {
    let output: String = steps.iter().map(Finished::output).collect();
    assert!(steps.iter().all(|step| step.code == 0), "{output}");
    output
}
