//! Starting programs, of which some inherit what no other may.
//!
//! A descriptor is inherited by whatever is started while it is not marked as closed by the next exec. So the
//! mark is taken away for one start only, while nothing else is started.

use std::fs::File;
use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};

use rustix::io::{FdFlags, fcntl_setfd};

/// Held for writing while descriptors are open to be inherited. A start ends with the program's exec.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a program; it inherits nothing but its standard streams.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _others = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Starts a program that inherits these files, by their numbers.
pub(crate) fn spawn_with(command: &mut Command, files: &[&File]) -> io::Result<Child> {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let mark = |flags| files.iter().try_for_each(|file| fcntl_setfd(file, flags));
    let child = mark(FdFlags::empty()).map_err(io::Error::from).and_then(|()| command.spawn());
    mark(FdFlags::CLOEXEC)?;
    child
}
