//! Any sequence of file operations gives the change set that the definition gives, in every
//! placement. The truth is found without any of their means: the same script runs by chroot(1) in
//! a plain copy of the base, which is read whole before and after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use yadokari::layer::{Entry, Kind};
use yadokari::rootfs::Rootfs;

use crate::fixture::{Fixture, WAYS, Way, step, unpack};

pub(crate) const TESTS: &[(&str, fn())] =
    &[("random::any_operations_give_the_true_changes", any_operations_give_the_true_changes)];

/// Sequences tried, each of some steps.
const SEQUENCES: u64 = 12;
const STEPS: usize = 3;

/// Paths that operations are about: few, so that they meet.
const PATHS: [&str; 11] = [
    "data/file",
    "data/twin-a",
    "data/twin-b",
    "data/new",
    "data/sub/one",
    "data/sub/two",
    "data/sub/deep/er",
    "data/sub",
    "data/other",
    "data/other/x",
    "top",
];

/// What the operations are made of. Times are given or kept, never those of the run, so that every
/// run of a script does the same. An overlay does not rename directories of its lower layers; mv(1)
/// then copies, which takes hard links apart and gives links and pipes new times: no such ones are moved.
const FUNCTIONS: &str = r#"
set +eu
at() { touch -h -d "@$1" "$2"; }
plain() { [ -f "$1" ] && [ ! -L "$1" ]; }
write() { [ -p "$1" ] || [ -c "$1" ] || { echo "$2" > "$1" && at $3 "$1"; }; }
append() { plain "$1" && echo more >> "$1" && at $2 "$1"; }
rewrite() { plain "$1" && touch -r "$1" /tmp/r && busybox tr 'a-y' 'b-z' < "$1" > /tmp/c && cat /tmp/c > "$1"; touch -r /tmp/r "$1"; rm -f /tmp/r /tmp/c; }
same() { plain "$1" && touch -r "$1" /tmp/r && cat "$1" > /tmp/c && cat /tmp/c > "$1"; touch -c -r /tmp/r "$1"; rm -f /tmp/r /tmp/c; }
split() { plain "$1" && busybox cp -p "$1" /tmp/c && mv -f /tmp/c "$1"; }
odd() { busybox find "$1" ! -type d ! -type f -o -type f -links +1; }
move() { [ ! -d "$1" ] || [ -L "$1" ] || [ -z "$(odd "$1")" ] && mv "$1" "$2"; }
copy() { [ -z "$(busybox find "$1" -type p)" ] && [ ! -p "$2" ] && busybox cp -a "$1" "$2"; }
away() { [ -e "$1" ] && move "$1" /tmp/away && move /tmp/away "$1"; }
open() { plain "$1" && true 3<>"$1"; }
tofile() { rm -rf "$1"; echo "$2" > "$1" && at $3 "$1"; }
todir() { rm -rf "$1"; mkdir "$1"; }
link() { ln -sfn "$2" "$1" && at $3 "$1"; }
pipe() { busybox mkfifo "$1" && at $2 "$1"; }
device() { busybox mknod "$1" c 1 $2 && at $3 "$1"; }
nochange() { [ -L "$1" ] || { [ -e "$1" ] && chmod $(stat -c %a "$1") "$1" && chown $(stat -c %u:%g "$1") "$1"; }; }
"#;

/// Numbers without end from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.below(PATHS.len())]
    }
}

