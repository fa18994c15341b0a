//! The definition, case by case.

use super::*;

const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;

fn side(mode: u32) -> Attributes {
    Attributes {
        mode,
        uid: 0,
        gid: 0,
        device: (0, 0),
        size: 0,
        mtime: Timestamp { seconds: 100, nanoseconds: 5 },
        target: 0,
        capability: None,
        group: None,
    }
}

fn with(mode: u32, change: impl FnOnce(&mut Attributes)) -> Attributes {
    let mut side = side(mode);
    change(&mut side);
    side
}

#[test]
fn what_makes_two_sides_differ() {
    type Case = (&'static str, u32, fn(&mut Attributes), Verdict);
    let cases: [Case; 20] = [
        ("nothing, of a file", FILE, |_| (), Verdict::Content),
        ("nothing, of a directory", DIRECTORY, |_| (), Verdict::Same),
        ("nothing, of a link", LINK, |_| (), Verdict::Same),
        ("type", FILE, |s| s.mode = DIRECTORY, Verdict::Changed),
        ("mode", FILE, |s| s.mode = 0o100_600, Verdict::Changed),
        ("setuid", FILE, |s| s.mode |= 0o4000, Verdict::Changed),
        ("sticky directory", DIRECTORY, |s| s.mode |= 0o1000, Verdict::Changed),
        ("owner", FILE, |s| s.uid = 1, Verdict::Changed),
        ("group", DIRECTORY, |s| s.gid = 1, Verdict::Changed),
        ("owner of a link", LINK, |s| s.uid = 1, Verdict::Changed),
        ("mode of a link", LINK, |s| s.mode = 0o120_755, Verdict::Same),
        ("size", FILE, |s| s.size = 1, Verdict::Changed),
        ("nanoseconds", FILE, |s| s.mtime.nanoseconds = 6, Verdict::Changed),
        ("time of a directory", DIRECTORY, |s| s.mtime.seconds = 6, Verdict::Same),
        ("time of a link", LINK, |s| s.mtime.seconds = 6, Verdict::Changed),
        ("target", LINK, |s| s.target = 6, Verdict::Changed),
        ("capability", FILE, |s| s.capability = Some(Box::from(*b"x")), Verdict::Changed),
        ("device", 0o020_644, |s| s.device = (1, 3), Verdict::Changed),
        ("pipe for a file", FILE, |s| s.mode = 0o010_644, Verdict::Changed),
        ("socket for a file", FILE, |s| s.mode = 0o140_644, Verdict::Changed),
    ];
    for (name, mode, change, expected) in cases {
        assert_eq!(compare(Some(&side(mode)), Some(&with(mode, change))), expected, "{name}");
    }
    assert_eq!(compare(None, Some(&side(FILE))), Verdict::Changed, "new");
    assert_eq!(compare(Some(&side(FILE)), None), Verdict::Changed, "gone");
    assert_eq!(compare(None, Some(&side(0o140_644))), Verdict::Same, "new socket");
}

/// A tree whose directories are all alike, where contents changed only at these paths.
struct Fake(&'static [&'static [u8]]);

impl After for Fake {
    fn same_content(&self, paths: &[&[u8]]) -> Result<Vec<bool>, RootfsError> {
        Ok(paths.iter().map(|p| !self.0.contains(p)).collect())
    }
    fn directory(&self, _: &[u8]) -> Result<Attributes, RootfsError> {
        Ok(side(DIRECTORY))
    }
    fn target(&self, _: &[u8]) -> Result<Vec<u8>, RootfsError> {
        Ok(b"target".to_vec())
    }
    fn content(&self, path: &[u8]) -> Content {
        Content::Bytes(path.into())
    }
}

fn candidate(path: &str, before: Option<Attributes>, after: Option<Attributes>) -> Candidate {
    Candidate { path: path.into(), before, after }
}

fn grouped(group: u64) -> Option<Attributes> {
    Some(with(FILE, |s| s.group = Some(group)))
}

/// `path` for a file, `path/` for a directory, `-path` for a whiteout, `path=first`, `path>target`.
fn listed(candidates: Vec<Candidate>, rewritten: &'static [&'static [u8]]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    entries(candidates, &Fake(rewritten))
        .expect("the fake tree reads")
        .iter()
        .map(|entry| {
            let path = text(&entry.path);
            match &entry.kind {
                Kind::Directory => format!("{path}/"),
                Kind::Whiteout => format!("-{path}"),
                Kind::HardLink(first) => format!("{path}={}", text(first)),
                Kind::Symlink(target) => format!("{path}>{}", text(target)),
                _ => path,
            }
        })
        .collect()
}

