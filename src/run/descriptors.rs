//! Open file descriptors that must not reach another program.

use std::io;

use rustix::fs::{Mode, OFlags, RawDir};

/// Marks every descriptor from `first` on as closed by the next exec.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: close_range takes three integers and touches no memory; with CLOSE_RANGE_CLOEXEC no
    // descriptor is closed, so owned ones stay valid.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    match io::Error::last_os_error().raw_os_error() {
        // Before Linux 5.11, or a seccomp profile that does not know the call.
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM) => mark_listed(first),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mark_listed(first: u32) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open("/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let number = entry?.file_name().to_str().ok().and_then(|n| n.parse::<u32>().ok());
        let Some(fd) = number.filter(|n| *n >= first).and_then(|n| i32::try_from(n).ok()) else {
            continue;
        };
        // SAFETY: setting a flag on a number that may be no descriptor fails with EBADF at worst.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}
