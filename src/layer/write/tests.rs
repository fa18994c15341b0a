use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

use super::*;
use crate::layer::Timestamp;

fn entry(path: &str, kind: Kind, content: Content) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o750,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: Timestamp { seconds: 500, nanoseconds: 9 },
        xattrs: Vec::new(),
        content,
    }
}

fn file(path: &str, text: &str) -> Entry {
    entry(path, Kind::File { size: text.len() as u64 }, Content::Bytes(text.as_bytes().into()))
}

#[test]
fn entries_replace_what_is_there_and_directories_merge() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("d/kept")).unwrap();
    fs::write(at("file"), "old").unwrap();
    fs::write(at("other-name"), "shared").unwrap();
    fs::hard_link(at("other-name"), at("linked")).unwrap();
    symlink("other-name", at("link")).unwrap();
    let entries = [
        entry("d", Kind::Directory, Content::None),
        file("d/new", "new"),
        file("file", "new"),
        file("linked", "new"),
        file("link", "new"),
        file("made/by/the/way", ""),
        entry("pipe", Kind::Fifo, Content::None),
        entry("other-name2", Kind::HardLink(b"d/new".to_vec()), Content::None),
    ];
    write_entries(File::open(dir.path()).unwrap().as_fd(), &entries).unwrap();
    for path in ["d/new", "file", "linked", "link"] {
        assert_eq!(fs::read_to_string(at(path)).unwrap(), "new", "{path}");
        let stat = fs::symlink_metadata(at(path)).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec(), stat.mode() & 0o7777), (500, 9, 0o750), "{path}");
    }
    // Neither through a symbolic nor through a hard link.
    assert_eq!(fs::read_to_string(at("other-name")).unwrap(), "shared");
    assert!(at("d/kept").is_dir());
    let stat = fs::metadata(at("d")).unwrap();
    assert_eq!((stat.mtime(), stat.permissions().mode() & 0o7777), (500, 0o750));
    assert_eq!(fs::metadata(at("made/by")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(at("other-name2")).unwrap().ino(), fs::metadata(at("d/new")).unwrap().ino());
}

#[test]
fn a_parent_must_be_a_directory() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    symlink("..", root.join("up")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    let fd = File::open(&root).unwrap();
    for (path, reason) in
        [("up/x", "cannot enter the directory /up"), ("file/x", "cannot enter the directory /file")]
    {
        let error = write_entries(fd.as_fd(), &[file(path, "")]).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
}

#[test]
fn a_source_must_be_as_it_was() {
    let source = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    for size in [5, COPY_IN_KERNEL + 5] {
        fs::write(source.path().join("f"), vec![b'x'; size as usize]).unwrap();
        let tree: Arc<OwnedFd> = Arc::new(File::open(source.path()).unwrap().into());
        let root = File::open(target.path()).unwrap();
        let of_size = |size| entry("f", Kind::File { size }, Content::At(Arc::clone(&tree), "f".into()));
        write_entries(root.as_fd(), &[of_size(size)]).unwrap();
        assert_eq!(fs::metadata(target.path().join("f")).unwrap().len(), size);
        let error = write_entries(root.as_fd(), &[of_size(size + 1)]).unwrap_err().to_string();
        let reason = format!("it has {size} bytes, not {}", size + 1);
        assert!(error.contains(&reason), "{error}");
    }
}
