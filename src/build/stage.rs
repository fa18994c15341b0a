//! One stage while its steps are carried out.

use std::fs::File;
use std::sync::PoisonError;

use crate::cache::Hit;
use crate::config::StepOutcome;
use crate::event::StepId;
use crate::image::{Descriptor, MediaType};
use crate::layer::{Entry, Kind, Listing, PackOptions, PackedLayer, pack_followed};
use crate::plan::{Action, StageBase, Step};
use crate::rootfs::Rootfs;

use super::Error;
use super::blobs::{Blob, Layer};
use super::cached::At;
use super::copy;
use super::executor::{Ahead, Done, Executor, Files};
use super::extract::{listed, unpacked};
use super::memory::Memory;
use super::upload::Uploading;

/// A stage's files and layers so far.
pub(super) struct StageState {
    /// Absent until something needs them.
    files: Option<Files>,
    pub(super) layers: Vec<Layer>,
    pub(super) steps: Vec<StepOutcome>,
    /// With `--single-snapshot`, what the one layer at the end will hold.
    held: Option<super::squash::Held>,
    /// How many of the layers it started with.
    base_layers: usize,
    pub(super) memory: Memory,
}

impl StageState {
    /// Opens a stage: its base's layers, and its files where no cache may make them needless.
    pub(super) fn open(executor: &Executor<'_>, at: usize) -> Result<StageState, Error> {
        let stage = &executor.plan.stages[at];
        let held = executor.config.single_snapshot.then(super::squash::Held::default);
        let mut memory = Memory::new(executor, at);
        let layers = match &stage.base {
            StageBase::Scratch => Vec::new(),
            StageBase::Image(image) => {
                let resolved = executor.images.get(image, &stage.platform)?;
                let layers = resolved.layers.clone();
                if executor.in_result(at) {
                    layers.iter().for_each(|layer| executor.uploads.layer(layer));
                }
                layers
            }
            StageBase::Stage(parent) => {
                let done = executor.wait_for(*parent)?;
                memory = done.memory.clone();
                done.layers.clone()
            }
        };
        let base_layers = layers.len();
        let mut state = StageState { files: None, layers, steps: Vec::new(), held, base_layers, memory };
        if executor.cached.is_none() {
            state.open_files(executor, at, 0)?;
        }
        Ok(state)
    }

    /// Whether its files are there.
    pub(super) fn has_files(&self) -> bool {
        self.files.is_some()
    }

    /// The files, for the steps from `from` on.
    fn open_files(&mut self, executor: &Executor<'_>, at: usize, from: usize) -> Result<&mut Files, Error> {
        let on_disk = executor.needs_disk(at, from);
        if on_disk && matches!(self.files, Some(Files::Listed(_))) {
            self.files = None;
        }
        if self.files.is_none() {
            let fresh = self.layers.len() > self.base_layers;
            let files = match &executor.plan.stages[at].base {
                StageBase::Stage(parent) if !fresh => self.continued(executor, at, *parent, from)?,
                _ => Self::fresh(executor, at, &self.layers, from)?,
            };
            self.files = Some(files);
        }
        self.files.as_mut().ok_or_else(|| Error::other("the stage's files are gone"))
    }

    /// The files of a stack of layers: unpacked where a command will run, else in memory, and not
    /// even that where no step looks.
    fn fresh(executor: &Executor<'_>, at: usize, layers: &[Layer], from: usize) -> Result<Files, Error> {
        let stage = &executor.plan.stages[at];
        if executor.needs_disk(at, from) {
            let mut tree = Self::fresh_tree(executor, at, layers)?;
            if !executor.wants_layers(at) {
                tree.forget_all();
            }
            return Ok(Files::Disk(tree));
        }
        let looks = |s: &Step| !matches!(s.action, Action::Metadata);
        let built_on = executor.users(at) > 0;
        if !stage.steps.iter().any(looks) && !built_on {
            return Ok(Files::Listed(Listing::new()));
        }
        Ok(Files::Listed(listed(executor, layers, stage.copied_from)?))
    }

    /// The tree of an image's layers, made ahead if it was.
    fn fresh_tree(executor: &Executor<'_>, at: usize, layers: &[Layer]) -> Result<Box<dyn Rootfs>, Error> {
        let ahead = executor.ahead.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
        let Some(Ahead { tree, mark, layers: ahead }) = ahead.transpose()? else {
            return unpacked(executor, at, layers);
        };
        if ahead != layers.len() {
            // More is known than when it was made.
            drop(tree);
            return unpacked(executor, at, layers);
        }
        let now = super::idle::mark(tree.view()).map_err(|e| Error::other(e.to_string()))?;
        if now == mark {
            return Ok(tree);
        }
        executor.events.info("a command went through all files: the next stage's base is unpacked anew");
        unpacked(executor, at, layers)
    }

