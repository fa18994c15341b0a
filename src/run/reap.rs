//! Waiting for a command, passing signals on, and ending what it left behind.

use std::fs;
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};

use super::control::{Channel, Order};
use super::run::Ended;

/// Signals that a supervisor waits for instead of being interrupted by them.
const AWAITED: [libc::c_int; 5] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Signals that can be read from a descriptor.
pub(super) struct Signals(fs::File);

/// Blocks the signals of [`AWAITED`] and makes them readable.
pub(super) fn block_signals() -> io::Result<Signals> {
    // SAFETY: sigemptyset fills the set before anything reads it; the descriptor that signalfd
    // returns is new and owned by nobody else.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in AWAITED {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(Signals(fs::File::from_raw_fd(fd))),
        }
    }
}

impl Signals {
    /// The signals that came since the last time.
    fn read(&self) -> Vec<libc::c_int> {
        let mut all = Vec::new();
        let mut block = [0; size_of::<libc::signalfd_siginfo>()];
        while matches!((&self.0).read(&mut block), Ok(count) if count == block.len()) {
            // The signal's number is the first field, signalfd(2).
            let [a, b, c, d, ..] = block;
            all.push(u32::from_ne_bytes([a, b, c, d]) as libc::c_int);
        }
        all
    }
}

/// Waits until the command itself has ended, passing on signals from the other side of the channel
/// and our own. If the other side goes away the command is killed.
pub(super) fn until_ended(channel: &mut Channel, signals: &Signals, command: i32) -> io::Result<Ended> {
    let group = Pid::from_raw(command).ok_or(io::ErrorKind::InvalidInput)?;
    let mut listening = true;
    loop {
        if let Some(ended) = reap_until(group)? {
            return Ok(ended);
        }
        let mut ready = vec![PollFd::new(&signals.0, PollFlags::IN)];
        if listening {
            ready.push(PollFd::new(channel, PollFlags::IN));
        }
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let heard = ready.get(1).is_some_and(|r| !r.revents().is_empty());
        for signal in signals.read().into_iter().filter(|s| *s != libc::SIGCHLD) {
            send(group, signal);
        }
        if heard {
            listening = channel.fill()? > 0;
            while let Some(order) = channel.buffered::<Order>()? {
                if let Order::Signal(signal) = order {
                    send(group, signal);
                }
            }
            if !listening {
                send(group, libc::SIGKILL);
            }
        }
    }
}

fn send(group: Pid, signal: libc::c_int) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        // ESRCH: it has just ended, which is what the caller looks at next.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Reaps what has ended; says how the command did, if it is among them.
fn reap_until(command: Pid) -> io::Result<Option<Ended>> {
    let mut found = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == command => found = Some(ended(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(found),
            Err(error) => return Err(error.into()),
        }
    }
}

fn ended(status: WaitStatus) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(signal)) => Ended::Signaled(signal),
        (code, None) => Ended::Exited(code.unwrap_or_default()),
    }
}

/// Kills and reaps every process that is left, until there is none. `alone` says that this is the
/// first process of a PID namespace, where all others may be killed at once.
pub(super) fn end_everything(alone: bool) -> io::Result<()> {
    loop {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        if alone {
            // SAFETY: signals processes, touches no memory. ESRCH, nobody left, is found above.
            unsafe { libc::kill(-1, libc::SIGKILL) };
        } else {
            for pid in descendants(rustix::process::getpid().as_raw_nonzero().get())? {
                // SAFETY: as above. Only we reap descendants that have no parent any more, and those
                // that have are reaped by a process just killed, so that a number hardly means
                // another process by now.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The processes below this one, nearest first, from the parent that `/proc/<pid>/stat` names.
fn descendants(root: i32) -> io::Result<Vec<i32>> {
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // Gone in between.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if let Some(parent) = parent_in(&stat) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.remove(0);
    Ok(found)
}

/// The parent in a line of `/proc/<pid>/stat`: the second field after the name, which is in
/// parentheses and may hold any byte, proc(5).
fn parent_in(stat: &[u8]) -> Option<i32> {
    let name_end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lie_about_the_parent() {
        let cases: &[(&[u8], Option<i32>)] = &[
            (b"12 (sh) S 7 12 12 0 -1", Some(7)),
            (b"12 (a) S 1 (b) R 9 1 1", Some(9)),
            (b"12 (\xff) Z 3 0", Some(3)),
            (b"12 sh S 7", None),
            (b"", None),
        ];
        for (stat, expected) in cases {
            assert_eq!(parent_in(stat), *expected, "{}", String::from_utf8_lossy(stat));
        }
    }
}
