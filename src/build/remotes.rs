//! Files and repositories that `ADD` names: fetched once each, beside everything else. Programs
//! run for that only while the container's own root is in place, so commands wait for repositories.
//! A file that the cache tells of is only asked about; it comes when a step needs it.

mod slot;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Timestamps, futimens};
use rustix::time::Timespec;

use crate::cache::{Fingerprint, Seen};
use crate::fetch::{Download, FetchError, Fetcher, GitSource, Reply, UrlSource, Version};
use crate::layer::{DirView, Timestamp};
use crate::plan::{Action, CopySource, CopyStep, Plan};
use crate::registry::Network;
use crate::run::Cancel;

use super::Error;
use super::workspace::Workspace;
use slot::Slot;

/// Repositories fetched at the same time.
const REPOSITORIES: usize = 4;

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
    fetcher: Fetcher,
    network: Arc<Network>,
    /// Set when a step was refused a file because it is not the one that keys were made of.
    changed: AtomicBool,
    cancel: Cancel,
    stopped: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Remotes {
    /// Begins to fetch what the plan's steps name. `seen` is what a cache that is read tells of files.
    pub(super) fn start(
        plan: &Plan,
        fetcher: Fetcher,
        network: &Arc<Network>,
        workspace: &Workspace,
        seen: Option<&dyn Fn() -> Vec<Seen>>,
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
        let mut remotes = Remotes {
            slots,
            fetcher,
            network: network.clone(),
            changed: AtomicBool::new(false),
            cancel: cancel.clone(),
            stopped,
            workers: Vec::new(),
        };
        remotes.fetch_repositories();
        remotes.fetch_files(seen);
        Ok(remotes)
    }

    fn fetch_files(&self, seen: Option<&dyn Fn() -> Vec<Seen>>) {
        let mut all = None;
        for slot in self.slots.values() {
            let Source::Url(url) = &slot.source else { continue };
            let (checksum, Some(seen)) = (&url.checksum, seen) else {
                self.fetch_file(slot, url);
                continue;
            };
            match checksum.as_ref().map(|checksum| checksum.sha256()) {
                Some(Some(digest)) => slot.know(digest.to_string(), None),
                Some(None) => self.fetch_file(slot, url),
                None => {
                    let known = known(all.get_or_insert_with(seen), url);
                    self.ask_for_file(slot, url, known);
                }
            }
        }
    }

    fn fetch_file(&self, slot: &Arc<Slot>, url: &UrlSource) {
        let (fetcher, url, slot) = (self.fetcher.clone(), url.clone(), slot.clone());
        self.network.spawn(async move {
            let outcome = file(&fetcher, &url, &slot.directory).await;
            slot.finish(outcome);
        });
    }

    fn ask_for_file(&self, slot: &Arc<Slot>, url: &UrlSource, known: Vec<Version>) {
        if known.is_empty() {
            return self.fetch_file(slot, url);
        }
        let (fetcher, url, slot) = (self.fetcher.clone(), url.clone(), slot.clone());
        self.network.spawn(async move {
            match file_unless(&fetcher, &url, &known, &slot.directory).await {
                Ok(Answer::Same(version)) => slot.know(version.digest.to_string(), Some(version)),
                Ok(Answer::Came(came)) => slot.finish(Ok(came)),
                Err(error) => slot.finish(Err(error)),
            }
        });
    }

    fn fetch_repositories(&mut self) {
        let is_git = |slot: &&Arc<Slot>| matches!(slot.source, Source::Git(_));
        let repositories: VecDeque<_> = self.slots.values().filter(is_git).cloned().collect();
        let count = repositories.len().min(REPOSITORIES);
        let queue = Arc::new(Mutex::new(repositories));
        for _ in 0..count {
            let (queue, fetcher) = (queue.clone(), self.fetcher.clone());
            let (cancel, stopped) = (self.cancel.clone(), self.stopped.clone());
            self.workers.push(std::thread::spawn(move || {
                let stop = || stopped.load(Ordering::SeqCst) || cancel.signal().is_some();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(slot) = next else { break };
                    let Source::Git(git) = &slot.source else { continue };
                    let tree = tree(&fetcher, git, &slot.directory, &stop);
                    slot.finish(tree.map(|tree| (tree, None)));
                }
            }));
        }
    }

    /// A source of a step, when it is there.
    ///
    /// # Errors
    /// It cannot be fetched, a file is another than it was when keys were made of it, or somebody asked
    /// for the end.
    pub(super) fn get(&self, source: &CopySource, cancel: &Cancel) -> Result<Option<Arc<Fetched>>, Error> {
        let Some(slot) = self.slot(source)? else { return Ok(None) };
        self.begin(slot);
        let fetched = slot.wait(cancel)?;
        if slot.has_changed() {
            self.changed.store(true, Ordering::SeqCst);
            return Err(Error::other(format!("{} changed while the image was built", fetched.name)));
        }
        Ok(Some(fetched))
    }

    /// What a source of a step is, and the path in it, when that is known.
    ///
    /// # Errors
    /// It cannot be fetched, or somebody asked for the end.
    pub(super) fn content(&self, source: &CopySource) -> Result<Option<[String; 2]>, Error> {
        let Some(slot) = self.slot(source)? else { return Ok(None) };
        Ok(Some([slot.content(&self.cancel)?, slot.source.path()]))
    }

    /// Begins to fetch what a step names, as far as it was only asked about.
    pub(super) fn begin_all(&self, step: &CopyStep) {
        for source in &step.sources {
            if let Ok(Some(slot)) = self.slot(source) {
                self.begin(slot);
            }
        }
    }

    fn begin(&self, slot: &Arc<Slot>) {
        if let Source::Url(url) = &slot.source
            && slot.begins()
        {
            self.fetch_file(slot, url);
        }
    }

    /// What the servers said of the files that a step names, as far as they are known.
    pub(super) fn seen(&self, step: &CopyStep) -> Vec<Seen> {
        let one = |source: &CopySource| {
            let slot = self.slot(source).ok()??;
            let Source::Url(url) = &slot.source else { return None };
            let Version { digest, etag, last_modified } = slot.version()?;
            Some(Seen { source: hint(url), digest, etag, last_modified })
        };
        step.sources.iter().filter_map(one).take(Seen::MOST).collect()
    }

    /// Whether a step was refused a file because it is not the one that keys were made of; from now on
    /// keys are made of what came.
    pub(super) fn take_change(&self) -> bool {
        self.changed.swap(false, Ordering::SeqCst)
    }

    fn slot(&self, source: &CopySource) -> Result<Option<&Arc<Slot>>, Error> {
        let Some(source) = Source::of(source) else { return Ok(None) };
        let slot = self.slots.get(&source.key());
        slot.map(Some).ok_or_else(|| Error::other("a source was not fetched before the build"))
    }

    /// Waits until no program runs any more: after this the root may be an image's.
    ///
    /// # Errors
    /// A repository cannot be fetched, or somebody asked for the end.
    pub(super) fn settle(&self, cancel: &Cancel) -> Result<(), Error> {
        for slot in self.slots.values().filter(|slot| matches!(slot.source, Source::Git(_))) {
            slot.wait(cancel).map_err(|e| e.at(&slot.place))?;
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

    /// The file, or the wanted directory of a repository's tree.
    fn path(&self) -> String {
        match self {
            Source::Url(url) => url.name.clone(),
            Source::Git(git) => git.subdir(),
        }
    }
}

/// Names a file in a record, without credentials.
fn hint(source: &UrlSource) -> String {
    let mut url = source.url.clone();
    // Both fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Fingerprint::of(url.as_str()).hint()
}

/// The versions of a file that a cache tells of, each once.
fn known(seen: &[Seen], source: &UrlSource) -> Vec<Version> {
    let hint = hint(source);
    let mut known: Vec<Version> = Vec::new();
    for Seen { digest, etag, last_modified, .. } in seen.iter().filter(|s| s.source == hint) {
        let version = Version { digest: *digest, etag: etag.clone(), last_modified: last_modified.clone() };
        if !known.contains(&version) {
            known.push(version);
        }
    }
    known
}

/// A file that came, and what its server said of it.
type Came = (Fetched, Option<Version>);

/// What asking for a file comes to that is known.
enum Answer {
    Came(Came),
    Same(Version),
}

/// Fetches a file: 0600 and the server's time, or 1970, as BuildKit gives it.
async fn file(fetcher: &Fetcher, source: &UrlSource, directory: &Path) -> Result<Came, Error> {
    let (file, kept) = new_file(source, directory)?;
    let download = fetcher.download(source, file).await?;
    came(source, directory, &kept, download)
}

/// The same, unless it is one of the versions that are known.
async fn file_unless(
    fetcher: &Fetcher,
    source: &UrlSource,
    known: &[Version],
    directory: &Path,
) -> Result<Answer, Error> {
    let (file, kept) = new_file(source, directory)?;
    match fetcher.download_unless(source, known, file).await? {
        Reply::Came(download) => Ok(Answer::Came(came(source, directory, &kept, download)?)),
        Reply::Same(version) => {
            // It may still have to come, into a file of that name.
            std::fs::remove_file(directory.join(&source.name)).map_err(|e| unwritable(directory, &e))?;
            Ok(Answer::Same(version))
        }
    }
}

/// An empty file of the source's name, twice.
fn new_file(source: &UrlSource, directory: &Path) -> Result<(File, File), Error> {
    let file = File::create_new(directory.join(&source.name));
    let twice = file.and_then(|file| Ok((file.try_clone()?, file)));
    twice.map_err(|e| unwritable(directory, &e))
}

fn came(source: &UrlSource, directory: &Path, file: &File, download: Download) -> Result<Came, Error> {
    let failed = |e: io::Error| unwritable(directory, &e);
    dress(file, &download).map_err(failed)?;
    let fetched = Fetched {
        view: DirView::at(directory).map_err(failed)?,
        path: source.name.clone(),
        is_file: true,
        name: source.shown(),
        content: download.digest.to_string(),
    };
    Ok((fetched, download.version))
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
