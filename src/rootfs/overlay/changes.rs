//! What a step changed: what is in its upper directory and differs from the layers below.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, Timestamps};

use super::handle::Handle;
use super::layer::{Layer, is_whiteout};
use super::links::Links;
use super::stack::{Found, Stack};
use super::{Features, RootfsError, failed, shown, xattr};
use crate::layer::{Content, Entry, NodeKind, View, join, parent};
use crate::rootfs::change::{After, Attributes, Candidate, entries};
use crate::rootfs::dress::make_like;
use crate::rootfs::index::{Stat, open_below};

/// The changes that an upper directory holds, compared with the layers below it.
pub(super) fn read(
    lower: &Stack,
    upper: &Arc<Layer>,
    features: Features,
    ignore: &[Vec<u8>],
) -> Result<Vec<Entry>, RootfsError> {
    let mut gathered = Gather::new(lower, upper, features, ignore).walk()?;
    if features.index && complete_groups(lower, upper, features, &gathered.linked)? {
        gathered = Gather::new(lower, upper, features, ignore).walk()?;
    }
    entries(gathered.candidates, &Sides { lower, upper })
}

/// Makes an upper directory fit to be a lower one, where nobody wants to know what is in it.
pub(super) fn complete(lower: &Stack, upper: &Layer, features: Features) -> Result<(), RootfsError> {
    if features.index {
        let links = Links::read(upper).map_err(failed("read the hard links of", &upper.name))?;
        let names: Vec<Vec<u8>> = links.groups().flat_map(|(_, names)| names.to_vec()).collect();
        complete_groups(lower, upper, features, &names)?;
    }
    Ok(())
}

/// Walks an upper directory.
struct Gather<'a> {
    lower: &'a Stack,
    upper: &'a Layer,
    features: Features,
    ignore: &'a [Vec<u8>],
    /// Numbers of files with several names, of lower layers by layer and inode.
    lower_groups: HashMap<(usize, u64), u64>,
    gathered: Gathered,
}

#[derive(Default)]
struct Gathered {
    candidates: Vec<Candidate>,
    /// Files of the upper directory that have several names, some perhaps in the index only.
    linked: Vec<Vec<u8>>,
}

/// A directory still to be read.
struct Directory {
    path: Vec<u8>,
    /// The lower layers that have it, nothing hidden.
    lower: Vec<usize>,
    /// Whether it hides what they have.
    opaque: bool,
}

impl<'a> Gather<'a> {
    fn new(lower: &'a Stack, upper: &'a Layer, features: Features, ignore: &'a [Vec<u8>]) -> Self {
        Gather { lower, upper, features, ignore, lower_groups: HashMap::new(), gathered: Gathered::default() }
    }

    fn walk(mut self) -> Result<Gathered, RootfsError> {
        let mut directories = vec![Directory { path: Vec::new(), lower: self.lower.root(), opaque: false }];
        while let Some(directory) = directories.pop() {
            self.directory(&directory, &mut directories)
                .map_err(failed("read what a step changed in", shown(&directory.path)))?;
        }
        Ok(self.gathered)
    }

    fn directory(&mut self, directory: &Directory, next: &mut Vec<Directory>) -> io::Result<()> {
        let names = self.upper.names(&directory.path)?;
        for name in &names {
            let path = join(&directory.path, name);
            if is_ignored(self.ignore, &path) {
                continue;
            }
            let Some(stat) = self.upper.stat(&path)? else {
                continue;
            };
            let below = self.lower.child(&directory.lower, &path)?;
            let before = below.as_ref().map(|found| self.before(&path, found)).transpose()?;
            let after = if is_whiteout(&stat) { None } else { Some(self.after(&path, &stat)?) };
            if stat.file_type() == FileType::Directory {
                let lower = below.map(|found| found.merged).unwrap_or_default();
                // What is made in an opaque directory needs no mark of its own to hide what was there.
                let hides =
                    || Ok::<_, io::Error>(directory.opaque || self.upper.is_opaque(&path, self.features)?);
                let opaque = !lower.is_empty() && hides()?;
                next.push(Directory { path: path.clone(), lower, opaque });
            }
            if before.is_some() || after.is_some() {
                self.gathered.candidates.push(Candidate { path, before, after });
            }
        }
        if directory.opaque {
            self.hidden(directory, &names)?;
        }
        Ok(())
    }

