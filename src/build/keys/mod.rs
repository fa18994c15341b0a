//! What the keys of a plan's steps are made of (`docs/cache-format.md`, "What goes into a key").

mod instruction;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::PoisonError;

use crate::cache::{Components, Fingerprint, Key, KeyKind, state_after};
use crate::config::BuildConfig;
use crate::context::Context;
use crate::image::{ChainId, Compression, ContentId, Platform};
use crate::layer::{
    BareView, CAPABILITY, Content, Entry, FileRead, IdentityHasher, Kind, Listing, read_files,
};
use crate::plan::{Action, CopyFrom, CopySource, CopyStep, FromImage, PlannedStage, StageBase};

use super::Error;
use super::copy::{CopyJob, SourceTree, copy_entries};
use super::images::Images;
use super::remotes::Remotes;
use super::sources::tree;
pub(super) use instruction::keyword;
use instruction::{copy_components, reads, run_components};

/// What a step reads of files, times left out.
#[derive(Debug, Clone)]
pub(super) struct FilesRead {
    /// Identifies paths, kinds, modes, owners and contents.
    id: ContentId,
    /// Identifies sizes and contents alone, as packing does.
    pub(super) contents: ContentId,
    /// Path and hint of each, for people.
    pub(super) details: Vec<(String, String)>,
}

/// Something of another tree that a step reads.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// Name of its component.
    name: String,
    /// What is read, as a copy of it.
    pub(super) copy: CopyStep,
}

/// The keys of one step.
#[derive(Debug, Clone)]
pub(super) struct StepKey {
    /// What the step is, apart from what it reads.
    own: Components,
    /// Whether the files the stage holds make no difference (`COPY --link`).
    independent: bool,
    /// What the step reads of contexts, by component.
    pub(super) files: Vec<(String, FilesRead)>,
    /// What the step reads of other stages.
    pub(super) inputs: Vec<Input>,
    /// By the definitions of what it reads.
    pub(super) definition: Key,
    /// All that the definition key is made of.
    pub(super) components: Components,
}

impl StepKey {
    /// The key by the contents of what it reads: `before` is the content state of the stage, `read`
    /// what was read of other stages, in the order of `inputs`.
    pub(super) fn content(&self, before: Option<&Key>, read: &[FilesRead]) -> Option<Key> {
        let mut parts = self.own.clone();
        let named = self.inputs.iter().map(|i| &i.name).zip(read);
        for (name, files) in self.files.iter().map(|(name, files)| (name, files)).chain(named) {
            parts.put(name, Fingerprint::of(files.id.bytes()));
        }
        if !self.independent {
            parts.add("previous step", before?.bytes());
        }
        Some(parts.key(KeyKind::Content))
    }

    /// What is read, for people.
    pub(super) fn details(&self) -> Vec<(String, String)> {
        self.files.iter().flat_map(|(_, files)| files.details.iter().cloned()).collect()
    }
}

/// The keys of one stage.
#[derive(Debug, Default)]
pub(super) struct StageKeys {
    /// The content state it starts with; none where that is an earlier stage's.
    pub(super) content: Option<Key>,
    /// Those of its steps; none for a step that has none.
    pub(super) steps: Vec<Option<StepKey>>,
    /// The definition state after the last step; none if a step on the way has no key.
    end: Option<Key>,
}

/// A tree, and a path below it.
type Place = (usize, Vec<u8>);

/// What is known of files that were read.
type Known = HashMap<Place, FileRead>;

/// What keys are computed from.
pub(super) struct KeyMaker<'a> {
    pub(super) config: &'a BuildConfig,
    pub(super) images: &'a Images<'a>,
    /// The build context.
    pub(super) context: Option<&'a Context>,
    /// The directories that `COPY --from` names.
    pub(super) directories: &'a BTreeMap<PathBuf, Context>,
    /// What `ADD` fetches.
    pub(super) remotes: &'a Remotes,
    pub(super) threads: usize,
    /// What was read of context files, so that each is read once.
    known: std::sync::Mutex<Known>,
}

impl<'a> KeyMaker<'a> {
    pub(super) fn new(
        config: &'a BuildConfig,
        images: &'a Images<'a>,
        context: Option<&'a Context>,
        directories: &'a BTreeMap<PathBuf, Context>,
        remotes: &'a Remotes,
    ) -> Self {
        let threads = super::threads(config);
        KeyMaker { config, images, context, directories, remotes, threads, known: Default::default() }
    }

