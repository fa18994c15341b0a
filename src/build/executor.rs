//! Carries out the steps of a plan's stages.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use crate::config::{BuildConfig, StepOutcome};
use crate::context::Context;
use crate::event::{Event, Events, StepId};
use crate::image::{Digest, Platform};
use crate::layer::{Listing, Timestamp, View};
use crate::plan::{Action, CopyFrom, FromImage, Plan, PlannedStage, StageBase, Step};
use crate::rootfs::{Placement, PlacementKind, Rootfs};
use crate::run::Cancel;

use super::Error;
use super::blobs::{Blob, Fetcher, Layer};
use super::cached::{At, Cached};
use super::idle;
use super::images::Images;
use super::memory::Memory;
use super::mounts::{Agents, Caches, Saving, Secrets, Shown};
use super::remotes::Remotes;
use super::stage::StageState;
use super::turns::Turns;
use super::upload::Uploads;
use super::workspace::Workspace;

/// Everything that carrying out a plan needs; shared by all stages.
pub(super) struct Executor<'a> {
    pub(super) config: &'a BuildConfig,
    pub(super) events: &'a Events,
    pub(super) cancel: &'a Cancel,
    pub(super) plan: &'a Plan,
    /// The images of `FROM` and `--from`.
    pub(super) images: &'a Images<'a>,
    /// Absent where nothing executes.
    pub(super) placement: Option<&'a dyn Placement>,
    pub(super) context: Option<&'a Context>,
    /// What `ADD` fetches.
    pub(super) remotes: &'a Remotes,
    pub(super) workspace: &'a Workspace,
    pub(super) fetcher: &'a Fetcher,
    pub(super) uploads: &'a Uploads,
    /// Time of what steps create themselves.
    pub(super) now: Timestamp,
    pub(super) stages: Vec<Slot>,
    /// For each stage whether its layers are in an image.
    pub(super) in_images: Vec<bool>,
    /// The files of images that `COPY --from` names, read once each.
    pub(super) image_files: Mutex<BTreeMap<String, Arc<Listing>>>,
    /// The directories that `COPY --from` names, opened before anything was set aside.
    pub(super) directories: &'a BTreeMap<PathBuf, Context>,
    /// Trees made ahead of their stages, by position in the plan.
    pub(super) ahead: Mutex<Trees>,
    /// How many commands have run.
    pub(super) commands: AtomicUsize,
    /// Who may run a command now.
    pub(super) turns: Turns,
    /// Held while a shell has the terminal; whether one had it.
    pub(super) terminal: Mutex<bool>,
    /// What steps ask for besides files.
    pub(super) secrets: Secrets,
    pub(super) agents: Agents,
    /// The `/etc/hosts` of steps, where they get one of their own.
    pub(super) hosts: Option<PathBuf>,
    /// Directory of what is kept from build to build.
    pub(super) caches: PathBuf,
    /// What of that is restored and saved.
    pub(super) saving: Option<&'a Saving<'a>>,
    pub(super) shown: Shown,
    /// What is known of the steps.
    pub(super) cached: Option<&'a Cached<'a>>,
}

/// Trees made ahead, or why they could not be.
pub(super) type Trees = BTreeMap<usize, Result<Ahead, Error>>;

/// A tree made while another stage's commands ran.
pub(super) struct Ahead {
    pub(super) tree: Box<dyn Rootfs>,
    /// The [`idle::mark`] it should have, computed from its layers.
    pub(super) mark: u128,
    /// How many layers it holds.
    pub(super) layers: usize,
}

/// What carrying out all stages came to.
#[derive(Default)]
pub(super) struct Ran {
    /// For each image of the plan what it is made of.
    pub(super) images: Vec<MadeImage>,
    /// What all steps took.
    pub(super) steps: Vec<StepOutcome>,
}

/// What an image is made of.
pub(super) struct MadeImage {
    /// From the bottom.
    pub(super) layers: Vec<Layer>,
    /// When its steps were carried out, where that is known, by position in the history.
    pub(super) times: BTreeMap<usize, i64>,
}

/// Where a stage leaves what it made.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) done: Mutex<Option<Arc<Done>>>,
    pub(super) changed: Condvar,
}