/// A random operation in the shell.
fn operation(numbers: &mut Numbers, devices: bool) -> String {
    let (path, other, word) = (numbers.path(), numbers.path(), numbers.below(1000));
    let time = 1_000_000_000 + numbers.below(4);
    match numbers.below(26) {
        0..3 => format!("write {path} w{word} {time}"),
        3 => format!("append {path} {time}"),
        4 => format!("rewrite {path}"),
        5 => format!("same {path}"),
        6 => format!("split {path}"),
        7 => format!("away {path}"),
        8 => format!("open {path}"),
        9 => format!("tofile {path} w{word} {time}"),
        10 => format!("todir {path}"),
        11 => format!("link {path} target{} {time}", word % 3),
        12 => format!("pipe {path} {time}"),
        13 if devices => format!("device {path} {} {time}", 3 + word % 2 * 2),
        13 | 14 => format!("rewrite {path}; write {other} w{word} {time}"),
        15 => format!("nochange {path}"),
        16 => format!("mkdir -p {path}"),
        17 => format!("chmod {} {path}", ["600", "644", "755", "4755", "1777"][word % 5]),
        18 => format!("chown -h {}:{} {path}", word % 3, word % 2),
        19 => format!("move {path} {other}"),
        20 => format!("ln {path} {other}"),
        21 => format!("ln -f {path} {other}"),
        22 => format!("rm -f {path}"),
        23 => format!("rm -rf {path}"),
        24 => format!("touch -c -h -d @{time} {path}"),
        _ if other.starts_with(path) => format!("move {path} top"),
        _ => format!("copy {path} {other}"),
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    device: u64,
    time: (i64, i64),
    /// Of a file its content, of a link its target.
    content: Vec<u8>,
    inode: u64,
    names: u64,
}

type Tree = BTreeMap<Vec<u8>, Node>;

fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("an entry").path();
            let meta = fs::symlink_metadata(&path).expect("there");
            let kind = meta.file_type();
            let (kind, content) = match kind {
                k if k.is_dir() => ('d', Vec::new()),
                k if k.is_file() => ('f', fs::read(&path).expect("readable")),
                k if k.is_symlink() => {
                    ('l', fs::read_link(&path).expect("a link").into_os_string().into_vec())
                }
                k if k.is_fifo() => ('p', Vec::new()),
                _ => ('c', Vec::new()),
            };
            if kind == 'd' {
                left.push(path.clone());
            }
            let node = Node {
                kind,
                mode: meta.mode() & 0o7777,
                owner: (meta.uid(), meta.gid()),
                device: meta.rdev(),
                time: (meta.mtime(), meta.mtime_nsec()),
                content,
                inode: meta.ino(),
                names: meta.nlink(),
            };
            let name = path.strip_prefix(root).expect("below the root");
            tree.insert(name.as_os_str().as_bytes().to_vec(), node);
        }
    }
    tree
}

fn differs(before: &Node, after: &Node) -> bool {
    let time = before.kind != 'd' && before.time != after.time;
    let mode = before.kind != 'l' && before.mode != after.mode;
    let rest = |n: &Node| (n.kind, n.owner, n.device);
    rest(before) != rest(after) || mode || time || before.content != after.content
}

/// The layer's entries by the definition.
fn truth(before: &Tree, after: &Tree) -> Vec<String> {
    let mut changed: BTreeSet<&[u8]> = BTreeSet::new();
    for (path, node) in after {
        if before.get(path).is_none_or(|b| differs(b, node)) {
            changed.insert(path);
        }
    }
    // Names of one inode: all of them if one is changed, or if they were not all of one before.
    let mut groups: HashMap<u64, Vec<&[u8]>> = HashMap::new();
    for (path, node) in after.iter().filter(|(_, n)| n.kind != 'd' && n.names > 1) {
        groups.entry(node.inode).or_default().push(path);
    }
    let mut first = HashMap::new();
    for members in groups.values() {
        let inodes: BTreeSet<_> = members.iter().map(|m| before.get(*m).map(|n| n.inode)).collect();
        let apart = inodes.len() > 1 || inodes.contains(&None);
        if apart || members.iter().any(|m| changed.contains(m)) {
            changed.extend(members);
        }
        first.extend(members.iter().map(|m| (*m, members[0])));
    }
    let is_directory = |path: &[u8]| after.get(path).is_some_and(|n| n.kind == 'd');
    let gone = before.keys().filter(|p| !after.contains_key(*p)).map(Vec::as_slice);
    let gone: BTreeSet<&[u8]> = gone.filter(|p| above(p).into_iter().all(is_directory)).collect();
    let mut shown = changed.clone();
    for path in changed.iter().chain(&gone) {
        shown.extend(above(path));
    }
    let mut lines: BTreeMap<&[u8], String> = BTreeMap::new();
    for path in shown {
        let node = &after[path];
        let name = String::from_utf8_lossy(path);
        let (kind, what) = match first.get(path).filter(|first| **first != path) {
            Some(first) => ('h', String::from_utf8_lossy(first).into_owned()),
            None if node.kind == 'l' => ('l', String::from_utf8_lossy(&node.content).into_owned()),
            None if node.kind == 'f' => ('f', node.content.len().to_string()),
            None => (node.kind, String::new()),
        };
        let mode = if node.kind == 'l' { 0o777 } else { node.mode };
        lines.insert(path, format!("{kind} {name} {mode:o} {:?} {what}", node.owner));
    }
    lines.extend(gone.into_iter().map(|path| (path, format!("w {}", String::from_utf8_lossy(path)))));
    lines.into_values().collect()
}

