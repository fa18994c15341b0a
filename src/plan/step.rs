//! The plan: stages and steps with everything expanded.

use crate::config::NamedContext;
use crate::dockerfile::{Device, Diagnostic, Source, Span};
use crate::fetch::{GitSource, UrlSource};
use crate::image::{ImageConfig, Platform, Reference};

use super::chmod::Chmod;
use super::mount::{RunMount, RunMountKind, RunNetwork, RunSecurity};

/// What a build will do.
#[derive(Debug)]
pub struct Plan {
    /// The stages that are needed: those of each platform in the order of the Dockerfile, each
    /// after all that it needs.
    pub stages: Vec<PlannedStage>,
    /// The images to be made, one for each platform, in the order asked for.
    pub images: Vec<PlannedImage>,
    /// Seconds since 1970 that the Dockerfile asks for as the time of everything made, with an
    /// `ARG SOURCE_DATE_EPOCH=…` before its first `FROM`.
    pub epoch: Option<i64>,
}

impl Plan {
    /// For each stage whether its layers are in an image: it is one's last stage, or one goes on from it.
    pub fn in_images(&self) -> Vec<bool> {
        let mut inside = vec![false; self.stages.len()];
        for image in &self.images {
            let mut at = image.stage;
            inside[at] = true;
            while let StageBase::Stage(parent) = self.stages[at].base {
                inside[parent] = true;
                at = parent;
            }
        }
        inside
    }
}

/// An image to be made.
#[derive(Debug)]
pub struct PlannedImage {
    /// Position in [`Plan::stages`] of the stage whose layers it has.
    pub stage: usize,
    /// The platform it is for.
    pub platform: Platform,
    /// Its config, without the layers that the steps will add.
    pub config: ImageConfig,
}

/// A stage that is needed.
#[derive(Debug)]
pub struct PlannedStage {
    /// Its number in the Dockerfile.
    pub number: usize,
    /// Its name, or `stage-N`.
    pub name: String,
    /// The name as people are shown it: with the platform where there are several.
    pub label: String,
    /// What it starts from.
    pub base: StageBase,
    /// The platform of its base.
    pub platform: Platform,
    /// The platform of images that its steps take files from: the target's, whatever the base's.
    pub source_platform: Platform,
    /// What it does, `FROM` left out.
    pub steps: Vec<Step>,
    /// The config of its image, without the layers that the steps will add. The history is whole.
    pub config: ImageConfig,
    /// Whether its files must be on disk: a command runs in it, or in a stage built on it.
    pub on_disk: bool,
    /// Whether the contents of its files are needed: somebody copies from it, or from a stage built
    /// on it.
    pub copied_from: bool,
    /// The `FROM` line.
    pub place: Place,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageBase {
    /// `FROM scratch`
    Scratch,
    /// An earlier stage, by position in [`Plan::stages`].
    Stage(usize),
    /// An image.
    Image(FromImage),
}

/// An image that is pulled or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromImage {
    /// From a registry.
    Registry(Reference),
    /// A named context that replaces it.
    Named(String, NamedContext),
}

impl std::fmt::Display for FromImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FromImage::Registry(reference) => write!(f, "{reference}"),
            FromImage::Named(name, _) => write!(f, "{name} (build context)"),
        }
    }
}

/// Where a step stands, to point at when it fails.
#[derive(Debug, Clone)]
pub struct Place {
    /// The text.
    pub source: Source,
    /// The instruction.
    pub span: Span,
}

impl Place {
    /// A diagnostic for the whole instruction's first line.
    pub fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        let text = self.source.slice(self.span);
        let first = text.find('\n').map_or(self.span.end, |at| self.span.start + at);
        Diagnostic::new(&self.source, Span::new(self.span.start, first), message)
    }

    /// The instruction's line, from 1.
    pub fn line(&self) -> usize {
        self.source.line(self.span.start)
    }
}

/// One instruction, ready to be carried out.
#[derive(Debug)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// The instruction in one line, for people.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// Position of its entry in the stage config's history; `ONBUILD` triggers have one too.
    pub history: usize,
}

/// What a step does to files.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: config and history only.
    Metadata,
    /// Runs a command.
    Run(RunStep),
    /// Copies files.
    Copy(CopyStep),
    /// Makes the working directory.
    Workdir(WorkdirStep),
}

impl Action {
    /// Where files come from that the step reads; a stage is counted once for each.
    pub fn sources(&self) -> Vec<&CopyFrom> {
        match self {
            Action::Copy(copy) => vec![&copy.from],
            Action::Run(run) => run.sources().collect(),
            Action::Metadata | Action::Workdir(_) => Vec::new(),
        }
    }

