//! What changed between two trees, by the definition and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use yadokari::layer::{Entry, Kind, View};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    device: u64,
    time: (i64, i64),
    /// Of a file its content, of a link its target.
    pub(super) content: Vec<u8>,
    capability: Option<Vec<u8>>,
    inode: u64,
    names: u64,
}

pub(super) type Tree = BTreeMap<Vec<u8>, Node>;

pub(super) fn read(root: &Path) -> Tree {
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
                capability: (kind == 'f').then(|| capability(&path)).flatten(),
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

fn capability(path: &Path) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    match rustix::fs::getxattr(path, "security.capability", &mut value) {
        Ok(length) => Some(value[..length].to_vec()),
        Err(rustix::io::Errno::NODATA) => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn differs(before: &Node, after: &Node) -> bool {
    let time = before.kind != 'd' && before.time != after.time;
    let mode = before.kind != 'l' && before.mode != after.mode;
    let rest = |n: &Node| (n.kind, n.owner, n.device, n.capability.clone(), n.content.clone());
    rest(before) != rest(after) || mode || time
}

/// The layer's entries by the definition.
pub(super) fn truth(before: &Tree, after: &Tree) -> Vec<String> {
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
            None if node.kind == 'f' => ('f', brief(&node.content)),
            None => (node.kind, String::new()),
        };
        let mode = if node.kind == 'l' { 0o777 } else { node.mode };
        let capability = node.capability.as_deref().unwrap_or_default();
        lines.insert(path, format!("{kind} {name} {mode:o} {:?} {what} {capability:?}", node.owner));
    }
    lines.extend(gone.into_iter().map(|path| (path, format!("w {}", String::from_utf8_lossy(path)))));
    lines.into_values().collect()
}

/// The directories above a path.
fn above(path: &[u8]) -> Vec<&[u8]> {
    (0..path.len()).filter(|at| path[*at] == b'/').map(|at| &path[..at]).collect()
}

/// A change set in the form of [`truth`].
pub(super) fn told(entries: &[Entry], view: &dyn View) -> Vec<String> {
    let line = |entry: &Entry| {
        let name = String::from_utf8_lossy(&entry.path);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (kind, what) = match &entry.kind {
            Kind::Whiteout => return format!("w {name}"),
            Kind::Directory => ('d', String::new()),
            Kind::File { size } => ('f', brief(&view.read(&entry.path, *size).expect("readable"))),
            Kind::Symlink(target) => ('l', text(target)),
            Kind::HardLink(first) => ('h', text(first)),
            Kind::Fifo => ('p', String::new()),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => ('c', String::new()),
        };
        let capability = entry.xattrs.first().map(|(_, value)| value.as_slice()).unwrap_or_default();
        assert!(entry.xattrs.iter().all(|(name, _)| name == b"security.capability"), "{entry:?}");
        format!("{kind} {name} {:o} {:?} {what} {capability:?}", entry.mode, (entry.uid, entry.gid))
    };
    entries.iter().map(line).collect()
}

/// A content in few characters.
fn brief(content: &[u8]) -> String {
    format!("{} {:x}", content.len(), xxhash_rust::xxh3::xxh3_128(content))
}
