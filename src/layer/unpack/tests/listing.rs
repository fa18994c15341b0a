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

/// Reads layers with the contents at and below these paths only, and gives what can be read of `a`,
/// `d/x` and `e/y`.
fn only(paths: &[&str], layers: &[Tar]) -> (Listing, [bool; 3]) {
    let listing = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
    let paths: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let listing = listing.only(&paths).read_layers(sources(layers), &Limits::default()).unwrap();
    let kept = ["a", "d/x", "e/y"].map(|path| match listing.read(path.as_bytes(), 9) {
        Ok(content) => content == path.as_bytes(),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            false
        }
    });
    (listing, kept)
}

#[test]
fn a_listing_keeps_only_the_contents_that_are_wanted() {
    let files = || Tar::new().file("a", "a").dir("d").file("d/x", "d/x").file("e/y", "e/y");
    for (wanted, kept) in [
        (&["d"][..], [false, true, false]),
        (&["d/x", "a"], [true, true, false]),
        (&["e/y/below", "d/"], [false, false, false]),
        (&["dd", "e"], [false, false, true]),
        (&[""], [true, true, true]),
    ] {
        let (listing, found) = only(wanted, &[files()]);
        assert_eq!(found, kept, "{wanted:?}");
        assert_eq!([b"a".as_slice(), b"d", b"e"].map(|path| listing.has_contents(path)), kept);
        assert_eq!(listing.has_contents(b""), kept == [true; 3]);
        assert!(listing.has_contents(b"nothing"));
        assert_eq!(paths(&listing), ["f a", "d d", "f d/x", "d e", "f e/y"], "all files are there");
    }
}

#[test]
fn a_listing_keeps_what_links_lead_to() {
    let files = || Tar::new().file("a", "a").file("d/x", "d/x").file("e/y", "e/y");
    let links = || Tar::new().symlink("bin", "/d").symlink("c", "bin/../../e/y").symlink("d/k", "../a");
    let (listing, kept) = only(&["bin/x"], &[links(), files()]);
    assert_eq!((kept, listing.has_contents(b"d/x")), ([false, true, false], true));
    assert_eq!(only(&["c"], &[links(), files()]).1, [false, false, true], "'..' at the root stays there");
    let chain = Tar::new().symlink("one", "two").symlink("two", "e");
    assert_eq!(only(&["one"], &[chain, files()]).1, [false, false, true]);
    let chain = Tar::new().symlink("two", "e").symlink("one", "two/y");
    assert_eq!(only(&["one"], &[chain, files()]).1, [false, false, true]);
    let around = Tar::new().symlink("one", "two/x").symlink("two", "one/x");
    assert_eq!(only(&["one"], &[around, files()]).1, [false; 3], "links in a circle lead nowhere");
}

#[test]
fn a_listing_knows_which_contents_it_lacks() {
    let late = Tar::new().file("a", "a").file("d/x", "d/x").file("e/y", "e/y").symlink("late", "d");
    let (listing, kept) = only(&["late"], &[late]);
    assert_eq!((kept, listing.has_contents(b"d")), ([false; 3], false));
    let linked = Tar::new().file("a", "a").file("e/y", "e/y").hard_link("d/x", "a");
    let (listing, _) = only(&["d"], &[linked]);
    assert!(!listing.has_contents(b"d"), "another name of a file elsewhere");
    // What an upper layer replaces or deletes is not missed.
    let lower = Tar::new().file("a", "a").file("e/y", "e/y").hard_link("d/x", "a").hard_link("d/z", "a");
    let upper = Tar::new().file("d/x", "d/x").file("d/.wh.z", "");
    let (listing, kept) = only(&["d"], &[lower, upper]);
    assert_eq!((kept, listing.has_contents(b"d")), ([false, true, false], true));
}
