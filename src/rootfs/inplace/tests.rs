//! Builds in place, with a temporary directory for the container's root.

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

use super::mounts::Mount;

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

#[test]
fn a_stage_takes_the_place_of_the_container_and_goes_again() {
    let container = Container::new(&OWN);
    symlink("usr/bin", container.path("bin")).expect("a link");
    fs::set_permissions(container.path("root"), fs::Permissions::from_mode(0o700)).expect("a mode");
    let before = container.snapshot();
    let place = container.open();
    let mut tree = image(&place, 0, &["etc/passwd", "usr/lib/x", "lib>usr/lib", "proc/device"]);
    assert_eq!(container.snapshot(), before, "nothing moves before the first step");
    let changed = step(&mut *tree, || {
        let there = |path: &str| container.path(path).exists();
        assert!(there("usr/lib/x") && there("lib/x") && there("busybox/sh") && there("proc/1"));
        assert!(!there("usr/bin") && !there("bin") && !there(".dockerenv") && !there("root"));
        assert_eq!(fs::read_to_string(container.path("etc/passwd")).expect("text"), "image");
        write_all(container.directory.path(), &["new/deep/file", "etc/added", "proc/2"], "step");
        fs::remove_dir_all(container.path("usr")).expect("removed");
    });
    assert_eq!(changed, ["etc/", "etc/added", "new/", "new/deep/", "new/deep/file", "-usr"]);
    fs::remove_file(container.path("proc/2")).expect("not ours to clear");
    write_all(container.directory.path(), &["proc/1"], "own");
    place.finish().expect("all is back");
    let mut after = container.snapshot();
    for (path, look) in &before {
        if path.starts_with("proc") {
            after.insert(path.clone(), look.clone());
        }
    }
    assert_eq!(after, before);
    place.finish().expect("nothing to do");
    let left: Vec<_> =
        fs::read_dir(container.path("yadokari")).expect("home").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn stages_take_turns_and_keep_their_changes() {
    let container = Container::new(&OWN);
    let before = container.snapshot();
    let place = container.open();
    let (mut one, mut two) = (image(&place, 0, &["etc/one", "a"]), image(&place, 1, &["etc/two", "a"]));
    let root = container.directory.path();
    assert_eq!(step(&mut *one, || write_all(root, &["etc/first"], "1")), ["etc/", "etc/first"]);
    let names = one.view().names(b"etc").expect("names");
    assert_eq!(names, [b"first".to_vec(), b"one".to_vec()]);
    assert_eq!(step(&mut *two, || fs::remove_file(root.join("a")).expect("removed")), ["-a"]);
    assert_eq!(one.view().names(b"etc").expect("names"), names, "the same while idle");
    assert_eq!(one.view().read(b"etc/first", 9).expect("text"), b"1");
    assert!(one.view().node(b"a").expect("looked").is_some());
    assert!(two.view().node(b"a").expect("looked").is_none());
    one.apply(&[directory("etc"), file("etc/copied")]).expect("written while idle");
    one.packed(&[(b"etc/copied".to_vec(), xxhash_rust::xxh3::xxh3_128(b"copied"))]);
    let changed = step(&mut *one, || {
        write_all(root, &["etc/second"], "2");
        let owner = fs::metadata(root.join("etc/copied")).expect("metadata").uid();
        std::os::unix::fs::chown(root.join("etc/copied"), Some(owner), None).expect("chown");
    });
    assert_eq!(changed, ["etc/", "etc/second"], "neither the rename nor the copy is a change");
    assert_eq!(container.heard(), [""; 0], "nobody disturbed anybody");
    drop((one, two));
    drop(place);
    assert_eq!(container.snapshot(), before, "dropping puts back");
}

#[test]
fn what_copy_writes_between_steps_is_no_change_of_a_step() {
    let container = Container::new(&OWN);
    let place = container.open();
    let mut tree = place.create(0, Base::Scratch).expect("an empty tree");
    tree.apply(&[directory("app"), file("app/main")]).expect("written");
    assert_eq!(step(&mut *tree, || ()), [""; 0]);
    tree.apply(&[directory("app"), directory("app/sub"), file("app/sub/x")]).expect("written");
    let root = container.directory.path();
    assert_eq!(step(&mut *tree, || write_all(root, &["app/sub/y"], "")), ["app/", "app/sub/", "app/sub/y"]);
    assert_eq!(tree.view().names(b"").expect("names"), [b"app".to_vec()]);
    tree.enter(&[]).expect("entered");
    write_all(root, &["cache/x", "kept", "cached"], "");
    assert_eq!(listed(&tree.changes(&[b"cache".to_vec()]).expect("changes")), ["cached", "kept"]);
    assert_eq!(step(&mut *tree, || ()), [""; 0], "what is ignored stays ignored");
}

#[test]
fn a_directory_that_cannot_be_renamed_lends_itself() {
    let mut container =
        Container::new(&["etc/passwd", "etc/hosts", "etc/apt/list", "usr/x"]).mount("etc/hosts", false);
    container.unmovable = vec!["etc", "etc/apt"];
    fs::set_permissions(container.path("etc"), fs::Permissions::from_mode(0o711)).expect("a mode");
    let before = container.snapshot();
    let place = container.open();
    let mut with = image(&place, 0, &["etc/passwd", "etc/hosts", "etc/apt/other"]);
    let mut without = image(&place, 1, &["bin/sh"]);
    let changed = step(&mut *with, || {
        assert_eq!(fs::read_to_string(container.path("etc/passwd")).expect("text"), "image");
        assert_eq!(fs::read_to_string(container.path("etc/hosts")).expect("text"), "own", "mounted");
        assert!(container.path("etc/apt/other").exists() && !container.path("etc/apt/list").exists());
        let mode = fs::metadata(container.path("etc")).expect("metadata").mode();
        assert_eq!(mode & 0o777, 0o755, "the image's");
        fs::remove_file(container.path("etc/apt/other")).expect("removed");
    });
    assert_eq!(changed, ["etc/", "etc/apt/", "-etc/apt/other"]);
    assert_eq!(with.view().read(b"etc/hosts", 99).expect("text"), b"image", "the image's, wherever it is");
    let changed = step(&mut *without, || {
        assert_eq!(fs::read_dir(container.path("etc")).expect("etc").count(), 1, "only the mounted file");
    });
    assert_eq!(changed, [""; 0], "a directory of the container is no part of an image without it");
    assert_eq!(without.view().names(b"").expect("names"), [b"bin".to_vec()]);
    assert!(without.view().node(b"etc").expect("looked").is_none());
    let changed = step(&mut *without, || write_all(container.directory.path(), &["etc/made"], ""));
    assert_eq!(changed, ["etc/", "etc/made"]);
    assert_eq!(step(&mut *with, || ()), [""; 0]);
    assert_eq!(without.view().names(b"etc").expect("names"), [b"made".to_vec()]);
    place.finish().expect("all is back");
    assert_eq!(container.snapshot(), before);
}

#[test]
fn a_directory_that_can_be_removed_once_empty_is_no_obstacle() {
    let mut container = Container::new(&["usr/bin/tool", "usr/lib/x", "bin/own"]);
    container.unmovable = vec!["usr", "usr/bin", "bin"];
    fs::set_permissions(container.path("usr/bin"), fs::Permissions::from_mode(0o711)).expect("a mode");
    let before = container.snapshot();
    let place = container.open();
    let mut tree = image(&place, 0, &["bin>usr/bin", "usr/bin/sh"]);
    assert_eq!(step(&mut *tree, || assert!(container.path("bin/sh").exists())), [""; 0]);
    assert_eq!(place.locate(&container.path("usr/bin/tool")), container.path("yadokari/own/usr/bin/tool"));
    place.finish().expect("all is back");
    assert_eq!(container.snapshot(), before);
}

#[test]
fn what_cannot_be_placed_is_refused_by_name() {
    let refusal = |container: &Container, files: &'static [&'static str]| {
        let before = container.snapshot();
        let place = container.open();
        let outcome = create(&place, 0, files).and_then(|mut tree| tree.enter(&[]).map(|_| ()));
        let text = outcome.expect_err("refused").to_string();
        place.finish().expect("all is back");
        assert_eq!(container.snapshot(), before);
        text
    };
    let mut container = Container::new(&[&OWN[..], &["etc/hosts"]].concat());
    container.unmovable = vec!["etc"];
    container = container.mount("etc/hosts", false);
    let text = refusal(&container, &["etc>usr/etc"]);
    assert!(text.contains("a symbolic link at /etc"), "{text}");
    let text = refusal(&container, &["busybox/sh"]);
    assert!(text.contains("/busybox"), "{text}");
    let text = refusal(&container, &["yadokari/x"]);
    assert!(text.contains("/yadokari"), "{text}");
    let volume = Container::new(&["work/x"]).mount("work", true);
    let text = refusal(&volume, &["work/y"]);
    assert!(text.contains("/work") && text.contains("read-only"), "{text}");
    let mut volume = Container::new(&["work/x"]).mount("work", false);
    volume.conflict = MountConflict::Error;
    let text = refusal(&volume, &["work/y"]);
    assert!(text.contains("/work"), "{text}");
    let text = refusal(&volume, &["work"]);
    assert!(text.contains("a file at /work"), "{text}");
    let place = container.open();
    let mut tree = image(&place, 0, &["a"]);
    let error = tree.apply(&[directory("busybox"), file("busybox/x")]).expect_err("refused");
    assert!(error.to_string().contains("/busybox"), "{error}");
}

