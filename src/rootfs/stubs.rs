//! What a root needs to mount on, and the files that are mounted there.
//!
//! An image need not have `/proc` or `/etc/hosts`. Where they are missing they are made before a
//! command starts, so that it sees them, and are no change of its: in an overlay in a lower
//! directory of their own, in a plain tree until the command has ended.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::dress::{make_like, set_time};
use super::index::{open_below, stat};
use super::{RootfsError, as_path, failed, shown};
use crate::layer::{Node, NodeKind, Timestamp, View, parent, resolve};
use crate::run::{HOSTNAME, Mount};

/// Directories that a root has mounts on.
const DIRECTORIES: [&str; 3] = ["proc", "sys", "dev"];

/// Names of our files in the session's directory, and where a command sees them.
const FILES: [(&str, &str); 2] = [("hosts", "etc/hosts"), ("resolv.conf", "etc/resolv.conf")];

/// Most bytes of the machine's `hosts` or `resolv.conf` that are passed on.
const LONGEST_FILE: u64 = 1 << 20;

/// What was made to mount on.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    /// Our files, relative to the session's directory, with the places they are to be mounted on,
    /// links followed.
    pub(super) files: Vec<(PathBuf, PathBuf)>,
    /// What a step asks for, with the places it is to be mounted on, links followed.
    pub(super) mounts: Vec<Mount>,
    /// What was missing, parents first, and whether it is a directory.
    made: Vec<(Vec<u8>, bool)>,
}

/// Makes what is missing in a tree to mount on, below `root`, which is that tree's or one that is
/// stacked on it. Directories that something is made in keep their times.
pub(super) fn make(tree: &dyn View, root: &OwnedFd, mounts: &[Mount]) -> Result<Stubs, RootfsError> {
    let mut making = Making { tree, root, stubs: Stubs::default(), times: BTreeMap::new() };
    for path in DIRECTORIES {
        making.mount_point(path, true)?;
    }
    for (name, path) in FILES {
        let place = as_path(&making.mount_point(path, false)?).to_path_buf();
        making.stubs.files.push((PathBuf::from(name), place));
    }
    for mount in mounts {
        // What lies in another mount is not in the image.
        let lies_in = |other: &Mount| mount.target != other.target && mount.target.starts_with(&other.target);
        let mut placed = mount.clone();
        if !mounts.iter().any(lies_in) {
            let place = making.mount_point(&mount.target.to_string_lossy(), mount.source.is_directory())?;
            placed.target = as_path(&place).to_path_buf();
        }
        making.stubs.mounts.push(placed);
    }
    for (path, time) in &making.times {
        set_time(root, path, *time)?;
    }
    Ok(making.stubs)
}

/// What mount points are made in.
struct Making<'a> {
    tree: &'a dyn View,
    root: &'a OwnedFd,
    stubs: Stubs,
    /// Times of the tree's directories that something was made in.
    times: BTreeMap<Vec<u8>, Timestamp>,
}

impl Making<'_> {
    fn look(&self, path: &[u8]) -> Result<Option<Node>, RootfsError> {
        self.tree.node(path).map_err(failed("look at", shown(path)))
    }

    /// Finds, or makes, one place to mount on.
    fn mount_point(&mut self, path: &str, directory: bool) -> Result<Vec<u8>, RootfsError> {
        let real =
            resolve(self.tree, path.as_bytes(), true).map_err(failed("look at", shown(path.as_bytes())))?;
        let wrong = |what: &[u8]| RootfsError::Refused {
            reason: format!("{} of the image is in the way of mounting /{path}", shown(what).display()),
            help: Some("remove it from the base image".to_owned()),
        };
        if let Some(node) = self.look(&real)? {
            let fits = (node.kind == NodeKind::Directory) == directory;
            return if fits { Ok(real) } else { Err(wrong(&real)) };
        }
        let above = std::iter::successors(Some(parent(&real)), |p| Some(parent(p)));
        let mut above: Vec<&[u8]> = above.take_while(|p| !p.is_empty()).collect();
        above.reverse();
        let new =
            Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: Timestamp::default() };
        if let Some(root) = self.look(b"")? {
            self.times.entry(Vec::new()).or_insert(root.mtime);
        }
        for at in above {
            match self.look(at)? {
                Some(node) if node.kind == NodeKind::Directory => {
                    make_like(self.root, at, &node)?;
                    self.times.entry(at.to_vec()).or_insert(node.mtime);
                }
                Some(_) => return Err(wrong(at)),
                None => self.make(at, &new)?,
            }
        }
        if directory {
            self.make(&real, &new)?;
        } else {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat(self.root, real.as_slice(), flags, Mode::from(0o644))
                .map_err(failed("create", shown(&real)))?;
            self.stubs.made.push((real.clone(), false));
        }
        Ok(real)
    }

    fn make(&mut self, path: &[u8], like: &Node) -> Result<(), RootfsError> {
        make_like(self.root, path, like)?;
        self.stubs.made.push((path.to_vec(), true));
        Ok(())
    }
}

