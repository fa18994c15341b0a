//! What a swap is about to do, written before it does it, so that the container's own files can
//! be put back after a kill.
//!
//! The journal does not list renames. It says in which *phase* the container is, and that alone
//! tells whom a file in the container's root belongs to:
//!
//! - `aside`: the container's own files are being set aside. Everything in place is its own.
//! - `entered N`: everything in place is stage N's, except what the `stay` lines name.
//! - `back`: no stage is in place any more; everything in place is the container's own again.
//!
//! Directories that cannot be renamed stay in place in every phase and only their children move;
//! a `stay` line says what such a directory looked like. `volume` lines are phases of the mounted
//! volumes that stages use, which are swapped on their own file system.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

use crate::layer::Timestamp;
use crate::run::mountinfo::{escape, unescape};

const NAME: &str = "journal";
const FIRST_LINE: &[u8] = b"yadokari-journal 1";
/// A container image of a million directories that all stay would need about this much.
const LIMIT: u64 = 256 << 20;

/// Whom the files in the container's root belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was moved.
    Untouched,
    /// The container's own files are being set aside.
    Aside,
    /// This stage's tree is in place, wholly or partly; or none, where it was never entered.
    Entered(usize),
    /// The container's own files are being put back.
    Back,
}

/// Why something stays in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StayKind {
    /// We need it where it is: never part of a stage.
    Reserved,
    /// Something that is no directory is mounted here: never part of a stage.
    MountedFile,
    /// A directory is mounted here that no stage uses: not part of a stage.
    Mount,
    /// A directory is mounted here and its children are being set aside.
    VolumeAside,
    /// A directory is mounted here and its children are a stage's.
    Volume,
    /// A directory that cannot be renamed; its children are a stage's.
    Directory,
}

/// What a directory that stays in place looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
}

/// Something that stays in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) kind: StayKind,
    pub(super) look: Look,
}

/// What a journal says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Names the directories on volumes that hold what was set aside there.
    pub(super) id: String,
    pub(super) stays: BTreeMap<Vec<u8>, Stay>,
    /// Credential files that a running step must not see. Their content is in memory only.
    pub(super) hidden: Vec<Vec<u8>>,
    /// Directories of ours that were renamed to where a running step finds them: where, and their own
    /// path.
    pub(super) lent: Vec<(Vec<u8>, Vec<u8>)>,
}

impl State {
    /// Nothing was moved yet.
    pub(super) fn new(id: String) -> State {
        let (stays, hidden, lent) = (BTreeMap::new(), Vec::new(), Vec::new());
        State { phase: Phase::Untouched, id, stays, hidden, lent }
    }
}

const KINDS: [(StayKind, &str); 6] = [
    (StayKind::Reserved, "reserved"),
    (StayKind::MountedFile, "file"),
    (StayKind::Mount, "mount"),
    (StayKind::VolumeAside, "volume-aside"),
    (StayKind::Volume, "volume"),
    (StayKind::Directory, "directory"),
];

/// The journal of a running build.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

impl Journal {
    /// Starts a journal in the home directory; there is none.
    ///
    /// # Errors
    /// It cannot be written, or there is one already.
    pub(super) fn create(home: &OwnedFd, id: &str) -> io::Result<Journal> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
        let mut journal = Journal { file: File::from(openat(home, NAME, flags, Mode::from(0o600))?) };
        journal.line(&[FIRST_LINE, id.as_bytes()])?;
        Ok(journal)
    }

    /// Continues the journal that was read.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn resume(home: &OwnedFd) -> io::Result<Journal> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Journal { file: File::from(openat(home, NAME, flags, Mode::empty())?) })
    }

    /// Removes the journal: everything is back.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(home: &OwnedFd) -> io::Result<()> {
        match unlinkat(home, NAME, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn line(&mut self, words: &[&[u8]]) -> io::Result<()> {
        #[cfg(test)]
        super::directory::fuse::burn()?;
        let mut line = words.join(&b' ');
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Enters a phase, and sees to it that the disk knows before anything is moved.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn phase(&mut self, phase: Phase) -> io::Result<()> {
        let text = match phase {
            Phase::Untouched => return Ok(()),
            Phase::Aside => "aside".to_owned(),
            Phase::Entered(stage) => format!("entered {stage}"),
            Phase::Back => "back".to_owned(),
        };
        self.line(&[b"phase", text.as_bytes()])?;
        self.file.sync_data()
    }

    /// Sees to it that the disk knows all that was written.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Says that something stays in place, and how.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn stay(&mut self, path: &[u8], stay: &Stay) -> io::Result<()> {
        let kind = KINDS.iter().find(|(kind, _)| *kind == stay.kind).map_or("", |(_, name)| name);
        let Look { mode, uid, gid, mtime } = stay.look;
        let numbers = format!("{mode:o} {uid} {gid} {} {}", mtime.seconds, mtime.nanoseconds);
        self.line(&[b"stay", kind.as_bytes(), numbers.as_bytes(), b"/", &escape(path)])
    }

    /// Says that a directory no longer stays in place: it was empty and could be removed.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn gone(&mut self, path: &[u8]) -> io::Result<()> {
        self.line(&[b"gone", b"/", &escape(path)])
    }

    /// Says which credential file is about to be taken out of sight, or that all are back.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn hidden(&mut self, path: Option<&[u8]>) -> io::Result<()> {
        match path {
            Some(path) => self.line(&[b"hidden", b"/", &escape(path)]),
            None => self.line(&[b"shown"]),
        }
    }

    /// Says which directory of ours is about to be lent to a step, from the root, and what its own
    /// path is; or that all are back.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn lent(&mut self, what: Option<(&[u8], &[u8])>) -> io::Result<()> {
        match what {
            Some((path, own)) => self.line(&[b"lent", b"/", &escape(path), b"/", &escape(own)]),
            None => self.line(&[b"returned"]),
        }
    }
}