#[test]
fn parents_come_first_and_once() {
    let new = |path| candidate(path, None, Some(side(FILE)));
    let found = listed(vec![new("a/b/two"), new("a/b/one"), new("a-b")], &[]);
    assert_eq!(found, ["a/", "a-b", "a/b/", "a/b/one", "a/b/two"]);
}

#[test]
fn a_touched_file_is_no_change_and_a_rewritten_one_is() {
    let touched = |path| candidate(path, Some(side(FILE)), Some(side(FILE)));
    assert_eq!(listed(vec![touched("same"), touched("other")], &[b"other"]), ["other"]);
    assert!(listed(vec![touched("same")], &[]).is_empty());
}

#[test]
fn deletions() {
    let gone = |path, mode| candidate(path, Some(side(mode)), None);
    assert_eq!(
        listed(vec![gone("d/sub/x", FILE), gone("d/sub", DIRECTORY), gone("d/sub/y", FILE)], &[]),
        ["d/", "-d/sub"],
        "a directory is one whiteout"
    );
    let replaced = candidate("d", Some(side(DIRECTORY)), Some(side(LINK)));
    assert_eq!(listed(vec![gone("d/x", FILE), replaced], &[]), ["d>target"], "replaced by a link");
    let replaced = candidate("d", Some(side(FILE)), Some(side(DIRECTORY)));
    let inside = candidate("d/x", None, Some(side(FILE)));
    assert_eq!(listed(vec![inside, replaced], &[]), ["d/", "d/x"], "replaced by a directory");
    let socket = candidate("f", Some(side(FILE)), Some(side(0o140_755)));
    assert_eq!(listed(vec![socket], &[]), ["-f"], "replaced by a socket");
    let recreated = candidate("d", Some(side(DIRECTORY)), Some(side(DIRECTORY)));
    assert_eq!(listed(vec![recreated, gone("d/x", FILE)], &[]), ["d/", "-d/x"], "made anew without x");
}

#[test]
fn names_of_one_inode() {
    let one = Some(side(FILE));
    let new_link = vec![
        candidate("z", one.clone(), grouped(7)),
        candidate("b", None, grouped(7)),
        candidate("c", one, None),
    ];
    assert_eq!(listed(new_link, &[]), ["b", "-c", "z=b"], "an old file got a second name");
    let lost = vec![candidate("a", grouped(1), Some(side(FILE))), candidate("b", grouped(1), None)];
    assert_eq!(listed(lost, &[]), ["-b"], "the other name is gone");
    let fewer = vec![
        candidate("a", grouped(1), grouped(9)),
        candidate("b", grouped(1), grouped(9)),
        candidate("c", grouped(1), None),
    ];
    assert_eq!(listed(fewer, &[]), ["-c"], "two of three remain one inode");
    let apart = vec![
        candidate("a", grouped(1), grouped(3)),
        candidate("b", grouped(1), grouped(3)),
        candidate("c", grouped(2), grouped(3)),
    ];
    assert_eq!(listed(apart, &[]), ["a", "b=a", "c=a"], "two inodes became one");
    let written = vec![candidate("a", grouped(1), grouped(1)), candidate("b", grouped(1), grouped(1))];
    assert_eq!(listed(written, &[b"b"]), ["a", "b=a"], "a changed member brings the others");
}

#[test]
fn entries_carry_what_is_packed() {
    let file = with(0o104_711, |s| {
        (s.uid, s.gid, s.size) = (3, 4, 12);
        s.capability = Some(Box::from(*b"cap"));
    });
    let node = with(0o020_600, |s| s.device = (1, 3));
    let all = vec![candidate("f", None, Some(file)), candidate("n", None, Some(node))];
    let made = entries(all, &Fake(&[])).expect("the fake tree reads");
    assert_eq!(made[0].kind, Kind::File { size: 12 });
    assert_eq!((made[0].mode, made[0].uid, made[0].gid), (0o4711, 3, 4));
    assert_eq!(made[0].xattrs, [(CAPABILITY.to_vec(), b"cap".to_vec())]);
    assert!(matches!(&made[0].content, Content::Bytes(b) if **b == *b"f"));
    assert_eq!(made[1].kind, Kind::CharDevice { major: 1, minor: 3 });
    assert!(matches!(made[1].content, Content::None));
}
