//! Unpacking to disk, and reading into memory: both see the same.

mod exact;
mod listing;
mod odd;
mod refused;
mod sparse;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::layer::tar_header::TarHeader;
use crate::layer::test_tar::{Tar, gzip, source};
use crate::layer::view::{Node, NodeKind, View, join};
use crate::layer::{DirView, Entry, Listing, Timestamp};

fn sources(layers: &[Tar]) -> Vec<LayerSource> {
    layers.iter().enumerate().map(|(n, tar)| tar.clone().source(&format!("{n}"))).collect()
}

/// The paths of a tree with their kinds: `d dir`, `f file`, `l link -> target`.
fn paths(view: &dyn View) -> Vec<String> {
    fn walk(view: &dyn View, directory: &[u8], out: &mut Vec<String>) {
        for name in view.names(directory).unwrap() {
            let path = join(directory, &name);
            let shown = String::from_utf8_lossy(&path).into_owned();
            match view.node(&path).unwrap().unwrap().kind {
                NodeKind::Directory => {
                    out.push(format!("d {shown}"));
                    walk(view, &path, out);
                }
                NodeKind::File => out.push(format!("f {shown}")),
                NodeKind::Symlink(target) => {
                    out.push(format!("l {shown} -> {}", String::from_utf8_lossy(&target)));
                }
                NodeKind::Other => out.push(format!("o {shown}")),
            }
        }
    }
    let mut out = Vec::new();
    walk(view, b"", &mut out);
    out
}

/// Unpacks below a directory that stands in another, and reads the same layers as a listing:
/// both must see the same tree or both refuse; nothing beside the directory may appear.
fn both(layers: &[Tar]) -> Result<(Vec<String>, Unpacked), String> {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("root");
    fs::create_dir(&target).unwrap();
    fs::write(outer.path().join("secret"), "untouched").unwrap();
    let unpacked = unpack(sources(layers), &target, &Limits::default(), &mut |_, _| ());
    let listed = Listing::new().read_layers(sources(layers), &Limits::default());
    let mut beside: Vec<_> =
        fs::read_dir(outer.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    beside.sort();
    assert_eq!(beside, ["root", "secret"]);
    let secret = outer.path().join("secret");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
    match (unpacked, listed) {
        (Ok(unpacked), Ok(listed)) => {
            let tree = paths(&DirView::new(fs::File::open(&target).unwrap().into()));
            assert_eq!(paths(&listed), tree);
            let kept = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
            let kept = kept.read_layers(sources(layers), &Limits::default()).unwrap();
            assert_eq!(paths(&kept), tree);
            same_entries(&kept, &DirView::at(&target).unwrap(), b"");
            Ok((tree, unpacked))
        }
        (Err(one), Err(two)) => {
            assert_eq!(one.to_string(), two.to_string());
            Err(one.to_string())
        }
        (one, two) => panic!("unpack says {one:?}, the listing {:?}", two.map(|l| paths(&l))),
    }
}

/// What a view in memory and one on disk must agree about below a directory: what would be packed.
fn same_entries(memory: &dyn View, disk: &dyn View, directory: &[u8]) {
    let mut links = std::collections::BTreeMap::new();
    for name in disk.names(directory).unwrap() {
        let path = join(directory, &name);
        let [ours, theirs] = [memory, disk].map(|v| v.entry(&path).unwrap().unwrap());
        let known = |e: &Entry| (e.path.clone(), e.kind.clone(), e.uid, e.gid, e.xattrs.clone());
        assert_eq!(known(&ours.entry), known(&theirs.entry));
        match ours.entry.kind {
            // One that no layer has an entry for was made by unpacking, now.
            Kind::Directory => same_entries(memory, disk, &path),
            Kind::File { size } => {
                let attributes = |e: &Entry| (e.mode, e.mtime);
                assert_eq!(attributes(&ours.entry), attributes(&theirs.entry));
                let [ours_read, theirs_read] = [memory, disk].map(|v| v.read(&path, size).unwrap());
                assert_eq!(ours_read, theirs_read, "{}", String::from_utf8_lossy(&path));
                if let Some(link) = theirs.link {
                    assert_eq!(links.entry(link).or_insert(ours.link), &ours.link);
                }
            }
            _ => assert_eq!(ours.entry.mtime, theirs.entry.mtime),
        }
    }
}

fn tree(layers: &[Tar]) -> Vec<String> {
    both(layers).unwrap().0
}
