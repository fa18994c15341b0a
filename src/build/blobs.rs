//! Layers, and the blobs they are read from: a base's come from a registry or a layout, each at
//! most once; ours are files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::BaseCache;
use crate::image::{Descriptor, DiffId, Digest, OciLayout};
use crate::registry::{Network, Registry, RegistryError};

use super::Error;
use super::images::ImageSource;
use super::workspace::Workspace;

/// One layer of an image being built.
#[derive(Clone)]
pub(super) struct Layer {
    /// Type, digest and size of the blob.
    pub(super) descriptor: Descriptor,
    /// Digest of the tar.
    pub(super) diff_id: DiffId,
    /// The bytes.
    pub(super) blob: Blob,
}

/// Where a layer's bytes are.
#[derive(Clone)]
pub(super) enum Blob {
    /// Where the base image is.
    Base(Arc<BaseBlob>),
    /// In a file of ours.
    Packed(PathBuf),
}

impl Layer {
    /// Reads the blob, from disk or as it arrives.
    pub(super) fn reader(&self, fetcher: &Fetcher) -> Result<Box<dyn Read + Send>, Error> {
        match &self.blob {
            Blob::Base(base) => base.reader(fetcher),
            Blob::Packed(path) => Ok(Box::new(open(path)?)),
        }
    }

    /// The blob as a file, fetched whole if need be.
    pub(super) fn file(&self, fetcher: &Fetcher) -> Result<PathBuf, Error> {
        match &self.blob {
            Blob::Packed(path) => Ok(path.clone()),
            Blob::Base(base) => base.file(fetcher),
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|e| Error::other(format!("cannot open {}: {e}", path.display())))
}

/// Fetches blobs into a directory.
pub(super) struct Fetcher {
    pub(super) network: Arc<Network>,
    pub(super) registry: Registry,
    pub(super) directory: PathBuf,
}

impl Fetcher {
    /// Fetches into a build's directory of blobs.
    pub(super) fn new(network: &Arc<Network>, registry: &Registry, workspace: &Workspace) -> Self {
        Fetcher { network: network.clone(), registry: registry.clone(), directory: workspace.blobs() }
    }
}

/// A blob of a base image.
pub(super) struct BaseBlob {
    pub(super) source: ImageSource,
    pub(super) descriptor: Descriptor,
    /// The last one, which may have failed.
    download: Mutex<Option<Arc<Download>>>,
    /// Of a layer from the cache: set when it turns out to be lost or wrong.
    suspect: Option<Arc<AtomicBool>>,
    /// Where it is on disk too.
    local: Option<Arc<OciLayout>>,
    /// Where it is kept once it was fetched.
    keep: Option<Arc<BaseCache>>,
}

impl BaseBlob {
    pub(super) fn new(source: ImageSource, descriptor: Descriptor) -> Self {
        BaseBlob { source, descriptor, download: Mutex::default(), suspect: None, local: None, keep: None }
    }

    /// The blob of a layer from the cache. If it cannot be had, `suspect` is set: the build can then
    /// do without it.
    pub(super) fn cached(source: ImageSource, descriptor: Descriptor, suspect: Arc<AtomicBool>) -> Self {
        BaseBlob { suspect: Some(suspect), ..Self::new(source, descriptor) }
    }

    /// The blob of a base that is in a layout too, or is kept in a directory once it was fetched.
    pub(super) fn kept(
        source: ImageSource,
        descriptor: Descriptor,
        local: Option<Arc<OciLayout>>,
        keep: Option<Arc<BaseCache>>,
    ) -> Self {
        BaseBlob { local, keep, ..Self::new(source, descriptor) }
    }

    /// Where it is on disk without being fetched.
    pub(super) fn on_disk(&self) -> Option<&Arc<OciLayout>> {
        match &self.source {
            ImageSource::Layout(layout) => Some(layout),
            ImageSource::Registry(_) => self.local.as_ref(),
        }
    }

    /// The flag of a layer from the cache.
    pub(super) fn suspect(&self) -> Option<&Arc<AtomicBool>> {
        self.suspect.as_ref()
    }