#[test]
fn a_volume_at_a_path_of_the_image() {
    let container = Container::new(&["work/Dockerfile", "work/src/main", "other/x", "cache/y", "etc/z"])
        .mount("work", false)
        .mount("cache", false)
        .mount("other", true);
    let before = container.snapshot();
    let place = container.open();
    let context = container.path("work/src");
    assert_eq!(place.locate(&context), context);
    let mut tree = image(&place, 0, &["work/app/bin", "etc/image"]);
    let mut plain = image(&place, 1, &["etc/image"]);
    let root = container.directory.path();
    let changed = step(&mut *tree, || {
        let names: Vec<_> =
            fs::read_dir(root.join("work")).expect("work").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names.len(), 2, "app and our own directory: {names:?}");
        write_all(root, &["work/app/made", "cache/new"], "step");
    });
    assert_eq!(changed, ["work/", "work/app/", "work/app/made"]);
    assert_eq!(fs::read_to_string(place.locate(&context).join("main")).expect("the context"), "own");
    assert_eq!(fs::read_to_string(place.locate(&container.path("etc/z"))).expect("a file"), "own");
    let heard = container.heard();
    assert!(heard.iter().any(|t| t.contains("/cache") && !t.contains("/other")), "{heard:?}");
    assert_eq!(step(&mut *plain, || assert!(!root.join("work/app").exists())), [""; 0]);
    assert!(plain.view().node(b"work").expect("looked").is_none());
    assert_eq!(tree.view().names(b"").expect("names"), [b"etc".to_vec(), b"work".to_vec()]);
    assert_eq!(tree.view().read(b"work/app/made", 9).expect("text"), b"step", "idle, on the volume");
    tree.apply(&[directory("work"), file("work/copied")]).expect("written, idle, on the volume");
    plain.apply(&[directory("work"), file("work/copied")]).expect("written in place");
    let changed = step(&mut *plain, || write_all(root, &["work/made"], "step"));
    assert_eq!(changed, ["work/", "work/made"]);
    assert_eq!(step(&mut *tree, || assert!(root.join("work/copied").exists())), [""; 0]);
    assert_eq!(fs::read_to_string(place.locate(&context).join("main")).expect("the context"), "own");
    fs::remove_file(root.join("cache/new")).expect("the step's own");
    place.finish().expect("all is back");
    let (mut before, mut after) = (before, container.snapshot());
    before.remove("cache");
    after.remove("cache");
    assert_eq!(after, before);
}

