//! One stage while its steps are carried out.

use std::fs::File;
use std::path::Path;
use std::sync::PoisonError;

use crate::config::StepOutcome;
use crate::event::StepId;
use crate::image::{ChainId, Descriptor, MediaType};
use crate::layer::{Entry, Kind, LayerSource, Listing, PackOptions, PackedLayer, pack_followed, unpack};
use crate::plan::{Action, StageBase, Step};
use crate::rootfs::{Base, Rootfs, RootfsError};

use super::Error;
use super::blobs::{Blob, Layer};
use super::copy;
use super::executor::{Ahead, Done, Executor, Files};
use super::upload::Uploading;

/// A stage's files and layers so far.
pub(super) struct StageState {
    pub(super) files: Files,
    pub(super) layers: Vec<Layer>,
    pub(super) steps: Vec<StepOutcome>,
    /// With `--single-snapshot`, what the one layer at the end will hold.
    held: Option<super::squash::Held>,
}

impl StageState {
    /// Opens a stage: its base's layers, and its files as far as anything needs them.
    pub(super) fn open(executor: &Executor<'_>, at: usize) -> Result<StageState, Error> {
        let stage = &executor.plan.stages[at];
        let held = executor.config.single_snapshot.then(super::squash::Held::default);
        let (layers, files) = match &stage.base {
            StageBase::Scratch => (Vec::new(), Self::fresh(executor, at, &[])?),
            StageBase::Image(image) => {
                let resolved = executor.images.get(image, &stage.platform)?;
                let layers = resolved.layers.clone();
                if executor.in_result(at) {
                    layers.iter().for_each(|layer| executor.uploads.layer(layer));
                }
                let files = Self::fresh(executor, at, &layers)?;
                (layers, files)
            }
            StageBase::Stage(parent) => Self::continued(executor, at, *parent)?,
        };
        Ok(StageState { files, layers, steps: Vec::new(), held })
    }

