//! What is mounted in a root besides its files: `/proc`, `/sys`, `/dev` and files of ours.
//!
//! The image is hostile: its `/dev` may be a link to anywhere. Mount points are opened inside the
//! root and mounted on through their descriptors.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::error::{Failure, Step};
use super::inside::open_inside;
use super::mountinfo::mounts;
use super::root::Mounted;

/// Options of mounts that hold neither programs nor devices.
pub(super) const INERT: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Devices that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev` and where they lead.
const DEVICE_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// What the container runtimes make read-only, for it changes the machine.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// What the container runtimes cover, for it tells about the machine.
const MASKED: [&str; 11] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "sys/devices/virtual/powercap",
    "sys/firmware",
];

/// Mounts everything in a root, from the namespace that still has the old one.
pub(super) fn populate(root: &OwnedFd, mount: &Mounted) -> Result<(), Failure> {
    proc(root, mount.pid_namespace)?;
    sys(root)?;
    dev(root)?;
    for path in READ_ONLY {
        if let Some(target) = open_if_there(root, path)? {
            bind(&descriptor_path(&target), &target, path)?;
            read_only(root, path)?;
        }
    }
    for path in MASKED {
        if let Some(target) = open_if_there(root, path)? {
            mask(&target, path)?;
        }
    }
    for (source, target) in &mount.files {
        let source = mount.directory.join(source);
        let target = target.to_string_lossy();
        bind(&source, &open(root, &target)?, &target)?;
        read_only(root, &target)?;
    }
    Ok(())
}

fn proc(root: &OwnedFd, fresh: bool) -> Result<(), Failure> {
    let target = open(root, "proc")?;
    if fresh {
        return file_system("proc", &target, INERT, None, "/proc");
    }
    bind_recursive("/proc", &target)
}

fn sys(root: &OwnedFd) -> Result<(), Failure> {
    let target = open(root, "sys")?;
    let result = file_system("sysfs", &target, INERT | MountFlags::RDONLY, None, "/sys");
    match result {
        // A new one needs a network namespace of ours.
        Err(failure) if failure.errno == libc::EPERM => {
            bind_recursive("/sys", &target)?;
            read_only_recursive(root, "sys")
        }
        result => result,
    }
}

fn dev(root: &OwnedFd) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::STRICTATIME;
    file_system("tmpfs", &open(root, "dev")?, flags, Some(c"mode=0755,size=65536k"), "/dev")?;
    let dev = open(root, "dev")?;
    let failed = |name: &str| {
        let action = format!("make /dev/{name}");
        move |e: Errno| Failure::new(Step::Mounts, action, e)
    };
    for name in DEVICES {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY;
        let file = rustix::fs::openat(&dev, name, flags, Mode::from(0o666)).map_err(failed(name))?;
        // Bound, not made: a user namespace may not make devices.
        bind(Path::new(&format!("/dev/{name}")), &file, name)?;
    }
    for (name, target) in DEVICE_LINKS {
        rustix::fs::symlinkat(target, &dev, name).map_err(failed(name))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        rustix::fs::mkdirat(&dev, name, Mode::from(0o755)).map_err(failed(name))?;
    }
    let inert = MountFlags::NOSUID | MountFlags::NOEXEC;
    let pts = open(root, "dev/pts")?;
    let with_group = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    match file_system("devpts", &pts, inert, Some(with_group), "/dev/pts") {
        // The group of terminals has no id in this user namespace.
        Err(failure) if failure.errno == libc::EINVAL => {
            file_system("devpts", &pts, inert, Some(c"newinstance,ptmxmode=0666,mode=0620"), "/dev/pts")?;
        }
        result => result?,
    }
    file_system("tmpfs", &open(root, "dev/shm")?, INERT, Some(c"mode=1777,size=65536k"), "/dev/shm")?;
    file_system("mqueue", &open(root, "dev/mqueue")?, INERT, None, "/dev/mqueue")
}

/// Covers a directory with an empty one and a file with `/dev/null`.
fn mask(target: &OwnedFd, path: &str) -> Result<(), Failure> {
    let stat =
        rustix::fs::fstat(target).map_err(|e| Failure::new(Step::Mounts, format!("look at /{path}"), e))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return file_system("tmpfs", target, INERT | MountFlags::RDONLY, Some(c"size=0,mode=0555"), path);
    }
    bind(Path::new("/dev/null"), target, path)
}

/// Opens a mount point inside the root.
fn open(root: &OwnedFd, path: &str) -> Result<OwnedFd, Failure> {
    open_inside(root, path)
        .map_err(|e| Failure::new(Step::Mounts, format!("find the mount point /{path}"), e))
}

fn open_if_there(root: &OwnedFd, path: &str) -> Result<Option<OwnedFd>, Failure> {
    match open(root, path) {
        Err(failure) if failure.errno == libc::ENOENT => Ok(None),
        result => result.map(Some),
    }
}

pub(super) fn descriptor_path(fd: &OwnedFd) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

pub(super) fn file_system(
    kind: &str,
    target: &OwnedFd,
    flags: MountFlags,
    data: Option<&CStr>,
    path: &str,
) -> Result<(), Failure> {
    rustix::mount::mount(kind, descriptor_path(target), kind, flags, data)
        .map_err(|e| Failure::new(Step::Mounts, format!("mount {kind} on {path}"), e))
}

pub(super) fn bind(source: &Path, target: &OwnedFd, path: &str) -> Result<(), Failure> {
    rustix::mount::mount_bind(source, descriptor_path(target))
        .map_err(|e| Failure::new(Step::Mounts, format!("bind {} on {path}", source.display()), e))
}

fn bind_recursive(source: &str, target: &OwnedFd) -> Result<(), Failure> {
    rustix::mount::mount_bind_recursive(source, descriptor_path(target))
        .map_err(|e| Failure::new(Step::Mounts, format!("bind {source} with all below it"), e))
}

/// Makes the mount that is now at a path read-only. What else restricts it is repeated: in a user
/// namespace the kernel refuses to take it off.
pub(super) fn read_only(root: &OwnedFd, path: &str) -> Result<(), Failure> {
    let failed = |e: Errno| Failure::new(Step::Mounts, format!("make /{path} read-only"), e);
    let target = open(root, path)?;
    let now = rustix::fs::fstatvfs(&target).map_err(failed)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    let kept = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    for (has, flag) in kept {
        if now.contains(has) {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(descriptor_path(&target), flags, c"").map_err(failed)
}

/// `struct mount_attr`
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn read_only_recursive(root: &OwnedFd, path: &str) -> Result<(), Failure> {
    let target = open(root, path)?;
    let attributes =
        MountAttributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the empty path is NUL-terminated, and the attributes are complete and of the size given;
    // both are only read.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if done == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // A kernel before 5.12, or a seccomp profile that does not know the call.
        error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            read_only_one_by_one(root, &target, path)
        }
        error => Err(Failure::new(Step::Mounts, format!("make /{path} read-only"), error)),
    }
}

/// The same, with the mounts that are there.
fn read_only_one_by_one(root: &OwnedFd, target: &OwnedFd, path: &str) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::new(Step::Mounts, format!("find the mounts below /{path}"), e);
    let place = std::fs::read_link(descriptor_path(target)).map_err(failed)?;
    for mount in mounts().map_err(failed)? {
        let at = Path::new("/").join(std::ffi::OsStr::from_bytes(&mount.path));
        if let Ok(below) = at.strip_prefix(&place) {
            read_only(root, &Path::new(path).join(below).to_string_lossy())?;
        }
    }
    Ok(())
}