    /// What an opaque directory hides is deleted, unless it is there again.
    fn hidden(&mut self, directory: &Directory, names: &[Vec<u8>]) -> io::Result<()> {
        for name in self.lower.merged_names(&directory.lower, &directory.path)? {
            let path = join(&directory.path, &name);
            if names.binary_search(&name).is_ok() || is_ignored(self.ignore, &path) {
                continue;
            }
            if let Some(found) = self.lower.child(&directory.lower, &path)? {
                let before = Some(self.before(&path, &found)?);
                self.gathered.candidates.push(Candidate { path, before, after: None });
            }
        }
        Ok(())
    }

    fn before(&mut self, path: &[u8], found: &Found) -> io::Result<Attributes> {
        let mut attributes = self.lower.layers()[found.layer].attributes(path, &found.stat)?;
        if has_names(&found.stat) {
            let new = self.lower_groups.len() as u64;
            attributes.group = Some(*self.lower_groups.entry((found.layer, found.stat.inode)).or_insert(new));
        }
        Ok(attributes)
    }

    fn after(&mut self, path: &[u8], stat: &Stat) -> io::Result<Attributes> {
        let mut attributes = self.upper.attributes(path, stat)?;
        if has_names(stat) {
            attributes.group = Some(stat.inode);
            self.gathered.linked.push(path.to_vec());
        }
        Ok(attributes)
    }
}

fn has_names(stat: &Stat) -> bool {
    stat.links > 1 && stat.file_type() != FileType::Directory
}

