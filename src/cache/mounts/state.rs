//! What a directory held when it was saved or restored, to find what changed since.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, statat};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::super::CacheError;
use super::super::local::{read_bounded, write_whole};
use super::set::MountSet;
use crate::layer::{Content, DirView, Entry, Kind, LinkId, SourceEntry, View, join};

/// Most entries of a directory that is saved.
pub(super) const MOST_ENTRIES: usize = 1_000_000;
/// Most bytes of a state's file.
const MOST_BYTES: u64 = 512 << 20;
/// What a state's file starts with.
const MAGIC: &[u8] = b"yadokari state 1\n";
/// Names that mean a deletion in a layer.
const RESERVED: &[u8] = b".wh.";

/// What is known of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    /// Inode and change time: where both are as they were, nothing changed.
    inode: u64,
    changed: (i64, i64),
    /// Type, mode, owner, size, time, target and first name, hashed.
    print: u128,
    /// XXH3-128 of a regular file's content, else 0.
    content: u128,
}

/// What a directory held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// What was saved or restored then; nothing if the directory was never saved.
    pub set: Option<MountSet>,
    items: BTreeMap<Vec<u8>, Item>,
}

/// What is different in a directory from a [`State`].
#[derive(Debug, Default)]
pub struct Difference {
    /// Deletions, then new and changed entries, parents first.
    pub entries: Vec<Entry>,
    /// Bytes of all files that are there, changed or not.
    pub bytes: u64,
    /// How many entries there are.
    pub count: usize,
    now: BTreeMap<Vec<u8>, Item>,
    /// Files whose content is only known once they are packed, with the name they are packed under.
    unread: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl State {
    /// What a directory holds that was just restored; `contents` has the hash of each regular file.
    ///
    /// # Errors
    /// It cannot be read, or holds too much.
    pub fn of(
        directory: &Path,
        set: MountSet,
        contents: &BTreeMap<Vec<u8>, u128>,
    ) -> Result<State, CacheError> {
        let mut items = BTreeMap::new();
        walk(directory, &mut |found| {
            let content = match &found.entry.kind {
                Kind::File { .. } => contents.get(found.first()).copied().unwrap_or_default(),
                _ => 0,
            };
            items.insert(found.entry.path.clone(), found.item(content));
            Ok(())
        })?;
        Ok(State { set: Some(set), items })
    }

    /// What changed in a directory since.
    ///
    /// # Errors
    /// It cannot be read, or holds too much.
    pub fn difference(&self, directory: &Path) -> Result<Difference, CacheError> {
        let view = DirView::at(directory).map_err(CacheError::file("open", directory))?;
        let mut difference = Difference::default();
        walk(directory, &mut |found| {
            let path = &found.entry.path;
            if let (Kind::File { size }, None) = (&found.entry.kind, &found.leader) {
                difference.bytes = difference.bytes.saturating_add(*size);
            }
            let before = self.items.get(path);
            let mut item = found.item(before.map_or(0, |b| b.content));
            match before {
                Some(before) if *before == item => {}
                // Touched, perhaps written with what was there.
                Some(before) if before.print == item.print => {
                    if matches!(found.entry.kind, Kind::File { .. }) {
                        item.content = hash(&view, path)?;
                    }
                    if item.content != before.content {
                        difference.entries.push(found.packed());
                    }
                }
                _ => {
                    if matches!(found.entry.kind, Kind::File { .. }) {
                        difference.unread.insert(path.clone(), found.first().to_vec());
                    }
                    difference.entries.push(found.packed());
                }
            }
            difference.now.insert(path.clone(), item);
            Ok(())
        })?;
        difference.count = difference.now.len();
        let gone = self.deletions(&difference);
        // First: what takes the place of something else comes after it.
        difference.entries.splice(0..0, gone);
        Ok(difference)
    }

    /// The topmost of what is gone.
    fn deletions(&self, difference: &Difference) -> Vec<Entry> {
        // What is no directory any more took what was below it along.
        let plain = difference.entries.iter().filter(|e| e.kind != Kind::Directory);
        let plain: BTreeSet<&[u8]> = plain.map(|e| e.path.as_slice()).collect();
        let gone = self.items.keys().filter(|path| !difference.now.contains_key(*path));
        let topmost = gone.filter(|path| {
            let parent = crate::layer::parent(path);
            (parent.is_empty() || difference.now.contains_key(parent)) && !plain.contains(parent)
        });
        topmost.map(|path| Entry::whiteout(path)).collect()
    }

    /// How many entries there were.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Reads the state of a directory; none if there is none that makes sense.
    pub fn read(path: &Path) -> Option<State> {
        let bytes = read_bounded(path, MOST_BYTES).ok()??;
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let set = match take(&mut rest)? {
            [] => None,
            manifest => Some(MountSet::parse(manifest, None).ok()?),
        };
        let mut items = BTreeMap::new();
        while !rest.is_empty() {
            let path = take(&mut rest)?.to_vec();
            let (fields, after) = rest.split_first_chunk::<56>()?;
            rest = after;
            let eight = |at: usize| -> [u8; 8] { fields[at..at + 8].try_into().unwrap_or_default() };
            let sixteen = |at: usize| -> [u8; 16] { fields[at..at + 16].try_into().unwrap_or_default() };
            items.insert(
                path,
                Item {
                    inode: u64::from_le_bytes(eight(0)),
                    changed: (i64::from_le_bytes(eight(8)), i64::from_le_bytes(eight(16))),
                    print: u128::from_le_bytes(sixteen(24)),
                    content: u128::from_le_bytes(sixteen(40)),
                },
            );
        }
        Some(State { set, items })
    }

    /// Writes the state to a file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CacheError> {
        let mut bytes = MAGIC.to_vec();
        let manifest = self.set.as_ref().map(|set| set.manifest().0).unwrap_or_default();
        put(&mut bytes, &manifest);
        for (path, item) in &self.items {
            put(&mut bytes, path);
            bytes.extend(item.inode.to_le_bytes());
            bytes.extend(item.changed.0.to_le_bytes());
            bytes.extend(item.changed.1.to_le_bytes());
            bytes.extend(item.print.to_le_bytes());
            bytes.extend(item.content.to_le_bytes());
        }
        write_whole(path, &bytes)
    }
}

