//! Who we are when steps run: root, or, for a plain user, root of a user namespace of our own.
//!
//! Only root can give files their owners and mount. A plain user can be root of a namespace: with the
//! subordinate ids of `/etc/subuid` and `/etc/subgid`, which the setuid programs `newuidmap` and
//! `newgidmap` map into it (shadow-utils), or with a single id, where other owners are recorded
//! rather than set.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{DumpableBehavior, Pid, WaitOptions, set_dumpable_behavior};
use rustix::thread::UnshareFlags;

/// Who this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Root, as it was started.
    Root,
    /// Root of a namespace of its own, in which this many ids exist.
    Namespace {
        /// The user that it is outside.
        uid: u32,
        /// How many ids are mapped.
        ids: u64,
        /// With a single id, why there are no more.
        why_single: Option<String>,
    },
    /// Somebody else, who can be no root: why.
    Plain(String),
}

static TAKEN: OnceLock<Identity> = OnceLock::new();

/// Who this process is, after [`take_identity`].
pub fn identity() -> &'static Identity {
    TAKEN.get_or_init(|| match rustix::process::geteuid() {
        uid if uid.is_root() => Identity::Root,
        uid => Identity::Plain(format!("this process is not root but user {}", uid.as_raw())),
    })
}

/// Makes a plain user root of a new user namespace, if that is possible. To be called before there is
/// a second thread; root stays as it is.
pub fn take_identity() {
    if !rustix::process::geteuid().is_root() {
        let taken = enter_namespace();
        TAKEN.get_or_init(|| taken);
    }
}

impl Identity {
    /// What a user should know about it, for a log line.
    pub fn note(&self) -> Option<String> {
        match self {
            Identity::Namespace { uid, ids, why_single: None } => {
                Some(format!("as user {uid} with {} subordinate ids", ids - 1))
            }
            Identity::Namespace { uid, why_single: Some(why), .. } => Some(format!(
                "as user {uid} with a single id, because {why}: other owners are recorded, and chown and USER \
                 do not work in RUN"
            )),
            Identity::Root | Identity::Plain(_) => None,
        }
    }

    /// How a command that needs other users could be given them; none where there are any.
    pub fn way_to_more_ids(&self) -> Option<String> {
        match self {
            Identity::Namespace { why_single: Some(why), .. } => Some(format!(
                "chown and other users do not work here, where a build has a single user id ({why}): install \
                 newuidmap and newgidmap (package uidmap) and give the user ids in /etc/subuid and /etc/subgid"
            )),
            _ => None,
        }
    }
}

fn enter_namespace() -> Identity {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let maps = Maps::find(uid);
    // The programs that write our maps look at who owns our entry in /proc: root, if it is hidden.
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    let entered = try_in_child(uid, gid).and_then(|()| mapped(uid, gid, maps));
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    entered.unwrap_or_else(|error| {
        Identity::Plain(format!("user {uid} may not make a user namespace here ({error})"))
    })
}

/// The arguments of `newuidmap` and `newgidmap` after the process id.
struct Maps {
    users: Vec<String>,
    groups: Vec<String>,
    ids: u64,
}

impl Maps {
    /// The subordinate ids that a user has; or why none can be had.
    fn find(uid: u32) -> Result<Maps, String> {
        for program in ["newuidmap", "newgidmap"] {
            if !in_path(program) {
                return Err(format!("{program} is not in PATH"));
            }
        }
        let name = fs::read_to_string("/etc/passwd").ok().and_then(|text| name_of(&text, uid));
        let of = |file: &str| {
            let ranges = ranges(&fs::read_to_string(file).unwrap_or_default(), name.as_deref(), uid);
            if ranges.is_empty() { Err(format!("{file} has no ids for user {uid}")) } else { Ok(ranges) }
        };
        let (users, groups) = (of("/etc/subuid")?, of("/etc/subgid")?);
        let ids = 1 + users.iter().map(|(_, count)| count).sum::<u64>();
        let gid = rustix::process::getegid().as_raw();
        Ok(Maps { users: arguments(uid, &users), groups: arguments(gid, &groups), ids })
    }
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The name of a user in the text of passwd(5).
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    let line = passwd.lines().find(|line| line.split(':').nth(2).is_some_and(|id| id == uid.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

/// First id and count of each range that a user has in the text of subuid(5), by name or number.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u64)> {
    let number = uid.to_string();
    let own = |who: &str| who == number || Some(who) == name;
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let who = fields.next()?;
            let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (own(who) && count > 0).then_some((first, count))
        })
        .collect()
}

/// Inside, outside and count of each line of a map: root is the user, the ranges follow from 1 on.
fn arguments(id: u32, ranges: &[(u32, u64)]) -> Vec<String> {
    let mut all = vec!["0".to_owned(), id.to_string(), "1".to_owned()];
    let mut next = 1;
    for (first, count) in ranges {
        all.extend([next.to_string(), first.to_string(), count.to_string()]);
        next += count;
    }
    all
}

