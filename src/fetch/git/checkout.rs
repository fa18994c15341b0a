//! One tree of a repository, by the fewest bytes the server allows.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timestamps, utimensat};
use rustix::time::Timespec;

use super::credentials::without_userinfo;
use super::program::Git;
use super::source::{GitSource, GitTime, History};
use crate::config::FetchConfig;
use crate::fetch::FetchError;
use crate::layer::Timestamp;
use crate::registry::Web;

/// A tree that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The commit's name.
    pub commit: String,
    /// The commit's time.
    pub time: Timestamp,
}

/// What a source names in a repository.
struct Target {
    /// The full name of a reference; none for a commit.
    name: Option<String>,
    /// Hexadecimal digits of the repository's object names.
    digits: usize,
}

/// Writes a tree into an empty directory.
pub(in crate::fetch) fn checkout(
    web: &Web,
    config: &FetchConfig,
    source: &GitSource,
    directory: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Checkout, FetchError> {
    let written = |source: io::Error, url: &str| FetchError::Write { url: url.to_owned(), source };
    let shown = source.shown();
    let roots = CaFile::write(directory, &web.roots_pem()).map_err(|e| written(e, &shown))?;
    let git = Git::new(config, source, directory, roots.path(), stop).map_err(|e| written(e, &shown))?;
    let remote = without_userinfo(&source.remote);
    web.events().info(format!("fetching {source}"));
    let target = resolve(&git, &remote, source)?;
    let format = if target.digits == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    git.run(&["init", "--quiet", format])?;
    git.run(&["remote", "add", "origin", &remote])?;
    let object = fetch(&git, source, &target)?;
    let commit = git.run(&["rev-parse", "--verify", &format!("{object}^{{commit}}")])?.trim().to_owned();
    check(&git, source, &object, &commit)?;
    write_files(&git, &target, source, &commit)?;
    let seconds = git.run(&["show", "--no-patch", "--format=%ct", &commit])?;
    let time = Timestamp { seconds: seconds.trim().parse().unwrap_or_default(), nanoseconds: 0 };
    if source.keeps_git_dir() {
        git.run(&["reflog", "expire", "--all", "--expire=now"])?;
        let _ = fs::remove_file(directory.join(".git/FETCH_HEAD"));
    }
    let tidy =
        Tidy { keep_git_dir: source.keeps_git_dir(), time: (source.time == GitTime::Commit).then_some(time) };
    tidy.directory(directory).map_err(|e| written(e, &git.url))?;
    Ok(Checkout { commit, time })
}

/// Asks the server what a name means: a branch rather than a tag of that name (BuildKit).
fn resolve(git: &Git<'_>, remote: &str, source: &GitSource) -> Result<Target, FetchError> {
    let Some(reference) = &source.reference else {
        let answer = git.run(&["ls-remote", "--symref", "--", remote, "HEAD"])?;
        let symbolic = answer.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
        let object = answer.lines().find_map(|line| line.strip_suffix("\tHEAD").filter(|o| is_object(o)));
        let no_head = || FetchError::NoReference { url: git.url.clone(), reference: "HEAD".to_owned() };
        let digits = object.ok_or_else(no_head)?.len();
        return Ok(Target { name: Some(symbolic.unwrap_or("HEAD").to_owned()), digits });
    };
    if is_object(reference) {
        return Ok(Target { name: None, digits: reference.len() });
    }
    let answer = git.run(&["ls-remote", "--", remote, reference])?;
    let digits = answer.split(['\t', '\n']).next().map_or(0, str::len);
    let below = |prefix: &str| format!("{prefix}{}", reference.strip_prefix(prefix).unwrap_or(reference));
    let candidates = [below("refs/"), below("refs/heads/"), below("refs/tags/")];
    let has = |name: &String| answer.lines().any(|line| line.split('\t').nth(1) == Some(name));
    match candidates.into_iter().find(has) {
        Some(name) => Ok(Target { name: Some(name), digits }),
        None => Err(FetchError::NoReference { url: git.url.clone(), reference: reference.clone() }),
    }
}

/// Fetches what is wanted and gives the name by which it is known here.
fn fetch(git: &Git<'_>, source: &GitSource, target: &Target) -> Result<String, FetchError> {
    let depth = match source.history {
        History::None => Some("--depth=1".to_owned()),
        History::Depth(commits) => Some(format!("--depth={commits}")),
        History::Branch | History::All => None,
    };
    let Some(name) = &target.name else {
        let commit = source.reference.clone().unwrap_or_default();
        return fetch_commit(git, commit, depth.as_deref(), source.history);
    };
    let local = match (source.history, name.strip_prefix("refs/heads/")) {
        (History::None, _) | (_, None) => name.clone(),
        (_, Some(branch)) => format!("refs/remotes/origin/{branch}"),
    };
    let specification = if name == "HEAD" { "HEAD".to_owned() } else { format!("+{name}:{local}") };
    let mut wanted = vec![specification.as_str()];
    if source.history == History::All {
        wanted.extend(EVERYTHING);
    }
    shallow(git, depth.as_deref(), &wanted)?;
    Ok(if name == "HEAD" { "FETCH_HEAD".to_owned() } else { local })
}

/// All branches and tags.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];

/// Fetches a commit by its name, or where the server does not allow that, everything.
fn fetch_commit(
    git: &Git<'_>,
    commit: String,
    depth: Option<&str>,
    history: History,
) -> Result<String, FetchError> {
    let by_name = history != History::All && shallow(git, depth, &[&commit]).is_ok();
    if !by_name {
        shallow(git, None, &EVERYTHING)?;
        if git.attempt(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_err() {
            return Err(FetchError::NoReference { url: git.url.clone(), reference: commit });
        }
    }
    Ok(commit)
}

/// Fetches with little history; with all of it from a server that has no less.
fn shallow(git: &Git<'_>, depth: Option<&str>, wanted: &[&str]) -> Result<(), FetchError> {
    let plain = ["fetch", "--quiet", "--no-tags", "--update-head-ok", "--force"];
    let arguments = |depth: Option<&str>| -> Vec<String> {
        let all = plain.iter().copied().chain(depth).chain(["origin"]).chain(wanted.iter().copied());
        all.map(str::to_owned).collect()
    };
    let run = |depth: Option<&str>| {
        let arguments = arguments(depth);
        git.attempt(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    match run(depth) {
        Ok(_) => Ok(()),
        Err(failed) if depth.is_some() && knows_no_depth(&failed.words) => {
            run(None).map(drop).map_err(|failed| failed.error)
        }
        Err(failed) => Err(failed.error),
    }
}

/// As BuildKit tells it.
fn knows_no_depth(words: &str) -> bool {
    words.contains("--depth") || words.contains("shallow")
}

/// Compares with the checksum: the commit's name, or an annotated tag's, must begin with it.
fn check(git: &Git<'_>, source: &GitSource, object: &str, commit: &str) -> Result<(), FetchError> {
    let Some(checksum) = &source.checksum else { return Ok(()) };
    let wanted = checksum.to_ascii_lowercase();
    let named = git.run(&["rev-parse", "--verify", object])?;
    if commit.starts_with(&wanted) || named.trim().starts_with(&wanted) {
        return Ok(());
    }
    let (url, expected, found) = (git.url.clone(), checksum.clone(), commit.to_owned());
    Err(FetchError::Commit { url, expected, found })
}

/// Writes the files, on a branch of the same name where the history came along.
fn write_files(git: &Git<'_>, target: &Target, source: &GitSource, commit: &str) -> Result<(), FetchError> {
    let branch = target.name.as_ref().and_then(|name| name.strip_prefix("refs/heads/"));
    match branch.filter(|_| source.history != History::None) {
        Some(branch) => git.run(&["checkout", "--quiet", "--force", "-B", branch, commit])?,
        None => git.run(&["checkout", "--quiet", "--force", "--detach", commit])?,
    };
    if !source.with_submodules() || !git.directory.join(".gitmodules").exists() {
        return Ok(());
    }
    let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
    let with_depth: Vec<&str> = update.iter().copied().chain(["--depth=1"]).collect();
    match git.attempt(&with_depth) {
        Ok(_) => Ok(()),
        Err(failed) if knows_no_depth(&failed.words) || failed.words.contains("not our ref") => {
            git.run(&update).map(drop)
        }
        Err(failed) => Err(failed.error),
    }
}

/// Whether a text is the whole name of an object: SHA-1 or SHA-256.
fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A file of CA roots beside the checkout.
struct CaFile(PathBuf);

impl CaFile {
    fn write(directory: &Path, roots: &str) -> io::Result<CaFile> {
        let path = directory.with_extension("ca.pem");
        fs::write(&path, roots)?;
        Ok(CaFile(path))
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.0.clone())
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        // It goes with the directory around it at the latest.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a checkout the same everywhere: modes do not depend on the umask.
struct Tidy {
    keep_git_dir: bool,
    time: Option<Timestamp>,
}

impl Tidy {
    fn directory(&self, path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let (kind, below) = (entry.file_type()?, entry.path());
            if entry.file_name() == ".git" {
                // Those of submodules too: they lead to where nothing is.
                match (self.keep_git_dir, kind.is_dir()) {
                    (true, _) => {}
                    (false, true) => fs::remove_dir_all(&below)?,
                    (false, false) => fs::remove_file(&below)?,
                }
                continue;
            }
            if kind.is_dir() {
                self.directory(&below)?;
                continue;
            }
            if kind.is_file() {
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                fs::set_permissions(&below, fs::Permissions::from_mode(mode))?;
            }
            self.set_time(&below)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        self.set_time(path)
    }

    fn set_time(&self, path: &Path) -> io::Result<()> {
        let Some(time) = self.time else { return Ok(()) };
        let time = Timespec { tv_sec: time.seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}