impl Difference {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The state after this was saved as `set`; `packed` has the hashes of the files in it.
    pub fn state(mut self, set: MountSet, packed: &BTreeMap<Vec<u8>, u128>) -> State {
        for (path, first) in &self.unread {
            if let (Some(item), Some(hash)) = (self.now.get_mut(path), packed.get(first)) {
                item.content = *hash;
            }
        }
        State { set: Some(set), items: self.now }
    }
}

fn put(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(value);
}

fn take<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(value)
}

/// One entry of a directory.
struct FoundEntry {
    entry: Entry,
    /// The first name of a file that has several, unless this is it.
    leader: Option<Vec<u8>>,
    inode: u64,
    changed: (i64, i64),
}

impl FoundEntry {
    /// The name that the content is packed under.
    fn first(&self) -> &[u8] {
        self.leader.as_deref().unwrap_or(&self.entry.path)
    }

    fn item(&self, content: u128) -> Item {
        let Entry { kind, mode, uid, gid, mtime, xattrs, .. } = &self.entry;
        // The times of a directory are those of what it holds.
        let time = if *kind == Kind::Directory { None } else { Some((mtime.seconds, mtime.nanoseconds)) };
        let text = format!("{kind:?} {mode:o} {uid} {gid} {time:?} {xattrs:?} {:?}", self.leader);
        Item { inode: self.inode, changed: self.changed, print: xxh3_128(text.as_bytes()), content }
    }

    /// The entry as it is packed.
    fn packed(&self) -> Entry {
        let mut entry = self.entry.clone();
        if let Some(leader) = &self.leader {
            entry.kind = Kind::HardLink(leader.clone());
            entry.content = Content::None;
        }
        entry
    }
}

/// Calls `found` for all below a directory that can be saved: no devices, pipes and sockets.
fn walk(
    directory: &Path,
    found: &mut dyn FnMut(&FoundEntry) -> Result<(), CacheError>,
) -> Result<(), CacheError> {
    let failed = |e: io::Error| CacheError::file("read the files of", directory)(e);
    let view = DirView::at(directory).map_err(failed)?;
    let mut leaders: BTreeMap<LinkId, Vec<u8>> = BTreeMap::new();
    let mut open = vec![(Vec::new(), view.names(b"").map_err(failed)?.into_iter())];
    let mut count = 0;
    while let Some((parent, names)) = open.last_mut() {
        let Some(name) = names.next() else {
            open.pop();
            continue;
        };
        let path = join(parent, &name);
        if name.starts_with(RESERVED) {
            continue;
        }
        let Some((SourceEntry { mut entry, link }, inode, changed)) = look(&view, &path).map_err(failed)?
        else {
            continue;
        };
        count += 1;
        if count > MOST_ENTRIES {
            return Err(CacheError::Garbage(format!("it has more than {MOST_ENTRIES} files")));
        }
        let leader = link.and_then(|link| match leaders.entry(link) {
            btree_map::Entry::Occupied(first) => Some(first.get().clone()),
            btree_map::Entry::Vacant(none) => {
                none.insert(path.clone());
                None
            }
        });
        if let Content::At(root, _) = entry.content {
            entry.content = Content::Below(root);
        }
        if entry.kind == Kind::Directory {
            let names = view.names(&path).map_err(failed)?.into_iter();
            open.push((path, names));
        }
        found(&FoundEntry { entry, leader, inode, changed })?;
    }
    Ok(())
}

