//! Our terminal, lent to a command: a pseudo terminal for it, and bytes passed between the two.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// How often the size of our terminal is looked at, and whether the command has ended.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Our side of a command's terminal.
pub(super) struct Terminal {
    master: OwnedFd,
}

impl Terminal {
    /// Makes one of the size that ours has; the other side is for the command.
    pub(super) fn open() -> io::Result<(Terminal, OwnedFd)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let end = rustix::fs::open(name, flags, Mode::empty())?;
        let terminal = Terminal { master };
        terminal.fit();
        Ok((terminal, end))
    }

    /// Gives the command's terminal the size of ours.
    fn fit(&self) {
        let Ok(ours) = tcgetwinsize(io::stdin()) else { return };
        let same = tcgetwinsize(&self.master)
            .is_ok_and(|size| (size.ws_row, size.ws_col) == (ours.ws_row, ours.ws_col));
        if !same {
            // Only how lines are wrapped depends on it.
            let _ = tcsetwinsize(&self.master, ours);
        }
    }

    /// Does `work`, and passes bytes on meanwhile.
    pub(super) fn relay<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let _raw = Raw::enter()?;
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| self.input(&ended));
            scope.spawn(|| self.output(&ended));
            let done = work();
            ended.store(true, Ordering::SeqCst);
            Ok(done)
        })
    }

    /// From our terminal to the command's.
    fn input(&self, ended: &AtomicBool) {
        let mut buffer = [0; 4096];
        while !ended.load(Ordering::SeqCst) {
            self.fit();
            if !is_ready(&io::stdin().as_fd()) {
                continue;
            }
            // Not through the standard library's buffer: what is left there would be lost.
            let Ok(count @ 1..) = rustix::io::read(io::stdin(), &mut buffer) else { return };
            if !matches!(self.file().map(|mut f| f.write_all(&buffer[..count])), Ok(Ok(()))) {
                return;
            }
        }
    }

    /// From the command's terminal to ours, to its end.
    fn output(&self, ended: &AtomicBool) {
        let Ok(mut master) = self.file() else { return };
        let mut buffer = [0; 4096];
        loop {
            let last = ended.load(Ordering::SeqCst);
            if !is_ready(&self.master.as_fd()) {
                if last {
                    return;
                }
                continue;
            }
            // EIO is how a terminal says that its other side was closed.
            let Ok(count @ 1..) = master.read(&mut buffer) else { return };
            let mut out = io::stderr();
            if out.write_all(&buffer[..count]).and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    }

    fn file(&self) -> io::Result<File> {
        Ok(File::from(self.master.try_clone()?))
    }
}

/// Whether there is something to read before it is time to look again.
fn is_ready(fd: &impl AsFd) -> bool {
    let mut wanted = [PollFd::new(fd, PollFlags::IN)];
    matches!(poll(&mut wanted, Some(&LOOK)), Ok(1..))
}

/// Our terminal hands on every key as it is; as before when this goes.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Raw> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
