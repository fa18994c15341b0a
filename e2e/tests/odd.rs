//! A build that a remapped user namespace makes hard, and what must come of it everywhere.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use tar::EntryType;
use tempfile::TempDir;
use yadokari_e2e::{
    Build, Compress, Finished, ForgedImage, ForgedLayer, Image, Place, program, run, run_ok, scratch,
};

/// An image with what a remapped user namespace does not allow: a device, and an id beyond its own.
pub(crate) fn odd() -> TempDir {
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

/// Owners, times, hard links and devices, from stage to stage.
pub(crate) fn build_of(odd: &TempDir) -> Build {
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
}

/// What it is where everything is allowed.
pub(crate) fn expected(odd: &TempDir) -> Image {
    build_of(odd).flag("--isolation=overlay").run(Place::MayMount).image()
}

/// Compares what a build left with what is expected.
pub(crate) fn is_the_same(build: &Build, expected: &Image, which: &str) {
    let image = Image::from_layout(&build.out().join("layout"));
    for number in 1..expected.layer_count() as isize {
        let (ours, theirs) = (image.layer(number).listing(), expected.layer(number).listing());
        assert_eq!(ours, theirs, "layer {number}, {which}");
    }
    assert_eq!(image.digest, expected.digest, "{which}");
}

/// Runs the build in a container of an engine, with these options of `run`.
pub(crate) fn run_in(
    mut engine: Command,
    build: &Build,
    odd: &TempDir,
    options: &[&str],
    isolation: &str,
) -> Finished {
    for path in [build.context(), build.out()] {
        run_ok(Command::new("chmod").args(["-R", "a+rwX"]).arg(path));
    }
    run_ok(Command::new("chmod").arg("0755").arg(build.out().parent().expect("a parent")));
    engine.args(["run", "--rm", "--network=none", "--env=SOURCE_DATE_EPOCH=1700000000"]).args(options);
    for (from, to) in [
        (program(), "/yadokari/bin/yadokari:ro"),
        (build.context(), "/workspace"),
        (build.out(), "/out"),
        (odd.path().to_owned(), "/bases/odd:ro"),
    ] {
        engine.arg(format!("--volume={}:{to}", from.display()));
    }
    engine.args(["--entrypoint=/yadokari/bin/yadokari", "yadokari-e2e:tiny"]);
    run(engine.args(build.arguments(Place::InPlace)).arg(format!("--isolation={isolation}")))
}
