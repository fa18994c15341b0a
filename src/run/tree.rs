//! Mounting the tree that becomes a root.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::error::{Failure, Step};
use super::mount::Layered;
use super::root::{Mounted, MountedTree};

/// Mounts the tree on its mount point, relative to the working directory.
pub(super) fn mount(mounted: &Mounted) -> Result<(), Failure> {
    match &mounted.tree {
        MountedTree::Overlay { lower, upper, work, index } => {
            let user = mounted.user_namespace;
            let overlay = Overlay { lower, upper, work, index: *index, user };
            overlay.mount(&mounted.mount_point)
        }
        MountedTree::Plain => bind(&mounted.mount_point),
    }
}

/// Mounts a tree of another stage, whose changes are lost.
pub(super) fn mount_layered(layered: &Layered, user: bool) -> Result<(), Failure> {
    let Layered { lower, upper, work, mount_point, .. } = layered;
    Overlay { lower, upper, work, index: false, user }.mount(mount_point)
}

/// Binds a directory on itself, with programs, setuid bits and devices as the image's even where the
/// file system around it is mounted without.
fn bind(tree: &Path) -> Result<(), Failure> {
    let failed = |action: &str| {
        let action = format!("{action} {}", tree.display());
        move |e: Errno| Failure::new(Step::Tree, action, e)
    };
    rustix::mount::mount_bind(tree, tree).map_err(failed("bind"))?;
    let now = rustix::fs::statvfs(tree).map_err(failed("look at"))?.f_flag;
    let unwanted = [
        (StatVfsMountFlags::NOEXEC, "noexec"),
        (StatVfsMountFlags::NOSUID, "nosuid"),
        (StatVfsMountFlags::NODEV, "nodev"),
    ];
    let unwanted: Vec<&str> =
        unwanted.iter().filter(|(flag, _)| now.contains(*flag)).map(|(_, name)| *name).collect();
    if unwanted.is_empty() {
        return Ok(());
    }
    // In a user namespace the kernel refuses it.
    let action = format!("use a work directory that is mounted {}, at", unwanted.join(","));
    match rustix::mount::mount_remount(tree, MountFlags::BIND, c"") {
        // Devices are ours to mount in a namespace; an image's own are hardly ever used.
        Err(_) if unwanted == ["nodev"] => Ok(()),
        done => done.map_err(failed(&action)),
    }
}

/// An overlay to be mounted.
struct Overlay<'a> {
    lower: &'a [PathBuf],
    upper: &'a Path,
    work: &'a Path,
    index: bool,
    user: bool,
}

/// How long a layer may be in use by the overlay of an earlier step whose last process is gone but
/// whose mount is not yet.
const STILL_IN_USE: Duration = Duration::from_secs(5);

impl Overlay<'_> {
    /// Mounts it on a directory, relative to the working directory as all of its paths.
    fn mount(&self, on: &Path) -> Result<(), Failure> {
        let refused = |e: io::Error| {
            let here = std::env::current_dir().unwrap_or_default();
            Failure::new(Step::Tree, format!("mount an overlay on {}", here.join(on).display()), e)
        };
        let started = Instant::now();
        let mut volatile = true;
        loop {
            let data = CString::new(self.options(volatile)).map_err(|e| refused(e.into()))?;
            match rustix::mount::mount("overlay", on, "overlay", MountFlags::empty(), data.as_c_str()) {
                Ok(()) => return Ok(()),
                // Before Linux 5.10 there is no `volatile`; it saves time and changes nothing else.
                Err(Errno::INVAL) if volatile => volatile = false,
                Err(Errno::BUSY) if started.elapsed() < STILL_IN_USE => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(refused(error.into())),
            }
        }
    }

    /// The mount options. Renamed directories and changed attributes must leave whole copies in the upper
    /// directory (`redirect_dir=off`, `metacopy=off`), for it is read without the kernel's help;
    /// `userxattr` implies both and conflicts with naming them.
    fn options(&self, volatile: bool) -> String {
        let lower: Vec<String> = self.lower.iter().map(|l| l.display().to_string()).collect();
        let mut text = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            self.upper.display(),
            self.work.display()
        );
        text.push_str(if self.user { ",userxattr" } else { ",redirect_dir=off,metacopy=off" });
        let _ = write!(text, ",index={}", if self.index { "on" } else { "off" });
        if volatile {
            text.push_str(",volatile");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_what_the_kernel_takes_together() {
        let lower: Vec<PathBuf> = vec!["s".into(), "1".into(), "b".into()];
        let (upper, work) = (Path::new("u"), Path::new("k"));
        let mut overlay = Overlay { lower: &lower, upper, work, index: true, user: false };
        let trusted = "lowerdir=s:1:b,upperdir=u,workdir=k,redirect_dir=off,metacopy=off,index=on,volatile";
        assert_eq!(overlay.options(true), trusted);
        overlay.user = true;
        overlay.index = false;
        assert_eq!(overlay.options(false), "lowerdir=s:1:b,upperdir=u,workdir=k,userxattr,index=off");
    }
}
