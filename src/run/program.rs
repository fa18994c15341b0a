//! Programs beside the build, such as git and credential helpers: what they say, and their end.

use std::io::{self, Read};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often somebody who waits looks whether the program is still wanted; its end is noticed at once.
const LOOK: Duration = Duration::from_millis(50);

/// Why waiting for a program is over.
#[derive(Debug)]
pub(crate) enum Waited {
    /// It has ended.
    Ended(ExitStatus),
    /// It runs, and the time is over.
    Late,
    /// It runs, and nobody wants it any more.
    Stopped,
}

/// Waits for the end of a program. Whoever asked ends one that still runs.
///
/// # Errors
/// The kernel knows no such program.
pub(crate) fn wait(child: &mut Child, deadline: Instant, stop: &dyn Fn() -> bool) -> io::Result<Waited> {
    let pid = Pid::from_child(child);
    let (send, ended) = channel();
    thread::spawn(move || {
        // The status stays for the owner to take, so that the number means no other program meanwhile.
        let wanted = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let seen = loop {
            match waitid(WaitId::Pid(pid), wanted) {
                Err(Errno::INTR) => {}
                seen => break seen.map(drop),
            }
        };
        let _ = send.send(seen);
    });
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ended.recv_timeout(left.min(LOOK)) {
            Ok(seen) => {
                seen?;
                return child.wait().map(Waited::Ended);
            }
            Err(_) if stop() => return Ok(Waited::Stopped),
            Err(_) if left.is_zero() => return Ok(Waited::Late),
            Err(_) => {}
        }
    }
}

/// Reads a pipe to its end in a thread of its own and hands over its first bytes, `limit` at most. The program
/// can always write; after an error it is what was read so far.
pub(crate) fn collect(pipe: Option<impl Read + Send + 'static>, limit: u64) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        let _ = send.send(bytes);
    });
    receive
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::run::spawn;

    fn start(script: &str) -> Child {
        spawn(Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped())).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn the_end_is_the_programs() {
        let ended = wait(&mut start("exit 7"), soon(), &|| false).unwrap();
        assert!(matches!(ended, Waited::Ended(status) if status.code() == Some(7)), "{ended:?}");
        let ended = wait(&mut start("kill -9 $$"), soon(), &|| false).unwrap();
        assert!(matches!(ended, Waited::Ended(status) if status.code().is_none()), "{ended:?}");
    }

    #[test]
    fn what_runs_on_is_left_to_the_owner() {
        let mut child = start("exec sleep 600");
        assert!(matches!(wait(&mut child, Instant::now(), &|| false).unwrap(), Waited::Late));
        assert!(matches!(wait(&mut child, soon(), &|| true).unwrap(), Waited::Stopped));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        assert!(matches!(wait(&mut child, soon(), &|| false).unwrap(), Waited::Ended(_)));
    }

    #[test]
    fn what_is_too_much_is_read_and_left_out() {
        let mut child = start("head -c 300000 /dev/zero; exit 3");
        let said = collect(child.stdout.take(), 1000);
        assert!(
            matches!(wait(&mut child, soon(), &|| false).unwrap(), Waited::Ended(s) if s.code() == Some(3))
        );
        assert_eq!(said.recv().unwrap(), [0; 1000]);
    }
}
