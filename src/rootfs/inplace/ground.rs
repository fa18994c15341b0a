//! The container's own root and what has become of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::cover::Cover;
use super::directory::{failed, look_at, look_of, make, open, shown};
use super::hide::Secrets;
use super::journal::{self, Journal, Phase, State, Stay, StayKind};
use crate::config::MountConflict;
use crate::event::Events;
use crate::layer::{join, parent};
use crate::rootfs::RootfsError;
use crate::rootfs::index::{Bounds, Index};
use crate::rootfs::placing::keep_apart;
use crate::run::mountinfo::Mount;

/// Top-level names that never move where they exist: the kernel's, and where executors and the
/// shells of CI systems lie.
const NEVER: [&[u8]; 5] = [b"proc", b"sys", b"dev", b"kaniko", b"busybox"];
/// Of these an image may have entries; they stay with the stage, unplaced.
const KERNELS: [&[u8]; 3] = [b"proc", b"sys", b"dev"];
/// What the directories on volumes begin with; the build's id follows.
const VOLUME_PREFIX: &str = ".yadokari-";

/// Where a build in place happens.
pub(super) struct Site {
    /// The directory that is `/`, as a path.
    pub(super) root: PathBuf,
    /// Our own directory, on the same mount.
    pub(super) home: PathBuf,
    /// What is mounted below the root.
    pub(super) mounts: Vec<Mount>,
    /// Directories, from the root, known to refuse renaming.
    pub(super) unmovable: BTreeSet<Vec<u8>>,
}

/// The container's own root and what has become of it.
pub(super) struct Ground {
    pub(super) root: Arc<OwnedFd>,
    pub(super) home: Arc<OwnedFd>,
    pub(super) site: Site,
    /// The home directory from the root.
    pub(super) home_path: Vec<u8>,
    pub(super) state: State,
    pub(super) journal: Option<Journal>,
    pub(super) conflict: MountConflict,
    pub(super) events: Events,
    pub(super) secrets: Secrets,
    /// What stands in place of a stage's own files while a step runs, in the order it was put there.
    pub(super) covers: Vec<Cover>,
    /// Counts swaps: an index is good for one.
    pub(super) generation: u64,
    /// Whether trees stay after the end.
    pub(super) kept: bool,
    /// Whether what is mounted keeps its own files, because the tree that is put in place stays there.
    pub(super) materializes: bool,
    /// Whether a tree stays in place after the end.
    pub(super) is_materialized: bool,
    stages: BTreeMap<usize, Arc<OwnedFd>>,
    /// Held as long as this build may move files.
    _lock: File,
}

/// Tells this build's directories from those of others: in a container all have the same number
/// of process.
fn new_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    format!("{:016x}", std::hash::RandomState::new().build_hasher().finish())
}

/// How long a build that was killed may need until its last process is gone.
const LAST_PROCESS: Duration = Duration::from_secs(3);