/// Whether a path is one of these or below one.
fn is_ignored(ignore: &[Vec<u8>], path: &[u8]) -> bool {
    ignore
        .iter()
        .any(|i| path.strip_prefix(i.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/'))
}

/// Gives files that were copied up by one of their names their other names in the upper directory as
/// well: to the command they were one file, and the next step's overlay would take them for two.
/// Says whether there were any.
fn complete_groups(
    lower: &Stack,
    upper: &Layer,
    features: Features,
    linked: &[Vec<u8>],
) -> Result<bool, RootfsError> {
    let mut any = false;
    let mut done = std::collections::HashSet::new();
    for path in linked {
        let looked = failed("read the hard links of", shown(path));
        let missing = match missing_names(lower, upper, features, path, &mut done) {
            Ok(missing) => missing,
            Err(error) => return Err(looked(error)),
        };
        for name in missing {
            add_name(lower, upper, (upper, path), &name)?;
            any = true;
        }
    }
    Ok(any)
}

/// The names that the lower file of a copied-up one still has and the upper directory says nothing
/// about.
fn missing_names(
    lower: &Stack,
    upper: &Layer,
    features: Features,
    path: &[u8],
    done: &mut std::collections::HashSet<u64>,
) -> io::Result<Vec<Vec<u8>>> {
    match upper.stat(path)? {
        Some(stat) if done.insert(stat.inode) => {}
        _ => return Ok(Vec::new()),
    }
    match Handle::of_origin(upper, path, xattr::origin(features))? {
        Some(origin) => names_below(lower, upper, features, &origin),
        None => Ok(Vec::new()),
    }
}

/// The names of a lower file that can be seen, and about which the upper directory says nothing.
pub(super) fn names_below(
    lower: &Stack,
    upper: &Layer,
    features: Features,
    origin: &Handle,
) -> io::Result<Vec<Vec<u8>>> {
    let mut missing = Vec::new();
    for (number, layer) in lower.layers().iter().enumerate() {
        let Some((inode, names)) = layer.links()?.of_handle(origin) else {
            continue;
        };
        for name in names {
            let visible = lower.find(name)?.is_some_and(|f| f.layer == number && f.stat.inode == inode);
            if visible && !hides(upper, name, features)? {
                missing.push(name.clone());
            }
        }
        break;
    }
    Ok(missing)
}

/// Whether the upper directory has, or hides, a path.
fn hides(upper: &Layer, path: &[u8], features: Features) -> io::Result<bool> {
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    for end in ends {
        match upper.stat(&path[..end])? {
            None => return Ok(false),
            Some(stat) if stat.file_type() != FileType::Directory => return Ok(true),
            Some(_) if upper.is_opaque(&path[..end], features)? => return Ok(true),
            Some(_) => {}
        }
    }
    Ok(upper.stat(path)?.is_some())
}

/// Links a file, of the upper directory or of the index beside it, to a name in the upper directory.
/// Directories above that come up unchanged, and keep their time.
pub(super) fn add_name(
    lower: &Stack,
    upper: &Layer,
    (layer, path): (&Layer, &[u8]),
    name: &[u8],
) -> Result<(), RootfsError> {
    let ends = name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    for end in ends {
        let above = &name[..end];
        let node = lower.node(above).map_err(failed("look at", shown(above)))?;
        if let Some(node) = node.filter(|n| n.kind == NodeKind::Directory) {
            keeping_time(upper, parent(above), || make_like(&upper.root, above, &node))?;
        }
    }
    keeping_time(upper, parent(name), || {
        rustix::fs::linkat(&*layer.root, path, &*upper.root, name, AtFlags::empty())
            .map_err(failed("create the hard link", shown(name)))
    })
}

fn keeping_time(
    upper: &Layer,
    directory: &[u8],
    change: impl FnOnce() -> Result<(), RootfsError>,
) -> Result<(), RootfsError> {
    let at = if directory.is_empty() { b".".as_slice() } else { directory };
    let before = upper.stat(at).map_err(failed("look at", shown(directory)))?;
    change()?;
    if let Some(before) = before {
        let time =
            rustix::time::Timespec { tv_sec: before.mtime.seconds, tv_nsec: before.mtime.nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(&*upper.root, at, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the time of", shown(directory)))?;
    }
    Ok(())
}

/// An upper directory and what is below it, for the definition of a change.
struct Sides<'a> {
    lower: &'a Stack,
    upper: &'a Arc<Layer>,
}

impl Sides<'_> {
    fn same(&self, path: &[u8]) -> io::Result<bool> {
        let mut one: File = open_below(&self.upper.root, path, OFlags::RDONLY)?.into();
        let mut other = View::open(self.lower, path)?;
        let (mut a, mut b) = (vec![0; 256 << 10], vec![0; 256 << 10]);
        loop {
            let count = one.read(&mut a)?;
            if count == 0 {
                return Ok(other.read(&mut b)? == 0);
            }
            match other.read_exact(&mut b[..count]) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                result => result?,
            }
            if a[..count] != b[..count] {
                return Ok(false);
            }
        }
    }
}

impl After for Sides<'_> {
    fn same_content(&self, paths: &[&[u8]]) -> Result<Vec<bool>, RootfsError> {
        paths.iter().map(|path| self.same(path).map_err(failed("compare", shown(path)))).collect()
    }

    fn directory(&self, path: &[u8]) -> Result<Attributes, RootfsError> {
        let look = || {
            if let Some(stat) = self.upper.stat(path)? {
                return self.upper.attributes(path, &stat);
            }
            let found = self.lower.find(path)?.ok_or(io::ErrorKind::NotFound)?;
            self.lower.layers()[found.layer].attributes(path, &found.stat)
        };
        look().map_err(failed("look at", shown(path)))
    }

    fn target(&self, path: &[u8]) -> Result<Vec<u8>, RootfsError> {
        self.upper.target(path).map_err(failed("read the link", shown(path)))
    }

    fn content(&self, _: &[u8]) -> Content {
        Content::Below(Arc::clone(&self.upper.root))
    }
}
