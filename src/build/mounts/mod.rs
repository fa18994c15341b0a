//! What a `RUN` asks for besides its root's files: from the plan to what a placement mounts.

mod caches;
mod files;
mod saving;
mod secrets;
mod ssh;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::plan::{CacheMount, FileOwner, RunMount, RunMountKind, RunStep, Sharing};
use crate::rootfs::Showing;

use super::Error;
use super::devices;
use super::executor::Executor;
use super::workspace::Workspace;
use crate::config::StepsConfig;
use crate::run::{Fate, HOSTNAME, Mount, MountSource, SecretFile, identity};
pub(super) use caches::Caches;
use caches::{Lease, Start};
pub(super) use files::{Shown, literal, private_directory};
pub(super) use saving::Saving;
pub(super) use secrets::{Secrets, read as read_secret};
pub(super) use ssh::Agents;
use ssh::Forwarder;

/// What one step gets; as long as this lives it is there.
#[derive(Default)]
pub(super) struct Prepared {
    /// What is mounted, each after what it lies in.
    pub(super) mounts: Vec<Mount>,
    /// Variables that hold secrets, or come with devices; each name once.
    pub(super) env: Vec<(String, String)>,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    forwarders: Vec<Forwarder>,
    leases: Vec<(String, Lease)>,
    /// Copies that only this step has.
    copies: Vec<tempfile::TempDir>,
    /// Files of other stages' trees.
    showings: Vec<Showing>,
}

/// Makes ready what a step asks for.
///
/// # Errors
/// A source is missing or cannot be read, or a required secret or agent was not given.
pub(super) fn prepare(executor: &Executor<'_>, at: usize, step: &RunStep) -> Result<Prepared, Error> {
    let mut prepared = Prepared::default();
    if let Some(file) = &executor.hosts {
        let (target, source) = (PathBuf::from("etc/hosts"), MountSource::File(file.clone(), Fate::Kept));
        prepared.mounts.push(Mount { target, source, read_only: true });
    }
    let mut targets: Vec<&str> = step.mounts.iter().filter_map(|m| m.target.as_deref()).collect();
    targets.sort_unstable();
    for mount in &step.mounts {
        prepared.add(executor, at, mount, &targets)?;
    }
    prepared.add_devices(executor, step)?;
    crate::run::sort_mounts(&mut prepared.mounts);
    Ok(prepared)
}

impl Prepared {
    fn add(
        &mut self,
        executor: &Executor<'_>,
        at: usize,
        mount: &RunMount,
        targets: &[&str],
    ) -> Result<(), Error> {
        let (source, read_only) = match &mount.kind {
            RunMountKind::Bind { from, source, access } => {
                let target = mount.target.as_deref().unwrap_or_default();
                let is_parent = targets.iter().any(|other| lies_below(other, target));
                // What the step may write to, or what is mounted in, is nobody else's.
                let writable = !access.is_read_only() || is_parent;
                let source = if let Some(showing) = files::show(executor, at, from, source, writable)? {
                    let source = showing.source.clone();
                    self.showings.push(showing);
                    source
                } else if !writable && executor.can_mount() {
                    files::shared(executor, at, from, source)?
                } else {
                    let directory = executor.private_directory()?;
                    let source = files::copy(executor, at, from, source, directory.path())?;
                    self.copies.push(directory);
                    source
                };
                (source, access.is_read_only())
            }
            RunMountKind::Cache(cache) => (self.cache(executor, at, cache)?, cache.access.is_read_only()),
            RunMountKind::Tmpfs { size, access } => {
                (MountSource::Tmpfs { size: *size }, access.is_read_only())
            }
            RunMountKind::Secret { id, env, owner, .. } => {
                let content = executor.secrets.get(id);
                if let Some(name) = env {
                    let value = content.map(|c| secrets::text(id, c)).transpose()?.unwrap_or_default();
                    self.env.push((name.clone(), value));
                }
                let Some(content) = content else { return Ok(()) };
                let FileOwner { mode, uid, gid } = *owner;
                let (uid, gid) = ids(uid, gid);
                (MountSource::Secret(SecretFile { content: content.clone(), mode, uid, gid }), true)
            }
            RunMountKind::Ssh { id, owner, .. } => {
                let Some(agent) = executor.agents.get(id) else { return Ok(()) };
                let directory = executor.private_directory()?;
                let forwarder = Forwarder::start(agent, directory.path(), *owner)?;
                let socket = forwarder.path().to_owned();
                self.copies.push(directory);
                self.forwarders.push(forwarder);
                (MountSource::File(socket, Fate::Lost), false)
            }
        };
        if let Some(target) = &mount.target {
            let target = PathBuf::from(target.trim_start_matches('/'));
            self.mounts.push(Mount { target, source, read_only });
        }
        Ok(())
    }

