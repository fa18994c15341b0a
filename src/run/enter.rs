//! Entering a root: namespaces, the overlay, and making it the root.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::HOSTNAME;
use super::error::{Failure, Step};
use super::mounts;
use crate::rootfs::OverlayMount;

/// Leaves the namespaces that the overlay has to be apart from. The user namespace comes first: it
/// owns the others.
pub(super) fn unshare_user() -> Result<(), Failure> {
    unshare(UnshareFlags::NEWUSER)
}

/// The other namespaces; the network stays the caller's. A new PID namespace begins with the next
/// child.
pub(super) fn unshare_rest(mount: &OverlayMount) -> Result<(), Failure> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if mount.pid_namespace {
        flags |= UnshareFlags::NEWPID;
    }
    unshare(flags)
}

fn unshare(flags: UnshareFlags) -> Result<(), Failure> {
    // SAFETY: the flags make namespaces only; descriptors and file system attributes, which
    // other code may count on, stay shared.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|e| Failure::new(Step::Namespaces, format!("make namespaces ({})", names(flags)), e))
}

fn names(flags: UnshareFlags) -> String {
    let all = [
        (UnshareFlags::NEWUSER, "user"),
        (UnshareFlags::NEWNS, "mount"),
        (UnshareFlags::NEWPID, "PID"),
        (UnshareFlags::NEWIPC, "IPC"),
        (UnshareFlags::NEWUTS, "UTS"),
    ];
    all.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// Mounts the overlay and what belongs into it, makes it the root and lets go of the old one.
pub(super) fn enter(mount: &OverlayMount) -> Result<(), Failure> {
    let overlay = |action: String| move |e: Errno| Failure::new(Step::Overlay, action, e);
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(overlay("make mounts private".to_owned()))?;
    rustix::process::chdir(&mount.directory)
        .map_err(overlay(format!("enter {}", mount.directory.display())))?;
    mount_overlay(mount)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, &mount.mount_point, flags, Mode::empty())
        .map_err(overlay("open the mounted overlay".to_owned()))?;
    mounts::populate(&root, mount)?;
    let pivot = |action: &str| {
        let action = action.to_owned();
        move |e: Errno| Failure::new(Step::Pivot, action, e)
    };
    rustix::process::fchdir(&root).map_err(pivot("enter the overlay"))?;
    // The old root is stacked on the new one and detached from there: no directory for it is needed.
    rustix::process::pivot_root(".", ".").map_err(pivot("make the overlay the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(pivot("detach the old root"))?;
    rustix::process::chdir("/").map_err(pivot("enter the new root"))?;
    rustix::system::sethostname(HOSTNAME.as_bytes()).map_err(pivot("set the host name"))
}

/// How long a layer may be in use by the overlay of an earlier step whose last process is gone but
/// whose mount is not yet.
const STILL_IN_USE: Duration = Duration::from_secs(5);

fn mount_overlay(mount: &OverlayMount) -> Result<(), Failure> {
    let refused = |e: io::Error| {
        Failure::new(Step::Overlay, format!("mount an overlay on {}", mount.directory.display()), e)
    };
    let started = Instant::now();
    let mut volatile = true;
    loop {
        let data = CString::new(options(mount, volatile)).map_err(|e| refused(e.into()))?;
        match rustix::mount::mount(
            "overlay",
            &mount.mount_point,
            "overlay",
            MountFlags::empty(),
            data.as_c_str(),
        ) {
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
fn options(mount: &OverlayMount, volatile: bool) -> String {
    let lower: Vec<String> = mount.lower.iter().map(|l| l.display().to_string()).collect();
    let mut text = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        mount.upper.display(),
        mount.work.display()
    );
    text.push_str(if mount.user_namespace { ",userxattr" } else { ",redirect_dir=off,metacopy=off" });
    let _ = write!(text, ",index={}", if mount.index { "on" } else { "off" });
    if volatile {
        text.push_str(",volatile");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_what_the_kernel_takes_together() {
        let mut mount = OverlayMount {
            directory: "/w".into(),
            lower: vec!["s".into(), "1".into(), "b".into()],
            upper: "u".into(),
            work: "k".into(),
            mount_point: "m".into(),
            user_namespace: false,
            index: true,
            pid_namespace: true,
            files: Vec::new(),
        };
        let trusted = "lowerdir=s:1:b,upperdir=u,workdir=k,redirect_dir=off,metacopy=off,index=on,volatile";
        assert_eq!(options(&mount, true), trusted);
        mount.user_namespace = true;
        mount.index = false;
        assert_eq!(options(&mount, false), "lowerdir=s:1:b,upperdir=u,workdir=k,userxattr,index=off");
    }
}
