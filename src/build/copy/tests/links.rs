//! Links of the source, soft and hard.

use super::*;

#[test]
fn links_of_the_source_are_followed_only_where_named() {
    let tree = |c: Case| c.file("d/a").link("l", "d").link("d/in", "a").link("f", "d/a");
    assert_eq!(tree(case(&["l"], "/t/")).made(), ["t/ 755 0:0", "t/a 644 0:0", "t/in -> a 777 0:0"]);
    assert_eq!(tree(case(&["f"], "/t/")).made(), ["t/ 755 0:0", "t/f 644 0:0"]);
    assert_eq!(
        case(&["esc/hosts"], "/t").link("esc", "/etc").error(),
        "'esc/hosts' is not in the build context"
    );
}

#[test]
fn hard_links_stay_together_in_one_source() {
    let tree = case(&["d"], "/t/").file("d/b");
    fs::hard_link(tree.context.path().join("d/b"), tree.context.path().join("d/a")).unwrap();
    assert_eq!(tree.made(), ["t/ 755 0:0", "t/a 644 0:0", "t/b = t/a 644 0:0"]);
}

#[test]
fn hard_links_are_kept_for_each_match_and_each_source_by_itself() {
    let linked = |c: Case| {
        let c = c.file("d/a").file("e/x");
        fs::hard_link(c.context.path().join("d/a"), c.context.path().join("d/b")).unwrap();
        fs::hard_link(c.context.path().join("d/a"), c.context.path().join("e/c")).unwrap();
        c
    };
    assert_eq!(linked(case(&["d/*"], "/t/")).made(), ["t/ 755 0:0", "t/a 644 0:0", "t/b 644 0:0"]);
    let both = linked(case(&["d", "e"], "/t/")).made();
    assert_eq!(both, ["t/ 755 0:0", "t/a 644 0:0", "t/b = t/a 644 0:0", "t/c 644 0:0", "t/x 644 0:0"]);
}

#[test]
fn a_name_that_is_replaced_leaves_its_file() {
    let tree = case(&["d", "e"], "/t/").file("d/a").file("e/a");
    fs::hard_link(tree.context.path().join("d/a"), tree.context.path().join("d/b")).unwrap();
    let made = tree.entries().unwrap();
    let shown: Vec<_> = made.iter().map(shown_entry).collect();
    assert_eq!(shown, ["t/ 755 0:0", "t/a 644 0:0", "t/b 644 0:0"]);
    let content = |e: &Entry| format!("{:?}", e.content);
    assert!(content(&made[1]).contains("e/a") && content(&made[2]).contains("d/"), "{made:?}");
}

#[test]
fn pipes_stay_and_sockets_become_empty_files() {
    let tree = case(&["d"], "/t/").file("d/f");
    let at = |name: &str| tree.context.path().join("d").join(name);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let kinds: Vec<_> = tree.entries().unwrap().into_iter().map(|e| e.kind).collect();
    assert_eq!(kinds[1..], [Kind::File { size: 3 }, Kind::Fifo, Kind::File { size: 0 }]);
    // Named as a source, too.
    let mut named = case(&["d/pipe"], "/p");
    named.context = tree.context;
    assert_eq!(named.entries().unwrap()[0].kind, Kind::Fifo);
}
