//! Objects of buckets, brought as files of web servers are: bounded, with progress.

use futures_util::StreamExt as _;

use super::{FetchError, Fetcher};
use crate::cloud::Opened;
use crate::event::TransferEnd;
use crate::registry::{BlobReader, Piece};

impl Fetcher {
    /// The bytes of an object as an ordinary reader, for a thread that is not one of the network's.
    pub(crate) fn object(&self, shown: String, object: Opened) -> BlobReader {
        let limit = self.config.max_size;
        let progress = self.web.transfer(&shown, Some(object.size));
        self.web.reader(|send| async move {
            let mut stream = object.stream;
            let mut done = 0;
            while let Some(piece) = stream.next().await {
                let piece = match piece {
                    Ok(bytes) => {
                        done += bytes.len() as u64;
                        progress.progress(done);
                        Piece::Bytes(bytes)
                    }
                    Err(error) => Piece::Failed(error.into()),
                };
                let piece = match piece {
                    Piece::Bytes(_) if done > limit => {
                        Piece::Failed(FetchError::TooLarge { url: shown.clone(), limit }.into())
                    }
                    piece => piece,
                };
                let last = matches!(piece, Piece::Failed(_));
                // A reader that was dropped wants to know nothing.
                if send.send(piece).await.is_err() || last {
                    return;
                }
            }
            let end = if done == object.size {
                progress.finish(TransferEnd::Moved);
                Piece::End
            } else {
                let problem = format!("it ended after {done} of {} bytes", object.size);
                Piece::Failed(FetchError::Answer { url: shown, problem, help: None }.into())
            };
            let _ = send.send(end).await;
        })
    }
}
