//! What we and a supervisor tell each other: one JSON value a line, over a socket that is the
//! supervisor's standard input.
//!
//! We send a [`Spec`]; with a user namespace the supervisor answers [`Report::Unshared`] and waits
//! for [`Order::Mapped`]. Then it reports one of the other [`Report`]s and ends. [`Order::Signal`]
//! may come at any time after; the end of the stream means that we are gone.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::fd::{AsFd, BorrowedFd};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Failure, NotExecuted};
use super::root::Root;
use super::run::Ended;
use super::script::Script;

/// What a supervisor has to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The root to enter.
    pub(super) root: Root,
    /// Whether the caller's network is to be had there.
    pub(super) network: bool,
    /// The host name there.
    pub(super) hostname: String,
    /// What to do there.
    pub(super) task: Task,
}

/// What to do in a root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Task {
    /// Run a command.
    Run(Command),
    /// Find out whether files can be changed as a command would: see [`super::probe`].
    Try,
}

/// A command as the kernel needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Command {
    /// Program and arguments; the program is looked up in the environment's `PATH`.
    pub(super) argv: Vec<String>,
    /// `NAME=value`
    pub(super) env: Vec<String>,
    /// Absolute path in the root.
    pub(super) cwd: String,
    /// Numeric user.
    pub(super) uid: u32,
    /// Numeric group.
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    /// A file that is to be there while it runs.
    pub(super) script: Option<Script>,
    /// Whether our filter of system calls is put on it.
    pub(super) filtered: bool,
    /// Whether it keeps every capability that we have.
    pub(super) privileged: bool,
    /// Whether its output is a terminal that is to be its own.
    pub(super) terminal: bool,
}

/// From us to the supervisor, after the [`Spec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The id maps of its user namespace are written.
    Mapped,
    /// Send this signal to the command's process group.
    Signal(i32),
}

/// From the supervisor to us.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Report {
    /// It is in a new user namespace, without maps.
    Unshared,
    /// The command ended.
    Ended(Ended),
    /// The trial of [`Task::Try`] went well.
    Tried {
        /// Names of one file stayed together when it was written to.
        links_kept: bool,
    },
    /// The command was not started.
    Failed(Failure),
    /// The program could not be executed.
    NotExecuted(NotExecuted),
}

/// One end of the socket.
pub(super) struct Channel {
    socket: UnixStream,
    read: Vec<u8>,
}

/// A spec holds an environment and arguments, which the kernel limits to a few MiB.
const LONGEST_MESSAGE: usize = 64 << 20;

impl Channel {
    pub(super) fn new(socket: UnixStream) -> Self {
        Channel { socket, read: Vec::new() }
    }

    /// Sends one message.
    pub(super) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.socket.write_all(&line)
    }

    /// Waits for one message; none at the end of the stream.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(Some(message));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// A message that was read already.
    pub(super) fn buffered<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.read.iter().position(|b| *b == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.read.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// Reads what is there, at least one byte; 0 at the end of the stream.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        let mut block = [0; 16 << 10];
        loop {
            match self.socket.read(&mut block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The other side is gone with messages of ours unread: the same as its end.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                Err(error) => return Err(error),
                Ok(count) => {
                    self.read.extend_from_slice(&block[..count]);
                    if self.read.len() > LONGEST_MESSAGE {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
                    }
                    return Ok(count);
                }
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root::{Mounted, MountedTree};

    #[test]
    fn a_spec_arrives_as_it_was_sent() -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        let (mut ours, mut theirs) = (Channel::new(ours), Channel::new(theirs));
        let command = Command {
            argv: vec!["/bin/sh".into(), "-c".into(), "echo \"a\nb\" \u{1f980}".into()],
            env: vec!["A=b\u{0}c".into(), "EMPTY=".into()],
            cwd: "/".into(),
            uid: u32::MAX - 1,
            gid: 0,
            groups: vec![1, 2],
            script: Some(Script { name: "E".into(), content: "#!/bin/sh\n".into() }),
            filtered: true,
            privileged: false,
            terminal: false,
        };
        let lower = vec!["b".into(), "a".into()];
        let mount = Mounted {
            directory: "/w".into(),
            tree: MountedTree::Overlay { lower, upper: "u".into(), work: "k".into(), index: false },
            mount_point: "m".into(),
            user_namespace: true,
            pid_namespace: true,
            files: vec![("hosts".into(), "etc/hosts".into())],
            mounts: Vec::new(),
            scratch: std::path::PathBuf::new(),
        };
        let spec = Spec {
            root: Root::Mounted(Box::new(mount)),
            network: true,
            hostname: "h".into(),
            task: Task::Run(command.clone()),
        };
        ours.send(&spec)?;
        ours.send(&Order::Signal(15))?;
        drop(ours);
        let got: Spec = theirs.receive()?.expect("a spec");
        let Task::Run(received) = got.task else { panic!("no command") };
        assert_eq!(received, command);
        let Root::Mounted(mount) = got.root else { panic!("no namespace") };
        assert!(mount.user_namespace && mount.pid_namespace);
        let MountedTree::Overlay { lower, index, .. } = mount.tree else { panic!("no overlay") };
        assert_eq!(lower, [std::path::PathBuf::from("b"), "a".into()]);
        assert!(!index);
        assert_eq!(theirs.receive::<Order>()?, Some(Order::Signal(15)));
        assert_eq!(theirs.receive::<Order>()?, None);
        Ok(())
    }
}
