//! Trying out whether a root can be changed the way commands change one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use super::error::{Failure, Step};

/// A file that the trial deletes: it must become a whiteout.
pub const DELETED: &str = "deleted";
/// A directory that the trial makes anew: it must become opaque.
pub const REPLACED: &str = "replaced";
/// Two names of one file; the trial writes to the first and looks whether the second shows it.
pub const LINKED: [&str; 2] = ["linked-1", "linked-2"];

/// Changes the files named above in the root of this process. Says whether the two names stayed one
/// file.
pub(super) fn write() -> Result<bool, Failure> {
    let failed = |action: &'static str| move |e: io::Error| Failure::new(Step::Trial, action, e);
    fs::remove_file(DELETED).map_err(failed("delete a file in the tree"))?;
    fs::remove_dir_all(REPLACED).map_err(failed("delete a directory in the tree"))?;
    fs::create_dir(REPLACED).map_err(failed("replace a directory in the tree"))?;
    let write = || OpenOptions::new().append(true).open(LINKED[0])?.write_all(b"+");
    write().map_err(failed("write to a file in the tree"))?;
    let [one, other] = LINKED.map(fs::read);
    let read = failed("read a file in the tree");
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(one == other),
        (Err(error), _) | (_, Err(error)) => Err(read(error)),
    }
}