/// Reads the journal in the home directory; nothing where there is none.
///
/// # Errors
/// It cannot be read, or is no journal of ours.
pub(super) fn read(home: &OwnedFd) -> io::Result<Option<State>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match openat(home, NAME, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    file.take(LIMIT).read_to_end(&mut text)?;
    parse(&text).map(Some)
}

fn parse(text: &[u8]) -> io::Result<State> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is no journal of yadokari");
    // The last line may have been cut short by a kill: what it announces did not happen yet.
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(&b""[..], |end| &text[..end]);
    let mut lines = whole.split(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    if text.is_empty() || (whole.is_empty() && FIRST_LINE.starts_with(text)) {
        // Killed while starting it: nothing was moved.
        return Ok(State::new(String::new()));
    }
    let id = first.strip_prefix(FIRST_LINE).and_then(|id| id.strip_prefix(b" ")).ok_or_else(broken)?;
    let id = String::from_utf8(id.to_vec()).map_err(|_| broken())?;
    if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(broken());
    }
    let mut state = State::new(id);
    for line in lines {
        apply(&mut state, line).ok_or_else(broken)?;
    }
    Ok(state)
}

fn apply(state: &mut State, line: &[u8]) -> Option<()> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    match words.as_slice() {
        [b"phase", b"aside"] => state.phase = Phase::Aside,
        [b"phase", b"entered", stage] => state.phase = Phase::Entered(number(stage)?),
        [b"phase", b"back"] => state.phase = Phase::Back,
        [b"hidden", b"/", path] => state.hidden.push(unescape(path)),
        [b"shown"] => state.hidden.clear(),
        [b"lent", b"/", path, b"/", own] => state.lent.push((unescape(path), unescape(own))),
        [b"returned"] => state.lent.clear(),
        [b"gone", b"/", path] => {
            state.stays.remove(&unescape(path));
        }
        [b"stay", kind, mode, uid, gid, seconds, nanoseconds, b"/", path] => {
            let kind = KINDS.iter().find(|(_, name)| name.as_bytes() == *kind)?.0;
            let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
            let mtime = Timestamp { seconds: number(seconds)?, nanoseconds: number(nanoseconds)? };
            let look = Look { mode, uid: number(uid)?, gid: number(gid)?, mtime };
            state.stays.insert(unescape(path), Stay { kind, look });
        }
        _ => return None,
    }
    Some(())
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = OwnedFd::from(File::open(directory.path()).expect("the directory"));
        assert!(read(&home).expect("reads").is_none());
        let mut journal = Journal::create(&home, "abc123").expect("a journal");
        journal.phase(Phase::Aside).expect("a line");
        let mtime = Timestamp { seconds: -5, nanoseconds: 7 };
        let etc = Stay { kind: StayKind::Directory, look: Look { mode: 0o1755, uid: 3, gid: 4, mtime } };
        journal.stay(b"a b/\xff\n", &etc).expect("a line");
        let root = Stay { kind: StayKind::Directory, look: Look::default() };
        journal.stay(b"", &root).expect("a line");
        journal.stay(b"w", &Stay { kind: StayKind::VolumeAside, look: Look::default() }).expect("a line");
        journal.stay(b"w", &Stay { kind: StayKind::Volume, look: Look::default() }).expect("a line");
        journal.stay(b"usr", &etc).expect("a line");
        journal.gone(b"usr").expect("a line");
        journal.hidden(Some(b"root/.docker/config.json")).expect("a line");
        journal.lent(Some((b"x", b"/old y"))).expect("a line");
        journal.lent(None).expect("a line");
        journal.lent(Some((b"root/.m 2", b"/c/data"))).expect("a line");
        journal.phase(Phase::Entered(12)).expect("a line");
        Journal::create(&home, "other").expect_err("there is one");
        let state = read(&home).expect("reads").expect("a journal");
        assert_eq!((state.phase, state.id.as_str()), (Phase::Entered(12), "abc123"));
        assert_eq!(state.stays[&b"a b/\xff\n"[..]], etc);
        assert_eq!(state.stays[&b""[..]], root);
        assert!(!state.stays.contains_key(&b"usr"[..]));
        assert_eq!(state.stays[&b"w"[..]].kind, StayKind::Volume);
        assert_eq!(state.hidden, [b"root/.docker/config.json"]);
        assert_eq!(state.lent, [(b"root/.m 2".to_vec(), b"/c/data".to_vec())]);
        Journal::resume(&home).expect("resumes").phase(Phase::Back).expect("a line");
        assert_eq!(read(&home).expect("reads").expect("a journal").phase, Phase::Back);
        Journal::remove(&home).expect("removed");
        assert!(read(&home).expect("reads").is_none());
    }

    #[test]
    fn a_line_cut_short_did_not_happen() {
        let state = parse(b"yadokari-journal 1 ab\nphase aside\nphase ente").expect("parses");
        assert_eq!(state.phase, Phase::Aside);
        assert_eq!(parse(b"").expect("parses").phase, Phase::Untouched);
        assert_eq!(parse(b"yadokari-jour").expect("parses").phase, Phase::Untouched);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "something\n",
            "yadokari-journal 1 ../x\n",
            "yadokari-journal 1 a\nphase gone\n",
            "yadokari-journal 2 a\n",
        ] {
            parse(text.as_bytes()).expect_err(text);
        }
    }
}
