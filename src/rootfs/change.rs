//! What counts as a change: one definition for every placement.
//!
//! Placements find *candidates* cheaply, each in its own way: an overlay in its upper directory,
//! the container's own root by comparing an index. Touching a file without changing it makes it a
//! candidate in some placements and not in others; only the definition here decides, so that
//! layers do not depend on the placement.
//!
//! A path is in the layer if its type, mode, owner, device, link target, size, modification time
//! (not of directories), `security.capability`, or content differs from before, or if it shares an
//! inode with a path it did not share one with before. A path that lost another name of its inode
//! is not changed by that: unpackers replace files, they never write through them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rustix::fs::FileType;

use super::RootfsError;
use crate::layer::{Content, Entry, Kind, Timestamp, parent};

/// What the definition looks at on one side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Major and minor number of a device; zeros for everything else.
    pub device: (u32, u32),
    /// Bytes of a regular file; 0 for everything else.
    pub size: u64,
    /// Modification time.
    pub mtime: Timestamp,
    /// [`target_hash`] of a symbolic link; 0 for everything else.
    pub target: u128,
    /// Value of the `security.capability` attribute.
    pub capability: Option<Box<[u8]>>,
    /// Equal for names of one inode, on the same side; absent for a file with one name and for
    /// directories.
    pub group: Option<u64>,
}

impl Attributes {
    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type() == FileType::Directory
    }
}

/// The hash of a symbolic link's target that [`Attributes::target`] holds.
pub fn target_hash(target: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(target)
}

/// A path that may have changed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// From the root, without leading slash.
    pub path: Vec<u8>,
    /// What stood there; nothing if it is new.
    pub before: Option<Attributes>,
    /// What stands there; nothing if it is gone.
    pub after: Option<Attributes>,
}

/// What two sides say without looking at contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing differs.
    Same,
    /// Something differs.
    Changed,
    /// Everything but the content of the regular file is equal.
    Content,
}

/// Compares two sides of a path. Names of an inode are not looked at: they concern several paths.
///
/// Sockets exist only while a process listens; they count as nothing on both sides.
pub fn compare(before: Option<&Attributes>, after: Option<&Attributes>) -> Verdict {
    let present = |side: &&Attributes| side.file_type() != FileType::Socket;
    let (before, after) = match (before.filter(present), after.filter(present)) {
        (None, None) => return Verdict::Same,
        (Some(before), Some(after)) => (before, after),
        _ => return Verdict::Changed,
    };
    if before.file_type() != after.file_type() || (before.uid, before.gid) != (after.uid, after.gid) {
        return Verdict::Changed;
    }
    let kind = after.file_type();
    // The mode of a symbolic link means nothing and is not the same on all file systems.
    if kind != FileType::Symlink && before.mode != after.mode {
        return Verdict::Changed;
    }
    if kind != FileType::Directory && before.mtime != after.mtime {
        return Verdict::Changed;
    }
    let same = match kind {
        FileType::Symlink => before.target == after.target,
        FileType::CharacterDevice | FileType::BlockDevice => before.device == after.device,
        FileType::RegularFile => before.size == after.size && before.capability == after.capability,
        _ => true,
    };
    match (same, kind) {
        (false, _) => Verdict::Changed,
        (true, FileType::RegularFile) => Verdict::Content,
        (true, _) => Verdict::Same,
    }
}

/// The tree after the step, as far as deciding and packing need it.
pub trait After {
    /// Whether the regular files at these paths still have the content they had, in order. Asked
    /// only where everything else is equal.
    ///
    /// # Errors
    /// A file cannot be read.
    fn same_content(&self, paths: &[&[u8]]) -> Result<Vec<bool>, RootfsError>;

    /// The directory at a path that is parent of a change.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn directory(&self, path: &[u8]) -> Result<Attributes, RootfsError>;

    /// The target of the symbolic link at a path.
    ///
    /// # Errors
    /// It cannot be read.
    fn target(&self, path: &[u8]) -> Result<Vec<u8>, RootfsError>;

    /// Where the bytes of the regular file at a path are read from.
    fn content(&self, path: &[u8]) -> Content;
}

