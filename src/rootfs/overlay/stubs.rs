//! What a root needs to mount on, and the files that are mounted there.
//!
//! An image need not have `/proc` or `/etc/hosts`. Where they are missing they are made in a lower
//! directory of their own, above the image's and below the step's upper directory: a command sees
//! them, and they are no change of its.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::layer::Layer;
use super::stack::Stack;
use super::tree::make_like;
use super::{RootfsError, as_path, failed, shown};
use crate::layer::{Node, NodeKind, Timestamp, View, parent, resolve};
use crate::run::HOSTNAME;

/// Directories that a root has mounts on.
const DIRECTORIES: [&str; 3] = ["proc", "sys", "dev"];

/// Names of our files in the session's directory, and where a command sees them.
const FILES: [(&str, &str); 2] = [("hosts", "etc/hosts"), ("resolv.conf", "etc/resolv.conf")];

/// Most bytes of the machine's `hosts` or `resolv.conf` that are passed on.
const LONGEST_FILE: u64 = 1 << 20;

/// Makes what is missing to mount on, in `layer`. Gives our files with the places they are to be
/// mounted on, links followed.
pub(super) fn make(stack: &Stack, layer: &Layer) -> Result<Vec<(PathBuf, PathBuf)>, RootfsError> {
    for path in DIRECTORIES {
        mount_point(stack, layer, path, true)?;
    }
    FILES
        .iter()
        .map(|(name, path)| {
            Ok((PathBuf::from(name), as_path(&mount_point(stack, layer, path, false)?).to_path_buf()))
        })
        .collect()
}

/// Finds, or makes, one place to mount on.
fn mount_point(stack: &Stack, layer: &Layer, path: &str, directory: bool) -> Result<Vec<u8>, RootfsError> {
    let look = |p: &[u8]| stack.node(p).map_err(failed("look at", shown(p)));
    let real = resolve(stack, path.as_bytes(), true).map_err(failed("look at", shown(path.as_bytes())))?;
    let wrong = |what: &[u8]| RootfsError::Refused {
        reason: format!("{} of the image is in the way of mounting /{path}", shown(what).display()),
        help: Some("remove it from the base image".to_owned()),
    };
    if let Some(node) = look(&real)? {
        let fits = (node.kind == NodeKind::Directory) == directory;
        return if fits { Ok(real) } else { Err(wrong(&real)) };
    }
    let mut above = Vec::new();
    let mut at = parent(&real);
    while !at.is_empty() {
        above.push(at);
        at = parent(at);
    }
    let new = Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: Timestamp::default() };
    for at in above.into_iter().rev() {
        match look(at)? {
            Some(node) if node.kind == NodeKind::Directory => make_like(layer, at, &node)?,
            Some(_) => return Err(wrong(at)),
            None => make_like(layer, at, &new)?,
        }
    }
    if directory {
        make_like(layer, &real, &new)?;
    } else {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&*layer.root, real.as_slice(), flags, Mode::from(0o644))
            .map_err(failed("create", shown(&real)))?;
    }
    Ok(real)
}

/// Writes the files that commands see as `/etc/hosts` and `/etc/resolv.conf`. Commands share our
/// network, so that what resolves names for us does for them.
pub(super) fn write_files(session: &Path) -> Result<(), RootfsError> {
    let resolv = read(Path::new("/etc/resolv.conf"));
    // systemd's file with the real servers is what resolves names where the stub is not reached.
    let resolv = if only_stub(&resolv) { with_fallback(resolv) } else { resolv };
    for (name, text) in [("hosts", hosts(&read(Path::new("/etc/hosts")))), ("resolv.conf", resolv)] {
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

/// Our host name first, then what the machine knows: names of services of a CI job are often there.
fn hosts(machine: &str) -> String {
    let mut text = format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
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
        assert_eq!(hosts(""), own);
        let machine = "127.0.0.1 localhost\n# a remark\n\n10.0.0.7  postgres db # service\n";
        assert_eq!(hosts(machine), format!("{own}10.0.0.7  postgres db\n"));
    }
}