    /// Goes on from an earlier stage.
    fn continued(
        &self,
        executor: &Executor<'_>,
        at: usize,
        parent: usize,
        from: usize,
    ) -> Result<Files, Error> {
        let done = executor.wait_for(parent)?;
        let layers = &self.layers;
        let stage = &executor.plan.stages[at];
        let wants_disk = executor.needs_disk(at, from);
        let mut files = done.files.write().unwrap_or_else(PoisonError::into_inner);
        // The only user goes on in the same tree.
        if executor.users(parent) == 1
            && files.as_ref().is_some_and(|f| !wants_disk || matches!(f, Files::Disk(_)))
            && let Some(taken) = files.take()
        {
            if executor.is_intact(&done, &taken)? {
                return Ok(taken);
            }
            executor.events.info("a command went through all files: an earlier stage is unpacked anew");
            drop(taken);
            return Ok(Files::Disk(unpacked(executor, at, layers)?));
        }
        let forked = match &*files {
            // Where nothing is executed too: what a command changed may be in no layer.
            Some(Files::Disk(tree)) => tree.fork().transpose()?.map(Files::Disk),
            Some(Files::Listed(listing)) if !wants_disk => Some(Files::Listed(listing.clone())),
            _ => None,
        };
        drop(files);
        match forked {
            Some(files) => Ok(files),
            None if wants_disk => Ok(Files::Disk(unpacked(executor, at, layers)?)),
            None => Ok(Files::Listed(listed(executor, layers, stage.copied_from)?)),
        }
    }

    /// Takes the result of a step that is known; none if it must be carried out.
    pub(super) fn known(&mut self, executor: &Executor<'_>, at: At) -> Option<Hit> {
        let hit = self.memory.look_up(executor, at)?;
        let cached = executor.cached?;
        let layer = cached.layer(&hit);
        let in_image = executor.in_result(at.stage);
        if in_image {
            executor.uploads.layer(&layer);
        }
        cached.took(at, &hit, in_image);
        self.memory.after(executor, at, hit.record.created, Some(&hit.record.content_id));
        self.layers.push(layer);
        // They are what they were before the step, and opened again if they are needed.
        self.files = None;
        Some(hit)
    }

    /// Carries out one step; sizes of its layer, tar and blob.
    pub(super) fn step(
        &mut self,
        executor: &Executor<'_>,
        at: At,
        id: StepId,
        step: &Step,
    ) -> Result<Option<(u64, u64)>, Error> {
        let number = at.step;
        let at = at.stage;
        match &step.action {
            Action::Metadata => Ok(None),
            Action::Run(run) => {
                let Files::Disk(tree) = self.open_files(executor, at, number)? else {
                    unreachable!("a stage with commands is on disk");
                };
                super::run::run(executor, at, tree.as_mut(), id, run, &step.place)?;
                let wants = executor.wants_layers(at);
                let ignore = super::ignored(executor.config);
                let entries =
                    if wants { Some(tree.changes(&ignore)?) } else { tree.forget().map(|()| None)? };
                if !wants {
                    self.memory.skip_layer();
                }
                entries.map(|entries| self.layer(executor, at, entries)).transpose()
            }
            Action::Copy(copy) => {
                let view = self.open_files(executor, at, number)?.view();
                let entries = super::sources::copy(executor, at, view, copy, &step.place)?;
                self.placed(executor, at, entries)
            }
            Action::Workdir(workdir) => {
                let view = self.open_files(executor, at, number)?.view();
                let compat = executor.config.compat;
                let entries = copy::workdir_entries(view, &workdir.path, &workdir.user, compat, executor.now)
                    .map_err(Error::from_display)?;
                self.placed(executor, at, entries)
            }
        }
    }