    /// Begins to fetch the blob to disk, once.
    pub(super) fn start(&self, fetcher: &Fetcher) -> Result<(), Error> {
        self.download(fetcher).map(drop)
    }

    fn download(&self, fetcher: &Fetcher) -> Result<Option<Arc<Download>>, Error> {
        let ImageSource::Registry(reference) = &self.source else { return Ok(None) };
        if self.local.is_some() {
            return Ok(None);
        }
        let mut last = self.download.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some(failed) if failed.has_failed() => drop(std::fs::remove_file(&failed.path)),
            Some(running) => return Ok(Some(running.clone())),
            None => {}
        }
        let download = Download::create(&fetcher.directory, &self.descriptor.digest)?;
        *last = Some(download.clone());
        drop(last);
        let (registry, reference) = (self.registry(fetcher), reference.clone());
        let (descriptor, writer) = (self.descriptor.clone(), download.clone());
        let (suspect, keep) = (self.suspect.clone(), self.keep.clone());
        fetcher.network.spawn(async move {
            let mut failure = None;
            let mut pace = suspect.is_some().then(Pace::new);
            let sink = |piece: bytes::Bytes| {
                failure = writer.append(&piece).map_err(|e| writer.cannot(&e)).err();
                if pace.as_mut().is_some_and(|pace| pace.is_too_slow(piece.len())) {
                    failure = Some("the cache is slower than the work it saves".to_owned());
                }
                std::future::ready(failure.is_none())
            };
            let end = registry.blob(&reference, &descriptor, sink).await;
            let misled = matches!(end, Err(RegistryError::Mirror { .. }));
            let error = failure.or(end.err().map(|e| e.to_string()));
            if let Some(suspect) = suspect.filter(|_| error.is_some()) {
                suspect.store(true, Ordering::SeqCst);
            }
            if let Some(keep) = keep.filter(|_| error.is_none()) {
                let (descriptor, path) = (descriptor.clone(), writer.path.clone());
                // A directory that takes nothing keeps nothing: the build has the blob.
                let kept = tokio::task::spawn_blocking(move || keep.put_file(&descriptor, &path));
                let _ = kept.await;
            }
            writer.end(error, misled);
        });
        Ok(Some(download))
    }

    /// A layer of the cache is nowhere but in the cache.
    fn registry(&self, fetcher: &Fetcher) -> Registry {
        match &self.suspect {
            Some(_) => fetcher.registry.without_mirrors(),
            None => fetcher.registry.clone(),
        }
    }

    fn reader(&self, fetcher: &Fetcher) -> Result<Box<dyn Read + Send>, Error> {
        match (self.download(fetcher)?, self.on_disk()) {
            (Some(download), _) => Ok(Box::new(DownloadReader { download, position: 0 })),
            (None, Some(layout)) => {
                let reader = layout.blob(&self.descriptor).map_err(|e| self.distrusted(e))?;
                Ok(match &self.suspect {
                    Some(suspect) => Box::new(Watched { reader, suspect: suspect.clone() }),
                    None => reader,
                })
            }
            (None, None) => unreachable!("a registry's blob is downloaded"),
        }
    }

    /// The blob as a file, fetched whole if need be.
    pub(super) fn file(&self, fetcher: &Fetcher) -> Result<PathBuf, Error> {
        match (self.download(fetcher)?, self.on_disk()) {
            (Some(download), _) => self.wait_for(download, fetcher),
            (None, Some(layout)) => {
                if self.suspect.is_some() || self.local.is_some() {
                    // Nobody looks at the bytes again before they are a part of the result.
                    io::copy(&mut self.reader(fetcher)?, &mut io::sink()).map_err(|e| self.distrusted(e))?;
                }
                Ok(layout.blob_path(&self.descriptor.digest))
            }
            (None, None) => unreachable!("a registry's blob is downloaded"),
        }
    }

    /// Waits until it is fetched, once more where a mirror sent something else.
    fn wait_for(&self, mut download: Arc<Download>, fetcher: &Fetcher) -> Result<PathBuf, Error> {
        loop {
            match (download.wait(), download.was_misled()) {
                (Err(_), true) => {}
                (end, _) => return end,
            }
            let again = self.download(fetcher)?;
            download = again.ok_or_else(|| Error::other("a registry's blob is downloaded"))?;
        }
    }

