//! How the registry for tests receives bodies, those of unknown length piece by piece.

use std::io::{BufRead, Read};

use super::fake::{Fake, Reply, Request, hang_up};

/// What is done to a body that comes in chunks.
#[derive(Debug, Clone)]
pub(super) enum Chunked {
    /// It is not read: this is the answer to the request's head, and the end of the connection.
    Refuse(Reply),
    /// The connection is closed after this many bytes.
    CutAfter(usize),
}

impl Fake {
    /// Receives a request's body; gives an answer that is due before its end, and nothing at all
    /// where the connection broke.
    pub(super) fn read_body(
        &self,
        reader: &mut impl BufRead,
        request: &mut Request,
    ) -> Option<Option<Reply>> {
        if request.header("transfer-encoding").is_none() {
            let length = request.header("content-length").map_or(0, |l| l.parse().expect("a length"));
            if length > 0
                && let Some(cut) = self.state().cut_upload.take()
            {
                // Whoever reads less than came resets the connection, wherever the other side is.
                let _ = reader.read_exact(&mut vec![0; cut]);
                return None;
            }
            request.body.resize(length, 0);
            return reader.read_exact(&mut request.body).ok().map(|()| None);
        }
        assert_eq!(request.method, "PATCH", "other bodies are sent with their length");
        assert_eq!(request.header("transfer-encoding"), Some("chunked"));
        assert_eq!(request.header("content-length"), None);
        let mut state = self.state();
        state.arriving = 0;
        let limit = match state.chunked.take() {
            Some(Chunked::Refuse(reply)) => {
                state.log.push(request.clone());
                return Some(Some(reply));
            }
            Some(Chunked::CutAfter(limit)) => limit,
            None => usize::MAX,
        };
        drop(state);
        while let Some(chunk) = read_chunk(reader)? {
            request.body.extend(chunk);
            self.state().arriving = request.body.len();
            if request.body.len() >= limit {
                self.state().log.push(request.clone());
                return Some(Some(hang_up()));
            }
        }
        Some(None)
    }
}

/// One chunk (RFC 9112, 7.1); none at the end.
fn read_chunk(reader: &mut impl BufRead) -> Option<Option<Vec<u8>>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
    let mut chunk = vec![0; length];
    reader.read_exact(&mut chunk).ok()?;
    let mut end = String::new();
    reader.take(2).read_line(&mut end).ok()?;
    Some((length > 0).then_some(chunk))
}
