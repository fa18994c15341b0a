//! Builds in the container's own root: a stage's tree takes the place of the container's files
//! while its steps run.
//!
//! It needs no more than root with a container's default capabilities, because `/proc`, `/dev`
//! and `/sys` are there already. Nothing is deleted: whole directories are renamed, and a journal
//! knows how to put everything back.

mod copy_aside;
mod cover;
mod directory;
mod ground;
mod hide;
mod journal;
mod materialize;
mod probe;
mod put_back;
mod swap;
#[cfg(test)]
mod tests;
mod tree;
mod view;
mod volume;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::index::Hashes;
use super::{Base, Placement, PlacementKind, Rootfs, RootfsError};
use crate::config::{MountConflict, RootfsConfig};
use crate::event::Events;
use crate::run::mountinfo;
use ground::{Ground, Site};
use hide::Secrets;
use journal::Phase;
pub use probe::{Probed, probe};
use put_back::Trees;
use tree::Tree;

/// The container's own root as a place for the trees of stages, one at a time.
pub struct Inplace {
    ground: Arc<Mutex<Ground>>,
    threads: usize,
}

impl Inplace {
    /// Prepares a build in `/`. `credentials` are files that steps must not see; nothing is moved
    /// before the first step. What an earlier build left after a kill is put back first.
    ///
    /// # Errors
    /// The home directory cannot be used, another build uses it, an earlier build cannot be put
    /// back, or credentials cannot be hidden and must be.
    pub fn open(
        config: &RootfsConfig,
        credentials: &[PathBuf],
        threads: usize,
        events: Events,
    ) -> Result<Inplace, RootfsError> {
        Self::open_at(container(&config.home_dir)?, config, credentials, threads, events)
    }

    fn open_at(
        site: Site,
        config: &RootfsConfig,
        credentials: &[PathBuf],
        threads: usize,
        events: Events,
    ) -> Result<Inplace, RootfsError> {
        let mut ground = Ground::open(site, config.mount_conflict, events)?;
        if ground.journal.is_some() {
            put_back(&mut ground, Trees::Go)?;
        }
        let (secrets, visible) = Secrets::find(credentials, &ground);
        for (path, reason) in visible {
            let text = format!("steps can read {}: it cannot be hidden, because {reason}", path.display());
            if config.require_hidden_credentials {
                let help = "give credentials in a variable or a writable file".to_owned();
                return Err(RootfsError::Refused { reason: text, help: Some(help) });
            }
            ground.events.warn(text);
        }
        ground.secrets = secrets;
        Ok(Inplace { ground: Arc::new(Mutex::new(ground)), threads })
    }

    fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Placement for Inplace {
    fn kind(&self) -> PlacementKind {
        PlacementKind::Inplace
    }

    fn parallel(&self) -> bool {
        false
    }

    fn create(&self, stage: usize, base: Base<'_>) -> Result<Box<dyn Rootfs>, RootfsError> {
        let path = self.ground().create_stage(stage)?;
        let mut hashes = Hashes::default();
        if let Base::Layers { unpack, .. } = base {
            // Not under the lock: a step of another stage may be running.
            unpack(&path, &mut |path, hash| hashes.insert(path, hash))?;
        }
        let mut ground = self.ground();
        let tree = ground.stage(stage)?;
        ground.check_tree(&tree)?;
        Ok(Box::new(Tree::new(Arc::clone(&self.ground), stage, hashes, self.threads)))
    }

    fn locate(&self, path: &Path) -> PathBuf {
        volume::located_path(&self.ground(), path)
    }

    fn copies(&self, _: &Path) -> PathBuf {
        let ground = self.ground();
        ground.site.home.join("stage").join(&ground.state.id).join("copies")
    }

    fn leave(&self) -> Result<(), RootfsError> {
        put_back(&mut self.ground(), Trees::Stay)
    }

    fn keep(&self) {
        self.ground().kept = true;
    }

    fn finish(&self) -> Result<(), RootfsError> {
        let mut ground = self.ground();
        if ground.is_materialized {
            return Ok(());
        }
        let trees = if ground.kept { Trees::Stay } else { Trees::Go };
        put_back(&mut ground, trees)
    }
}

impl Drop for Inplace {
    fn drop(&mut self) {
        // After a panic nobody else calls it; there is nobody to tell either.
        let _ = self.finish();
    }
}

/// What an earlier build had left, which is gone now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Nothing.
    Nothing,
    /// Trees: the container's own files were in their place.
    Trees,
    /// An image's files in the place of the container's own, which are back.
    Files,
}

/// Puts the container's own files back after a build that was killed, or left an image's files in
/// their place, or kept a tree. `home` is the build's home directory.
///
/// # Errors
/// What could not be put back, by name.
pub fn restore(home: &Path, events: &Events) -> Result<Restored, RootfsError> {
    if !home.join("journal").exists() {
        return Ok(Restored::Nothing);
    }
    restore_at(container(home)?, events)
}

fn restore_at(site: Site, events: &Events) -> Result<Restored, RootfsError> {
    let mut ground = Ground::open(site, MountConflict::Swap, events.clone())?;
    let restored = match (&ground.journal, ground.state.phase) {
        (None, _) => Restored::Nothing,
        (_, Phase::Aside | Phase::Entered(_)) => Restored::Files,
        _ if ground.has_own_aside() => Restored::Files,
        _ => Restored::Trees,
    };
    put_back(&mut ground, Trees::Go)?;
    Ok(restored)
}

fn put_back(ground: &mut Ground, trees: Trees) -> Result<(), RootfsError> {
    let lost = std::mem::take(&mut ground.state.hidden);
    if !lost.is_empty() {
        let names: Vec<String> = lost.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        ground.events.warn(format!(
            "hidden from a step when the build was killed, and lost with it: {}",
            names.join(", ")
        ));
    }
    ground.bring_back_lent();
    let shown = ground.uncover().and(ground.show());
    let was_moved = ground.state.phase != Phase::Untouched;
    let mut errors = ground.restore(trees);
    errors.extend(shown.err());
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let what = if was_moved { "the container's own files" } else { "what the build left" };
            Err(RootfsError::Refused {
                reason: format!("cannot put back {what}: {}", texts.join("; ")),
                help: Some("run `yadokari restore` when the cause is gone".to_owned()),
            })
        }
    }
}

/// The container we are in.
fn container(home: &Path) -> Result<Site, RootfsError> {
    let mounts = mountinfo::mounts().map_err(|source| RootfsError::Io {
        action: "read",
        path: PathBuf::from("/proc/self/mountinfo"),
        source,
    })?;
    Ok(Site { root: PathBuf::from("/"), home: home.to_owned(), mounts, unmovable: BTreeSet::new() })
}
