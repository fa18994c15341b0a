//! Keeping names of one file together where the kernel does not.
//!
//! Copying a file up gives one of its names a new file. With `index=on` the kernel remembers which
//! names belong together; without, which is always so in a user namespace, they come apart. There
//! the files of lower layers that have several names are copied into the upper directory, names and
//! all, before a step starts. Untouched they are no change.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, OFlags, Timestamps, XattrFlags};

use super::layer::Layer;
use super::stack::Stack;
use super::{RootfsError, failed, shown};
use crate::layer::{NodeKind, View, parent, set_open_owner};
use crate::rootfs::change::CAPABILITY;
use crate::rootfs::dress::{dress, make_like};
use crate::rootfs::index::{Stat, open_below};

/// Copies every file that has several names in the merged tree.
pub(super) fn copy(lower: &Stack, upper: &Layer) -> Result<(), RootfsError> {
    let mut directories: HashMap<Vec<u8>, crate::layer::Node> = HashMap::new();
    for (number, layer) in lower.layers().iter().enumerate() {
        let links = layer.links().map_err(failed("read the hard links of", &layer.name))?;
        for (inode, names) in links.groups() {
            let mut visible = Vec::new();
            for name in names {
                let found = lower.find(name).map_err(failed("look at", shown(name)))?;
                if let Some(found) = found.filter(|f| f.layer == number && f.stat.inode == inode) {
                    visible.push((name, found.stat));
                }
            }
            let Some(((first, stat), rest)) = visible.split_first().filter(|(_, rest)| !rest.is_empty())
            else {
                continue;
            };
            for (name, _) in &visible {
                make_parents(lower, upper, name, &mut directories)?;
            }
            copy_file(layer, upper, first, stat).map_err(failed("copy", shown(first)))?;
            for (name, _) in rest {
                rustix::fs::linkat(
                    &*upper.root,
                    first.as_slice(),
                    &*upper.root,
                    name.as_slice(),
                    AtFlags::empty(),
                )
                .map_err(failed("create the hard link", shown(name)))?;
            }
        }
    }
    // Their times last, after everything that was made in them.
    for (path, node) in &directories {
        dress(&upper.root, path, node)?;
    }
    Ok(())
}

fn make_parents(
    lower: &Stack,
    upper: &Layer,
    name: &[u8],
    made: &mut HashMap<Vec<u8>, crate::layer::Node>,
) -> Result<(), RootfsError> {
    let mut above = Vec::new();
    let mut at = parent(name);
    while !at.is_empty() && !made.contains_key(at) {
        above.push(at);
        at = parent(at);
    }
    for path in above.into_iter().rev() {
        let node = lower.node(path).map_err(failed("look at", shown(path)))?;
        if let Some(node) = node.filter(|n| n.kind == NodeKind::Directory) {
            make_like(&upper.root, path, &node)?;
            made.insert(path.to_vec(), node);
        }
    }
    let root = lower.node(b"").map_err(failed("look at", "/"))?;
    made.extend(root.map(|node| (Vec::new(), node)));
    Ok(())
}

/// Copies a file as the kernel copies one up.
fn copy_file(from: &Layer, upper: &Layer, path: &[u8], stat: &Stat) -> io::Result<()> {
    let mut source: File = open_below(&from.root, path, OFlags::RDONLY)?.into();
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut copy: File = rustix::fs::openat(&*upper.root, path, flags, Mode::from(0o600))?.into();
    io::copy(&mut source, &mut copy)?;
    // The owner first, for changing it takes setuid bits and capabilities away.
    set_open_owner(copy.as_fd(), stat.uid, stat.gid)?;
    rustix::fs::fchmod(&copy, Mode::from(stat.mode & 0o7777))?;
    if let Some(value) = from.capability(path)? {
        rustix::fs::fsetxattr(&copy, CAPABILITY, &value, XattrFlags::empty())?;
    }
    let time = rustix::time::Timespec { tv_sec: stat.mtime.seconds, tv_nsec: stat.mtime.nanoseconds.into() };
    Ok(rustix::fs::futimens(&copy, &Timestamps { last_access: time, last_modification: time })?)
}