type Looked = (SourceEntry, u64, (i64, i64));

fn look(view: &DirView, path: &[u8]) -> io::Result<Option<Looked>> {
    let Some((directory, at)) = view.locate(path)? else { return Ok(None) };
    let stat = match statat(&directory, &at, AtFlags::SYMLINK_NOFOLLOW) {
        // A program that still runs may clear up.
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        stat => stat?,
    };
    let kept = [FileType::Directory, FileType::RegularFile, FileType::Symlink];
    if !kept.contains(&FileType::from_raw_mode(stat.st_mode)) {
        return Ok(None);
    }
    let Some(entry) = view.entry(path)? else { return Ok(None) };
    if !matches!(entry.entry.kind, Kind::Directory | Kind::File { .. } | Kind::Symlink(_)) {
        return Ok(None);
    }
    let changed = (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default());
    Ok(Some((entry, stat.st_ino, changed)))
}

fn hash(view: &DirView, path: &[u8]) -> Result<u128, CacheError> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let failed = |e: io::Error| CacheError::file("read", shown.clone())(e);
    let mut file = view.open(path).map_err(failed)?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hash.digest128()),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::set::tests::set;
    use super::*;

    fn changes(state: &State, directory: &Path) -> Vec<String> {
        let found = state.difference(directory).unwrap();
        let mut shown: Vec<String> = found
            .entries
            .iter()
            .map(|e| {
                let path = String::from_utf8_lossy(&e.path).into_owned();
                match &e.kind {
                    Kind::Whiteout => format!("-{path}"),
                    Kind::HardLink(to) => format!("{path}={}", String::from_utf8_lossy(to)),
                    _ => path,
                }
            })
            .collect();
        shown.sort();
        shown
    }

    /// The state after all of a directory was saved.
    fn saved(directory: &Path) -> State {
        let found = State::default().difference(directory).unwrap();
        let view = DirView::at(directory).unwrap();
        let files = found.entries.iter().filter(|e| matches!(e.kind, Kind::File { .. }));
        let hashes = files.map(|e| (e.path.clone(), hash(&view, &e.path).unwrap())).collect();
        found.state(set(), &hashes)
    }

    #[test]
    fn only_what_changed_is_different() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("d/e")).unwrap();
        for name in ["a", "d/b", "d/e/c", "gone", "same"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("a", at("link")).unwrap();
        fs::hard_link(at("a"), at("other")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let state = saved(dir.path());
        assert_eq!(
            changes(&State::default(), dir.path()),
            ["a", "d", "d/b", "d/e", "d/e/c", "gone", "link", "other=a", "same"]
        );
        assert_eq!(changes(&state, dir.path()), [""; 0]);

        let time = fs::metadata(at("same")).unwrap().modified().unwrap();
        fs::write(at("same"), "SAME").unwrap();
        fs::File::options().write(true).open(at("same")).unwrap().set_modified(time).unwrap();
        fs::remove_file(at("gone")).unwrap();
        fs::write(at("new"), "").unwrap();
        assert_eq!(changes(&state, dir.path()), ["-gone", "new", "same"], "times and size may lie");

        let state = saved(dir.path());
        fs::write(at("same"), "SAME").unwrap();
        fs::File::options().write(true).open(at("same")).unwrap().set_modified(time).unwrap();
        assert_eq!(changes(&state, dir.path()), [""; 0], "written with what was there");
        fs::set_permissions(at("d/e"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(changes(&state, dir.path()), ["d/e"]);
        fs::remove_dir_all(at("d")).unwrap();
        assert_eq!(changes(&state, dir.path()), ["-d"]);
        fs::write(at("d"), "a file").unwrap();
        assert_eq!(changes(&state, dir.path()), ["d"]);
        fs::remove_file(at("a")).unwrap();
        assert_eq!(changes(&state, dir.path()), ["-a", "d", "other"]);
    }

    #[test]
    fn a_state_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "x").unwrap();
        let state = saved(dir.path());
        let file = dir.path().join("state");
        state.write(&file).unwrap();
        assert_eq!(State::read(&file), Some(state));
        let bytes = fs::read(&file).unwrap();
        for end in 0..bytes.len() {
            fs::write(&file, &bytes[..end]).unwrap();
            assert_eq!(State::read(&file).filter(|s| s.items.len() > 1), None, "cut at {end}");
        }
        assert_eq!(State::read(Path::new("/nowhere")), None);
    }
}