    /// As [`Action::sources`].
    pub(super) fn sources_mut(&mut self) -> Vec<&mut CopyFrom> {
        match self {
            Action::Copy(copy) => vec![&mut copy.from],
            Action::Run(run) => run.sources_mut().collect(),
            Action::Metadata | Action::Workdir(_) => Vec::new(),
        }
    }

    /// Whether the step has a layer.
    pub fn has_layer(&self) -> bool {
        !matches!(self, Action::Metadata)
    }
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// Program and arguments, shell included.
    pub argv: Vec<String>,
    /// The whole environment except `HOME`, which comes from the image's passwd when absent.
    pub env: Vec<(String, String)>,
    /// Names of variables that are there only because of proxies of this machine: they make no
    /// difference to what the command makes.
    pub proxies: Vec<String>,
    /// `USER` in force; empty is root.
    pub user: String,
    /// `WORKDIR` in force; absolute.
    pub workdir: String,
    /// A heredoc that starts with `#!`: a file to be run, whose path is `argv`'s last word.
    pub script: Option<Script>,
    /// `--mount`s, in the order written.
    pub mounts: Vec<RunMount>,
    /// `--network`
    pub network: RunNetwork,
    /// `--security`
    pub security: RunSecurity,
    /// `--device`s, in the order written.
    pub devices: Vec<Device>,
}

impl RunStep {
    /// Where files come from that its mounts show or start with.
    pub fn sources(&self) -> impl Iterator<Item = &CopyFrom> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            RunMountKind::Bind { from, .. } => Some(from),
            RunMountKind::Cache(cache) => cache.seed.as_ref().map(|(from, _)| from),
            _ => None,
        })
    }

    /// As [`RunStep::sources`].
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut CopyFrom> {
        self.mounts.iter_mut().filter_map(|mount| match &mut mount.kind {
            RunMountKind::Bind { from, .. } => Some(from),
            RunMountKind::Cache(cache) => cache.seed.as_mut().map(|(from, _)| from),
            _ => None,
        })
    }
}

/// An executable file that a step finds at `/dev/pipes/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub content: String,
}

/// Files to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStep {
    /// Whether it is `ADD`: archives of the context are unpacked.
    pub add: bool,
    /// Where the sources are.
    pub from: CopyFrom,
    /// What, in order.
    pub sources: Vec<CopySource>,
    /// Absolute destination; a trailing `/` or `/.` means a directory.
    pub destination: String,
    /// `--chown`
    pub chown: Option<Ownership>,
    /// `--chmod`
    pub chmod: Option<Chmod>,
    /// `--exclude` patterns.
    pub excludes: Vec<String>,
    /// `--link`: independent of what the stage holds.
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--unpack`, if written.
    pub unpack: Option<bool>,
}

impl CopyStep {
    /// The destination, a directory with one slash at its end.
    pub fn place(&self) -> &str {
        let directory = self.destination.strip_suffix('.').filter(|path| path.ends_with('/'));
        directory.unwrap_or(&self.destination)
    }

    /// A `COPY` without flags of one path or pattern.
    pub fn plain(from: CopyFrom, path: String, destination: &str) -> CopyStep {
        CopyStep {
            add: false,
            from,
            sources: vec![CopySource::Path(path)],
            destination: destination.to_owned(),
            chown: None,
            chmod: None,
            excludes: Vec::new(),
            link: false,
            parents: false,
            unpack: None,
        }
    }
}

/// A source of a copy, expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern.
    Path(String),
    /// A file of this name and content.
    Inline {
        /// Its name.
        name: String,
        /// Its bytes, expanded.
        content: String,
    },
    /// A file of a web server.
    Url(UrlSource),
    /// A tree of a git repository.
    Git(GitSource),
}

/// Where the sources of a copy or a mount are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFrom {
    /// The build context.
    Context,
    /// An earlier stage, by position in [`Plan::stages`].
    Stage(usize),
    /// An image.
    Image(FromImage),
    /// A named context that is a directory.
    Directory(String, std::path::PathBuf),
}

/// `user[:group]`, names or numbers, expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership(pub String);

/// A working directory to make.
#[derive(Debug, PartialEq, Eq)]
pub struct WorkdirStep {
    /// Absolute.
    pub path: String,
    /// `USER` in force, who will own it; empty is root.
    pub user: String,
}
