//! Leaving a stage's tree in the place of the container's own files when the build ends.
//!
//! It is a swap like any other, and the journal stays: `yadokari restore`, or the next build, undoes
//! it. What is mounted in the container stays at its path, with the files it has.

use rustix::fs::FileType;

use super::directory::{failed, look_at, make, names, open, remove, shown};
use super::ground::Ground;
use super::journal::{Journal, StayKind};
use crate::layer::parent;
use crate::rootfs::RootfsError;

impl Ground {
    /// Puts a stage's tree in place for good, after the container's own files were put back.
    pub(super) fn materialize(&mut self, stage: usize) -> Result<(), RootfsError> {
        let volumes = self.volumes();
        self.begin_again()?;
        self.remove_other_trees(stage)?;
        self.keep_mounts_in_place(stage)?;
        self.materializes = true;
        self.enter(stage)?;
        self.is_materialized = true;
        for volume in &volumes {
            self.warn_of_unplaced(volume);
        }
        let program =
            std::env::current_exe().map_or_else(|_| "yadokari".to_owned(), |p| p.display().to_string());
        self.events.info(format!(
            "the image's files are this container's own now; `{program} restore`, or the next build here, brings back what was there"
        ));
        Ok(())
    }

    /// Says that what an image has at a mounted directory cannot be seen.
    pub(super) fn warn_of_unplaced(&self, path: &[u8]) {
        let path = shown(path);
        self.events.warn(format!(
            "{} is mounted in this container: the image's files there are not in place",
            path.display()
        ));
    }

    /// Forgets a swap that was undone, so that there can be another. Without a journal nothing is moved.
    fn begin_again(&mut self) -> Result<(), RootfsError> {
        Journal::remove(&self.home).map_err(|source| self.journal_failed(source))?;
        self.journal = None;
        self.forget_swaps();
        Ok(())
    }

    fn remove_other_trees(&self, stage: usize) -> Result<(), RootfsError> {
        let path = format!("stage/{}", self.state.id);
        let trees = make(&self.home, path.as_bytes()).map_err(failed("open", path.as_bytes()))?;
        let own = stage.to_string();
        for name in names(&trees).map_err(failed("read the directory", path.as_bytes()))? {
            if name != own.as_bytes() {
                remove(&trees, &name).map_err(failed("remove", &name))?;
            }
        }
        Ok(())
    }

    /// Sees to it that the directories above mounts are not renamed away with them, but where the image
    /// has something else there.
    fn keep_mounts_in_place(&mut self, stage: usize) -> Result<(), RootfsError> {
        let tree = self.stage(stage)?;
        let mounts: Vec<Vec<u8>> = self.site.mounts.iter().map(|mount| mount.path.clone()).collect();
        for mount in mounts.iter().filter(|mount| !parent(mount).is_empty()) {
            let above = std::iter::successors(Some(parent(mount)), |path| Some(parent(path)));
            let mut above: Vec<&[u8]> = above.take_while(|path| !path.is_empty()).collect();
            above.reverse();
            if above.iter().any(|path| self.stays(path) == Some(StayKind::Reserved)) {
                continue;
            }
            for path in above {
                let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
                let found = open(&tree, parent(path)).and_then(|directory| look_at(&directory, name));
                if matches!(&found, Ok(Some(stat)) if stat.file_type() != FileType::Directory) {
                    let aside = self.site.home.join("own").join(crate::rootfs::as_path(mount));
                    self.events.warn(format!(
                        "{} is mounted in this container and the image has no directory at {}: it is at {} now",
                        shown(mount).display(),
                        shown(path).display(),
                        aside.display()
                    ));
                    break;
                }
                self.site.unmovable.insert(path.to_vec());
            }
        }
        Ok(())
    }
}
