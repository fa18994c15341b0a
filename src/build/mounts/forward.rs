//! Sockets by which steps reach the caller's SSH agent.
//!
//! A step may ask the agent which keys it has and have it sign; whatever else the protocol knows
//! (adding and removing keys, locking) is refused here, as BuildKit refuses it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::config::StepAgent;
use crate::plan::{Action, FileOwner, Plan, RunMountKind};

use super::super::Error;

/// Most bytes of a message, OpenSSH's `AGENT_MAX_LEN`.
const LONGEST: u32 = 256 * 1024;

/// Message numbers of draft-ietf-sshm-ssh-agent, section 6.1.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;

/// The caller's agents by name: those that steps ask for.
#[derive(Default)]
pub(in crate::build) struct Agents(Vec<(String, Arc<Socket>)>);

/// The socket of an agent.
pub(in crate::build) struct Socket {
    /// Opened before the first step: in place its path may soon lead elsewhere.
    socket: OwnedFd,
}

impl Agents {
    /// Opens the agents that a plan's steps ask for.
    ///
    /// # Errors
    /// At the step: a required agent was not given, or what was given is no socket.
    pub(in crate::build) fn open(given: &[StepAgent], plan: &Plan) -> Result<Agents, Error> {
        let mut agents = Agents::default();
        for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
            let Action::Run(run) = &step.action else { continue };
            for mount in &run.mounts {
                let RunMountKind::Ssh { id, required, .. } = &mount.kind else { continue };
                if agents.get(id).is_some() {
                    continue;
                }
                match given.iter().rev().find(|agent| agent.id == *id) {
                    Some(agent) => {
                        let socket = Socket::open(agent).map_err(|e| e.at(&step.place))?;
                        agents.0.push((id.clone(), Arc::new(socket)));
                    }
                    None if *required => return Err(missing(id).at(&step.place)),
                    None => {}
                }
            }
        }
        Ok(agents)
    }

    /// An agent that was given.
    pub(super) fn get(&self, id: &str) -> Option<&Arc<Socket>> {
        self.0.iter().find(|(name, _)| name == id).map(|(_, socket)| socket)
    }
}

fn missing(id: &str) -> Error {
    Error::Other {
        message: format!("the SSH agent '{id}' is required and was not given"),
        help: Some(format!("start ssh-agent, add the key with ssh-add, and give --ssh {id}=$SSH_AUTH_SOCK")),
    }
}

impl Socket {
    fn open(agent: &StepAgent) -> Result<Socket, Error> {
        let shown = agent.socket.display();
        let wrong = |message: String| Error::Other {
            message,
            help: Some(format!(
                "add keys to an agent, `eval $(ssh-agent) && ssh-add KEY`, and give --ssh {}=$SSH_AUTH_SOCK",
                agent.id
            )),
        };
        let socket =
            rustix::fs::open(&agent.socket, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
                wrong(format!("cannot open the socket {shown} of the SSH agent '{}': {e}", agent.id))
            })?;
        let found = std::fs::metadata(&agent.socket);
        if !found.is_ok_and(|file| file.file_type().is_socket()) {
            return Err(wrong(format!("{shown} is no socket of an SSH agent; key files are not read here")));
        }
        Ok(Socket { socket })
    }

    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(format!("/proc/self/fd/{}", self.socket.as_raw_fd()))
    }
}

/// A socket for one step, and the thread behind it.
pub(super) struct Forwarder {
    path: PathBuf,
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

/// Name of the socket in its directory.
const NAME: &str = "s";

impl Forwarder {
    /// Listens in an empty directory of ours.
    pub(super) fn start(agent: &Arc<Socket>, directory: &Path, owner: FileOwner) -> Result<Forwarder, Error> {
        let path = directory.join(NAME);
        let failed = |e: io::Error| Error::other(format!("cannot make the socket {}: {e}", path.display()));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        // The path itself may be longer than an address holds.
        let address = format!("/proc/self/fd/{}/{NAME}", opened.as_raw_fd());
        let listener = UnixListener::bind(address).map_err(failed)?;
        let accepting = listener.try_clone().map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(owner.mode)).map_err(failed)?;
        let (uid, gid) = super::ids(owner.uid, owner.gid);
        chown(&path, Some(uid), Some(gid)).map_err(failed)?;
        let agent = Arc::clone(agent);
        let thread = std::thread::spawn(move || {
            // An error is the end: the listener was shut down.
            while let Ok((client, _)) = accepting.accept() {
                let agent = Arc::clone(&agent);
                // Ends when the step's process does: whichever side goes away first.
                std::thread::spawn(move || agent.connect().and_then(|agent| forward(client, agent)));
            }
        });
        Ok(Forwarder { path, listener, thread: Some(thread) })
    }

    /// The socket.
    pub(super) fn path(&self) -> &Path {
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

/// Hands requests on and answers back, one at a time as the protocol has it.
fn forward(mut client: UnixStream, mut agent: UnixStream) -> io::Result<()> {
    while let Some(request) = message(&mut client)? {
        if matches!(request.get(4), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST))) {
            agent.write_all(&request)?;
            let answer = message(&mut agent)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            client.write_all(&answer)?;
        } else {
            client.write_all(&[0, 0, 0, 1, FAILURE])?;
        }
    }
    Ok(())
}

/// One message with its length before it; nothing at the end.
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
    let mut whole = length.to_vec();
    whole.resize(4 + size as usize, 0);
    stream.read_exact(&mut whole[4..])?;
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers each request with its number plus 100.
    fn agent(directory: &Path) -> Arc<Socket> {
        let path = directory.join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                while let Ok(Some(request)) = message(&mut client) {
                    client.write_all(&[0, 0, 0, 1, request[4] + 100]).unwrap();
                }
            }
        });
        let given = StepAgent { id: "default".to_owned(), socket: path };
        Arc::new(Socket::open(&given).unwrap())
    }

    #[test]
    fn only_listing_and_signing_reach_the_agent() {
        let (far, near) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let agent = agent(far.path());
        let me = rustix::process::geteuid().as_raw();
        let owner = FileOwner { mode: 0o600, uid: me, gid: rustix::process::getegid().as_raw() };
        let forwarder = Forwarder::start(&agent, near.path(), owner).unwrap();
        let mut client = UnixStream::connect(forwarder.path()).unwrap();
        let mut ask = |kind: u8| {
            client.write_all(&[0, 0, 0, 2, kind, 0]).unwrap();
            message(&mut client).unwrap().unwrap()[4]
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
        let agent = agent(far.path());
        let me = rustix::process::geteuid().as_raw();
        let owner = FileOwner { mode: 0o600, uid: me, gid: rustix::process::getegid().as_raw() };
        let forwarder = Forwarder::start(&agent, near.path(), owner).unwrap();
        let mut client = UnixStream::connect(forwarder.path()).unwrap();
        client.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(message(&mut client).unwrap().is_none());
    }

    #[test]
    fn a_key_file_is_no_agent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let given = StepAgent { id: "default".to_owned(), socket: file.path().to_owned() };
        let error = Socket::open(&given).err().unwrap();
        assert!(error.to_string().contains("no socket") && error.help().unwrap().contains("ssh-agent"));
    }
}
