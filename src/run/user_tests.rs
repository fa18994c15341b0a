use std::collections::BTreeMap;
use std::fs::File;

use super::*;
use crate::layer::{Node, Timestamp};

/// A tree of files and links, no more than the lookup needs.
struct Files(BTreeMap<Vec<u8>, Result<String, Vec<u8>>>);

impl View for Files {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        let kind = match self.0.get(path) {
            Some(Ok(_)) => NodeKind::File,
            Some(Err(target)) => NodeKind::Symlink(target.clone()),
            None if self.0.keys().any(|k| k.starts_with(path)) => NodeKind::Directory,
            None => return Ok(None),
        };
        Ok(Some(Node { kind, mode: 0o755, uid: 0, gid: 0, mtime: Timestamp::default() }))
    }

    fn names(&self, _: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    fn open(&self, _: &[u8]) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read(&self, path: &[u8], _: u64) -> io::Result<Vec<u8>> {
        match self.0.get(path) {
            Some(Ok(text)) => Ok(text.clone().into_bytes()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nbad:x:nine:9::/:\n\
    www:x:33:33:www:/var/www:/bin/false\n1001:x:7:8:a number as a name:/seven:\nbare:x:50:51\n";
const GROUP: &str =
    "root:x:0:root\nwheel:x:10:root\nadm:x:4:www,other\nwww:x:33:www\ntape:x:26:other,www\nstaff:x:50:\n";

fn image() -> Files {
    let mut files = BTreeMap::new();
    files.insert(b"etc/passwd".to_vec(), Err(b"/usr/share/passwd".to_vec()));
    files.insert(b"usr/share/passwd".to_vec(), Ok(PASSWD.to_owned()));
    files.insert(b"etc/group".to_vec(), Ok(GROUP.to_owned()));
    Files(files)
}

fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
    User { uid, gid, groups: groups.to_vec(), home: home.to_owned() }
}

#[test]
fn users_are_found_as_runc_finds_them() {
    let cases = [
        ("", user(0, 0, &[10], "/root")),
        ("root", user(0, 0, &[10], "/root")),
        ("0", user(0, 0, &[10], "/root")),
        ("www", user(33, 33, &[4, 26], "/var/www")),
        ("33", user(33, 33, &[4, 26], "/var/www")),
        ("www:", user(33, 33, &[4, 26], "/var/www")),
        ("www:adm", user(33, 4, &[], "/var/www")),
        ("www:7", user(33, 7, &[], "/var/www")),
        ("33:staff", user(33, 50, &[], "/var/www")),
        ("5:6", user(5, 6, &[], "/")),
        ("root:root", user(0, 0, &[], "/root")),
        ("5", user(5, 0, &[], "/")),
        ("1001", user(7, 8, &[], "/seven")),
        ("bare", user(50, 51, &[], "/")),
        (":staff", user(0, 50, &[], "/root")),
        ("2147483647", user(2_147_483_647, 0, &[], "/")),
    ];
    for (spec, expected) in cases {
        assert_eq!(lookup(&image(), spec).expect(spec), expected, "{spec}");
    }
}

#[test]
fn an_image_without_files_has_numbers_only() {
    let empty = Files(BTreeMap::new());
    assert_eq!(lookup(&empty, "").expect("root"), user(0, 0, &[], "/root"));
    assert_eq!(lookup(&empty, "12:13").expect("numbers"), user(12, 13, &[], "/"));
    assert_eq!(lookup(&empty, "root:13").expect("root"), user(0, 13, &[], "/root"));
    assert!(matches!(lookup(&empty, "www"), Err(UserError::UnknownUser { name }) if name == "www"));
}

#[test]
fn unknown_names_and_wrong_numbers_are_errors() {
    assert!(matches!(lookup(&image(), "nobody"), Err(UserError::UnknownUser { .. })));
    assert!(matches!(lookup(&image(), "bad"), Err(UserError::UnknownUser { .. })));
    assert!(matches!(lookup(&image(), "www:nogroup"), Err(UserError::UnknownGroup { .. })));
    assert!(matches!(lookup(&image(), "4294967295"), Err(UserError::OutOfRange { .. })));
    assert!(matches!(lookup(&image(), "1:-1"), Err(UserError::OutOfRange { .. })));
}
