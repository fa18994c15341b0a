//! Where a process finds its root, and how somebody enters that root by hand.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::identity::{Identity, identity};
use super::mount::{Mount, MountSource};

/// Where a process finds its root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Root {
    /// A tree to be mounted in a namespace of the process's own.
    Mounted(Box<Mounted>),
    /// The root it has.
    Live,
}

/// A root still to be mounted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mounted {
    /// Directory that the other paths are relative to: mount options hold a page at most.
    pub directory: PathBuf,
    /// What is mounted.
    pub tree: MountedTree,
    /// The directory to mount on.
    pub mount_point: PathBuf,
    /// Mount in a new user namespace.
    pub user_namespace: bool,
    /// Run in a new PID namespace: a fresh `/proc` can be mounted here.
    pub pid_namespace: bool,
    /// Files of ours that a command sees, read-only: from, relative to `directory`, and where,
    /// relative to the root and with its parents' links followed. They are there to mount on.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// What a command finds besides, in order. The targets have no links.
    pub mounts: Vec<Mount>,
    /// A directory that something may be mounted on, relative to `directory`.
    pub scratch: PathBuf,
}

impl Mounted {
    /// A command for a shell that enters the root by hand.
    fn command(&self) -> String {
        let at = |path: &Path| quoted(&self.directory.join(path));
        let point = at(&self.mount_point);
        match &self.tree {
            MountedTree::Plain => format!("chroot {point} /bin/sh"),
            MountedTree::Overlay { lower, upper, work, index } => {
                let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
                let more = if self.user_namespace {
                    ",userxattr"
                } else if *index {
                    ",index=on"
                } else {
                    ""
                };
                let (upper, work) = (upper.display(), work.display());
                let options = format!("lowerdir={},upperdir={upper},workdir={work}{more}", lower.join(":"));
                format!(
                    "cd {} && mount -t overlay overlay -o {options} {point} && chroot {point} /bin/sh",
                    quoted(&self.directory)
                )
            }
        }
    }

    /// Makes it possible to mount the tree again after a process used it, with what was mounted in it: the
    /// kernel refuses an upper directory that was mounted with `volatile` (overlayfs.rst, "Volatile mount").
    ///
    /// # Errors
    /// What says so cannot be removed.
    pub fn renew(&self) -> std::io::Result<()> {
        let MountedTree::Overlay { work, .. } = &self.tree else { return Ok(()) };
        let mounted = self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Layered(layered) => Some(&layered.work),
            _ => None,
        });
        for work in mounted.chain([work]) {
            let mark = self.directory.join(work).join("work/incompat/volatile");
            match std::fs::remove_dir_all(mark) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// A command that enters the root from a shell outside of all namespaces.
    pub fn way_in(&self) -> String {
        let user = match identity() {
            // Whose files have their owners needs no namespace to be among them.
            Identity::Root if matches!(self.tree, MountedTree::Plain) => return self.command(),
            Identity::Namespace { ids: 2.., .. } => "--user --map-root-user --map-auto ",
            _ if self.user_namespace => "--user --map-root-user ",
            _ => "",
        };
        format!("unshare {user}--mount sh -c {}", quoted_text(&self.command()))
    }
}

fn quoted(path: &Path) -> String {
    quoted_text(&path.display().to_string())
}

/// A text as one word of a shell.
fn quoted_text(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The files of a root still to be mounted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MountedTree {
    /// An overlay, with `userxattr` in a user namespace.
    Overlay {
        /// Lower directories, topmost first.
        lower: Vec<PathBuf>,
        /// The upper directory.
        upper: PathBuf,
        /// The work directory.
        work: PathBuf,
        /// Whether `index=on` works here.
        index: bool,
    },
    /// The directory that is mounted on, itself.
    Plain,
}
