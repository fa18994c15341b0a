//! Files and repositories that `ADD` names: fetched once each, beside everything else. Programs
//! run for that only while the container's own root is in place, so commands wait for repositories.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Timestamps, futimens};
use rustix::time::Timespec;

use crate::fetch::{Download, FetchError, Fetcher, GitSource, UrlSource};
use crate::layer::{DirView, Timestamp};
use crate::plan::{Action, CopySource, Place, Plan};
use crate::registry::Network;
use crate::run::Cancel;

use super::Error;
use super::workspace::Workspace;

/// Repositories fetched at the same time.
const REPOSITORIES: usize = 4;

/// How often a wait looks whether somebody asked for the end.
const LOOK: Duration = Duration::from_millis(100);

/// A source that was fetched.
pub(super) struct Fetched {
    /// The directory that holds it.
    pub(super) view: DirView,
    /// The file in it, or the wanted directory of a repository's tree.
    pub(super) path: String,
    /// Whether it is a file.
    pub(super) is_file: bool,
    /// What people call it.
    pub(super) name: String,
    /// What it is: the SHA-256 of a file, or the commit of a tree.
    pub(super) content: String,
}

/// What is fetched.
#[derive(Debug, Clone)]
enum Source {
    Url(UrlSource),
    Git(GitSource),
}

/// Everything that is fetched for one build.
pub(super) struct Remotes {
    slots: BTreeMap<String, Arc<Slot>>,
    cancel: Cancel,
    stopped: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

/// One source on its way.
struct Slot {
    source: Source,
    /// Where it is written.
    directory: PathBuf,
    /// Who named it first.
    place: Place,
    outcome: Mutex<Option<Result<Arc<Fetched>, Error>>>,
    changed: Condvar,
}

impl Remotes {
    /// Begins to fetch what the plan's steps name.
    pub(super) fn start(
        plan: &Plan,
        fetcher: &Fetcher,
        network: &Network,
        workspace: &Workspace,
        cancel: &Cancel,
    ) -> Result<Remotes, Error> {
        let mut slots = BTreeMap::new();
        for step in plan.stages.iter().flat_map(|s| &s.steps) {
            let Action::Copy(copy) = &step.action else { continue };
            for source in copy.sources.iter().filter_map(Source::of) {
                let key = source.key();
                if !slots.contains_key(&key) {
                    let name = slots.len().to_string();
                    let outside = workspace.fetched_outside(&name);
                    let inside = workspace.fetched(&name).map_err(|e| unwritable(&outside, &e))?;
                    let is_git = matches!(source, Source::Git(_));
                    let directory = if is_git { outside } else { inside };
                    slots.insert(key, Arc::new(Slot::new(source, directory, step.place.clone())));
                }
            }
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let mut remotes = Remotes { slots, cancel: cancel.clone(), stopped, workers: Vec::new() };
        remotes.fetch_all(fetcher, network);
        Ok(remotes)
    }

    fn fetch_all(&mut self, fetcher: &Fetcher, network: &Network) {
        let mut repositories = VecDeque::new();
        for slot in self.slots.values() {
            match &slot.source {
                Source::Git(_) => repositories.push_back(slot.clone()),
                Source::Url(url) => {
                    let (fetcher, url, slot) = (fetcher.clone(), url.clone(), slot.clone());
                    network.spawn(async move {
                        let outcome = file(&fetcher, &url, &slot.directory).await;
                        slot.finish(outcome);
                    });
                }
            }
        }
        let count = repositories.len().min(REPOSITORIES);
        let queue = Arc::new(Mutex::new(repositories));
        for _ in 0..count {
            let (queue, fetcher) = (queue.clone(), fetcher.clone());
            let (cancel, stopped) = (self.cancel.clone(), self.stopped.clone());
            self.workers.push(std::thread::spawn(move || {
                let stop = || stopped.load(Ordering::SeqCst) || cancel.signal().is_some();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(slot) = next else { break };
                    let Source::Git(git) = &slot.source else { continue };
                    slot.finish(tree(&fetcher, git, &slot.directory, &stop));
                }
            }));
        }
    }

