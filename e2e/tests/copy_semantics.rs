//! What COPY, ADD and WORKDIR make, as BuildKit makes it, whether or not the stage has a file
//! tree at that point: every row is built from the listings of the base alone, and again after
//! a RUN.

mod archives;
mod owners;
mod patterns;
mod placing;
mod sources;

use std::fmt::Write as _;

use yadokari_e2e::{Build, ForgedImage, ForgedLayer, Place, scratch};

/// One case: what it is about, a script that makes the context, instructions, and the listing
/// of the last instruction's layer.
struct Row(&'static str, &'static str, &'static str, &'static str);

/// Builds every row on a base and reports all that differ.
fn check(base: &str, rows: &[Row]) {
    let mut wrong = String::new();
    let layout = scratch();
    odd_base().write(layout.path());
    for Row(subject, context, instructions, expected) in rows {
        for before in ["", "RUN true\n"] {
            if base == "scratch" && !before.is_empty() {
                continue;
            }
            let build = Build::new(&format!("FROM {base}\n{before}{instructions}\n"))
                .base("odd", layout.path())
                .prepare(context);
            let built = build.run(Place::Overlay);
            let got = match built.finished.code {
                0 => built.image().layer(-1).listing(),
                code => format!("exit code {code}\n{}", built.finished.stderr),
            };
            if got != *expected {
                write!(wrong, "\n{subject}: {before}{instructions}\n--- expected\n{expected}--- got\n{got}")
                    .expect("a string takes it");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The small base with more links in it.
fn odd_base() -> ForgedImage {
    let busybox = std::fs::read(which_busybox()).expect("busybox is readable");
    ForgedImage::of([
        ForgedLayer::new()
            .directory("bin/", 0o755)
            .file("bin/busybox", 0o755, &busybox)
            .symlink("bin/sh", "busybox")
            .symlink("bin/true", "busybox")
            .symlink("dangling", "/gone/target")
            .directory("dir/", 0o711)
            .symlink("dir/link", "/elsewhere")
            .symlink("escape", "../../outside")
            .directory("real/", 0o750)
            .directory("shared/", 0o2775)
            .symlink("relative", "real")
            .symlink("loop-a", "loop-b")
            .symlink("loop-b", "loop-a"),
        ForgedLayer::new()
            .directory("real/", 0o750)
            .directory("real/deep/", 0o700)
            .symlink("chain", "/relative/deep"),
    ])
}

fn which_busybox() -> &'static str {
    "/bin/busybox"
}
