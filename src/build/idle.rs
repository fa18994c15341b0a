//! Whether a stage's files are still what they were while they were not in use.
//!
//! In place, the trees of other stages lie below `/yadokari`, where a command that goes through
//! everything (`chown -R … /`, `find / -name … -delete`) reaches them.

use std::io;

use xxhash_rust::xxh3::xxh3_128;

use crate::layer::{NodeKind, View, join};

/// A number that differs for trees that differ in a name, a type, a mode, an owner, a link's target,
/// or the time of what is no directory. Times count in whole seconds, as in layers.
///
/// # Errors
/// The tree cannot be read.
pub(super) fn mark(view: &dyn View) -> io::Result<u128> {
    let mut sum = 0;
    below(view, b"", &mut sum)?;
    Ok(sum)
}

fn below(view: &dyn View, directory: &[u8], sum: &mut u128) -> io::Result<()> {
    for name in view.names(directory)? {
        let path = join(directory, &name);
        let Some(node) = view.node(&path)? else { continue };
        let (kind, target): (u8, &[u8]) = match &node.kind {
            NodeKind::Directory => (0, b""),
            NodeKind::File => (1, b""),
            NodeKind::Symlink(target) => (2, target),
            NodeKind::Other => (3, b""),
        };
        let is_directory = node.kind == NodeKind::Directory;
        let mode = if kind == 2 { 0 } else { node.mode };
        let time = if is_directory { 0 } else { node.mtime.seconds };
        let mut words = path.clone();
        words.extend([0, kind]);
        words.extend([mode, node.uid, node.gid].iter().flat_map(|n| n.to_le_bytes()));
        words.extend(time.to_le_bytes());
        words.extend(target);
        *sum = sum.wrapping_add(xxh3_128(&words));
        if is_directory {
            below(view, &path, sum)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::layer::DirView;

    #[test]
    fn what_a_command_can_do_to_a_tree_shows() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/f"), "x").unwrap();
        symlink("f", at("d/l")).unwrap();
        let now = || mark(&DirView::at(tree.path()).unwrap()).unwrap();
        let mut seen = vec![now()];
        assert_eq!(now(), seen[0]);
        fs::set_permissions(at("d/f"), fs::Permissions::from_mode(0o600)).unwrap();
        seen.push(now());
        fs::remove_file(at("d/l")).unwrap();
        seen.push(now());
        symlink("g", at("d/l")).unwrap();
        seen.push(now());
        fs::set_permissions(at("d"), fs::Permissions::from_mode(0o700)).unwrap();
        seen.push(now());
        fs::rename(at("d/f"), at("f")).unwrap();
        seen.push(now());
        let different: std::collections::BTreeSet<u128> = seen.iter().copied().collect();
        assert_eq!(different.len(), seen.len());
    }
}