#[test]
fn a_workdir_on_a_volume_is_known_once_it_is_copied_to() {
    let container = Container::new(&["work/Dockerfile"]).mount("work", false);
    let before = container.snapshot();
    let place = container.open();
    let mut tree = image(&place, 0, &["etc/x"]);
    tree.apply(&[directory("work")]).expect("WORKDIR /work");
    let root = container.directory.path();
    let changed = step(&mut *tree, || {
        assert!(!root.join("work/Dockerfile").exists());
        write_all(root, &["work/made"], "step");
    });
    assert_eq!(changed, ["work/", "work/made"]);
    tree.apply(&[directory("work"), file("work/copied")]).expect("written in place");
    assert_eq!(step(&mut *tree, || ()), [""; 0]);
    place.finish().expect("all is back");
    assert_eq!(container.snapshot(), before);
}

#[test]
fn credentials_are_out_of_sight_during_a_step() {
    let container =
        Container::new(&["root/.docker/config.json", "kaniko/.docker/config.json", "ro/config.json"])
            .mount("ro", true);
    let files = ["root/.docker/config.json", "kaniko/.docker/config.json", "ro/config.json", "missing"];
    let files: Vec<PathBuf> = files.iter().map(|f| container.path(f)).collect();
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o640)).expect("a mode");
    let shown = |path: &Path| fs::metadata(path).map(|m| (m.mode(), m.mtime(), m.mtime_nsec(), m.uid())).ok();
    let before = (shown(&files[0]), shown(&files[1]));
    let place = container.try_open(&files).expect("opens");
    let heard = container.heard();
    assert!(
        heard.len() == 1 && heard[0].contains("ro/config.json") && heard[0].contains("read-only"),
        "{heard:?}"
    );
    let mut tree = image(&place, 0, &["etc/x"]);
    let moved = container.path("yadokari/own/root/.docker/config.json");
    step(&mut *tree, || {
        assert!(!files[1].exists() && !moved.exists() && moved.parent().expect("parent").exists())
    });
    assert!(files[1].exists() && moved.exists(), "back between steps");
    tree.enter(&[]).expect("entered");
    place.finish().expect("all is back");
    assert_eq!((shown(&files[0]), shown(&files[1])), before);
    drop(tree);
    drop(place);
    let mut strict = container;
    strict.require_hidden = true;
    let text = strict.try_open(&files).err().expect("refused").to_string();
    assert!(text.contains("ro/config.json"), "{text}");
}

