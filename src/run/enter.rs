//! Entering a root: namespaces, its tree, and making it the root.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::HOSTNAME;
use super::error::{Failure, Step};
use super::populate::populate;
use super::root::Mounted;
use super::{attach, loopback, tree};

/// Leaves the namespaces that the root has to be apart from. The user namespace comes first: it
/// owns the others.
pub(super) fn unshare_user() -> Result<(), Failure> {
    unshare(UnshareFlags::NEWUSER)
}

/// The other namespaces; without the caller's `network` one of its own, with a loopback device. A
/// new PID namespace begins with the next child.
pub(super) fn unshare_rest(mount: &Mounted, network: bool) -> Result<(), Failure> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if mount.pid_namespace {
        flags |= UnshareFlags::NEWPID;
    }
    if network {
        return unshare(flags);
    }
    unshare(flags | UnshareFlags::NEWNET)?;
    loopback::start().map_err(|e| Failure::new(Step::Namespaces, "start the loopback device", e))
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
        (UnshareFlags::NEWNET, "network"),
    ];
    all.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// Mounts the tree and what belongs into it, makes it the root and lets go of the old one.
pub(super) fn enter(mount: &Mounted, hostname: &str) -> Result<(), Failure> {
    let failed = |action: String| move |e: Errno| Failure::new(Step::Tree, action, e);
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(failed("make mounts private".to_owned()))?;
    rustix::process::chdir(&mount.directory)
        .map_err(failed(format!("enter {}", mount.directory.display())))?;
    tree::mount(mount)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, &mount.mount_point, flags, Mode::empty())
        .map_err(failed("open the mounted tree".to_owned()))?;
    populate(&root, mount)?;
    attach::all(&root, mount)?;
    let pivot = |action: &str| {
        let action = action.to_owned();
        move |e: Errno| Failure::new(Step::Pivot, action, e)
    };
    rustix::process::fchdir(&root).map_err(pivot("enter the tree"))?;
    // The old root is stacked on the new one and detached from there: no directory for it is needed.
    rustix::process::pivot_root(".", ".").map_err(pivot("make the tree the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(pivot("detach the old root"))?;
    rustix::process::chdir("/").map_err(pivot("enter the new root"))?;
    match rustix::system::sethostname(hostname.as_bytes()) {
        // A profile that forbids it (podman's) leaves the container's own name, as in place.
        Err(Errno::PERM | Errno::NOSYS) if hostname == HOSTNAME => Ok(()),
        done => done.map_err(pivot("set the host name")),
    }
}
