//! A file tree as an image's layers give it, or as another program wrote it to a disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::image::{Entry, Kind, Layer, sha256};

/// One name in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is: `f <sha256>`, `d`, `l <target>`, `p`, `c 1,3`, `b 8,0`.
    pub what: String,
    /// Permission bits with setuid, setgid and sticky; 0777 for symbolic links.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Extended attributes that layers carry: `security.capability`.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The first of the names of the same file, where it has several.
    pub linked: Option<String>,
}

/// Paths without leading slash and what is there; the root itself is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The names.
    pub nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Applies one layer, whiteouts first where they stand.
    pub fn apply(&mut self, layer: &Layer) {
        let mut fresh = Vec::new();
        for entry in &layer.entries {
            let (parent, name) = match entry.path.rsplit_once('/') {
                Some((parent, name)) => (format!("{parent}/"), name),
                None => (String::new(), entry.path.as_str()),
            };
            if name == ".wh..wh..opq" {
                self.nodes.retain(|path, _| !path.starts_with(&parent) || fresh.contains(path));
            } else if let Some(gone) = name.strip_prefix(".wh.") {
                self.remove(&format!("{parent}{gone}"));
            } else if !entry.path.is_empty() {
                self.place(entry);
                fresh.push(entry.path.clone());
            }
        }
    }

    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
    }

    fn place(&mut self, entry: &Entry) {
        let node = if let Kind::HardLink(target) = &entry.kind {
            let target = target.trim_start_matches('/');
            let first = self
                .nodes
                .get_mut(target)
                .unwrap_or_else(|| panic!("{} links to {target}, which is not there", entry.path));
            first.linked.get_or_insert_with(|| target.to_owned());
            first.clone()
        } else {
            Node {
                what: describe(&entry.kind),
                mode: if matches!(entry.kind, Kind::Symlink(_)) { 0o777 } else { entry.mode },
                uid: entry.uid,
                gid: entry.gid,
                xattrs: entry.xattrs.clone(),
                linked: None,
            }
        };
        if entry.kind != Kind::Directory {
            self.remove(&entry.path);
        }
        self.nodes.insert(entry.path.clone(), node);
    }

    /// The tree below a directory of this machine.
    pub fn from_disk(root: &Path) -> Tree {
        let mut tree = Tree::default();
        let mut first_names = BTreeMap::new();
        walk(root, "", &mut tree, &mut first_names);
        tree
    }

    /// What is at a path.
    pub fn node(&self, path: &str) -> &Node {
        self.nodes.get(path).unwrap_or_else(|| panic!("{path} is not in the tree"))
    }

    /// Lines that say where two trees differ; empty where they are equal.
    pub fn differences(&self, other: &Tree) -> String {
        let mut lines = String::new();
        let paths: std::collections::BTreeSet<_> = self.nodes.keys().chain(other.nodes.keys()).collect();
        for path in paths {
            let (ours, theirs) = (self.nodes.get(path), other.nodes.get(path));
            if ours != theirs {
                lines += &format!("{path}:\n  left  {ours:?}\n  right {theirs:?}\n");
            }
        }
        lines
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::File(content) => format!("f {}", sha256(content)),
        Kind::Directory => "d".to_owned(),
        Kind::Symlink(target) => format!("l {target}"),
        Kind::Fifo => "p".to_owned(),
        Kind::Character(major, minor) => format!("c {major},{minor}"),
        Kind::Block(major, minor) => format!("b {major},{minor}"),
        Kind::HardLink(_) => unreachable!("hard links are resolved before"),
    }
}

fn walk(root: &Path, below: &str, tree: &mut Tree, first_names: &mut BTreeMap<u64, String>) {
    let directory = root.join(below);
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("the directory is readable").file_name())
        .collect();
    names.sort();
    for name in names {
        let name = name.to_str().expect("tests use UTF-8 paths");
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let on_disk = root.join(&path);
        let meta = fs::symlink_metadata(&on_disk).expect("the name is there");
        let mut node = Node {
            what: what_on_disk(&on_disk, &meta),
            mode: meta.mode() & 0o7777,
            uid: meta.uid().into(),
            gid: meta.gid().into(),
            xattrs: capability(&on_disk),
            linked: None,
        };
        if meta.nlink() > 1 && !meta.is_dir() {
            let first = first_names.entry(meta.ino()).or_insert_with(|| path.clone()).clone();
            if first != path {
                tree.nodes.get_mut(&first).expect("seen before").linked = Some(first.clone());
                node.linked = Some(first);
            }
        }
        tree.nodes.insert(path.clone(), node);
        if meta.is_dir() {
            walk(root, &path, tree, first_names);
        }
    }
}

fn what_on_disk(path: &Path, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let device = || {
        let number = meta.rdev();
        (rustix::fs::major(number), rustix::fs::minor(number))
    };
    if kind.is_dir() {
        "d".to_owned()
    } else if kind.is_symlink() {
        let target = fs::read_link(path).expect("the link is readable");
        format!("l {}", String::from_utf8_lossy(target.as_os_str().as_bytes()))
    } else if kind.is_fifo() {
        "p".to_owned()
    } else if kind.is_char_device() {
        format!("c {},{}", device().0, device().1)
    } else if kind.is_block_device() {
        format!("b {},{}", device().0, device().1)
    } else {
        format!("f {}", sha256(&fs::read(path).expect("the file is readable")))
    }
}

fn capability(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = "security.capability";
    let mut buffer = [0_u8; 64];
    match rustix::fs::lgetxattr(path, name, &mut buffer) {
        Ok(length) => BTreeMap::from([(name.to_owned(), buffer[..length].to_vec())]),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => BTreeMap::new(),
        Err(error) => panic!("{}: {name}: {error}", path.display()),
    }
}
