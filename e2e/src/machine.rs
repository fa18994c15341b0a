//! Where `./test` put things.

use std::path::PathBuf;

use tempfile::TempDir;

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{name} is not set: run these tests with ./test e2e"))
}

/// The released program under test.
pub fn program() -> PathBuf {
    let path = variable("E2E_PROGRAM");
    assert!(path.is_file(), "{} is missing: run ./test e2e", path.display());
    path
}

/// The directory with bases, tools and the container engine's files.
pub fn state() -> PathBuf {
    variable("E2E_STATE")
}

/// A directory of this test's own, on a file system that can hold overlay uppers.
pub fn scratch() -> TempDir {
    let parent = state().join("scratch");
    std::fs::create_dir_all(&parent).expect("the scratch directory can be made");
    tempfile::tempdir_in(parent).expect("a scratch directory can be made")
}

/// A base image prepared by `./test`, an OCI layout with one image tagged `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// One static program; `/bin` and `/sbin` are links into `/usr`, `/var/run` one to `/run`.
    /// Users: root, daemon (1), app (1000, also in groups audio 29 and extra 2000).
    Busybox,
    /// debootstrap's minimal Debian in one gzip layer.
    Debian,
}

impl Base {
    /// The layout's directory.
    pub fn layout(self) -> PathBuf {
        let name = match self {
            Base::Busybox => "busybox",
            Base::Debian => "debian",
        };
        state().join("bases").join(name)
    }
}