    /// Entries that a step made: into the stage's files, and into its layer.
    fn placed(
        &mut self,
        executor: &Executor<'_>,
        at: usize,
        entries: Vec<Entry>,
    ) -> Result<Option<(u64, u64)>, Error> {
        match &mut self.files {
            None => return Err(Error::other("the stage's files are gone")),
            Some(Files::Disk(tree)) => tree.apply(&entries)?,
            Some(Files::Listed(listing)) => {
                // In place, the stages that files were copied from change places.
                let moving = executor.placement.is_some_and(|p| !p.parallel());
                for entry in &entries {
                    let inserted = if moving {
                        listing.keep(entry).and_then(|kept| listing.insert(&kept))
                    } else {
                        listing.insert(entry)
                    };
                    inserted.map_err(|e| not_kept(entry, &e))?;
                }
            }
        }
        if !executor.wants_layers(at) {
            self.memory.skip_layer();
            return Ok(None);
        }
        let ignore = super::ignored(executor.config);
        let kept = |e: &Entry| !ignore.iter().any(|i| super::is_below(&e.path, i));
        let entries = entries.into_iter().filter(kept).collect();
        self.layer(executor, at, entries).map(Some)
    }

    /// Packs a layer and begins to send it.
    fn layer(
        &mut self,
        executor: &Executor<'_>,
        at: usize,
        entries: Vec<Entry>,
    ) -> Result<(u64, u64), Error> {
        if let Some(held) = &mut self.held {
            held.add(entries);
            return Ok((0, 0));
        }
        let mut hashes = Vec::new();
        let packed = pack_entries(executor, at, entries, &mut hashes)?;
        if let Some(Files::Disk(tree)) = &mut self.files {
            tree.packed(&hashes);
        }
        let sizes = (packed.0.uncompressed_size, packed.0.size);
        self.push(executor, at, packed);
        Ok(sizes)
    }

    fn push(&mut self, executor: &Executor<'_>, at: usize, (packed, begun): (PackedLayer, Uploading)) {
        let format = crate::image::ImageFormat::Oci;
        let media_type = MediaType::layer(format, packed.compression);
        let descriptor = Descriptor::new(media_type, packed.digest, packed.size);
        if executor.in_result(at) {
            executor.uploads.packed(&descriptor, packed.path.clone(), begun);
        }
        let blob = Blob::Packed(packed.path.clone());
        let layer = Layer { descriptor, diff_id: packed.diff_id, blob };
        self.memory.keep(executor, at, &layer, &packed);
        self.layers.push(layer);
    }

    /// Ends the stage.
    pub(super) fn finish(mut self, executor: &Executor<'_>, at: usize) -> Result<Done, Error> {
        if let Some(held) = self.held.take().filter(|h| !h.is_empty()) {
            // A deletion of what the base never had would be a deletion of nothing.
            let entries = if held.has_deletions() {
                held.into_entries(&listed(executor, &self.layers, false)?)?
            } else {
                held.into_entries(&Listing::new())?
            };
            let packed = pack_entries(executor, at, entries, &mut Vec::new())?;
            self.push(executor, at, packed);
        }
        if executor.materializes(at) {
            self.open_files(executor, at, executor.plan.stages[at].steps.len())?;
        }
        // A tree nobody will look at goes now: it holds disk space and, in place, mounts.
        let files = self.files.filter(|_| executor.users(at) > 0 || executor.materializes(at));
        let mark = executor.mark(at, files.as_ref())?;
        let files = std::sync::RwLock::new(files);
        Ok(Done { mark, layers: self.layers, files, steps: self.steps, memory: self.memory })
    }
}

/// Packs a layer of the stage at this position; a large one is sent meanwhile.
fn pack_entries(
    executor: &Executor<'_>,
    at: usize,
    entries: Vec<Entry>,
    hashes: &mut Vec<(Vec<u8>, u128)>,
) -> Result<(PackedLayer, Uploading), Error> {
    let config = executor.config;
    let options = PackOptions {
        compression: config.compression,
        clamp_mtime: config.source_date_epoch,
        zero_times: config.reproducible,
        fractions: false,
        threads: super::threads(config),
        directory: executor.fetcher.directory.clone(),
        content_id: executor.cached.is_some_and(|c| c.wants_content()),
    };
    let mut observer = |entry: &Entry, hash: Option<u128>| {
        if let (Kind::File { .. }, Some(hash)) = (&entry.kind, hash) {
            hashes.push((entry.path.clone(), hash));
        }
    };
    let following = executor.uploads.following(executor.in_result(at));
    let grown = |file: &File, size| following.grown(file, size);
    let packed = pack_followed(entries, &options, &grown, &mut observer).map_err(Error::from_display)?;
    Ok((packed, following.complete()))
}

/// An entry that the stage's files in memory did not take.
fn not_kept(entry: &Entry, error: &std::io::Error) -> Error {
    let path = String::from_utf8_lossy(&entry.path);
    Error::other(format!("cannot add /{path} to the files of the stage: {error}"))
}
