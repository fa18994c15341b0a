//! What a command makes on disk, removed again where it does not become whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Carrier;
use crate::event::Events;
use crate::rootfs::remove_tree;
use crate::run::Cancel;

/// Files and directories that were not there before. Dropped, it removes them, unless they are kept.
pub(crate) struct Made {
    events: Events,
    cancel: Cancel,
    /// Whether a failure leaves what another attempt goes on with.
    resumes: bool,
    files: Vec<PathBuf>,
    trees: Vec<PathBuf>,
    /// Those around them, from the top; only empty ones are removed, for others may use them too.
    around: Vec<PathBuf>,
}

impl Made {
    /// Nothing yet of what is of no use before it is whole.
    pub(crate) fn whole(carrier: &Carrier) -> Self {
        let (events, cancel) = (carrier.events().clone(), carrier.cancel().clone());
        Made { events, cancel, resumes: false, files: Vec::new(), trees: Vec::new(), around: Vec::new() }
    }

    /// Nothing yet of what stays after a failure, since another attempt finds its parts there; a signal
    /// removes it.
    pub(crate) fn in_parts(carrier: &Carrier) -> Self {
        let mut made = Made::whole(carrier);
        made.resumes = true;
        made
    }

    /// Makes a directory and those above it that are missing.
    pub(crate) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !is_there(p));
        let mut missing: Vec<_> = missing.map(Path::to_owned).collect();
        missing.reverse();
        fs::create_dir_all(path)?;
        self.around.extend(missing);
        Ok(())
    }

    /// A file about to be written is one that was made, unless it is there.
    pub(crate) fn file(&mut self, path: PathBuf) {
        if !is_there(&path) {
            self.files.push(path);
        }
    }

    /// Whatever comes below a path that was missing.
    pub(crate) fn tree(&mut self, path: PathBuf) {
        self.trees.push(path);
    }

    /// The command has succeeded: all stays.
    pub(crate) fn keep(mut self) {
        (self.files, self.trees, self.around) = Default::default();
    }

    fn told(&self, path: &Path, removed: io::Result<()>) {
        use io::ErrorKind::{DirectoryNotEmpty, NotFound};
        if let Err(error) = removed
            && !matches!(error.kind(), NotFound | DirectoryNotEmpty)
        {
            self.events.warn(format!("{} is not whole, and cannot be removed: {error}", path.display()));
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.resumes && self.cancel.signal().is_none() {
            return;
        }
        for path in &self.files {
            self.told(path, fs::remove_file(path));
        }
        for path in &self.trees {
            self.told(path, remove_tree(path));
        }
        for path in self.around.iter().rev() {
            self.told(path, fs::remove_dir(path));
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