/// Finds out in a child whether a namespace is of use: one without maps, or without the rights in it
/// that AppArmor takes away on some systems, would be a trap, for nothing can be written from it.
fn try_in_child(uid: u32, gid: u32) -> io::Result<()> {
    let attempt = || -> io::Result<()> {
        // SAFETY: nothing but namespaces are made, by a process with one thread.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
        map_single(uid, gid)?;
        // SAFETY: as above.
        Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?)
    };
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = attempt().map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
            // SAFETY: ends this process at once, without the exit handlers of its parent.
            unsafe { libc::_exit(code) }
        }
        pid => match wait_for(Pid::from_raw(pid)) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(io::Error::other("something ended the process that tried it")),
        },
    }
}

/// The exit code of a child, if it has one.
fn wait_for(pid: Option<Pid>) -> Option<i32> {
    loop {
        match rustix::process::waitpid(pid, WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            ended => return ended.ok()?.and_then(|(_, status)| status.exit_status()),
        }
    }
}

/// Maps one's own id, and one's own group once nobody can leave groups: user_namespaces(7).
fn map_single(uid: u32, gid: u32) -> io::Result<()> {
    if fs::read_to_string("/proc/self/gid_map")?.trim().is_empty() {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"))?;
    }
    fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))
}

/// Makes the namespace and has it mapped, by a child that stays outside.
fn mapped(uid: u32, gid: u32, maps: Result<Maps, String>) -> io::Result<Identity> {
    let (maps, mut why_single) = match maps {
        Ok(maps) => (Some(maps), None),
        Err(why) => (None, Some(why)),
    };
    let mapper = maps.as_ref().map(Mapper::start).transpose()?;
    // SAFETY: nothing but a user namespace is made; this process has one thread.
    if let Err(error) = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) } {
        drop(mapper);
        return Err(error.into());
    }
    if let Some(mapper) = mapper {
        why_single = mapper.map().err();
    }
    if why_single.is_some() {
        map_single(uid, gid)?;
    }
    let ids = maps.filter(|_| why_single.is_none()).map_or(1, |maps| maps.ids);
    Ok(Identity::Namespace { uid, ids, why_single })
}

/// A child that stays outside the namespace.
struct Mapper {
    pid: Pid,
    go: fs::File,
    says: fs::File,
}

impl Mapper {
    fn start(maps: &Maps) -> io::Result<Mapper> {
        let pipe = || -> io::Result<(OwnedFd, OwnedFd)> {
            Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
        };
        let ((wait, go), (says, say)) = (pipe()?, pipe()?);
        let parent = rustix::process::getpid().as_raw_nonzero().to_string();
        // SAFETY: this process has one thread, so the child may do whatever it could.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop((go, says));
                let error = match fs::File::from(wait).read(&mut [0]) {
                    Ok(1) => write_maps(maps, &parent).err().unwrap_or_default(),
                    _ => "there is no namespace".to_owned(),
                };
                let _ = fs::File::from(say).write_all(error.as_bytes());
                // SAFETY: ends this process at once, without the exit handlers of its parent.
                unsafe { libc::_exit(0) }
            }
            pid => {
                let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Mapper { pid, go: go.into(), says: says.into() })
            }
        }
    }

    /// Has the maps written, now that there is a namespace.
    fn map(mut self) -> Result<(), String> {
        let mut error = String::new();
        self.go
            .write_all(b"x")
            .and_then(|()| (&mut self.says).take(4096).read_to_string(&mut error))
            .map_err(|e| e.to_string())?;
        if error.is_empty() { Ok(()) } else { Err(error) }
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // The end of its input ends it.
        if let Ok(null) = fs::File::open("/dev/null") {
            self.go = null;
        }
        wait_for(Some(self.pid));
    }
}

fn write_maps(maps: &Maps, pid: &str) -> Result<(), String> {
    // Groups first: without theirs the user map is not written, so that a single id can still be had.
    for (program, arguments) in [("newgidmap", &maps.groups), ("newuidmap", &maps.users)] {
        let output = Command::new(OsStr::new(program)).arg(pid).args(arguments).output();
        let output = output.map_err(|e| format!("{program} cannot be started: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{program} failed: {}", said.lines().next().unwrap_or_default()));
        }
    }
    Ok(())
}

/// Whether supplementary groups can be set: they cannot in a namespace with a single id.
pub(super) fn may_set_groups() -> bool {
    fs::read_to_string(Path::new("/proc/self/setgroups")).map_or(true, |text| text.trim() != "deny")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let text = "alice:100000:65536\nbob:165536:10\n1000:300000:5\n# alice:1:1\nalice:x:1\nalice:7:0\n";
        assert_eq!(ranges(text, Some("alice"), 1000), [(100_000, 65536), (300_000, 5)]);
        assert_eq!(ranges(text, None, 1000), [(300_000, 5)]);
        assert_eq!(ranges(text, Some("carol"), 7), []);
    }

    #[test]
    fn maps_begin_with_the_user_as_root() {
        let expected = ["0", "1000", "1", "1", "100000", "65536", "65537", "300000", "5"];
        assert_eq!(arguments(1000, &[(100_000, 65536), (300_000, 5)]), expected);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(name_of(passwd, 100), None);
    }
}