/// Decides which candidates are changes and makes the layer's entries of them: sorted by path,
/// the existing parents of each included, deletions as whiteouts (one for a directory and all
/// below it), the first name of an inode by bytes as the file and the others as hard links to it.
///
/// Candidates come in any order, a path once. A placement must bring every name of an inode that
/// has a changed name or a new one; a deleted directory's children need not be there.
///
/// # Errors
/// The tree cannot be read.
pub fn entries(mut candidates: Vec<Candidate>, after: &dyn After) -> Result<Vec<Entry>, RootfsError> {
    candidates.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    for candidate in &mut candidates {
        candidate.after.take_if(|side| side.file_type() == FileType::Socket);
    }
    let changed = changed(&candidates, after)?;
    let no_directory: HashSet<&[u8]> = candidates
        .iter()
        .filter(|c| !c.after.as_ref().is_some_and(Attributes::is_directory))
        .map(|c| c.path.as_slice())
        .collect();
    let mut first_names: HashMap<u64, &[u8]> = HashMap::new();
    let mut parents: BTreeSet<&[u8]> = BTreeSet::new();
    let mut found: BTreeMap<&[u8], Entry> = BTreeMap::new();
    for (candidate, _) in candidates.iter().zip(&changed).filter(|(_, changed)| **changed) {
        let path = candidate.path.as_slice();
        let entry = match &candidate.after {
            // Covered by what stands, or stands no longer, at a parent's path.
            None if ancestors(path).any(|a| no_directory.contains(a)) => continue,
            None => Entry::whiteout(path),
            Some(side) => match side.group.map(|group| *first_names.entry(group).or_insert(path)) {
                Some(first) if first != path => entry(path, Kind::HardLink(first.to_vec()), side),
                _ => present(path, side, after)?,
            },
        };
        parents.extend(ancestors(path));
        found.insert(path, entry);
    }
    for path in parents {
        if !found.contains_key(path) {
            found.insert(path, entry(path, Kind::Directory, &after.directory(path)?));
        }
    }
    Ok(found.into_values().collect())
}

/// For each candidate, whether it is a change.
fn changed(candidates: &[Candidate], after: &dyn After) -> Result<Vec<bool>, RootfsError> {
    let verdicts: Vec<Verdict> =
        candidates.iter().map(|c| compare(c.before.as_ref(), c.after.as_ref())).collect();
    let doubtful: Vec<usize> = (0..candidates.len()).filter(|i| verdicts[*i] == Verdict::Content).collect();
    let paths: Vec<&[u8]> = doubtful.iter().map(|i| candidates[*i].path.as_slice()).collect();
    let mut changed: Vec<bool> = verdicts.iter().map(|v| *v == Verdict::Changed).collect();
    for (at, same) in doubtful.into_iter().zip(after.same_content(&paths)?) {
        changed[at] = !same;
    }
    let mut groups: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        if let Some(group) = candidate.after.as_ref().and_then(|side| side.group) {
            groups.entry(group).or_default().push(at);
        }
    }
    for members in groups.into_values().filter(|members| members.len() > 1) {
        let origin = |at: usize| candidates[at].before.as_ref().and_then(|side| side.group);
        let were_one =
            origin(members[0]).is_some() && members.iter().all(|m| origin(*m) == origin(members[0]));
        if !were_one || members.iter().any(|m| changed[*m]) {
            members.into_iter().for_each(|m| changed[m] = true);
        }
    }
    Ok(changed)
}

/// The paths of the directories above a path, the root left out.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(parent(path)), |p| Some(parent(p))).take_while(|p| !p.is_empty())
}

fn present(path: &[u8], side: &Attributes, after: &dyn After) -> Result<Entry, RootfsError> {
    let (major, minor) = side.device;
    let kind = match side.file_type() {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink(after.target(path)?),
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        _ => Kind::File { size: side.size },
    };
    let mut entry = entry(path, kind, side);
    if matches!(entry.kind, Kind::File { .. }) {
        entry.content = after.content(path);
    }
    Ok(entry)
}

fn entry(path: &[u8], kind: Kind, side: &Attributes) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: side.mode & 0o7777,
        uid: side.uid,
        gid: side.gid,
        mtime: side.mtime,
        xattrs: side.capability.iter().map(|v| (CAPABILITY.to_vec(), v.to_vec())).collect(),
        content: Content::None,
    }
}

/// The one extended attribute that layers carry.
pub const CAPABILITY: &[u8] = b"security.capability";

#[cfg(test)]
mod tests;
