//! A stage's tree as a [`View`], wherever its parts are at the moment.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;

use super::directory::{names, open};
use super::ground::Ground;
use super::journal::StayKind;
use crate::layer::{DirView, Node, View, join, parent};
use crate::rootfs::RootfsError;

/// Where a part of a stage's tree is on disk.
#[derive(Clone)]
pub(super) struct Spot {
    pub(super) directory: Arc<OwnedFd>,
    /// Below the directory.
    pub(super) base: Vec<u8>,
    /// The path in the tree that stands at `base`.
    pub(super) part: Vec<u8>,
}

impl Spot {
    fn whole(directory: &Arc<OwnedFd>) -> Spot {
        Spot { directory: Arc::clone(directory), base: Vec::new(), part: Vec::new() }
    }

    /// Whether two paths are in the same part.
    pub(super) fn is(&self, other: &Spot) -> bool {
        Arc::ptr_eq(&self.directory, &other.directory) && self.base == other.base
    }

    /// What is left of a path of the tree below the part.
    pub(super) fn rest<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        match path.strip_prefix(self.part.as_slice())? {
            rest if self.part.is_empty() || rest.is_empty() => Some(rest),
            rest => rest.strip_prefix(b"/"),
        }
    }

    fn below(&self, path: &[u8]) -> Vec<u8> {
        match self.rest(path) {
            Some(rest) if !rest.is_empty() => join(&self.base, rest),
            _ => self.base.clone(),
        }
    }

    fn view(&self) -> io::Result<DirView> {
        Ok(DirView::new(self.directory.try_clone()?))
    }

    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        self.view()?.node(&self.below(path))
    }
}

impl Ground {
    /// Where a path of a stage's tree is: in the container's root, on a volume, or with the stage.
    pub(super) fn spot(&self, stage: usize, path: &[u8]) -> io::Result<Spot> {
        let tree = self.known_stage(stage).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let entered = self.has_entered(stage);
        let above: Vec<&[u8]> =
            std::iter::successors(Some(path), |p| Some(parent(p))).take_while(|p| !p.is_empty()).collect();
        for above in above {
            match self.stays(above) {
                Some(StayKind::Reserved | StayKind::MountedFile | StayKind::Mount) if entered => {
                    return Ok(Spot::whole(tree));
                }
                Some(StayKind::Volume) if !entered => {
                    let base = self.stage_on_volume(above, stage);
                    if open(&self.root, &base).is_ok() {
                        return Ok(Spot { directory: Arc::clone(&self.root), base, part: above.to_vec() });
                    }
                }
                _ => {}
            }
        }
        Ok(Spot::whole(if entered { &self.root } else { tree }))
    }

    /// Whether a path in the container's root is no part of the entered stage's tree.
    fn is_foreign(&self, stage: usize, directory: &[u8], name: &[u8]) -> Result<bool, RootfsError> {
        let path = join(directory, name);
        match self.stays(&path) {
            None => Ok(self.is_ours(directory, name)),
            Some(StayKind::Directory | StayKind::Volume) => self.is_hollow(&path, stage),
            Some(_) => Ok(true),
        }
    }

    fn names_at(&self, stage: usize, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let spot = self.spot(stage, path)?;
        let mut found = names(&open(&spot.directory, &spot.below(path))?)?;
        let below = |p: &[u8]| !p.is_empty() && parent(p) == path;
        let name_of = |p: &[u8]| p.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
        if self.has_entered(stage) && Arc::ptr_eq(&spot.directory, &self.root) {
            let mut kept = Vec::with_capacity(found.len());
            for name in found {
                if !self.is_foreign(stage, path, &name).map_err(io::Error::other)? {
                    kept.push(name);
                }
            }
            found = kept;
        }
        // What is kept elsewhere than the rest of this directory.
        for (stay, _) in self.state.stays.iter().filter(|(stay, _)| below(stay)) {
            let elsewhere = self.spot(stage, stay)?;
            if !elsewhere.is(&spot) && elsewhere.node(stay)?.is_some() {
                found.push(name_of(stay));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// The tree of a stage.
pub(super) struct TreeView {
    pub(super) ground: Arc<Mutex<Ground>>,
    pub(super) stage: usize,
}

impl TreeView {
    pub(super) fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View for TreeView {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        let ground = self.ground();
        let staying = matches!(ground.stays(path), Some(StayKind::Directory | StayKind::Volume));
        let hidden =
            |name: &[u8]| ground.is_foreign(self.stage, parent(path), name).map_err(io::Error::other);
        if staying && !path.is_empty() && ground.has_entered(self.stage) {
            let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
            if hidden(name)? {
                return Ok(None);
            }
        }
        ground.spot(self.stage, path)?.node(path)
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.ground().names_at(self.stage, path)
    }

    fn locate(&self, path: &[u8]) -> io::Result<Option<(Arc<OwnedFd>, PathBuf)>> {
        let spot = self.ground().spot(self.stage, path)?;
        let below = spot.below(path);
        Ok(Some((spot.directory, PathBuf::from(OsStr::from_bytes(&below)))))
    }

    fn open(&self, path: &[u8]) -> io::Result<File> {
        let spot = self.ground().spot(self.stage, path)?;
        spot.view()?.open(&spot.below(path))
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let spot = self.ground().spot(self.stage, path)?;
        spot.view()?.read(&spot.below(path), limit)
    }
}
