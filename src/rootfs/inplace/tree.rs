//! The tree of one stage: written while idle or in place, in place while a step runs.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;

use super::cover;
use super::directory::{dress, failed, make, open, shown};
use super::ground::Ground;
use super::journal::{Look, StayKind};
use super::view::{Spot, TreeView};
use crate::layer::{Content, Entry, Kind, TreeError, View, parent, write_entries};
use crate::rootfs::change::{Verdict, compare};
use crate::rootfs::index::{Bounds, Hashes, Index, written_directories};
use crate::rootfs::{Rootfs, RootfsError};
use crate::run::{Mount, Root};

/// The tree of one stage.
pub(super) struct Tree {
    ground: Arc<Mutex<Ground>>,
    view: TreeView,
    stage: usize,
    threads: usize,
    /// What the tree was like before the step, from the first `enter` on.
    index: Option<Index>,
    /// The swap that the index is good for: renaming changes inodes' change times.
    generation: u64,
    /// Contents known before there is an index.
    known: Hashes,
    /// Contents of what was written while the tree was idle again.
    late: Vec<(Vec<u8>, u128)>,
    /// Directories written into while the tree was idle again.
    written: HashSet<Vec<u8>>,
    /// Nobody will ask what changes.
    unwatched: bool,
}

impl Tree {
    pub(super) fn new(ground: Arc<Mutex<Ground>>, stage: usize, known: Hashes, threads: usize) -> Tree {
        let view = TreeView { ground: Arc::clone(&ground), stage };
        let (late, written) = (Vec::new(), HashSet::new());
        let (index, generation, unwatched) = (None, 0, false);
        Tree { ground, view, stage, threads, index, generation, known, late, written, unwatched }
    }

    fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the index good for the tree as it is now, which is in place.
    fn bring_index_up(
        &mut self,
        root: &Arc<OwnedFd>,
        generation: u64,
        bounds: &Bounds,
    ) -> Result<(), RootfsError> {
        match &mut self.index {
            Some(_) if self.generation == generation => {}
            Some(index) => {
                let compared = index.compare_anew(root, bounds)?;
                let mut disturbed = 0;
                let mut same = Vec::new();
                for candidate in &compared.candidates {
                    let ours = self.written.contains(parent(&candidate.path))
                        || self.written.contains(&candidate.path);
                    match compare(candidate.before.as_ref(), candidate.after.as_ref()) {
                        Verdict::Changed => disturbed += usize::from(!ours),
                        Verdict::Content => same.extend(
                            compared
                                .hashes
                                .get(&candidate.path)
                                .map(|hash| (candidate.path.as_slice(), *hash)),
                        ),
                        Verdict::Same => {}
                    }
                }
                index.set_hashes(same);
                index.set_hashes(self.late.iter().map(|(path, hash)| (path.as_slice(), *hash)));
                if disturbed > 0 {
                    self.view.ground().events.warn(format!(
                        "a step of another stage changed {disturbed} files of stage {} while it was set aside",
                        self.stage
                    ));
                }
            }
            empty => *empty = Some(Index::fill(root, bounds, std::mem::take(&mut self.known), self.threads)?),
        }
        self.late.clear();
        self.written.clear();
        self.generation = generation;
        Ok(())
    }

