//! The body of an upload, which can be opened again for each attempt.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;

use super::RegistryError;
use super::client::Client;
use super::transfer::Transfer;
use crate::image::{Descriptor, Reference};

/// Read from a file at once.
const PIECE: usize = 256 << 10;
/// Pieces on their way between two registries.
const QUEUE: usize = 4;

/// Where the bytes of an upload come from.
pub(super) enum Source {
    /// Memory.
    Bytes(Bytes),
    /// A file, opened for each attempt if it is not open.
    File { file: Option<Arc<File>>, path: PathBuf },
    /// A blob of another registry.
    Blob { client: Arc<Client>, from: Box<Reference>, descriptor: Box<Descriptor> },
}

/// The body of an upload.
pub(super) struct Feed {
    what: String,
    size: u64,
    source: Source,
    transfer: Arc<Transfer>,
    moved: AtomicU64,
    failure: Mutex<Option<RegistryError>>,
}

impl Feed {
    pub(super) fn new(what: String, size: u64, source: Source, transfer: Arc<Transfer>) -> Arc<Self> {
        Arc::new(Feed { what, size, source, transfer, moved: AtomicU64::new(0), failure: Mutex::new(None) })
    }

    /// Bytes in all.
    pub(super) fn size(&self) -> u64 {
        self.size
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
            Source::File { file, path } => match file.clone().map_or_else(|| open_file(path), Ok) {
                Ok(file) => self.clone().file_pieces(file).boxed(),
                Err(error) => stream::iter([Err(self.file_failure(error))]).boxed(),
            },
            Source::Blob { client: source, from, descriptor } => {
                let pieces = receive(source.clone(), (**from).clone(), (**descriptor).clone(), client);
                let feed = self.clone();
                pieces.map(move |piece| piece.map_err(|error| feed.fail(error))).boxed()
            }
        };
        let feed = self.clone();
        reqwest::Body::wrap_stream(pieces.inspect(move |piece| {
            if let Ok(piece) = piece {
                let moved = feed.moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
                feed.transfer.progress(moved + piece.len() as u64);
            }
        }))
    }

    fn file_pieces(self: Arc<Self>, file: Arc<File>) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold(0u64, move |offset| {
            let (feed, file) = (self.clone(), file.clone());
            async move {
                let wanted = (feed.size - offset).min(PIECE as u64) as usize;
                if wanted == 0 {
                    return Ok(None);
                }
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; wanted];
                    file.read_exact_at(&mut piece, offset).map(|()| piece)
                });
                let piece = read.await.map_err(io::Error::other).flatten();
                match piece {
                    Ok(piece) => Ok(Some((Bytes::from(piece), offset + wanted as u64))),
                    Err(source) => Err(feed.file_failure(source)),
                }
            }
        })
    }

    fn file_failure(&self, source: io::Error) -> io::Error {
        let path = match &self.source {
            Source::File { path, .. } => path.clone(),
            _ => PathBuf::new(),
        };
        self.fail(RegistryError::File { what: self.what.clone(), path, source })
    }
}

fn open_file(path: &Path) -> io::Result<Arc<File>> {
    File::open(path).map(Arc::new)
}

/// The bytes of a blob of another registry, as they come.
fn receive(
    source: Arc<Client>,
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
        if let Err(error) = source.fetch(&from, &descriptor, None, sink).await {
            // Nobody listens when the upload ended first.
            let _ = send.send(Err(error)).await;
        }
    });
    stream::unfold(receive, |mut receive| async move {
        let piece = receive.recv().await?;
        Some((piece, receive))
    })
}