/// The directories above a path.
fn above(path: &[u8]) -> Vec<&[u8]> {
    (0..path.len()).filter(|at| path[*at] == b'/').map(|at| &path[..at]).collect()
}

/// A change set in the form of [`truth`].
fn told(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let name = String::from_utf8_lossy(&entry.path);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (kind, what) = match &entry.kind {
            Kind::Whiteout => return format!("w {name}"),
            Kind::Directory => ('d', String::new()),
            Kind::File { size } => ('f', size.to_string()),
            Kind::Symlink(target) => ('l', text(target)),
            Kind::HardLink(first) => ('h', text(first)),
            Kind::Fifo => ('p', String::new()),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => ('c', String::new()),
        };
        format!("{kind} {name} {:o} {:?} {what}", entry.mode, (entry.uid, entry.gid))
    };
    entries.iter().map(line).collect()
}

/// The base in a plain directory, and the trees after each script.
fn run_plainly(scripts: &[String]) -> Vec<Tree> {
    let directory = tempfile::tempdir().expect("a directory");
    unpack(directory.path(), &mut |_, _| ()).expect("the base");
    let mut trees = vec![read(directory.path())];
    for script in scripts {
        let mut command = Command::new("chroot");
        command.arg(directory.path()).args(["/bin/busybox", "sh", "-euc", script]);
        let output =
            command.env_clear().env("PATH", "/bin:/usr/bin:/usr/sbin:/sbin").output().expect("chroot(1)");
        assert!(output.status.success(), "{script}: {output:?}");
        trees.push(read(directory.path()));
    }
    trees
}

fn uses_user_namespace(way: Way) -> bool {
    match way {
        Way::Overlay(features) => features.user_namespace,
        Way::Chroot(features) => features.user_namespace,
    }
}

fn check(way: Way, tree: &mut dyn Rootfs, scripts: &[String], truths: &[Tree], seed: u64) {
    for (at, script) in scripts.iter().enumerate() {
        let (_, changes) = step(tree, script);
        let done = script.strip_prefix(FUNCTIONS).expect("the operations");
        let why = || format!("sequence {seed}, step {at} in {way:?}:\n{done}");
        let expected = truth(&truths[at], &truths[at + 1]);
        assert_eq!(told(&changes), expected, "{}", why());
        let mut hashes = Vec::new();
        for entry in changes.iter().filter(|e| matches!(e.kind, Kind::File { .. })) {
            let content = tree.view().read(&entry.path, 10_000).expect("readable");
            assert_eq!(content, truths[at + 1][&entry.path].content, "{}", why());
            hashes.push((entry.path.clone(), xxhash_rust::xxh3::xxh3_128(&content)));
        }
        // As after packing them into a layer.
        tree.packed(&hashes);
    }
}

fn any_operations_give_the_true_changes() {
    // A longer search: RANDOM_SEQUENCES=500.
    let wanted = std::env::var("RANDOM_SEQUENCES").ok().and_then(|n| n.parse().ok());
    for seed in 1..=wanted.unwrap_or(SEQUENCES) {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Devices can be made outside of user namespaces only.
        let devices = seed % 3 == 0;
        let mut script = || {
            let operations: Vec<String> = (0..12).map(|_| operation(&mut numbers, devices)).collect();
            format!("{FUNCTIONS}{}\ntrue", operations.join("\n"))
        };
        let scripts: Vec<String> = (0..STEPS).map(|_| script()).collect();
        let truths = run_plainly(&scripts);
        for way in WAYS.into_iter().filter(|way| !devices || !uses_user_namespace(*way)) {
            let fixture = Fixture::new(way);
            check(way, &mut *fixture.stage(), &scripts, &truths, seed);
            fixture.placement.finish().expect("finish");
        }
    }
}