    /// Whether it is read from a file, which others may need too.
    fn is_followed(&self) -> bool {
        let is_begun = self.download.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        is_begun || self.suspect.is_some() || self.local.is_some() || self.keep.is_some()
    }

    /// The error of a blob that cannot be had.
    fn distrusted(&self, error: impl std::fmt::Display) -> Error {
        if let Some(suspect) = &self.suspect {
            suspect.store(true, Ordering::SeqCst);
        }
        Error::from_display(error)
    }

    /// Reads the blob as it arrives, without a copy on disk.
    pub(super) fn stream(&self, fetcher: &Fetcher) -> Result<Box<dyn Read + Send>, Error> {
        match &self.source {
            ImageSource::Registry(_) if self.is_followed() => self.reader(fetcher),
            ImageSource::Registry(reference) => {
                Ok(Box::new(fetcher.registry.reader(reference, &self.descriptor)))
            }
            ImageSource::Layout(_) => self.reader(fetcher),
        }
    }
}

/// A blob of the cache while it is read.
struct Watched {
    reader: Box<dyn Read + Send>,
    suspect: Arc<AtomicBool>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|_| self.suspect.store(true, Ordering::SeqCst))
    }
}

/// How fast a blob of the cache arrives.
struct Pace {
    started: Instant,
    bytes: u64,
}

impl Pace {
    /// Whatever is faster than this is waited for, in bytes a second.
    const SLOWEST: u64 = 64 << 10;
    /// Before this nobody judges.
    const PATIENCE: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Pace { started: Instant::now(), bytes: 0 }
    }

    fn is_too_slow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        let time = self.started.elapsed();
        time > Self::PATIENCE && self.bytes < Self::SLOWEST * time.as_secs()
    }
}

/// A file that grows while a blob arrives; readers follow it.
struct Download {
    path: PathBuf,
    file: File,
    state: Mutex<Arrived>,
    grown: Condvar,
}

#[derive(Default)]
struct Arrived {
    bytes: u64,
    ended: bool,
    error: Option<String>,
    /// Whether a mirror sent something else.
    misled: bool,
}

impl Download {
    fn create(directory: &Path, digest: &Digest) -> Result<Arc<Download>, Error> {
        // Two images may have a layer in common: each download has a file of its own.
        let created =
            tempfile::Builder::new().prefix(&format!("base-{}-", digest.short())).tempfile_in(directory);
        let (file, path) = created
            .and_then(|f| f.keep().map_err(|e| e.error))
            .map_err(|e| Error::other(format!("cannot create a file in {}: {e}", directory.display())))?;
        Ok(Arc::new(Download { path, file, state: Mutex::default(), grown: Condvar::new() }))
    }

    fn cannot(&self, error: &io::Error) -> String {
        format!("cannot write {}: {error}", self.path.display())
    }

    fn append(&self, piece: &[u8]) -> io::Result<()> {
        let at = self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes;
        self.file.write_all_at(piece, at)?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes += piece.len() as u64;
        self.grown.notify_all();
        Ok(())
    }

    fn end(&self, error: Option<String>, misled: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        state.error = error;
        state.misled = misled;
        self.grown.notify_all();
    }

    fn has_failed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).error.is_some()
    }

    fn was_misled(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).misled
    }

    fn wait(&self) -> Result<PathBuf, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.ended {
            state = self.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.error {
            Some(error) => Err(Error::other(error.clone())),
            None => Ok(self.path.clone()),
        }
    }
}

struct DownloadReader {
    download: Arc<Download>,
    position: u64,
}

impl Read for DownloadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.download.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.bytes == self.position && !state.ended {
            state = self.download.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let available = state.bytes - self.position;
        if available == 0 {
            // The end is told only when the digest has been found right.
            return match &state.error {
                Some(error) => Err(io::Error::other(error.clone())),
                None => Ok(0),
            };
        }
        drop(state);
        let most = buffer.len().min(usize::try_from(available).unwrap_or(usize::MAX));
        let read = self.download.file.read_at(&mut buffer[..most], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
