//! In a container of rootless podman: a remapped user namespace, whose default profile allows making
//! namespaces but not everything in them, and whose default capabilities lack MKNOD.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use yadokari_e2e::{run_ok, scratch};

use crate::odd::{build_of, expected, is_the_same, odd, run_in};

/// Podman of the user `yadokari` with a store of its own.
struct Podman {
    home: TempDir,
}

impl Podman {
    fn new() -> Podman {
        let home = scratch();
        run_ok(
            Command::new("docker")
                .args(["save", "yadokari-e2e:tiny", "--output"])
                .arg(home.path().join("tiny")),
        );
        fs::create_dir(home.path().join("run")).expect("made");
        run_ok(Command::new("chown").args(["-R", "yadokari:"]).arg(home.path()));
        let podman = Podman { home };
        run_ok(podman.command().args(["load", "--input"]).arg(podman.home.path().join("tiny")));
        podman
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--reuid=yadokari", "--regid=yadokari", "--init-groups", "--inh-caps=-all", "podman"]);
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", self.home.path());
        command.env("XDG_RUNTIME_DIR", self.home.path().join("run")).current_dir(self.home.path());
        command
    }
}

#[test]
fn the_same_image_in_every_placement() {
    let odd = odd();
    let expected = expected(&odd);
    let podman = Podman::new();
    let unconfined = "--security-opt=seccomp=unconfined";
    for (options, isolation, said) in [
        (&[][..], "auto", "in an overlay"),
        (&[][..], "chroot", "in a chroot"),
        (&[][..], "inplace", "in place"),
        (&[unconfined], "auto", "in an overlay"),
        (&["--privileged"], "auto", "in an overlay"),
    ] {
        let build = build_of(&odd);
        let finished = run_in(podman.command(), &build, &odd, options, isolation);
        assert_eq!(finished.code, 0, "{options:?} {isolation}:\n{}", finished.output());
        assert!(finished.stderr.contains(said), "{options:?} {isolation}:\n{}", finished.stderr);
        is_the_same(&build, &expected, &format!("{options:?} {isolation}"));
    }
}
