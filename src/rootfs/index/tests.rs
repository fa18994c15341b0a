//! The index on real directories.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::live::content_hashes;
use super::*;
use crate::rootfs::change::{Verdict, compare};

struct Tree {
    directory: tempfile::TempDir,
    root: Arc<OwnedFd>,
}

impl Tree {
    fn new() -> Tree {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Arc::new(OwnedFd::from(File::open(directory.path()).expect("the directory")));
        Tree { directory, root }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().expect("a parent")).expect("parents");
        fs::write(self.path(path), content).expect("a file");
    }

    fn fill(&self, bounds: &Bounds, hashes: Hashes) -> Index {
        let index = Index::fill(&self.root, bounds, hashes, 2).expect("the tree reads");
        index.wait_for_clock();
        index
    }

    /// Paths of candidates, with what is known of them.
    fn compared(&self, index: &mut Index, bounds: &Bounds) -> Vec<(String, Verdict)> {
        let mut found: Vec<_> = index
            .compare(&self.root, bounds)
            .expect("the tree reads")
            .candidates
            .into_iter()
            .map(|c| (String::from_utf8(c.path).expect("text"), compare(c.before.as_ref(), c.after.as_ref())))
            .collect();
        found.sort_by(|a: &(String, Verdict), b| a.0.cmp(&b.0));
        found
    }
}

fn changed(found: &[(String, Verdict)]) -> Vec<&str> {
    found.iter().filter(|(_, v)| *v == Verdict::Changed).map(|(p, _)| p.as_str()).collect()
}

#[test]
fn nothing_happened() {
    let tree = Tree::new();
    for number in 0..300 {
        tree.write(&format!("d{}/s{}/f{number}", number % 7, number % 11), "x");
    }
    let mut index = tree.fill(&Bounds::default(), Hashes::default());
    assert_eq!(tree.compared(&mut index, &Bounds::default()), []);
}

#[test]
fn what_happens_is_seen_once() {
    let tree = Tree::new();
    for path in ["keep", "a/rewritten", "a/gone", "a/moved", "dir/x/y", "was-dir/inside", "was-file", "mode"]
    {
        tree.write(path, "old");
    }
    symlink("here", tree.path("link")).expect("a link");
    let mut index = tree.fill(&Bounds::default(), Hashes::default());
    tree.write("a/rewritten", "new");
    fs::remove_file(tree.path("a/gone")).expect("removed");
    fs::rename(tree.path("a/moved"), tree.path("a/name")).expect("renamed");
    fs::remove_dir_all(tree.path("dir")).expect("removed");
    fs::remove_dir_all(tree.path("was-dir")).expect("removed");
    tree.write("was-dir", "file");
    fs::remove_file(tree.path("was-file")).expect("removed");
    tree.write("was-file/new", "file");
    fs::remove_file(tree.path("link")).expect("removed");
    symlink("there", tree.path("link")).expect("a link");
    fs::set_permissions(tree.path("mode"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let found = tree.compared(&mut index, &Bounds::default());
    assert_eq!(
        changed(&found),
        [
            "a/gone",
            "a/moved",
            "a/name",
            "a/rewritten",
            "dir",
            "link",
            "mode",
            "was-dir",
            "was-file",
            "was-file/new"
        ]
    );
    index.wait_for_clock();
    assert_eq!(tree.compared(&mut index, &Bounds::default()), []);
    tree.write("was-file/new", "again");
    let found = tree.compared(&mut index, &Bounds::default());
    assert_eq!(changed(&found), ["was-file/new"], "a new directory is known from then on");
}

#[test]
fn a_rewrite_with_the_old_time_and_size_is_a_question_of_content() {
    let tree = Tree::new();
    tree.write("f", "old");
    let time = fs::metadata(tree.path("f")).expect("metadata").modified().expect("a time");
    let mut hashes = Hashes::default();
    hashes.insert(b"f", 1);
    hashes.insert(b"f", xxhash_rust::xxh3::xxh3_128(b"old"));
    let mut index = tree.fill(&Bounds::default(), hashes);
    tree.write("f", "new");
    File::options().write(true).open(tree.path("f")).expect("opens").set_modified(time).expect("a time");
    let found = index.compare(&tree.root, &Bounds::default()).expect("reads");
    let candidate = &found.candidates[0];
    assert_eq!(compare(candidate.before.as_ref(), candidate.after.as_ref()), Verdict::Content);
    assert_eq!(found.hashes[&b"f"[..]], xxhash_rust::xxh3::xxh3_128(b"old"), "the later of two");
    let now = content_hashes(&tree.root, &[b"f", b"missing"], 2).expect("reads");
    assert_eq!(now, [Some(xxhash_rust::xxh3::xxh3_128(b"new")), None]);
}

#[test]
fn names_of_one_inode_share_what_is_known() {
    let tree = Tree::new();
    tree.write("a", "same");
    fs::hard_link(tree.path("a"), tree.path("z")).expect("a link");
    let mut hashes = Hashes::default();
    hashes.insert(b"a", 7);
    let mut index = tree.fill(&Bounds::default(), hashes);
    // A change of owner to the same owner changes nothing but the inode's change time.
    let owner = fs::metadata(tree.path("a")).expect("metadata").uid();
    std::os::unix::fs::chown(tree.path("a"), Some(owner), None).expect("chown");
    let found = index.compare(&tree.root, &Bounds::default()).expect("reads");
    assert_eq!(found.candidates.len(), 2);
    assert_eq!((found.hashes[&b"a"[..]], found.hashes[&b"z"[..]]), (7, 7));
    let group = |c: &Candidate| c.after.as_ref().and_then(|a| a.group);
    assert!(group(&found.candidates[0]).is_some());
    assert_eq!(group(&found.candidates[0]), group(&found.candidates[1]));
    index.set_hashes([(&b"a"[..], 9)]);
    std::os::unix::fs::chown(tree.path("a"), Some(owner), None).expect("chown");
    let found = index.compare(&tree.root, &Bounds::default()).expect("reads");
    assert_eq!((found.hashes[&b"a"[..]], found.hashes[&b"z"[..]]), (9, 9));
}

#[test]
fn bounds_keep_paths_out() {
    let tree = Tree::new();
    for path in ["proc/1", "etc/hosts", "etc/passwd"] {
        tree.write(path, "x");
    }
    let mut bounds = Bounds::default();
    bounds.leave_out(b"proc");
    bounds.leave_out(b"etc/hosts");
    let mut index = tree.fill(&bounds, Hashes::default());
    assert!(index.contains(b"etc/passwd") && !index.contains(b"etc/hosts") && !index.contains(b"proc"));
    tree.write("proc/2", "x");
    fs::remove_file(tree.path("etc/hosts")).expect("removed");
    let found = tree.compared(&mut index, &bounds);
    assert_eq!(changed(&found), [""; 0]);
}

#[test]
fn what_we_wrote_is_no_change() {
    let tree = Tree::new();
    tree.write("app/old", "x");
    tree.write("other/old", "x");
    let mut index = tree.fill(&Bounds::default(), Hashes::default());
    tree.write("app/new", "x");
    tree.write("app/deep/er/new", "x");
    tree.write("other/new", "x");
    let touched = HashSet::from([b"app".to_vec()]);
    index.absorb(&tree.root, &Bounds::default(), &touched).expect("reads");
    let found = tree.compared(&mut index, &Bounds::default());
    assert_eq!(changed(&found), ["other/new"]);
    assert!(Path::new(&tree.path("app/deep")).exists() && index.contains(b"app/deep/er/new"));
}
