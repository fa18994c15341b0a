//! Any sequence of file operations gives the change set that the definition gives, in every
//! placement. The truth is found without any of their means: the same script runs by chroot(1) in
//! a plain copy of the base, which is read whole before and after.

mod container;
mod operations;
mod truth;

use std::path::{Path, PathBuf};
use std::process::Command;

use yadokari::layer::Kind;
use yadokari::rootfs::Rootfs;
use yadokari::run::{Ended, Fate, Mount, MountSource};

use crate::fixture::{Fixture, WAYS, Way, root, shell, unpack};
use operations::{script, sequence};
use truth::{Tree, read, told, truth};

pub(crate) use container::in_place;
pub(crate) use operations::attribute;

pub(crate) const TESTS: &[(&str, fn())] =
    &[("random::any_operations_give_the_true_changes", any_operations_give_the_true_changes)];

/// Sequences tried, each of some steps.
const SEQUENCES: u64 = 12;
/// Where scripts find this program, which sets attributes: mounted on an empty file of the base.
const TOOL: &str = "bin/attribute";

fn program() -> PathBuf {
    std::env::current_exe().expect("this program")
}

/// The base in a plain directory, and the trees after each step.
fn run_plainly(steps: &[String]) -> Vec<Tree> {
    let directory = tempfile::tempdir().expect("a directory");
    base(directory.path(), &mut |_, _| ()).expect("the base");
    let mut trees = vec![read(directory.path())];
    for operations in steps {
        let whole = script(operations, &format!("/{TOOL}"));
        let enter =
            format!("mount --bind \"$1\" \"$2/{TOOL}\"; exec chroot \"$2\" /bin/busybox sh -euc \"$3\"");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-euc", &enter, "sh"])
            .arg(program())
            .arg(directory.path())
            .arg(&whole);
        let output = command.output().expect("unshare(1)");
        assert!(output.status.success(), "{operations}: {output:?}");
        trees.push(read(directory.path()));
    }
    trees
}

/// The base of all tests, and a file to mount this program on.
fn base(target: &Path, known: &mut dyn FnMut(&[u8], u128)) -> Result<(), yadokari::rootfs::RootfsError> {
    unpack(target, known)?;
    std::fs::write(target.join(TOOL), "").expect("written");
    Ok(())
}

fn uses_user_namespace(way: Way) -> bool {
    match way {
        Way::Overlay(features) => features.user_namespace,
        Way::Chroot(features) => features.user_namespace,
    }
}

/// What each step of a sequence changes in a tree, as lines.
fn changes(tree: &mut dyn Rootfs, steps: &[String], tool: Option<&str>) -> Vec<Vec<String>> {
    let mount =
        Mount { target: TOOL.into(), source: MountSource::File(program(), Fate::Kept), read_only: true };
    let mounts = if tool.is_some() { Vec::new() } else { vec![mount] };
    let inside = format!("/{TOOL}");
    let mut all = Vec::new();
    for operations in steps {
        let place = tree.enter(&mounts).expect("enter");
        let whole = script(operations, tool.unwrap_or(&inside));
        let output = shell(&place, &root(), &whole).expect("run");
        assert_eq!(output.ended, Ended::Exited(0), "{operations}: {:?}", output.stderr);
        tree.unmount().expect("unmount");
        let entries = tree.changes(&[]).expect("changes");
        let files = entries.iter().filter(|e| matches!(e.kind, Kind::File { .. }));
        let hash =
            |path: &[u8]| xxhash_rust::xxh3::xxh3_128(&tree.view().read(path, 10_000).expect("readable"));
        let hashes: Vec<_> = files.map(|e| (e.path.clone(), hash(&e.path))).collect();
        all.push(told(&entries, tree.view()));
        // As after packing them into a layer.
        tree.packed(&hashes);
    }
    all
}

fn any_operations_give_the_true_changes() {
    // A longer search: RANDOM_SEQUENCES=500.
    let wanted = std::env::var("RANDOM_SEQUENCES").ok().and_then(|n| n.parse().ok());
    for seed in 1..=wanted.unwrap_or(SEQUENCES) {
        // Devices can be made outside of user namespaces only.
        let devices = seed % 3 == 0;
        let steps = sequence(seed, devices);
        let truths = run_plainly(&steps);
        let expected: Vec<_> = truths.windows(2).map(|pair| truth(&pair[0], &pair[1])).collect();
        let agree = |way: &dyn std::fmt::Debug, found: Vec<Vec<String>>| {
            assert_eq!(found.len(), expected.len(), "sequence {seed} in {way:?}");
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(found, expected, "sequence {seed}, step {at} in {way:?}:\n{}", steps[at]);
            }
        };
        for way in WAYS.into_iter().filter(|way| !devices || !uses_user_namespace(*way)) {
            let fixture = Fixture::new(way);
            agree(&way, changes(&mut *fixture.stage_of(&base), &steps, None));
            fixture.placement.finish().expect("finish");
        }
        agree(&"the container's own root", container::changes_in_place(seed, devices));
    }
}
