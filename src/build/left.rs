//! The image's files where the container's own were, at the end of a build that was asked to leave them.

use std::path::absolute;
use std::sync::PoisonError;

use crate::config::BuildConfig;
use crate::event::Events;
use crate::rootfs::inplace::{Restored, restore};
use crate::rootfs::{Placement, Rootfs};

use super::Error;
use super::executor::{Executor, Files};

/// A tree that takes the place of the container's own files when everything else is done.
pub(super) struct Left {
    pub(super) tree: Box<dyn Rootfs>,
    pub(super) placement: Box<dyn Placement>,
}

impl Left {
    /// Puts it in place, and says where products are that were set aside.
    pub(super) fn put_in_place(mut self, config: &BuildConfig, events: &Events) -> Result<(), Error> {
        self.tree.materialize()?;
        for product in config.tar_path.iter().chain(&config.oci_layout_path) {
            let path = absolute(product).unwrap_or_else(|_| product.clone());
            let now = self.placement.locate(&path);
            if now != path {
                events.warn(format!(
                    "{} was set aside with this container's own files: it is {} now",
                    path.display(),
                    now.display()
                ));
            }
        }
        Ok(())
    }
}

/// Removes what an earlier build left, wanted or not.
pub(super) fn clear(config: &BuildConfig, events: &Events) -> Result<(), Error> {
    match restore(&config.rootfs.home_dir, events)? {
        Restored::Files => {
            events.info("put the container's own files back, which an earlier build had set aside");
        }
        Restored::Trees => events.info("removed what an earlier build had left"),
        Restored::Nothing => {}
    }
    Ok(())
}

impl Executor<'_> {
    /// Whether this stage's files are left in place of the container's own at the end.
    pub(super) fn materializes(&self, at: usize) -> bool {
        self.config.rootfs.materialize && self.plan.images.iter().any(|image| image.stage == at)
    }

    /// The tree to be left in place, once all stages are done.
    pub(super) fn take_materialized(&self) -> Option<Box<dyn Rootfs>> {
        let at = (0..self.plan.stages.len()).find(|at| self.materializes(*at))?;
        let done = self.stages[at].done.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let files = done.files.write().unwrap_or_else(PoisonError::into_inner).take();
        match files? {
            Files::Disk(tree) => Some(tree),
            Files::Listed(_) => None,
        }
    }
}