impl Stubs {
    /// Removes what was made, now that nothing is mounted on it. A directory that something is in
    /// stays: a command put it there. Directories that something is removed from keep their times.
    pub(super) fn remove(&self, root: &OwnedFd) -> Result<(), RootfsError> {
        for (path, is_directory) in self.made.iter().rev() {
            let above = match open_below(root, parent(path), OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(above) => above,
                // A command moved it away.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(failed("open", shown(parent(path)))(error)),
            };
            let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
            let flags = if *is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            let time = stat(&above, c"").map_err(failed("look at", shown(parent(path))))?.mtime;
            match rustix::fs::unlinkat(&above, name, flags) {
                Ok(()) => set_time(&above, b"", time)?,
                Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR) => {}
                Err(error) => return Err(failed("remove", shown(path))(error)),
            }
        }
        Ok(())
    }
}

/// Writes the files that commands see as `/etc/hosts` and `/etc/resolv.conf`. Commands share our
/// network, so that what resolves names for us does for them.
pub(super) fn write_files(session: &Path) -> Result<(), RootfsError> {
    let resolv = read(Path::new("/etc/resolv.conf"));
    // systemd's file with the real servers is what resolves names where the stub is not reached.
    let resolv = if only_stub(&resolv) { with_fallback(resolv) } else { resolv };
    for (name, text) in [("hosts", hosts(HOSTNAME, &read(Path::new("/etc/hosts")))), ("resolv.conf", resolv)]
    {
        let path = session.join(name);
        fs::write(&path, text).map_err(failed("write", &path))?;
        // A command of any user reads them, whatever our umask.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&path, mode).map_err(failed("set the mode of", &path))?;
    }
    Ok(())
}

fn with_fallback(stub: String) -> String {
    let real = read(Path::new("/run/systemd/resolve/resolv.conf"));
    if real.is_empty() { stub } else { real }
}

/// The text of a file of the machine's; empty where there is none, as in a container without a network.
fn read(path: &Path) -> String {
    let mut text = Vec::new();
    let _ = fs::File::open(path).and_then(|f| f.take(LONGEST_FILE).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether systemd-resolved's stub is the only server.
fn only_stub(resolv: &str) -> bool {
    let mut servers = resolv.lines().filter_map(|l| l.strip_prefix("nameserver")).map(str::trim).peekable();
    servers.peek().is_some() && servers.all(|s| s == "127.0.0.53")
}

/// The text of an `/etc/hosts` with a host name and addresses of more names, each an address and a name.
pub fn hosts_file(hostname: &str, more: &[(String, String)]) -> String {
    let mut text = hosts(hostname, &read(Path::new("/etc/hosts")));
    more.iter().for_each(|(address, name)| text.push_str(&format!("{address}\t{name}\n")));
    text
}

/// The host name first, then what the machine knows: names of services of a CI job are often there.
fn hosts(hostname: &str, machine: &str) -> String {
    let mut text = format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for line in machine.lines() {
        let names = line.split('#').next().unwrap_or_default();
        let is_ours = names.split_whitespace().skip(1).any(|n| n == "localhost");
        if !is_ours && !names.trim().is_empty() {
            text.push_str(names.trim());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_known_from_real_servers() {
        let cases = [
            ("nameserver 127.0.0.53\noptions edns0\n", true),
            ("nameserver 127.0.0.53\nnameserver 10.0.0.1\n", false),
            ("nameserver 10.0.0.1\n", false),
            ("search example.org\n", false),
            ("", false),
        ];
        for (text, expected) in cases {
            assert_eq!(only_stub(text), expected, "{text:?}");
        }
    }

    #[test]
    fn hosts_has_our_name_and_the_machines() {
        let own = "127.0.0.1\tlocalhost yadokari\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        assert_eq!(hosts(HOSTNAME, ""), own);
        let machine = "127.0.0.1 localhost\n# a remark\n\n10.0.0.7  postgres db # service\n";
        assert_eq!(hosts(HOSTNAME, machine), format!("{own}10.0.0.7  postgres db\n"));
    }
}
