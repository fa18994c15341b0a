//! Builds in place, with a temporary directory for the container's root.

mod immovable;
mod kills;
mod stages;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::mpsc;

use super::directory::fuse;
use super::*;
use crate::config::Isolation;
use crate::event::{Event, EventSink};
use crate::image::ChainId;
use crate::layer::{Content, Entry, Kind, Timestamp};

use crate::run::mountinfo::Mount;

/// A container: its root directory, what is mounted in it, and what it said.
struct Container {
    directory: tempfile::TempDir,
    mounts: Vec<Mount>,
    unmovable: Vec<&'static str>,
    conflict: MountConflict,
    require_hidden: bool,
    heard: mpsc::Receiver<String>,
    events: Events,
}

struct Ear(mpsc::Sender<String>);

impl EventSink for Ear {
    fn event(&self, event: Event) {
        if let Event::Warning(text) | Event::Info(text) = event {
            self.0.send(text).expect("the test listens");
        }
    }
}

impl Container {
    fn new(files: &[&str]) -> Container {
        let (sender, heard) = mpsc::channel();
        let container = Container {
            // In memory where possible: the journal waits for the disk.
            directory: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .expect("a temporary directory"),
            mounts: Vec::new(),
            unmovable: Vec::new(),
            conflict: MountConflict::Swap,
            require_hidden: false,
            heard,
            events: Events::new(Arc::new(Ear(sender))),
        };
        fs::create_dir(container.path("yadokari")).expect("a home");
        write_all(container.directory.path(), files, "own");
        container
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn mount(mut self, path: &str, read_only: bool) -> Container {
        self.mounts.push(Mount { path: path.into(), read_only, kind: "ext4".to_owned() });
        self
    }

    fn site(&self) -> Site {
        Site {
            root: self.directory.path().to_owned(),
            home: self.path("yadokari"),
            mounts: self.mounts.clone(),
            unmovable: self.unmovable.iter().map(|p| p.as_bytes().to_vec()).collect(),
        }
    }

    fn try_open(&self, credentials: &[PathBuf]) -> Result<Inplace, RootfsError> {
        let config = RootfsConfig {
            isolation: Isolation::Inplace,
            mount_conflict: self.conflict,
            require_hidden_credentials: self.require_hidden,
            force: true,
            materialize: false,
            work_dir: self.path("yadokari/work"),
            home_dir: self.path("yadokari"),
        };
        Inplace::open_at(self.site(), &config, credentials, 2, self.events.clone())
    }

    fn open(&self) -> Inplace {
        self.try_open(&[]).expect("building in place works in a temporary directory")
    }

    /// Everything in the container but our own directory.
    fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        snapshot(self.directory.path(), "", &mut found);
        found.retain(|path, _| !path.starts_with("yadokari"));
        found
    }

    fn heard(&self) -> Vec<String> {
        self.heard.try_iter().collect()
    }
}

fn write_all(root: &Path, files: &[&str], content: &str) {
    for file in files {
        let path = root.join(file);
        if let Some(directory) = file.strip_suffix('/') {
            fs::create_dir_all(root.join(directory)).expect("a directory");
            continue;
        }
        fs::create_dir_all(path.parent().expect("a parent")).expect("parents");
        fs::write(path, content).expect("a file");
    }
}

fn snapshot(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    let own = fs::symlink_metadata(directory).expect("metadata");
    let look = |m: &fs::Metadata| format!("{:o} {}.{}", m.mode(), m.mtime(), m.mtime_nsec());
    found.insert(prefix.to_owned(), look(&own));
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("text");
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let metadata = entry.metadata().expect("metadata");
        if metadata.is_dir() {
            snapshot(&entry.path(), &path, found);
        } else if metadata.is_file() {
            let content = fs::read_to_string(entry.path()).expect("text");
            found.insert(path, format!("{} {content}", look(&metadata)));
        } else {
            let target = fs::read_link(entry.path()).expect("a link");
            found.insert(path, format!("{} > {}", look(&metadata), target.display()));
        }
    }
}

/// A tree with these files; `a>b` is a link.
fn create(
    place: &Inplace,
    stage: usize,
    files: &'static [&'static str],
) -> Result<Box<dyn Rootfs>, RootfsError> {
    let unpack = |target: &Path, observer: &mut dyn FnMut(&[u8], u128)| {
        for file in files {
            if let Some((path, to)) = file.split_once('>') {
                symlink(to, target.join(path)).expect("a link");
                continue;
            }
            write_all(target, &[file], "image");
            observer(file.as_bytes(), xxhash_rust::xxh3::xxh3_128(b"image"));
        }
        Ok(())
    };
    place.create(stage, Base::Layers { key: ChainId::of(b""), unpack: &unpack })
}

fn image(place: &Inplace, stage: usize, files: &'static [&'static str]) -> Box<dyn Rootfs> {
    create(place, stage, files).expect("a tree")
}

/// `path` for a file or link, `path/` for a directory, `-path` for a whiteout.
fn listed(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        match entry.kind {
            Kind::Directory => format!("{path}/"),
            Kind::Whiteout => format!("-{path}"),
            _ => path,
        }
    };
    entries.iter().map(text).collect()
}

fn step(tree: &mut dyn Rootfs, what: impl FnOnce()) -> Vec<String> {
    tree.enter(&[]).expect("entered");
    what();
    listed(&tree.changes(&[]).expect("changes"))
}

fn entry(path: &str, kind: Kind, content: &str) -> Entry {
    let content = match kind {
        Kind::File { .. } => Content::Bytes(content.as_bytes().into()),
        _ => Content::None,
    };
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let mtime = Timestamp { seconds: 7, nanoseconds: 0 };
    Entry { path: path.into(), kind, mode, uid, gid, mtime, xattrs: Vec::new(), content }
}

fn file(path: &str) -> Entry {
    entry(path, Kind::File { size: 6 }, "copied")
}

fn directory(path: &str) -> Entry {
    entry(path, Kind::Directory, "")
}

const OWN: [&str; 6] = ["etc/passwd", "usr/bin/tool", "root/.profile", ".dockerenv", "proc/1", "busybox/sh"];
