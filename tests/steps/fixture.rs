//! A placement, a base with a shell, and running scripts in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use yadokari::event::Stream;
use yadokari::image::ChainId;
use yadokari::layer::{Entry, Kind};
use yadokari::rootfs::chroot::{self, Chroot};
use yadokari::rootfs::overlay::{self, Overlay};
use yadokari::rootfs::{Base, Placement, Rootfs, RootfsError, Unpack};
use yadokari::run::{Cancel, Ended, Process, Root, RunError, User, run};

/// A placement and how it is mounted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Overlay(overlay::Features),
    Chroot(chroot::Features),
}

/// Each placement with both identities it can have and both ways to see processes.
pub(crate) const WAYS: [Way; 5] = [
    Way::Overlay(AS_ROOT),
    Way::Overlay(overlay::Features { user_namespace: false, pid_namespace: false, index: true }),
    Way::Overlay(overlay::Features { user_namespace: true, pid_namespace: false, index: false }),
    Way::Chroot(chroot::Features { user_namespace: false, pid_namespace: true }),
    Way::Chroot(chroot::Features { user_namespace: true, pid_namespace: false }),
];

/// Overlays as they are on a machine.
pub(crate) const AS_ROOT: overlay::Features =
    overlay::Features { user_namespace: false, pid_namespace: true, index: true };

pub(crate) struct Fixture {
    pub(crate) placement: Box<dyn Placement>,
    pub(crate) work: PathBuf,
    _directory: TempDir,
}

pub(crate) struct Output {
    pub(crate) ended: Ended,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Fixture {
    pub(crate) fn new(way: Way) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let work = directory.path().join("work");
        let placement: Box<dyn Placement> = match way {
            Way::Overlay(features) => Box::new(Overlay::open(&work, features).expect("an overlay")),
            Way::Chroot(features) => Box::new(Chroot::open(&work, features, 2).expect("a directory")),
        };
        Fixture { placement, work, _directory: directory }
    }

    pub(crate) fn stage(&self) -> Box<dyn Rootfs> {
        self.stage_of(&unpack)
    }

    pub(crate) fn stage_of(&self, unpack: &Unpack<'_>) -> Box<dyn Rootfs> {
        let base = Base::Layers { key: ChainId::of(b"base"), unpack };
        self.placement.create(0, base).expect("a stage")
    }
}

pub(crate) fn root() -> User {
    User { uid: 0, gid: 0, groups: Vec::new(), home: "/root".to_owned() }
}

pub(crate) fn busybox() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    let found = std::env::split_paths(&path).map(|d| d.join("busybox")).find(|f| f.is_file());
    found.expect("these tests need a static busybox in PATH")
}

pub(crate) fn unpack(target: &Path, known: &mut dyn FnMut(&[u8], u128)) -> Result<(), RootfsError> {
    let mut write = || -> std::io::Result<()> {
        for directory in ["bin", "etc", "dev", "tmp", "data/sub"] {
            fs::create_dir_all(target.join(directory))?;
        }
        fs::set_permissions(target, fs::Permissions::from_mode(0o755))?;
        fs::set_permissions(target.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::copy(busybox(), target.join("bin/busybox"))?;
        for applet in
            ["sh", "cat", "ln", "rm", "mkdir", "mv", "touch", "chmod", "chown", "sleep", "id", "stat"]
        {
            symlink("busybox", target.join("bin").join(applet))?;
        }
        for (path, text) in [
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("data/file", "content\n"),
            ("data/sub/one", "1\n"),
            ("data/sub/two", "2\n"),
            ("data/twin-a", "twin\n"),
        ] {
            fs::write(target.join(path), text)?;
            // Whole seconds, which touch(1) can set again.
            let file = fs::File::options().write(true).open(target.join(path))?;
            file.set_modified(UNIX_EPOCH + Duration::from_secs(1_500_000_000))?;
            known(path.as_bytes(), xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
        }
        fs::hard_link(target.join("data/twin-a"), target.join("data/twin-b"))
    };
    write().map_err(|source| RootfsError::Io { action: "write", path: target.to_path_buf(), source })
}

/// Runs a script as a user in a root.
pub(crate) fn shell(root: &Root, user: &User, script: &str) -> Result<Output, RunError> {
    execute(root, user, &["/bin/busybox", "sh", "-euc", script], "/")
}

pub(crate) fn execute(root: &Root, user: &User, argv: &[&str], cwd: &str) -> Result<Output, RunError> {
    let argv: Vec<String> = argv.iter().map(|a| (*a).to_owned()).collect();
    let env = ["PATH=/bin:/usr/bin".to_owned()];
    let process = Process {
        root,
        argv: &argv,
        env: &env,
        cwd,
        user,
        script: None,
        network: true,
        hostname: None,
        insecure: false,
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut collect = |stream, line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        if stream == Stream::Stdout { stdout.push(line) } else { stderr.push(line) }
    };
    let ended = run(&process, &mut collect, &Cancel::new())?;
    Ok(Output { ended, stdout, stderr })
}

/// Runs a script that must succeed; gives its output and what it changed.
pub(crate) fn step(tree: &mut dyn Rootfs, script: &str) -> (Vec<String>, Vec<Entry>) {
    let place = tree.enter(&[]).expect("enter");
    let output = shell(&place, &root(), script).expect("run");
    assert_eq!(output.ended, Ended::Exited(0), "{script}: {:?} {:?}", output.stdout, output.stderr);
    (output.stdout, tree.changes(&[]).expect("changes"))
}

/// Entries as lines: a letter for the kind, the path, and what it leads to.
pub(crate) fn lines(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let path = String::from_utf8_lossy(&entry.path);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match &entry.kind {
            Kind::Directory => format!("d {path} {:o}", entry.mode),
            Kind::File { size } => format!("f {path} {size}"),
            Kind::Symlink(target) => format!("l {path} -> {}", text(target)),
            Kind::HardLink(target) => format!("h {path} = {}", text(target)),
            Kind::Whiteout => format!("w {path}"),
            Kind::Fifo => format!("p {path}"),
            Kind::CharDevice { major, minor } => format!("c {path} {major}:{minor}"),
            Kind::BlockDevice { major, minor } => format!("b {path} {major}:{minor}"),
        }
    };
    entries.iter().map(line).collect()
}
