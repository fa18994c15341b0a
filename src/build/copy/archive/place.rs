//! Entries of an archive at their destination.

use std::collections::HashMap;

use crate::build::copy::pending::Pending;
use crate::build::copy::{CopyError, shown};
use crate::layer::{CAPABILITY, Content, Entry, Kind, NodeKind, TarEntry, Timestamp, join, parent};

/// Most directories above an entry.
const MAX_DEPTH: usize = 256;

/// The last second that 64 bits of nanoseconds reach, in 2262.
const LAST_SECOND: i64 = i64::MAX / 1_000_000_000;

/// Directories whose true path is remembered.
const REMEMBERED: usize = 10_000;

/// Places the entries of one archive. Owners are the archive's unless `--chown` is given; `--chmod`
/// does not apply.
pub(super) struct Place<'p, 'a> {
    pending: &'p mut Pending<'a>,
    root: Vec<u8>,
    /// Names that would leave the destination stop there.
    clamp: bool,
    wrong: &'p dyn Fn(String) -> CopyError,
    /// True paths of directories that were asked for.
    resolved: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'p, 'a> Place<'p, 'a> {
    /// Makes the destination a directory: 0755, of `--chown` or root.
    pub(super) fn new(
        destination: &str,
        pending: &'p mut Pending<'a>,
        clamp: bool,
        wrong: &'p dyn Fn(String) -> CopyError,
    ) -> Result<Self, CopyError> {
        let root = pending.resolve(destination.as_bytes())?;
        let owner = pending.owner();
        pending.make_directory_as(&root, 0o755, owner)?;
        Ok(Place { pending, root, clamp, wrong, resolved: HashMap::new() })
    }

    /// Places one entry; if it is none that images have, a sentence that says so.
    pub(super) fn entry(&mut self, found: TarEntry, content: Content) -> Result<Option<String>, CopyError> {
        if found.kind == (Kind::CharDevice { major: 0, minor: 0 }) {
            let what = "is left out: such a device marks a deleted file";
            return Ok(Some(format!("'{}' {what}", shown(&found.path))));
        }
        let Some(path) = self.target(&found.path)? else { return Ok(None) };
        let (uid, gid) = self.pending.owner().unwrap_or((found.uid, found.gid));
        // A link's own mode means nothing; file systems give it as this.
        let mode = if matches!(found.kind, Kind::Symlink(_)) { 0o777 } else { found.mode };
        // Times before 1970 and after 2262 become its start, as in Docker (go-archive, `boundTime`).
        let known = (0..=LAST_SECOND).contains(&found.mtime.seconds);
        let mtime = if known { found.mtime } else { Timestamp::default() };
        if let Kind::HardLink(target) = &found.kind {
            return self.hard_link(&found.path, target, (path, mode, uid, gid, mtime)).map(|()| None);
        }
        let xattrs = match found.kind {
            Kind::File { .. } => {
                found.xattrs.into_iter().filter(|(n, _)| n == CAPABILITY.as_bytes()).collect()
            }
            _ => Vec::new(),
        };
        let redirects = matches!(found.kind, Kind::Symlink(_));
        let entry = Entry { path, kind: found.kind, mode, uid, gid, mtime, xattrs, content };
        let gone = self.pending.replace(entry, None)?;
        if redirects || gone {
            self.resolved.clear();
        }
        Ok(None)
    }

    /// Another name for something the archive had before.
    fn hard_link(
        &mut self,
        name: &[u8],
        target: &[u8],
        (path, mode, uid, gid, mtime): (Vec<u8>, u32, u32, u32, Timestamp),
    ) -> Result<(), CopyError> {
        let wrong = |why: &str| (self.wrong)(format!("the hard link '{}' leads to {why}", shown(name)));
        let nowhere = wrong("nothing that the archive had before it");
        let to_itself = wrong("itself");
        let to_directory = wrong("a directory");
        let Some(target) = self.target(target)? else { return Err(to_directory) };
        if target == path {
            return Err(to_itself);
        }
        if self.pending.node(&target)?.is_some_and(|n| n.kind == NodeKind::Directory) {
            return Err(to_directory);
        }
        let Some((linked, inode)) = self.pending.share(&target) else { return Err(nowhere) };
        let is_link = matches!(linked.kind, Kind::Symlink(_));
        let mode = if is_link { linked.mode } else { mode };
        let entry = Entry { path, mode, uid, gid, mtime, ..linked };
        self.pending.settle(inode, &entry);
        if self.pending.replace(entry, Some(inode))? {
            self.resolved.clear();
        }
        Ok(())
    }

    /// The true path of an archive's name below the destination; none for the destination itself.
    /// `..` is refused where it leaves the archive, unless names are clamped; links on the way are followed, and the
    /// destination is their root.
    fn target(&mut self, name: &[u8]) -> Result<Option<Vec<u8>>, CopyError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in name.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." if parts.pop().is_none() && !self.clamp => {
                    return Err((self.wrong)(format!(
                        "'{}' leaves the directory it is unpacked to (with --compat it stops there, as in BuildKit)",
                        shown(name)
                    )));
                }
                b".." => {}
                part => parts.push(part),
            }
        }
        if parts.len() > MAX_DEPTH {
            return Err((self.wrong)(format!("'{}' is more than {MAX_DEPTH} directories deep", shown(name))));
        }
        let relative = parts.join(&b'/');
        let Some(last) = parts.last() else { return Ok(None) };
        let above = parent(&relative);
        if let Some(directory) = self.resolved.get(above) {
            return Ok(Some(join(directory, last)));
        }
        let directory = self.pending.resolve_below(&self.root, above)?;
        self.pending.make_implied(&directory)?;
        let path = join(&directory, last);
        if self.resolved.len() < REMEMBERED {
            self.resolved.insert(above.to_vec(), directory);
        }
        Ok(Some(path))
    }
}
