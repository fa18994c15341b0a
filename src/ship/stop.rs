//! Ending what is under way when somebody asks for it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{Either, select};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ShipError;
use crate::run::Cancel;

/// How often somebody who waits looks whether the end is wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Ends when somebody asks for the end.
pub(super) fn asked(cancel: &Cancel) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let cancel = cancel.clone();
    Box::pin(async move {
        while cancel.signal().is_none() {
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// What the work gives, unless somebody asks for the end first.
pub(super) async fn unless_asked<T>(
    cancel: &Cancel,
    work: impl Future<Output = Result<T, ShipError>>,
) -> Result<T, ShipError> {
    match select(pin!(work), asked(cancel)).await {
        Either::Left((end, _)) => end,
        Either::Right(_) => Err(ShipError::cancelled(cancel)),
    }
}

/// A reader that fails once somebody asks for the end.
pub(super) struct Stopping<R> {
    pub(super) reader: R,
    pub(super) cancel: Cancel,
}

impl<R: Read> Read for Stopping<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.cancel.signal() {
            None => self.reader.read(buffer),
            Some(_) => Err(cancelled()),
        }
    }
}

/// A file that may be a pipe nobody writes to: waiting for it ends when somebody asks for the end.
pub(super) struct Input {
    pub(super) file: File,
    pub(super) cancel: Cancel,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
        while self.cancel.signal().is_none() {
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
        Err(cancelled())
    }
}

fn cancelled() -> io::Error {
    io::Error::other("cancelled")
}