    /// The source tree of a copy from the context or a named directory.
    fn source(&self, from: &CopyFrom) -> Option<SourceTree<'_>> {
        let modes = self.config.context_modes;
        match from {
            CopyFrom::Context => Some(tree(self.context?, "the build context".to_owned(), modes)),
            CopyFrom::Directory(name, path) => {
                Some(tree(self.directories.get(path)?, format!("the build context '{name}'"), modes))
            }
            CopyFrom::Stage(_) | CopyFrom::Image(_) => None,
        }
    }

    /// The keys of all stages, in their order. A step whose key cannot be computed has none, and
    /// so have those after it: carrying it out says what is wrong.
    pub(super) fn stages(&self, stages: &[PlannedStage]) -> Vec<StageKeys> {
        let mut all: Vec<StageKeys> = Vec::new();
        for stage in stages {
            let keys = self.stage(stage, &all);
            all.push(keys);
        }
        all
    }

    fn stage(&self, stage: &PlannedStage, before: &[StageKeys]) -> StageKeys {
        let (mut state, content) = match &stage.base {
            StageBase::Scratch => {
                let mut parts = Components::new();
                parts.add("base", "scratch");
                (Some(parts.key(KeyKind::State)), Some(parts.key(KeyKind::State)))
            }
            StageBase::Stage(parent) => (before[*parent].end, None),
            StageBase::Image(image) => match self.image(image, &stage.platform) {
                Ok((digest, chain)) => (Some(base_state(digest)), Some(base_state(chain))),
                Err(_) => (None, None),
            },
        };
        let mut steps = Vec::with_capacity(stage.steps.len());
        for step in &stage.steps {
            if !step.action.has_layer() {
                steps.push(None);
                continue;
            }
            let key = state
                .and_then(|before_step| self.step(stage, &step.action, &before_step, before).ok().flatten());
            state = match (&state, &key) {
                (Some(before), Some(key)) => Some(state_after(before, key.definition.bytes())),
                _ => None,
            };
            steps.push(key);
        }
        StageKeys { content, steps, end: state }
    }

    /// Manifest digest and chain id of an image, as fingerprints.
    fn image(&self, image: &FromImage, platform: &Platform) -> Result<(Fingerprint, Fingerprint), Error> {
        let resolved = self.images.get(image, platform)?;
        let diff_ids: Vec<_> = resolved.layers.iter().map(|l| l.diff_id).collect();
        let chain = ChainId::of_layers(&diff_ids).map(|c| c.to_string()).unwrap_or_default();
        Ok((Fingerprint::of(resolved.digest.to_string()), Fingerprint::of(chain)))
    }

    fn step(
        &self,
        stage: &PlannedStage,
        action: &Action,
        before: &Key,
        stages: &[StageKeys],
    ) -> Result<Option<StepKey>, Error> {
        let mut own = self.common(stage, action);
        let mut independent = false;
        match action {
            Action::Metadata => return Ok(None),
            Action::Run(run) => run_components(&mut own, run, self.config),
            Action::Workdir(workdir) => {
                own.add("path", &workdir.path).add("owner", &workdir.user);
                if self.config.compat {
                    own.add("compat", "yes");
                }
            }
            Action::Copy(copy) => {
                copy_components(&mut own, copy, self.config.compat);
                self.fetched(&mut own, copy)?;
                independent = copy.link && copy.chmod.is_none();
            }
        }
        let (mut files, mut inputs, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for Input { name, copy } in reads(action) {
            match &copy.from {
                CopyFrom::Stage(at) => {
                    let Some(end) = stages[*at].end else { return Ok(None) };
                    ends.push((format!("{name} of an earlier stage"), Fingerprint::of(end.bytes())));
                    inputs.push(Input { name, copy });
                }
                CopyFrom::Image(image) => {
                    let (digest, _) = self.image(image, &stage.source_platform)?;
                    own.put(format!("{name} of an image"), digest);
                }
                CopyFrom::Context | CopyFrom::Directory(..) => {
                    let read = self.read(&copy, self.source(&copy.from))?;
                    files.push((name, read));
                }
            }
        }
        let mut components = own.clone();
        for (name, files) in &files {
            components.put(name, Fingerprint::of(files.id.bytes()));
        }
        for (name, end) in ends {
            components.put(name, end);
        }
        if !independent {
            components.add("previous step", before.bytes());
        }
        let definition = components.key(KeyKind::Definition);
        Ok(Some(StepKey { own, independent, files, inputs, definition, components }))
    }

    /// What an `ADD` fetches: by its digest or commit, which is waited for, not by where it was.
    fn fetched(&self, own: &mut Components, copy: &CopyStep) -> Result<(), Error> {
        for (at, source) in copy.sources.iter().enumerate() {
            if let Some(content) = self.remotes.content(source)? {
                own.add_list(format!("fetched source {}", at + 1), content);
            }
        }
        Ok(())
    }

    /// What every key holds.
    fn common(&self, stage: &PlannedStage, action: &Action) -> Components {
        let config = self.config;
        let compression = match (config.compression.algorithm, config.compression.single_member) {
            (Compression::Gzip, false) => "gzip",
            (Compression::Gzip, true) => "gzip, one member",
            (Compression::Zstd, _) => "zstd",
        };
        let mut parts = Components::new();
        parts
            .add("instruction", keyword(action))
            .add("scope", &config.cache.scope)
            .add("platform", stage.platform.to_string())
            .add("compression", compression)
            .add("times", if config.reproducible { "zero" } else { "kept" });
        if !config.ignore_paths.is_empty() {
            parts.add_list("ignored paths", config.ignore_paths.iter().map(|p| p.as_os_str().as_bytes()));
        }
        parts
    }

    /// What a copy reads of its source tree: the entries it would make in an empty directory, where
    /// each has its own name, archives as the files they are.
    fn read(&self, copy: &CopyStep, source: Option<SourceTree<'_>>) -> Result<FilesRead, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = source else { return self.read_knowing(copy, None, &mut known, false) };
        let view = BareView(source.view);
        self.read_knowing(copy, Some(SourceTree { view: &view, ..source }), &mut known, true)
    }

    /// The same of a tree that may be another the next time.
    pub(super) fn read_once(
        &self,
        copy: &CopyStep,
        source: Option<SourceTree<'_>>,
    ) -> Result<FilesRead, Error> {
        self.read_knowing(copy, source, &mut Known::new(), false)
    }

    fn read_knowing(
        &self,
        copy: &CopyStep,
        source: Option<SourceTree<'_>>,
        known: &mut Known,
        bare: bool,
    ) -> Result<FilesRead, Error> {
        let mut step = copy.clone();
        step.add = false;
        step.unpack = Some(false);
        step.chown = None;
        step.sources.retain(|s| matches!(s, CopySource::Path(_) | CopySource::Inline { .. }));
        "/".clone_into(&mut step.destination);
        let nothing = Listing::new();
        let spool = || Err(std::io::ErrorKind::Unsupported.into());
        let now = crate::layer::Timestamp::default();
        let job = CopyJob {
            step: &step,
            source,
            fetched: &[],
            destination: &nothing,
            now,
            spool: &spool,
            limits: super::limits(self.config),
            compat: self.config.compat,
            // Carrying the step out says it.
            warn: &|_| (),
        };
        let mut entries = copy_entries(&job).map_err(Error::from_display)?;
        if copy.chown.is_some() {
            entries.iter_mut().for_each(|e| (e.uid, e.gid) = (0, 0));
        }
        self.identify(entries, known, bare)
    }

    /// What entries hold. `bare` are those of a [`BareView`], whose capabilities are still to be read.
    fn identify(&self, entries: Vec<Entry>, known: &mut Known, bare: bool) -> Result<FilesRead, Error> {
        let places: Vec<Option<Place>> = entries.iter().map(place).collect();
        let is_fresh = |at: &Option<Place>| at.as_ref().is_none_or(|at| !known.contains_key(at));
        let fresh: Vec<bool> = places.iter().map(is_fresh).collect();
        let unread: Vec<&Entry> = entries.iter().zip(&fresh).filter(|(_, f)| **f).map(|(e, _)| e).collect();
        let mut read = read_files(&unread, self.threads).map_err(Error::from_display)?.into_iter();
        let mut hasher = IdentityHasher::default();
        let mut details = Vec::with_capacity(entries.len());
        for ((mut entry, place), fresh) in entries.into_iter().zip(places).zip(fresh) {
            let file = match &place {
                _ if fresh => read.next().flatten(),
                Some(place) => known.get(place).cloned(),
                None => None,
            };
            let digest = file.as_ref().map(|f| f.digest);
            if bare && let Some(value) = file.as_ref().and_then(|f| f.capability.as_deref()) {
                entry.xattrs.push((CAPABILITY.into(), value.to_vec()));
            }
            if let (true, Some(place), Some(file)) = (fresh, place, file) {
                known.insert(place, file);
            }
            hasher.add(&entry, digest.as_ref());
            if entry.kind != Kind::Directory {
                let hint = hint(&entry, digest);
                let name = String::from_utf8(entry.path)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
                details.push((name, hint));
            }
        }
        let (id, contents) = hasher.finish();
        Ok(FilesRead { id, contents, details })
    }
}

/// Where a file's content is on disk: the same for all copies of one tree.
fn place(entry: &Entry) -> Option<Place> {
    match &entry.content {
        Content::At(tree, path) => {
            Some((std::sync::Arc::as_ptr(tree) as usize, path.as_os_str().as_bytes().to_vec()))
        }
        _ => None,
    }
}

fn hint(entry: &Entry, digest: Option<[u8; 32]>) -> String {
    let target: &[u8] = match &entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) => target,
        _ => b"",
    };
    let digest = digest.unwrap_or_default();
    Fingerprint::of_list([&digest, &entry.mode.to_be_bytes()[..], target]).hint()
}

fn base_state(base: Fingerprint) -> Key {
    let mut parts = Components::new();
    parts.put("base", base);
    parts.key(KeyKind::State)
}