#[test]
fn two_builds_do_not_share_a_root() {
    let container = Container::new(&OWN);
    let _first = container.open();
    let text = container.try_open(&[]).err().expect("refused").to_string();
    assert!(text.contains("another build"), "{text}");
}

/// Stops a build at every single movement, and puts the container back as after a kill.
#[test]
fn a_kill_at_any_moment_is_undone() {
    let scenario = |container: &Container, fuse_at: usize| -> bool {
        let before = container.snapshot();
        let place = container.open();
        let mut one = image(&place, 0, &["etc/image", "work/app", "usr/lib/x"]);
        let mut two = image(&place, 1, &["etc/two", "bin/x"]);
        fuse::set(fuse_at);
        let outcome = one.enter(&[]).and_then(|_| two.enter(&[])).and_then(|_| one.enter(&[])).map(|_| ());
        let outcome = outcome.and_then(|()| place.finish());
        let burnt = fuse::clear();
        assert_eq!(outcome.is_err(), burnt, "movement {fuse_at}: {outcome:?}");
        // Killed: nothing more is done, and the lock goes with the process.
        std::mem::forget((one, two, place));
        fs::remove_file(container.path("yadokari/lock")).expect("the lock");
        restore_at(container.site(), &container.events).unwrap_or_else(|e| panic!("movement {fuse_at}: {e}"));
        assert_eq!(container.snapshot(), before, "movement {fuse_at}");
        assert!(!container.path("yadokari/journal").exists());
        burnt
    };
    let mut movements = 0;
    loop {
        let mut container =
            Container::new(&["etc/passwd", "etc/hosts", "usr/x", "work/Dockerfile", "work/sub/y"])
                .mount("work", false)
                .mount("etc/hosts", true);
        container.unmovable = vec!["etc"];
        if !scenario(&container, movements) {
            break;
        }
        movements += 1;
    }
    assert!(movements > 50, "only {movements} movements were tried");
}
