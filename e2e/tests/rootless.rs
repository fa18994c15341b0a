//! In a container of rootless podman: a remapped user namespace, whose default profile allows making
//! namespaces but not everything in them, and whose default capabilities lack MKNOD.

use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use tar::EntryType;
use tempfile::TempDir;
use yadokari_e2e::{
    Build, Compress, Finished, ForgedImage, ForgedLayer, Image, Place, program, run, run_ok, scratch,
};

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

    /// Runs a build in a container with these options.
    fn build(&self, build: &Build, bases: &[(&str, &Path)], options: &[&str], isolation: &str) -> Finished {
        for path in [build.context(), build.out()] {
            run_ok(Command::new("chmod").args(["-R", "a+rwX"]).arg(path));
        }
        run_ok(Command::new("chmod").arg("0755").arg(build.out().parent().expect("a parent")));
        let mut command = self.command();
        command.args(["run", "--rm", "--network=host", "--env=SOURCE_DATE_EPOCH=1700000000"]).args(options);
        let mut volume = |from: &Path, to: &str| {
            command.arg(format!("--volume={}:{to}", from.display()));
        };
        volume(&program(), "/yadokari/bin/yadokari:ro");
        volume(&build.context(), "/workspace");
        volume(&build.out(), "/out");
        for (name, layout) in bases {
            volume(layout, &format!("/bases/{name}:ro"));
        }
        command.args(["--entrypoint=/yadokari/bin/yadokari", "yadokari-e2e:tiny"]);
        run(command.args(build.arguments(Place::InPlace)).arg(format!("--isolation={isolation}")))
    }
}

/// An image with what a remapped user namespace does not allow: a device, and an id beyond its own.
fn odd() -> TempDir {
    let layout = scratch();
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let mut layer = ForgedLayer::new().directory("bin/", 0o755).file("bin/busybox", 0o755, &busybox);
    for applet in ["sh", "chown", "touch", "mkdir", "chmod", "ln", "rm"] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    let layer = layer.entry(EntryType::Char, "null", 0o660, (0, 6), "", b"").entry(
        EntryType::Regular,
        "theirs",
        0o644,
        (70_000, 70_001),
        "",
        b"x",
    );
    let config = serde_json::json!({"Env": ["PATH=/bin"]});
    ForgedImage { layers: vec![layer.blob(Compress::Gzip)], config }.write(layout.path());
    run_ok(Command::new("chmod").args(["-R", "a+rX"]).arg(layout.path()));
    layout
}

#[test]
fn the_same_image_in_every_placement() {
    let odd = odd();
    let build = || {
        Build::new(
            "FROM odd AS one\n\
             RUN mkdir /d && touch -d @1 /d/x && chown 1000:29 /d /d/x && chmod 2755 /d && ln /d/x /d/y\n\
             RUN touch -d @1 /new && chmod 600 /theirs\n\
             FROM odd\n\
             COPY --from=one /d /d\n\
             COPY --from=one /null /theirs /copied/\n\
             RUN rm /d/y && touch -d @1 /last\n",
        )
        .base("odd", odd.path())
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .any_isolation()
    };
    let expected = build().flag("--isolation=overlay").run(Place::MayMount).image();
    let podman = Podman::new();
    let unconfined = "--security-opt=seccomp=unconfined";
    for (options, isolation, said) in [
        (&[][..], "auto", "in an overlay"),
        (&[][..], "chroot", "in a chroot"),
        (&[][..], "inplace", "in place"),
        (&[unconfined], "auto", "in an overlay"),
        (&["--privileged"], "auto", "in an overlay"),
    ] {
        let build = build();
        let finished = podman.build(&build, &[("odd", odd.path())], options, isolation);
        assert_eq!(finished.code, 0, "{options:?} {isolation}:\n{}", finished.output());
        assert!(finished.stderr.contains(said), "{options:?} {isolation}:\n{}", finished.stderr);
        let image = Image::from_layout(&build.out().join("layout"));
        for number in 1..expected.layer_count() as isize {
            let (ours, theirs) = (image.layer(number).listing(), expected.layer(number).listing());
            assert_eq!(ours, theirs, "layer {number}, {options:?} {isolation}");
        }
        assert_eq!(image.digest, expected.digest, "{options:?} {isolation}");
    }
}