    /// The files of a stack of layers: unpacked where a command will run, else in memory, and not
    /// even that where no step looks.
    fn fresh(executor: &Executor<'_>, at: usize, layers: &[Layer]) -> Result<Files, Error> {
        let stage = &executor.plan.stages[at];
        if stage.on_disk {
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
        let Some(Ahead { tree, mark }) = ahead.transpose()? else {
            return unpacked(executor, at, layers);
        };
        let now = super::idle::mark(tree.view()).map_err(|e| Error::other(e.to_string()))?;
        if now == mark {
            return Ok(tree);
        }
        executor.events.info("a command went through all files: the next stage's base is unpacked anew");
        // The spoilt tree keeps its number until the end.
        unpacked(executor, at + executor.plan.stages.len(), layers)
    }

    /// Goes on from an earlier stage.
    fn continued(executor: &Executor<'_>, at: usize, parent: usize) -> Result<(Vec<Layer>, Files), Error> {
        let done = executor.wait_for(parent)?;
        let layers = done.layers.clone();
        let stage = &executor.plan.stages[at];
        let wants_disk = stage.on_disk;
        let mut files = done.files.write().unwrap_or_else(PoisonError::into_inner);
        // The only user goes on in the same tree.
        if executor.users(parent) == 1
            && let Some(taken) = files.take()
        {
            if executor.is_intact(&done, &taken)? {
                return Ok((layers, taken));
            }
            executor.events.info("a command went through all files: an earlier stage is unpacked anew");
            drop(taken);
            return Ok((layers.clone(), Files::Disk(unpacked(executor, at, &layers)?)));
        }
        let forked = match &*files {
            // Where nothing is executed too: what a command changed may be in no layer.
            Some(Files::Disk(tree)) => tree.fork().transpose()?.map(Files::Disk),
            Some(Files::Listed(listing)) if !wants_disk => Some(Files::Listed(listing.clone())),
            _ => None,
        };
        drop(files);
        match forked {
            Some(files) => Ok((layers, files)),
            None if wants_disk => Ok((layers.clone(), Files::Disk(unpacked(executor, at, &layers)?))),
            None => {
                let listing = listed(executor, &layers, stage.copied_from)?;
                Ok((layers, Files::Listed(listing)))
            }
        }
    }

    /// Carries out one step; sizes of its layer, tar and blob.
    pub(super) fn step(
        &mut self,
        executor: &Executor<'_>,
        at: usize,
        id: StepId,
        step: &Step,
    ) -> Result<Option<(u64, u64)>, Error> {
        match &step.action {
            Action::Metadata => Ok(None),
            Action::Run(run) => {
                let Files::Disk(tree) = &mut self.files else {
                    unreachable!("a stage with commands is on disk");
                };
                super::run::run(executor, at, tree.as_mut(), id, run, &step.place)?;
                let wants = executor.wants_layers(at);
                let ignore = super::ignored(executor.config);
                let entries =
                    if wants { Some(tree.changes(&ignore)?) } else { tree.forget().map(|()| None)? };
                entries.map(|entries| self.layer(executor, at, entries)).transpose()
            }
            Action::Copy(copy) => {
                let entries = super::sources::copy(executor, at, self.files.view(), copy, &step.place)?;
                self.placed(executor, at, entries)
            }
            Action::Workdir(workdir) => {
                let view = self.files.view();
                let user = crate::run::user::lookup(view, &workdir.user).map_err(Error::from_display)?;
                let entries = copy::workdir_entries(view, &workdir.path, (user.uid, user.gid), executor.now)
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
            Files::Disk(tree) => tree.apply(&entries)?,
            Files::Listed(listing) => {
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
        if let Files::Disk(tree) = &mut self.files {
            tree.packed(&hashes);
        }
        let sizes = (packed.0.uncompressed_size, packed.0.size);
        self.push(executor, at, packed);
        Ok(sizes)
    }

    fn push(&mut self, executor: &Executor<'_>, at: usize, (packed, begun): (PackedLayer, Uploading)) {
        let format = crate::config::ImageFormat::Oci;
        let media_type = MediaType::layer(format, packed.compression);
        let descriptor = Descriptor::new(media_type, packed.digest, packed.size);
        if executor.in_result(at) {
            executor.uploads.packed(&descriptor, packed.path.clone(), begun);
        }
        let layer = Layer { descriptor, diff_id: packed.diff_id, blob: Blob::Packed(packed.path) };
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
        // A tree nobody will look at goes now: it holds disk space and, in place, mounts.
        let files = (executor.users(at) > 0).then_some(self.files);
        let mark = executor.mark(at, files.as_ref())?;
        Ok(Done { mark, layers: self.layers, files: std::sync::RwLock::new(files), steps: self.steps })
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
        threads: super::threads(config),
        directory: executor.fetcher.directory.clone(),
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

/// A tree on disk with these layers in it.
pub(super) fn unpacked(
    executor: &Executor<'_>,
    at: usize,
    layers: &[Layer],
) -> Result<Box<dyn Rootfs>, Error> {
    let placement =
        executor.placement.ok_or_else(|| Error::other("no place for a root filesystem was opened"))?;
    let diff_ids: Vec<_> = layers.iter().map(|l| l.diff_id).collect();
    let unpack = |target: &Path, observer: &mut dyn FnMut(&[u8], u128)| {
        unpack_layers(executor, layers, target, observer).map_err(|e| RootfsError::Unpack(Box::new(e)))
    };
    let base = match ChainId::of_layers(&diff_ids) {
        Some(key) => Base::Layers { key, unpack: &unpack },
        None => Base::Scratch,
    };
    Ok(placement.create(at, base)?)
}

/// Unpacks layers into an empty directory, all of them fetched at the same time.
fn unpack_layers(
    executor: &Executor<'_>,
    layers: &[Layer],
    target: &Path,
    observer: &mut dyn FnMut(&[u8], u128),
) -> Result<(), Error> {
    for layer in layers {
        if let Blob::Base(base) = &layer.blob {
            base.start(executor.fetcher)?;
        }
    }
    let mut sources = Vec::new();
    for layer in layers {
        sources.push(LayerSource {
            reader: layer.reader(executor.fetcher)?,
            diff_id: Some(layer.diff_id),
            name: layer.descriptor.digest.to_string(),
        });
    }
    let limits = super::limits(executor.config);
    let unpacked = unpack(sources, target, &limits, observer).map_err(Error::from_display)?;
    unpacked.warnings.into_iter().for_each(|w| executor.events.warn(w));
    Ok(())
}

/// An entry that the stage's files in memory did not take.
fn not_kept(entry: &Entry, error: &std::io::Error) -> Error {
    let path = String::from_utf8_lossy(&entry.path);
    Error::other(format!("cannot add /{path} to the files of the stage: {error}"))
}

/// The files in these layers, each read once as a stream; with `contents` these are spooled to a
/// nameless file, else nothing is written to disk.
pub(super) fn listed(executor: &Executor<'_>, layers: &[Layer], contents: bool) -> Result<Listing, Error> {
    let listing = if contents {
        let spool = executor.workspace.spool().and_then(Listing::with_contents);
        spool.map_err(|e| Error::other(format!("cannot make a file for the contents of layers: {e}")))?
    } else {
        Listing::new()
    };
    let mut sources = Vec::new();
    for layer in layers {
        let reader = match &layer.blob {
            Blob::Base(base) => base.stream(executor.fetcher)?,
            Blob::Packed(_) => layer.reader(executor.fetcher)?,
        };
        let name = layer.descriptor.digest.to_string();
        sources.push(LayerSource { reader, diff_id: Some(layer.diff_id), name });
    }
    listing.read_layers(sources, &super::limits(executor.config)).map_err(Error::from_display)
}
