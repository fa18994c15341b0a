//! The body of an upload, which can be opened again for each attempt.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, watch};

use super::client::Client;
use super::growing::Progress;
use super::transfer::Transfer;
use super::{BlobContent, Registry, RegistryError};
use crate::image::{Descriptor, Reference};

/// Read from a file at once.
const PIECE: usize = 256 << 10;
/// Pieces on their way between two registries.
const QUEUE: usize = 4;

/// Where the bytes of an upload come from.
pub(super) enum Source {
    /// Memory.
    Bytes(Bytes),
    /// A file from an offset on, opened for each attempt if it is not open.
    File { file: Option<Arc<File>>, path: PathBuf, start: u64 },
    /// A blob of another registry.
    Blob { registry: Registry, from: Box<Reference>, descriptor: Box<Descriptor> },
    /// A file that grows, and how far it has come.
    Growing { file: Arc<File>, progress: watch::Receiver<Progress> },
}

impl From<&BlobContent> for Source {
    fn from(content: &BlobContent) -> Self {
        match content {
            BlobContent::Bytes(bytes) => Source::Bytes(bytes.clone()),
            BlobContent::File(file, path) => {
                Source::File { file: Some(file.clone()), path: path.clone(), start: 0 }
            }
            BlobContent::Part(file, path, start) => {
                Source::File { file: Some(file.clone()), path: path.clone(), start: *start }
            }
            BlobContent::Path(path) => Source::File { file: None, path: path.clone(), start: 0 },
        }
    }
}

/// The body of an upload.
pub(super) struct Feed {
    what: String,
    size: Option<u64>,
    source: Source,
    transfer: OnceLock<Arc<Transfer>>,
    moved: AtomicU64,
    failure: Mutex<Option<RegistryError>>,
}

impl Feed {
    /// Bytes of a known number.
    pub(super) fn new(what: String, size: u64, source: Source, transfer: Option<Arc<Transfer>>) -> Arc<Self> {
        let transfer = transfer.map(OnceLock::from).unwrap_or_default();
        Self::with(what, Some(size), source, transfer)
    }

    /// The bytes of a file as far as it has come, and so on until it is complete.
    pub(super) fn growing(what: String, file: Arc<File>, progress: watch::Receiver<Progress>) -> Arc<Self> {
        Self::with(what, None, Source::Growing { file, progress }, OnceLock::new())
    }

    fn with(what: String, size: Option<u64>, source: Source, transfer: OnceLock<Arc<Transfer>>) -> Arc<Self> {
        Arc::new(Feed { what, size, source, transfer, moved: AtomicU64::new(0), failure: Mutex::new(None) })
    }

    /// What the bytes are sent for, as "cannot …" goes on.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Bytes in all, where known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether the connection has taken everything.
    pub(super) fn is_sent(&self) -> bool {
        match &self.source {
            Source::Growing { progress, .. } => {
                let progress = *progress.borrow();
                progress.complete && self.moved() >= progress.bytes
            }
            _ => self.size.is_some_and(|size| self.moved() >= size),
        }
    }

    /// From now on progress is this transfer's.
    pub(super) fn report_to(&self, transfer: Arc<Transfer>) {
        transfer.progress(self.moved());
        // A feed has one transfer in its life.
        let _ = self.transfer.set(transfer);
    }

    /// Bytes taken by the connection, of the current attempt.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Why the source, not the connection, failed.
    pub(super) fn take_failure(&self) -> Option<RegistryError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: RegistryError) -> io::Error {
        let text = error.to_string();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(text)
    }

    /// The bytes from their beginning.
    pub(super) fn open(self: &Arc<Self>, client: &Client) -> reqwest::Body {
        self.moved.store(0, Ordering::Relaxed);
        let pieces = match &self.source {
            Source::Bytes(bytes) => stream::iter([Ok(bytes.clone())]).boxed(),
            Source::File { file, path, start } => match file.clone().map_or_else(|| open_file(path), Ok) {
                Ok(file) => self.clone().file_pieces(file, *start).boxed(),
                Err(error) => stream::iter([Err(self.file_failure(error))]).boxed(),
            },
            Source::Blob { registry, from, descriptor } => {
                let pieces = receive(registry.clone(), (**from).clone(), (**descriptor).clone(), client);
                let feed = self.clone();
                pieces.map(move |piece| piece.map_err(|error| feed.fail(error))).boxed()
            }
            Source::Growing { file, progress } => {
                self.clone().growing_pieces(file.clone(), progress.clone()).boxed()
            }
        };
        let feed = self.clone();
        reqwest::Body::wrap_stream(pieces.inspect(move |piece| {
            if let Ok(piece) = piece {
                let moved = feed.moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
                if let Some(transfer) = feed.transfer.get() {
                    transfer.progress(moved + piece.len() as u64);
                }
            }
        }))
    }

    fn file_pieces(
        self: Arc<Self>,
        file: Arc<File>,
        start: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let end = start.saturating_add(self.size.unwrap_or_default());
        stream::try_unfold(start, move |offset| {
            let (feed, file) = (self.clone(), file.clone());
            async move { feed.file_piece(file, offset, end).await }
        })
    }

    fn growing_pieces(
        self: Arc<Self>,
        file: Arc<File>,
        progress: watch::Receiver<Progress>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold((0u64, progress), move |(offset, mut progress)| {
            let (feed, file) = (self.clone(), file.clone());
            async move {
                let more = |p: &Progress| p.complete || p.bytes > offset;
                let size = progress.wait_for(more).await.map(|p| p.bytes);
                let size = size.map_err(|_| io::Error::other("the layer was not completed"))?;
                let next = feed.file_piece(file, offset, size).await?;
                Ok(next.map(|(piece, offset)| (piece, (offset, progress))))
            }
        })
    }

    /// The piece of a file at `offset`, and where the next begins; none at `end`.
    async fn file_piece(&self, file: Arc<File>, offset: u64, end: u64) -> io::Result<Option<(Bytes, u64)>> {
        let wanted = end.saturating_sub(offset).min(PIECE as u64) as usize;
        if wanted == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; wanted];
            file.read_exact_at(&mut piece, offset).map(|()| piece)
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok(piece) => Ok(Some((Bytes::from(piece), offset + wanted as u64))),
            Err(source) => Err(self.file_failure(source)),
        }
    }

    fn file_failure(&self, source: io::Error) -> io::Error {
        let path = match &self.source {
            Source::File { path, .. } => path.clone(),
            _ => PathBuf::from("the layer's file"),
        };
        self.fail(RegistryError::File { what: self.what.clone(), path, source })
    }
}

fn open_file(path: &Path) -> io::Result<Arc<File>> {
    File::open(path).map(Arc::new)
}

/// The bytes of a blob of another registry, as they come.
fn receive(
    registry: Registry,
    from: Reference,
    descriptor: Descriptor,
    client: &Client,
) -> impl Stream<Item = Result<Bytes, RegistryError>> + Send + 'static {
    let (send, receive) = mpsc::channel(QUEUE);
    client.handle.spawn(async move {
        let sink = |piece| {
            let send = send.clone();
            async move { send.send(Ok(piece)).await.is_ok() }
        };
        if let Err(error) = registry.fetch(&from, &descriptor, None, sink).await {
            // Nobody listens when the upload ended first.
            let _ = send.send(Err(error)).await;
        }
    });
    stream::unfold(receive, |mut receive| async move {
        let piece = receive.recv().await?;
        Some((piece, receive))
    })
}
