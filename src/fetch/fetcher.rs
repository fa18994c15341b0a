//! What brings sources here.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::http::{self, FileSink, Sink, SinkError};
use super::{FetchError, GitSource, UrlSource, Version, git};
use crate::config::FetchConfig;
use crate::registry::{BlobReader, Piece, Registry, Web};

pub use super::git::Checkout;
pub use super::http::{Download, Reply};

/// Brings files and repositories; cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    pub(super) web: Web,
    pub(super) config: Arc<FetchConfig>,
}

impl Fetcher {
    /// Over the connections of `registry`: its CA roots, proxies and patience.
    pub fn new(registry: &Registry, config: &FetchConfig) -> Self {
        Fetcher { web: registry.web(), config: Arc::new(config.clone()) }
    }

    /// Writes a file of a web server to an empty file here, in bounded memory.
    ///
    /// # Errors
    /// [`FetchError`]; what was written then is worth nothing.
    pub async fn download(&self, source: &UrlSource, file: File) -> Result<Download, FetchError> {
        http::fetch(&self.web, &self.config, source, &mut FileSink(file)).await
    }

    /// The same, unless the server says that the file is one of the versions that are known.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub async fn download_unless(
        &self,
        source: &UrlSource,
        known: &[Version],
        file: File,
    ) -> Result<Reply, FetchError> {
        http::fetch_unless(&self.web, &self.config, source, known, &mut FileSink(file)).await
    }

    /// A file of a web server as an ordinary reader, for a thread that is not one of the network's.
    /// Reading fails if the file does; its end comes only after its checksum was found right.
    pub fn reader(&self, source: &UrlSource) -> BlobReader {
        let (fetcher, source) = (self.clone(), source.clone());
        self.web.reader(|send| async move {
            let mut sink = PieceSink { send: send.clone(), sent: false };
            let end = match http::fetch(&fetcher.web, &fetcher.config, &source, &mut sink).await {
                Ok(_) => Piece::End,
                Err(error) => Piece::Failed(error.into()),
            };
            // A reader that was dropped wants to know nothing.
            let _ = send.send(end).await;
        })
    }

    /// Writes a tree of a repository into an empty directory, by the program `git`. Files have
    /// modes 0644 and 0755. Blocks; `stop` is asked now and then whether to end early.
    ///
    /// # Errors
    /// [`FetchError`]; what was written then is worth nothing.
    pub fn checkout(
        &self,
        source: &GitSource,
        directory: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Checkout, FetchError> {
        git::checkout(&self.web, &self.config, source, directory, stop)
    }
}

/// Sends pieces to a reader.
struct PieceSink {
    send: mpsc::Sender<Piece>,
    sent: bool,
}

impl Sink for PieceSink {
    async fn take(&mut self, piece: Bytes) -> Result<(), SinkError> {
        self.sent = true;
        self.send.send(Piece::Bytes(piece)).await.map_err(|_| SinkError::Stopped)
    }

    fn restart(&mut self) -> bool {
        !self.sent
    }
}
