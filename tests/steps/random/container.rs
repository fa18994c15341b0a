//! Building in place without a container: in a directory that is the root of a mount namespace, with
//! what an engine mounts there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use yadokari::config::{Isolation, MountConflict, RootfsConfig};
use yadokari::event::{Event, EventSink, Events};
use yadokari::image::ChainId;
use yadokari::rootfs::inplace::Inplace;
use yadokari::rootfs::{Base, Placement};

use super::operations::sequence;
use super::{base, changes, program};
use crate::fixture::busybox;

/// Where this program is in the container: it never moves.
const PROGRAM: &str = "/yadokari/bin/steps";

const ENTER: &str = r#"
cd "$1"
mount --make-rprivate /
mount --bind . .
cd "$1"
mkdir -p proc dev sys etc home/own tmp busybox yadokari/bin
cp "$2" busybox/busybox
touch etc/hosts etc/own home/own/file yadokari/bin/steps
mount --rbind /proc proc
mount --rbind /dev dev
mount --bind /etc/hosts etc/hosts
mount --bind "$3" yadokari/bin/steps
exec chroot . /busybox/busybox env -i PATH=/busybox /yadokari/bin/steps --in-place "$4" "$5"
"#;

/// What each step of a sequence changes in place, as lines.
pub(super) fn changes_in_place(seed: u64, devices: bool) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", ENTER, "sh"]).arg(directory.path()).arg(busybox());
    command.arg(program()).args([seed.to_string(), devices.to_string()]);
    let output = command.output().expect("unshare(1)");
    assert!(output.status.success(), "sequence {seed}: {}", String::from_utf8_lossy(&output.stderr));
    for own in ["etc/own", "home/own/file", "busybox/busybox"] {
        assert!(directory.path().join(own).is_file(), "{own} is not back");
    }
    assert!(!directory.path().join("data").exists(), "the stage is still there");
    serde_json::from_slice(&output.stdout).expect("lines of each step")
}

struct Deaf;

impl EventSink for Deaf {
    fn event(&self, _: Event) {}
}

/// `--in-place SEED DEVICES`, called in such a root: prints what [`changes_in_place`] gives.
pub(crate) fn in_place(arguments: &[String]) {
    let [seed, devices] = arguments else { panic!("a seed, and whether devices are made") };
    let config = RootfsConfig {
        isolation: Isolation::Inplace,
        mount_conflict: MountConflict::Error,
        require_hidden_credentials: false,
        force: true,
        materialize: false,
        work_dir: PathBuf::from("/yadokari/work"),
        home_dir: PathBuf::from("/yadokari"),
    };
    // Not the machine's own root, whoever calls this.
    assert!(Path::new(PROGRAM).is_file(), "this is no root made for it");
    let place = Inplace::open(&config, &[], 2, Events::new(Arc::new(Deaf))).expect("in place");
    let start = Base::Layers { key: ChainId::of(b"base"), unpack: &base };
    let mut tree = place.create(0, start).expect("a stage");
    let steps = sequence(seed.parse().expect("a seed"), devices == "true");
    let all = changes(&mut *tree, &steps, Some(PROGRAM));
    drop(tree);
    place.finish().expect("all is back");
    println!("{}", serde_json::to_string(&all).expect("text"));
}