/// A finished stage.
pub(super) struct Done {
    /// Its layers from the bottom, where anybody needs them.
    pub(super) layers: Vec<Layer>,
    /// Its files, where they were needed so far; taken by the one stage that goes on with them.
    pub(super) files: RwLock<Option<Files>>,
    /// What its steps took.
    pub(super) steps: Vec<StepOutcome>,
    /// The [`idle::mark`] of its files, where commands of other stages could reach them, and how
    /// many commands had run by then.
    pub(super) mark: Option<(u128, usize)>,
    pub(super) memory: Memory,
}

/// A stage's files.
pub(super) enum Files {
    /// On disk.
    Disk(Box<dyn Rootfs>),
    /// In memory, with contents where somebody copies from them.
    Listed(Listing),
}

impl Files {
    /// The files as they are now.
    pub(super) fn view(&self) -> &dyn View {
        match self {
            Files::Disk(tree) => tree.view(),
            Files::Listed(listing) => listing,
        }
    }
}

impl Executor<'_> {
    pub(super) fn open(&self, at: usize) -> Result<StageState, Error> {
        StageState::open(self, at).map_err(|e| e.at(&self.plan.stages[at].place))
    }

    pub(super) fn steps(&self, at: usize, state: &mut StageState) -> Result<(), Error> {
        let stage = &self.plan.stages[at];
        let total = stage.steps.len() + 1;
        for (number, step) in stage.steps.iter().enumerate() {
            self.step(at, stage, number, total, step, state)?;
        }
        Ok(())
    }

    pub(super) fn close(&self, at: usize, state: StageState) -> Result<(), Error> {
        let done = state.finish(self, at)?;
        self.leave(at, done);
        Ok(())
    }

    pub(super) fn leave(&self, at: usize, done: Done) {
        let slot = &self.stages[at];
        *slot.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(done));
        slot.changed.notify_all();
    }

    fn step(
        &self,
        at: usize,
        stage: &PlannedStage,
        number: usize,
        total: usize,
        step: &Step,
        state: &mut StageState,
    ) -> Result<(), Error> {
        self.check_cancelled()?;
        if matches!(step.action, Action::Metadata) {
            return Ok(());
        }
        let id = StepId { stage: at, step: number + 1 };
        let started = Instant::now();
        let position = At { stage: at, step: number };
        if let Some(hit) = state.known(self, position) {
            self.events.send(Event::StepCached {
                id,
                stage_name: stage.label.clone(),
                number: number + 2,
                total,
                text: step.text.clone(),
                from: hit.from,
            });
            let (stage, instruction) = (stage.label.clone(), step.text.clone());
            let duration = started.elapsed();
            state.steps.push(StepOutcome { stage, instruction, duration, cached: true });
            return Ok(());
        }
        if let Some(cached) = self.cached {
            cached.missed(position);
        }
        self.events.send(Event::StepStarted {
            id,
            stage_name: stage.label.clone(),
            number: number + 2,
            total,
            text: step.text.clone(),
            line: step.place.line(),
        });
        match state.step(self, position, id, step) {
            Ok(layer) => {
                let duration = started.elapsed();
                self.events.send(Event::StepFinished { id, duration, layer });
                let (stage, instruction) = (stage.label.clone(), step.text.clone());
                state.steps.push(StepOutcome { stage, instruction, duration, cached: false });
                Ok(())
            }
            Err(error) => {
                self.events.send(Event::StepFailed { id, duration: started.elapsed() });
                Err(error.at(&step.place))
            }
        }
    }

    /// Fails if somebody asked for the end.
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        match self.cancel.signal() {
            Some(signal) => Err(Error::cancelled(signal)),
            None => Ok(()),
        }
    }

    /// That somebody asked for the end.
    pub(super) fn cancelled(&self) -> Error {
        Error::cancelled(self.cancel.signal().unwrap_or_default())
    }

    /// Whether steps have mounts of their own.
    pub(super) fn can_mount(&self) -> bool {
        self.placement.is_some_and(|p| p.kind() != PlacementKind::Inplace)
    }

    /// What is kept from build to build, where it is now.
    pub(super) fn caches(&self) -> Caches {
        Caches::new(self.placement.map_or_else(|| self.caches.clone(), |p| p.locate(&self.caches)))
    }

    /// An empty directory for a copy, best on the file system of the step's root. It goes with its
    /// value.
    pub(super) fn private_directory(&self) -> Result<tempfile::TempDir, Error> {
        let workspace = self.workspace.path();
        let parent = self.placement.map_or_else(|| workspace.join("mounts"), |p| p.copies(workspace));
        super::mounts::private_directory(&parent)
    }

    /// Waits for an earlier stage.
    pub(super) fn wait_for(&self, at: usize) -> Result<Arc<Done>, Error> {
        let slot = &self.stages[at];
        let mut done = slot.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(done) = &*done {
                return Ok(done.clone());
            }
            self.check_cancelled()?;
            // The other stage notifies; a signal does not, so look now and then.
            let wait = std::time::Duration::from_millis(100);
            done = slot.changed.wait_timeout(done, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The mark of a finished stage's files, if commands of later stages can reach them before
    /// they are used.
    pub(super) fn mark(&self, at: usize, files: Option<&Files>) -> Result<Option<(u128, usize)>, Error> {
        let serial = self.placement.is_some_and(|p| !p.parallel());
        let runs = |s: &PlannedStage| s.steps.iter().any(|step| matches!(step.action, Action::Run(_)));
        match files {
            Some(Files::Disk(tree)) if serial && self.plan.stages[at + 1..].iter().any(runs) => {
                let mark = idle::mark(tree.view()).map_err(unreadable)?;
                Ok(Some((mark, self.commands.load(Ordering::SeqCst))))
            }
            _ => Ok(None),
        }
    }

    /// Whether a finished stage's files are what they were when it ended.
    pub(super) fn is_intact(&self, done: &Done, files: &Files) -> Result<bool, Error> {
        match done.mark {
            Some((mark, commands)) if commands != self.commands.load(Ordering::SeqCst) => {
                Ok(idle::mark(files.view()).map_err(unreadable)? == mark)
            }
            _ => Ok(true),
        }
    }

    /// Reads a finished stage's files from its layers, where nobody needed them so far.
    pub(super) fn list_files(&self, done: &Done) -> Result<(), Error> {
        let mut files = done.files.write().unwrap_or_else(PoisonError::into_inner);
        if files.is_none() && self.cached.is_some() {
            *files = Some(Files::Listed(super::extract::listed(self, &done.layers, true)?));
        }
        Ok(())
    }

    /// Whether an image is the one that has this config.
    pub(super) fn is_image(&self, image: &FromImage, platform: &Platform, config: &Digest) -> bool {
        self.images.get(image, platform).is_ok_and(|found| found.manifest.config.digest == *config)
    }

    /// Whether an image, named by its config, is a stage's base or mounted in a step.
    fn is_unpacked(&self, config: &Digest) -> bool {
        let is_it = |image: &FromImage, platform: &Platform| self.is_image(image, platform, config);
        self.plan.stages.iter().any(|stage| {
            let runs = stage.steps.iter().filter(|step| matches!(step.action, Action::Run(_)));
            let mut mounted = runs.flat_map(|step| step.action.sources());
            matches!(&stage.base, StageBase::Image(image) if is_it(image, &stage.platform))
                || mounted.any(
                    |from| matches!(from, CopyFrom::Image(image) if is_it(image, &stage.source_platform)),
                )
        })
    }

    /// The files of an image that is only copied from, with the contents that steps copy.
    pub(super) fn image_files(&self, image: &FromImage, platform: &Platform) -> Result<Arc<Listing>, Error> {
        let resolved = self.images.get(image, platform)?;
        let key = resolved.manifest.config.digest.hex();
        // Held while reading, so that a second stage waits for the first and reads nothing.
        let mut known = self.image_files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = known.get(&key) {
            return Ok(files.clone());
        }
        if self.is_unpacked(&resolved.manifest.config.digest) {
            // What is read twice is fetched to disk.
            let blobs = resolved.layers.iter().map(|layer| &layer.blob);
            for blob in blobs {
                if let Blob::Base(base) = blob {
                    base.start(self.fetcher)?;
                }
            }
        }
        let files = Arc::new(super::copied_from::files(self, &resolved)?);
        known.insert(key, files.clone());
        Ok(files)
    }
}

pub(super) fn unreadable(error: std::io::Error) -> Error {
    Error::other(format!("cannot look at a stage's files: {error}"))
}