/// Takes the lock of a container's root. Processes of a build that was killed hold it until the
/// kernel has ended them, which is not at once.
fn take(lock: &File) -> Result<(), RootfsError> {
    let until = Instant::now() + LAST_PROCESS;
    while lock.try_lock().is_err() {
        if Instant::now() >= until {
            return Err(RootfsError::Refused {
                reason: "another build is using this container's root".to_owned(),
                help: Some("wait for it, or build in a container of its own".to_owned()),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

impl Ground {
    /// Opens root and home; reads the journal of a build that was killed.
    pub(super) fn open(site: Site, conflict: MountConflict, events: Events) -> Result<Ground, RootfsError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| RootfsError::Io { action, path, source }
        };
        std::fs::create_dir_all(&site.home).map_err(io("create", &site.home))?;
        let home_path = site.home.strip_prefix(&site.root).map_err(|_| RootfsError::Refused {
            reason: format!("{} is not below {}", site.home.display(), site.root.display()),
            help: None,
        })?;
        let home_path = home_path.as_os_str().as_bytes().to_vec();
        let root = File::open(&site.root).map_err(io("open", &site.root))?;
        let home = Arc::new(OwnedFd::from(File::open(&site.home).map_err(io("open", &site.home))?));
        let lock_path = site.home.join("lock");
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        take(&lock)?;
        let journal_path = site.home.join("journal");
        let found = journal::read(&home).map_err(io("read", &journal_path))?;
        let journal = match &found {
            Some(_) => Some(Journal::resume(&home).map_err(io("open", &journal_path))?),
            None => None,
        };
        let mut ground = Ground {
            root: Arc::new(root.into()),
            home,
            site,
            home_path,
            state: found.unwrap_or_else(|| State::new(new_id())),
            journal,
            conflict,
            events,
            secrets: Secrets::default(),
            covers: Vec::new(),
            kept: false,
            materializes: false,
            is_materialized: false,
            generation: 0,
            stages: BTreeMap::new(),
            _lock: lock,
        };
        ground.reserve()?;
        Ok(ground)
    }

    /// Notes what never moves, and the directories above it.
    fn reserve(&mut self) -> Result<(), RootfsError> {
        let home = self.home_path.clone();
        for path in NEVER.iter().copied().chain([home.as_slice()]) {
            let found = look_at(&self.root, path).map_err(failed("look at", path))?;
            if let Some(stat) = found {
                let stay = Stay { kind: StayKind::Reserved, look: look_of(&stat) };
                self.state.stays.insert(path.to_vec(), stay);
            }
        }
        let mut above = parent(&home);
        while !above.is_empty() {
            self.site.unmovable.insert(above.to_vec());
            above = parent(above);
        }
        Ok(())
    }

    /// Why something stays in place; nothing where it does not.
    pub(super) fn stays(&self, path: &[u8]) -> Option<StayKind> {
        self.state.stays.get(path).map(|stay| stay.kind)
    }

    /// Whether the name is our own directory on a volume.
    pub(super) fn is_ours(&self, directory: &[u8], name: &[u8]) -> bool {
        matches!(self.stays(directory), Some(StayKind::Volume | StayKind::VolumeAside))
            && name == self.volume_name().as_bytes()
    }

    fn volume_name(&self) -> String {
        format!("{VOLUME_PREFIX}{}", self.state.id)
    }

    /// Volumes that stages use.
    pub(super) fn volumes(&self) -> Vec<Vec<u8>> {
        let kinds = [StayKind::Volume, StayKind::VolumeAside];
        self.state.stays.iter().filter(|(_, s)| kinds.contains(&s.kind)).map(|(p, _)| p.clone()).collect()
    }

    pub(super) fn mount_at(&self, path: &[u8]) -> Option<&Mount> {
        self.site.mounts.iter().find(|mount| mount.path == path)
    }

    /// Makes an empty tree for a stage and says where.
    pub(super) fn create_stage(&mut self, stage: usize) -> Result<PathBuf, RootfsError> {
        let (id, number) = (self.state.id.clone(), stage.to_string());
        let path = self.site.home.join("stage").join(&id).join(&number);
        let fail =
            |error: Errno| RootfsError::Io { action: "create", path: path.clone(), source: error.into() };
        let builds = make(&self.home, b"stage").map_err(fail)?;
        keep_apart(&builds);
        let all = make(&builds, id.as_bytes()).map_err(fail)?;
        super::directory::remove(&all, number.as_bytes()).map_err(fail)?;
        let made = make(&all, number.as_bytes()).map_err(fail)?;
        // What a root is where the image does not say.
        rustix::fs::fchmod(&made, rustix::fs::Mode::from(0o755)).map_err(fail)?;
        self.stages.insert(stage, Arc::new(made));
        Ok(path)
    }

    /// The directory with what of a stage's tree is not in place and not on a volume.
    pub(super) fn stage(&mut self, stage: usize) -> Result<Arc<OwnedFd>, RootfsError> {
        if let Some(found) = self.stages.get(&stage) {
            return Ok(Arc::clone(found));
        }
        let path = format!("stage/{}/{stage}", self.state.id);
        let made = Arc::new(make(&self.home, path.as_bytes()).map_err(failed("create", path.as_bytes()))?);
        self.stages.insert(stage, Arc::clone(&made));
        Ok(made)
    }

    pub(super) fn known_stage(&self, stage: usize) -> Option<&Arc<OwnedFd>> {
        self.stages.get(&stage)
    }

    /// Our directory on a volume, or one in it.
    pub(super) fn on_volume(&self, volume: &[u8], name: &str) -> Vec<u8> {
        let ours = join(volume, self.volume_name().as_bytes());
        if name.is_empty() { ours } else { join(&ours, name.as_bytes()) }
    }

    /// The part of a stage's tree on a volume while it is not in place.
    pub(super) fn stage_on_volume(&self, volume: &[u8], stage: usize) -> Vec<u8> {
        self.on_volume(volume, &format!("stage-{stage}"))
    }

    /// Whether this stage's tree is in place.
    pub(super) fn has_entered(&self, stage: usize) -> bool {
        self.state.phase == Phase::Entered(stage)
    }

    /// Refuses paths that an image must not have here.
    pub(super) fn check_reserved(&self, path: &[u8]) -> Result<(), RootfsError> {
        let above = std::iter::successors(Some(path), |p| Some(parent(p))).take_while(|p| !p.is_empty());
        for path in above {
            if self.stays(path) == Some(StayKind::Reserved) && !KERNELS.contains(&path) {
                let name = shown(path);
                return Err(RootfsError::Refused {
                    reason: format!(
                        "the image has files at {0}, and building in place needs the container's own {0}",
                        name.display()
                    ),
                    help: Some(
                        "use another path, or an isolation that gives each step a root of its own".to_owned(),
                    ),
                });
            }
        }
        Ok(())
    }

    /// Refuses a freshly unpacked tree that has such paths.
    pub(super) fn check_tree(&self, tree: &OwnedFd) -> Result<(), RootfsError> {
        for (path, stay) in &self.state.stays {
            let is_there = || {
                super::directory::open(tree, parent(path)).is_ok_and(|directory| {
                    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
                    look_at(&directory, name).is_ok_and(|found| found.is_some())
                })
            };
            if stay.kind == StayKind::Reserved && !KERNELS.contains(&path.as_slice()) && is_there() {
                self.check_reserved(path)?;
            }
        }
        Ok(())
    }

    /// Forgets all but what never moves.
    pub(super) fn forget(&mut self) {
        self.forget_swaps();
        self.stages.clear();
    }

    /// Forgets all but what never moves, and the stages.
    pub(super) fn forget_swaps(&mut self) {
        self.state.phase = Phase::Untouched;
        self.state.stays.retain(|_, stay| stay.kind == StayKind::Reserved);
    }

    /// What a walk through the entered stage's tree leaves out.
    pub(super) fn bounds(&self, index: Option<&Index>, stage: usize) -> Result<Bounds, RootfsError> {
        let mut bounds = Bounds::default();
        for (path, stay) in &self.state.stays {
            match stay.kind {
                StayKind::Reserved | StayKind::MountedFile | StayKind::Mount => bounds.leave_out(path),
                StayKind::Volume | StayKind::VolumeAside => {
                    bounds.include_mount(path);
                    bounds.leave_out(&self.on_volume(path, ""));
                }
                StayKind::Directory => {}
            }
        }
        for (path, stay) in &self.state.stays {
            let candidate = matches!(stay.kind, StayKind::Directory | StayKind::Volume) && !path.is_empty();
            if candidate && !index.is_some_and(|i| i.contains(path)) && self.is_hollow(path, stage)? {
                bounds.leave_out(path);
            }
        }
        Ok(bounds)
    }

    /// Whether a directory that stays in place is no part of the entered stage's tree: the image
    /// has none there and nothing was put into it.
    pub(super) fn is_hollow(&self, path: &[u8], stage: usize) -> Result<bool, RootfsError> {
        let shell = match self.stays(path) {
            Some(StayKind::Volume) => open(&self.root, &self.stage_on_volume(path, stage)).is_ok(),
            _ => self.stages.get(&stage).is_some_and(|tree| open(tree, path).is_ok()),
        };
        if shell {
            return Ok(false);
        }
        let directory = match open(&self.root, path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
            Err(error) => return Err(failed("open", path)(error)),
        };
        for name in super::directory::names(&directory).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            let is_none = match self.stays(&child) {
                None => self.is_ours(path, &name),
                Some(StayKind::Directory | StayKind::Volume) => self.is_hollow(&child, stage)?,
                Some(_) => true,
            };
            if !is_none {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
