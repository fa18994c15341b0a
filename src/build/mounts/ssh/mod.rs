//! The caller's SSH agents, as steps reach them.
//!
//! Behind a socket of ours is an agent that the caller has, or one of ours with keys that were read
//! before the first step.

mod answer;
mod forward;
mod key;
mod openssh;
#[cfg(test)]
mod tests;
mod wire;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::config::StepAgent;
use crate::plan::{Action, Plan, RunMountKind};

use super::super::Error;
pub(super) use forward::Forwarder;
use key::Key;
use wire::Wiped;

/// Most bytes of a file with a key, as BuildKit's.
const LARGEST: u64 = 100 * 1024;

/// The caller's agents by name: those that steps ask for.
#[derive(Default)]
pub(in crate::build) struct Agents(Vec<(String, Arc<Agent>)>);

/// What has keys and signs with them.
pub(super) enum Agent {
    /// An agent of the caller, by its socket: opened before the first step, for in place its path may
    /// soon lead elsewhere.
    Socket(OwnedFd),
    /// Keys of the caller.
    Keys(Vec<Key>),
}

impl Agents {
    /// Opens the agents that a plan's steps ask for.
    ///
    /// # Errors
    /// At the step: a required agent was not given, or what was given is neither a socket nor keys.
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
                        let opened = Agent::open(agent).map_err(|e| e.at(&step.place))?;
                        agents.0.push((id.clone(), Arc::new(opened)));
                    }
                    None if *required => return Err(missing(id).at(&step.place)),
                    None => {}
                }
            }
        }
        Ok(agents)
    }

    /// An agent that was given.
    pub(super) fn get(&self, id: &str) -> Option<&Arc<Agent>> {
        self.0.iter().find(|(name, _)| name == id).map(|(_, agent)| agent)
    }
}

fn missing(id: &str) -> Error {
    Error::Other {
        message: format!("the SSH agent '{id}' is required and was not given"),
        help: Some(format!("give an agent with --ssh {id}=$SSH_AUTH_SOCK, or a key with --ssh {id}=FILE")),
    }
}

impl Agent {
    /// Opens a socket, or reads keys.
    fn open(given: &StepAgent) -> Result<Agent, Error> {
        let wrong = |message: String| Error::Other {
            message: format!("{message}, for the SSH agent '{}'", given.id),
            help: Some(format!(
                "add keys to an agent, `eval $(ssh-agent) && ssh-add KEY`, and give --ssh {}=$SSH_AUTH_SOCK",
                given.id
            )),
        };
        let mut keys = Vec::new();
        for path in &given.paths {
            let shown = path.display();
            let failed = |e: io::Error| wrong(format!("cannot read {shown}: {e}"));
            let found = std::fs::metadata(path).map_err(failed)?;
            if !found.file_type().is_socket() {
                let content = read(path).map_err(failed)?;
                keys.push(Key::read(&content.0).map_err(|e| wrong(format!("{shown} {e}")))?);
            } else if let [_] = given.paths.as_slice() {
                let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
                return Ok(Agent::Socket(opened.map_err(|e| failed(e.into()))?));
            } else {
                return Err(wrong(format!("{shown} is a socket, and there can be nothing beside it")));
            }
        }
        Ok(Agent::Keys(keys))
    }
}

/// Connects to the socket of an agent.
fn connect(socket: &OwnedFd) -> io::Result<UnixStream> {
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd()))
}

/// The bytes of a file, bounded.
fn read(path: &Path) -> io::Result<Wiped> {
    // Room for all: a vector that grows leaves copies behind.
    let mut content = Wiped(Vec::with_capacity(LARGEST as usize + 1));
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content.0)?;
    if content.0.len() as u64 > LARGEST {
        return Err(io::Error::other("it is too large for a key"));
    }
    Ok(content)
}