    /// Puts what the step asks for in place; what was put there when one thing fails is taken out
    /// again.
    fn cover(&self, mounts: &[Mount]) -> Result<(), RootfsError> {
        for mount in mounts {
            // Not under the lock: the view takes it.
            let place = cover::place(&self.view, &mount.target);
            if let Err(error) = place.and_then(|path| self.ground().cover(self.stage, &path, mount)) {
                // The first error is the one to report; what cannot be taken out goes with the tree.
                let _ = self.ground().uncover();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes entries where the parts of the tree are at the moment.
    fn write(&self, ground: &Ground, entries: &[Entry]) -> Result<(), RootfsError> {
        let spot = |entry: &Entry| {
            let io = |source| RootfsError::Io { action: "find", path: shown(&entry.path), source };
            ground.spot(self.stage, &entry.path).map_err(io)
        };
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let here = spot(first)?;
            let same = |entry: &&Entry| spot(entry).is_ok_and(|other| other.is(&here));
            let (now, later) = rest.split_at(rest.iter().take_while(same).count().max(1));
            write_part(&here, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Prepares what stays in place for entries that are about to be written there.
    fn open_way(&self, ground: &mut Ground, entries: &[Entry]) -> Result<(), RootfsError> {
        for entry in entries {
            ground.check_reserved(&entry.path)?;
            if !ground.has_entered(self.stage) {
                continue;
            }
            let above = std::iter::successors(Some(entry.path.as_slice()), |p| Some(parent(p)));
            let mut above: Vec<&[u8]> = above.take_while(|p| !p.is_empty()).collect();
            above.reverse();
            for path in above {
                match ground.stays(path) {
                    Some(StayKind::Mount | StayKind::VolumeAside) => {
                        ground.use_volume(path)?;
                        let part = ground.stage_on_volume(path, self.stage);
                        make(&ground.root, &part).map_err(failed("create", &part))?;
                    }
                    // From now on the directory is part of the tree, even with nothing in it.
                    Some(StayKind::Volume) => {
                        let part = ground.stage_on_volume(path, self.stage);
                        make(&ground.root, &part).map_err(failed("create", &part))?;
                    }
                    Some(StayKind::Directory) if entry.kind == Kind::Directory && path == entry.path => {
                        let tree = ground.stage(self.stage)?;
                        make(&tree, path).map_err(failed("create", path))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Writes entries that are all in one part of the tree.
fn write_part(spot: &Spot, entries: &[Entry]) -> Result<(), RootfsError> {
    let unwritten = |error: TreeError| RootfsError::Unpack(Box::new(error));
    if spot.part.is_empty() {
        return write_entries(spot.directory.as_fd(), entries).map_err(unwritten);
    }
    let directory = open(&spot.directory, &spot.base).map_err(failed("open", &spot.part))?;
    let mut below = Vec::with_capacity(entries.len());
    for entry in entries {
        let rest = |path: &[u8]| spot.rest(path).map(<[u8]>::to_vec);
        let mut moved = entry.clone();
        moved.path = rest(&entry.path).unwrap_or_default();
        if moved.path.is_empty() {
            let Entry { mode, uid, gid, mtime, .. } = *entry;
            let look = Look { mode, uid, gid, mtime };
            dress(&directory, &look).map_err(failed("set mode, owner and time of", &entry.path))?;
            continue;
        }
        if let Kind::HardLink(first) = &entry.kind {
            moved.kind = Kind::HardLink(rest(first).ok_or_else(|| across(&entry.path, first))?);
        }
        if let Content::Below(source) = &entry.content {
            moved.content = Content::At(Arc::clone(source), PathBuf::from(OsStr::from_bytes(&entry.path)));
        }
        below.push(moved);
    }
    write_entries(directory.as_fd(), &below).map_err(unwritten)
}

fn across(path: &[u8], first: &[u8]) -> RootfsError {
    RootfsError::Refused {
        reason: format!(
            "{} is a hard link to {}, and only one of them is on a volume mounted in this container",
            shown(path).display(),
            shown(first).display()
        ),
        help: Some("mount the volume elsewhere".to_owned()),
    }
}

impl Rootfs for Tree {
    fn view(&self) -> &dyn View {
        &self.view
    }

    fn apply(&mut self, entries: &[Entry]) -> Result<(), RootfsError> {
        let mut ground = self.ground();
        self.open_way(&mut ground, entries)?;
        self.write(&ground, entries)?;
        let directories = written_directories(entries);
        let in_place = ground.has_entered(self.stage) && self.generation == ground.generation;
        let (root, bounds) = (Arc::clone(&ground.root), ground.bounds(self.index.as_ref(), self.stage)?);
        drop(ground);
        match &mut self.index {
            Some(index) if in_place => index.absorb(&root, &bounds, &directories),
            Some(_) => {
                self.written.extend(directories);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn enter(&mut self, mounts: &[Mount]) -> Result<Root, RootfsError> {
        let mut ground = self.ground();
        ground.enter(self.stage)?;
        let (root, generation) = (Arc::clone(&ground.root), ground.generation);
        let bounds =
            if self.unwatched { None } else { Some(ground.bounds(self.index.as_ref(), self.stage)?) };
        drop(ground);
        if let Some(bounds) = bounds {
            self.bring_index_up(&root, generation, &bounds)?;
        }
        self.cover(mounts)?;
        self.ground().hide()?;
        if let Some(index) = &self.index {
            index.wait_for_clock();
        }
        Ok(Root::Live)
    }

    fn unmount(&mut self) -> Result<(), RootfsError> {
        self.ground().uncover()
    }

    fn changes(&mut self, ignore: &[Vec<u8>]) -> Result<Vec<Entry>, RootfsError> {
        let mut ground = self.ground();
        ground.show()?;
        let root = Arc::clone(&ground.root);
        let bounds = ground.bounds(self.index.as_ref(), self.stage)?;
        drop(ground);
        let Some(index) = &mut self.index else { return Ok(Vec::new()) };
        index.changes(&root, &bounds, ignore)
    }

    fn forget(&mut self) -> Result<(), RootfsError> {
        if self.unwatched { self.ground().show() } else { self.changes(&[]).map(drop) }
    }

    fn keep(&mut self) -> Option<PathBuf> {
        let ground = self.ground();
        Some(ground.site.home.join("stage").join(&ground.state.id).join(self.stage.to_string()))
    }

    fn materialize(&mut self) -> Result<(), RootfsError> {
        self.ground().materialize(self.stage)
    }

    fn forget_all(&mut self) {
        self.unwatched = true;
        self.known = Hashes::default();
    }

    fn packed(&mut self, hashes: &[(Vec<u8>, u128)]) {
        let in_place = self.ground().generation == self.generation;
        match &mut self.index {
            Some(index) if in_place => {
                index.set_hashes(hashes.iter().map(|(path, hash)| (path.as_slice(), *hash)));
            }
            Some(_) => self.late.extend_from_slice(hashes),
            None => hashes.iter().for_each(|(path, hash)| self.known.insert(path, *hash)),
        }
    }

    fn fork(&self) -> Option<Result<Box<dyn Rootfs>, RootfsError>> {
        None
    }
}