    /// A source of a step, when it is there.
    ///
    /// # Errors
    /// It cannot be fetched, or somebody asked for the end.
    pub(super) fn get(&self, source: &CopySource) -> Result<Option<Arc<Fetched>>, Error> {
        let Some(source) = Source::of(source) else { return Ok(None) };
        let slot = self.slots.get(&source.key());
        let slot = slot.ok_or_else(|| Error::other("a source was not fetched before the build"))?;
        slot.wait(&self.cancel).map(Some)
    }

    /// Waits until no program runs any more: after this the root may be an image's.
    ///
    /// # Errors
    /// A repository cannot be fetched, or somebody asked for the end.
    pub(super) fn settle(&self) -> Result<(), Error> {
        for slot in self.slots.values().filter(|slot| matches!(slot.source, Source::Git(_))) {
            slot.wait(&self.cancel).map_err(|e| e.at(&slot.place))?;
        }
        Ok(())
    }
}

impl Drop for Remotes {
    /// Ends programs that still run: their directory goes next.
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            // A panic was a source's that nobody waited for.
            let _ = worker.join();
        }
    }
}

impl Source {
    fn of(source: &CopySource) -> Option<Source> {
        match source {
            CopySource::Url(url) => Some(Source::Url(url.clone())),
            CopySource::Git(git) => Some(Source::Git(git.clone())),
            CopySource::Path(_) | CopySource::Inline { .. } => None,
        }
    }

    /// The same for the same source.
    fn key(&self) -> String {
        format!("{self:?}")
    }
}

impl Slot {
    fn new(source: Source, directory: PathBuf, place: Place) -> Slot {
        Slot { source, directory, place, outcome: Mutex::default(), changed: Condvar::new() }
    }

    fn finish(&self, outcome: Result<Fetched, Error>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.map(Arc::new));
        self.changed.notify_all();
    }

    fn wait(&self, cancel: &Cancel) -> Result<Arc<Fetched>, Error> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(signal) = cancel.signal() {
                return Err(Error::cancelled(signal));
            }
            match &mut *outcome {
                Some(Ok(fetched)) => return Ok(fetched.clone()),
                Some(Err(error)) => return Err(error.again()),
                None => {}
            }
            outcome = self.changed.wait_timeout(outcome, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Fetches a file: 0600 and the server's time, or 1970, as BuildKit gives it.
async fn file(fetcher: &Fetcher, source: &UrlSource, directory: &Path) -> Result<Fetched, Error> {
    let failed = |e: &io::Error| unwritable(directory, e);
    let file = File::create_new(directory.join(&source.name)).map_err(|e| failed(&e))?;
    let kept = file.try_clone().map_err(|e| failed(&e))?;
    let download = fetcher.download(source, file).await?;
    dress(&kept, &download).map_err(|e| failed(&e))?;
    Ok(Fetched {
        view: DirView::at(directory).map_err(|e| failed(&e))?,
        path: source.name.clone(),
        is_file: true,
        name: source.shown(),
        content: download.digest.to_string(),
    })
}

/// Gives a file the mode and the time that BuildKit gives it.
pub(super) fn dress(file: &File, download: &Download) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))?;
    let Timestamp { seconds, .. } = download.last_modified.unwrap_or_default();
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Ok(futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}

/// Fetches a repository's tree.
fn tree(
    fetcher: &Fetcher,
    source: &GitSource,
    directory: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Fetched, Error> {
    let checkout = fetcher.checkout(source, directory, stop)?;
    Ok(Fetched {
        view: DirView::at(directory).map_err(|e| unwritable(directory, &e))?,
        path: source.subdir(),
        is_file: false,
        name: source.to_string(),
        content: checkout.commit,
    })
}

fn unwritable(directory: &Path, error: &io::Error) -> Error {
    Error::other(format!("cannot write to {}: {error}", directory.display()))
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        Error::Other { help: error.help(), message: error.to_string() }
    }
}
