//! Sources that are only known by their layers.

use super::*;

#[test]
fn files_in_memory_are_copied_with_owners_links_and_capabilities() {
    let entry = |path: &str, kind: Kind, content: Content| Entry {
        path: path.into(),
        kind,
        mode: 0o4711,
        uid: 8,
        gid: 9,
        mtime: Timestamp { seconds: 5, nanoseconds: 0 },
        xattrs: Vec::new(),
        content,
    };
    let file = entry("d/b", Kind::File { size: 2 }, Content::Bytes(b"hi".as_slice().into()));
    let capability = (crate::layer::CAPABILITY.into(), vec![1, 2]);
    let mut tree = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
    for entry in [
        Entry { xattrs: vec![capability.clone()], ..file },
        entry("d/a", Kind::HardLink(b"d/b".to_vec()), Content::None),
        entry("d/l", Kind::Symlink(b"a".to_vec()), Content::None),
        entry("d/p", Kind::Fifo, Content::None),
    ] {
        tree.insert(&entry).unwrap();
    }
    let case = case(&["d"], "/t/");
    let (view, name): (&dyn View, _) = (&tree, "the stage 'lib'".to_owned());
    let source = SourceTree {
        view,
        ignore: None,
        ignore_file: None,
        keep_owner: true,
        modes: crate::config::ContextModes::Disk,
        name,
    };
    let made = copy_entries(&CopyJob {
        step: &case.step,
        source: Some(source),
        fetched: &[],
        destination: &case.image,
        now: Timestamp::default(),
        spool: &tempfile::tempfile,
        limits: crate::layer::Limits::default(),
        compat: false,
        warn: &|text| panic!("{text}"),
    })
    .unwrap();
    let shown: Vec<_> = made.iter().map(shown_entry).collect();
    let links = ["t/b = t/a 4711 8:9", "t/l -> a 777 8:9", "t/p 4711 8:9"];
    assert_eq!(shown, [["t/ 755 0:0", "t/a 4711 8:9"].as_slice(), &links].concat());
    let Content::Bytes(bytes) = &made[1].content else { panic!("{:?}", made[1].content) };
    assert_eq!((&**bytes, &made[1].xattrs[..]), (b"hi".as_slice(), [capability].as_slice()));
}