    fn add_devices(&mut self, executor: &Executor<'_>, step: &RunStep) -> Result<(), Error> {
        let known = &executor.config.steps.devices;
        for name in devices::missing(known, step) {
            executor.events.warn(format!("the device {name} is not there; the step runs without it"));
        }
        let given = devices::of(known, step)?;
        self.mounts.extend(devices::mounts(&given)?);
        for device in given {
            for (name, value) in &device.env {
                self.env.retain(|(known, _)| known != name);
                self.env.push((name.clone(), value.clone()));
            }
            self.groups.extend(&device.groups);
        }
        Ok(())
    }

    fn cache(
        &mut self,
        executor: &Executor<'_>,
        at: usize,
        cache: &CacheMount,
    ) -> Result<MountSource, Error> {
        let mut seed = None;
        let mut seeded = None;
        if let Some((from, source)) = &cache.seed {
            let directory = executor.private_directory()?;
            let MountSource::Directory(path, _) = files::copy(executor, at, from, source, directory.path())?
            else {
                return Err(Error::other(format!("a cache cannot start as {source}, which is no directory")));
            };
            seeded = Some(files::identity(&path)?);
            seed = Some(path);
            self.copies.push(directory);
        }
        let key = cache_key(cache, seeded.as_deref());
        if let Some((_, lease)) = self.leases.iter().find(|(known, _)| *known == key) {
            return Ok(MountSource::Directory(files::part_of_cache(lease.path(), &cache.part)?, Fate::Kept));
        }
        let sharing = match cache.sharing {
            // Nobody may put a link in the way to a part of it once that has been looked up.
            _ if cache.part != "/" => Sharing::Locked,
            // In place a cache may have to be copied there and back: two at once would lose what one did.
            Sharing::Shared if !executor.can_mount() => Sharing::Private,
            sharing => sharing,
        };
        let owner = cache.owner.unwrap_or(FileOwner { mode: 0o755, uid: 0, gid: 0 });
        let seed = seed.as_deref();
        let make = |one: &Path| {
            let saved = executor.saving.map_or(Ok(false), |saving| saving.restore(&key, one, seed, owner));
            if saved? { Ok(()) } else { files::start(&one.join(caches::NEW), seed, owner) }
        };
        let is_outdated = |one: &Path| executor.saving.is_some_and(|saving| saving.is_outdated(&key, one));
        let start = Start { is_outdated: &is_outdated, make: &make };
        let lease = executor.caches().lease(&key, sharing, &start, &|| executor.check_cancelled())?;
        if let Some(saving) = executor.saving {
            saving.used(&key, cache, &lease);
        }
        let path = files::part_of_cache(lease.path(), &cache.part)?;
        self.leases.push((key, lease));
        Ok(MountSource::Directory(path, Fate::Kept))
    }
}

/// What tells a cache from others: its id, what it starts with, and an owner that somebody wrote.
fn cache_key(cache: &CacheMount, seed: Option<&str>) -> String {
    let mut key = cache.id.clone();
    if let Some(seed) = seed {
        key.push_str(&format!(":{seed}"));
    }
    if let Some(FileOwner { mode, uid, gid }) = cache.owner {
        key.push_str(&format!(":{mode:o},{uid},{gid}"));
    }
    key
}

/// Writes the `/etc/hosts` of steps, where it is not the one that all get.
///
/// # Errors
/// It cannot be written.
pub(super) fn hosts(config: &StepsConfig, workspace: &Workspace) -> Result<Option<PathBuf>, Error> {
    if config.hostname.is_none() && config.hosts.is_empty() {
        return Ok(None);
    }
    let name = config.hostname.as_deref().unwrap_or(HOSTNAME);
    let text = crate::rootfs::hosts_file(name, &config.hosts);
    let path = workspace.path().join("hosts");
    let written = std::fs::write(&path, text)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)));
    written.map_err(|e| Error::other(format!("cannot write {}: {e}", path.display())))?;
    Ok(Some(path))
}

/// The ids that something made for a step gets: with a single id nobody but root is there to own it.
fn ids(uid: u32, gid: u32) -> (u32, u32) {
    if identity().way_to_more_ids().is_some() { (0, 0) } else { (uid, gid) }
}

/// Whether a path lies below a directory.
fn lies_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}
