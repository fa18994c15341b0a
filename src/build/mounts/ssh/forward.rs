//! Sockets by which steps reach an SSH agent.
//!
//! A step may ask the agent which keys it has and have it sign; whatever else the protocol knows
//! (adding and removing keys, locking) is refused here, as BuildKit refuses it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};

use crate::plan::FileOwner;

use super::super::super::Error;
use super::super::ids;
use super::answer::answer;
use super::{Agent, connect};

/// Most bytes of a message, OpenSSH's `AGENT_MAX_LEN`.
const LONGEST: u32 = 256 * 1024;

/// Message numbers of draft-ietf-sshm-ssh-agent, section 6.1.
pub(super) const FAILURE: u8 = 5;
pub(super) const REQUEST_IDENTITIES: u8 = 11;
pub(super) const SIGN_REQUEST: u8 = 13;

/// A socket for one step, and the thread behind it.
pub(in super::super) struct Forwarder {
    path: PathBuf,
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

/// Name of the socket in its directory.
const NAME: &str = "s";

impl Forwarder {
    /// Listens in an empty directory of ours.
    pub(in super::super) fn start(
        agent: &Arc<Agent>,
        directory: &Path,
        owner: FileOwner,
    ) -> Result<Forwarder, Error> {
        let path = directory.join(NAME);
        let failed = |e: io::Error| Error::other(format!("cannot make the socket {}: {e}", path.display()));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        // The path itself may be longer than an address holds.
        let address = format!("/proc/self/fd/{}/{NAME}", opened.as_raw_fd());
        let listener = UnixListener::bind(address).map_err(failed)?;
        let accepting = listener.try_clone().map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(owner.mode)).map_err(failed)?;
        let (uid, gid) = ids(owner.uid, owner.gid);
        chown(&path, Some(uid), Some(gid)).map_err(failed)?;
        let agent = Arc::clone(agent);
        let thread = std::thread::spawn(move || {
            // An error is the end: the listener was shut down.
            while let Ok((client, _)) = accepting.accept() {
                let agent = Arc::clone(&agent);
                // Ends when the step's process does: whichever side goes away first.
                std::thread::spawn(move || forward(client, &agent));
            }
        });
        Ok(Forwarder { path, listener, thread: Some(thread) })
    }

    /// The socket.
    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let ended = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let (Ok(()), Some(thread)) = (ended, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Answers a step's requests, one at a time as the protocol has it.
fn forward(mut client: UnixStream, agent: &Agent) -> io::Result<()> {
    let mut theirs = match agent {
        Agent::Socket(socket) => Some(connect(socket)?),
        Agent::Keys(_) => None,
    };
    while let Some(request) = message(&mut client)? {
        let allowed = matches!(request.first(), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)));
        let answer = match (agent, &mut theirs) {
            _ if !allowed => vec![FAILURE],
            (Agent::Keys(keys), _) => answer(keys, &request),
            (Agent::Socket(_), Some(theirs)) => {
                send(theirs, &request)?;
                message(theirs)?.ok_or(io::ErrorKind::UnexpectedEof)?
            }
            (Agent::Socket(_), None) => return Err(io::ErrorKind::NotConnected.into()),
        };
        send(&mut client, &answer)?;
    }
    Ok(())
}

/// Writes one message with its length before it.
fn send(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(&[&(message.len() as u32).to_be_bytes(), message].concat())
}

/// One message, without the length before it; nothing at the end.
fn message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let size = u32::from_be_bytes(length);
    if size > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut whole = vec![0; size as usize];
    stream.read_exact(&mut whole)?;
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StepAgent;

    /// An agent that answers each request with its number plus 100.
    fn agent(directory: &Path) -> Arc<Agent> {
        let path = directory.join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                while let Ok(Some(request)) = message(&mut client) {
                    client.write_all(&[0, 0, 0, 1, request[0] + 100]).unwrap();
                }
            }
        });
        let given = StepAgent { id: "default".to_owned(), paths: vec![path] };
        Arc::new(Agent::open(&given).unwrap())
    }

    /// A forwarder of that agent and a client of it.
    fn forwarded(far: &Path, near: &Path) -> (Forwarder, UnixStream) {
        let uid = rustix::process::geteuid().as_raw();
        let owner = FileOwner { mode: 0o600, uid, gid: rustix::process::getegid().as_raw() };
        let forwarder = Forwarder::start(&agent(far), near, owner).unwrap();
        let client = UnixStream::connect(forwarder.path()).unwrap();
        (forwarder, client)
    }

    #[test]
    fn only_listing_and_signing_reach_the_agent() {
        let (far, near) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (forwarder, mut client) = forwarded(far.path(), near.path());
        let mut ask = |kind: u8| {
            client.write_all(&[0, 0, 0, 2, kind, 0]).unwrap();
            message(&mut client).unwrap().unwrap()[0]
        };
        assert_eq!((ask(REQUEST_IDENTITIES), ask(SIGN_REQUEST)), (111, 113));
        // Adding, removing one and all, locking, an extension.
        for kind in [17, 18, 19, 22, 25, 27, 0, 255] {
            assert_eq!(ask(kind), FAILURE, "{kind}");
        }
        drop(forwarder);
    }

    #[test]
    fn what_is_no_message_ends_the_connection() {
        let (far, near) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_forwarder, mut client) = forwarded(far.path(), near.path());
        client.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(message(&mut client).unwrap().is_none());
    }
}
