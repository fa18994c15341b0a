//! Contents that a listing keeps.

use super::*;

#[test]
fn a_listing_keeps_account_files() {
    let layers = [
        Tar::new().file("usr/lib/passwd", "root:x:0:0").symlink("etc/passwd", "../usr/lib/passwd"),
        Tar::new().file("etc/group", "old").file("etc/hosts", "h"),
        Tar::new().file("etc/group", "new"),
    ];
    let listing = Listing::new().read_layers(sources(&layers), &Limits::default()).unwrap();
    let path = crate::layer::resolve(&listing, b"/etc/passwd", true).unwrap();
    assert_eq!(listing.read(&path, 100).unwrap(), b"root:x:0:0");
    assert_eq!(listing.read(b"etc/group", 100).unwrap(), b"new");
    assert_eq!(listing.read(b"etc/group", 2).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(listing.read(b"etc/hosts", 9).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    let Some(Node { kind, mode, mtime, .. }) = listing.node(b"etc/hosts").unwrap() else { panic!() };
    assert_eq!((kind, mode, mtime.seconds), (NodeKind::File, 0o644, 1_000_000));
}

#[test]
fn a_listing_keeps_contents_that_are_added_to_it() {
    let listing = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
    let mut listing =
        listing.read_layers(sources(&[Tar::new().file("a", "base")]), &Limits::default()).unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("b"), "copied").unwrap();
    let found = DirView::at(source.path()).unwrap().entry(b"b").unwrap().unwrap().entry;
    let named = |path: &[u8], entry: &Entry| Entry { path: path.to_vec(), ..entry.clone() };
    listing.insert(&named(b"stays", &found)).unwrap();
    listing.insert(&named(b"kept", &listing.keep(&found).unwrap())).unwrap();
    assert_eq!(listing.read(b"stays", 9).unwrap(), b"copied");
    fs::remove_file(source.path().join("b")).unwrap();
    assert_eq!(listing.read(b"stays", 9).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(listing.read(b"kept", 9).unwrap(), b"copied");
    assert_eq!(listing.read(b"a", 9).unwrap(), b"base");
    // A tree that goes on from another adds to the same file, and neither sees the other's.
    let mut other = listing.clone();
    let bytes = crate::layer::Content::Bytes(b"other".as_slice().into());
    other.insert(&Entry { kind: Kind::File { size: 5 }, content: bytes, ..named(b"a", &found) }).unwrap();
    assert_eq!(
        (listing.read(b"a", 9).unwrap(), other.read(b"a", 9).unwrap()),
        (b"base".into(), b"other".into())
    );
}
