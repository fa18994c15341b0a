//! Programs of others that read and run images.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Finished, run, run_ok};
use crate::machine::{scratch, state};

/// Copies the image `latest` of an OCI layout to a registry.
pub fn skopeo_push(layout: &Path, reference: &str, credentials: Option<&str>) {
    let mut command = Command::new("skopeo");
    command.args(["copy", "--quiet", "--dest-tls-verify=false"]);
    if let Some(credentials) = credentials {
        command.args(["--dest-creds", credentials]);
    }
    command.arg(format!("oci:{}:latest", layout.display())).arg(format!("docker://{reference}"));
    run_ok(&mut command);
}

/// Copies an image from a registry to a directory in skopeo's `dir:` form, bytes unchanged.
pub fn skopeo_pull(reference: &str, directory: &Path, credentials: Option<&str>) {
    let mut command = Command::new("skopeo");
    command.args(["copy", "--quiet", "--src-tls-verify=false"]);
    if let Some(credentials) = credentials {
        command.args(["--src-creds", credentials]);
    }
    command.arg(format!("docker://{reference}")).arg(format!("dir:{}", directory.display()));
    run_ok(&mut command);
}

/// What skopeo says about an image, `transport:name`, as JSON.
pub fn skopeo_inspect(image: &str) -> serde_json::Value {
    let text = run_ok(Command::new("skopeo").args(["inspect", "--tls-verify=false", image]));
    serde_json::from_str(&text).expect("skopeo prints JSON")
}

/// Unpacks an image of an OCI layout with umoci; returns the root file system's directory.
pub fn umoci_unpack(layout: &Path, tag: &str, into: &Path) -> PathBuf {
    let bundle = into.join("bundle");
    let image = format!("{}:{tag}", layout.display());
    run_ok(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    bundle.join("rootfs")
}

/// What podman says of an image that it pulled for an architecture.
pub fn podman_pull(image: &str, architecture: &str) -> serde_json::Value {
    let storage = scratch();
    let podman = || podman_in(storage.path());
    let pulled =
        run_ok(podman().args(["pull", "--quiet", "--tls-verify=false", "--arch", architecture]).arg(image));
    let inspected = run_ok(podman().args(["image", "inspect", pulled.trim()]));
    run(podman().args(["rmi", "--all", "--force"]));
    run(Command::new("umount").arg("--recursive").arg(storage.path().join("root/overlay")));
    serde_json::from_str(&inspected).expect("JSON")
}

/// Podman with a storage of its own.
fn podman_in(storage: &Path) -> Command {
    let mut podman = Command::new("podman");
    podman.arg("--root").arg(storage.join("root"));
    podman.arg("--runroot").arg(storage.join("run"));
    podman.args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs", "--runtime=runc"]);
    podman.env("TMPDIR", state());
    podman
}

/// Runs a command of an image with podman, which pulls it itself.
pub fn podman_run(image: &str, command: &[&str]) -> Finished {
    let storage = scratch();
    let podman = || podman_in(storage.path());
    // Its default limits are higher than a machine without all capabilities may set.
    let limits = ["--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let finished = run(podman()
        .args(["run", "--rm", "--quiet", "--tls-verify=false"])
        .args(limits)
        .arg(image)
        .args(command));
    // The storage holds mounts that must go before its directory can.
    run(podman().args(["rmi", "--all", "--force"]));
    run(Command::new("umount").arg("--recursive").arg(storage.path().join("root/overlay")));
    finished
}
