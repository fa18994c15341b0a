//! The texts that name a repository (BuildKit, `gitutil.ParseURL`, `dfgitutil.ParseGitRef`).

use std::fmt;

use reqwest::Url;

use crate::fetch::remote::{ParseRemoteError, percent_decoded};

/// A tree of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// The repository as `git` takes it; may hold credentials.
    pub remote: String,
    /// A branch, a tag, a full name below `refs/`, or a commit; the default branch if absent.
    pub reference: Option<String>,
    /// What the commit's name, or that of an annotated tag, must begin with.
    pub checksum: Option<String>,
    /// A directory of the tree that stands for all of it.
    pub subdir: Option<String>,
    /// Whether `.git` is part of the tree, if anybody said.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, if anybody said.
    pub submodules: Option<bool>,
    /// The time of the files.
    pub time: GitTime,
    /// How much of the history comes along.
    pub history: History,
    /// Whether any certificate will do.
    pub skip_tls_verify: bool,
}

/// The modification time of a checkout's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GitTime {
    /// When they were written.
    #[default]
    Checkout,
    /// The commit's.
    Commit,
}

/// How much of a repository's history is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// The commit alone.
    #[default]
    None,
    /// This many commits of one branch.
    Depth(u32),
    /// All of one branch.
    Branch,
    /// All branches and tags.
    All,
}

impl GitSource {
    /// A repository's default branch.
    pub fn new(remote: impl Into<String>) -> Self {
        GitSource {
            remote: remote.into(),
            reference: None,
            checksum: None,
            subdir: None,
            keep_git_dir: None,
            submodules: None,
            time: GitTime::default(),
            history: History::default(),
            skip_tls_verify: false,
        }
    }

    /// One branch, tag or commit of a repository.
    ///
    /// # Errors
    /// The name can be none of these.
    pub fn named(remote: &str, reference: &str) -> Result<Self, ParseRemoteError> {
        check_remote(remote)?;
        check_reference(reference)?;
        Ok(GitSource { reference: Some(reference.to_owned()), ..GitSource::new(remote) })
    }

    /// The repository for people: without credentials.
    pub fn shown(&self) -> String {
        without_credentials(&self.remote)
    }

    /// Whether the tree has `.git`; never where only a part of it is wanted (BuildKit).
    pub fn keeps_git_dir(&self) -> bool {
        self.keep_git_dir.unwrap_or(false) && self.subdir().is_empty()
    }

    /// Whether submodules are fetched.
    pub fn with_submodules(&self) -> bool {
        self.submodules.unwrap_or(true)
    }

    /// The wanted directory, relative to the tree's root and clean.
    pub fn subdir(&self) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for part in self.subdir.as_deref().unwrap_or_default().split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    fn read_fragment(&mut self, fragment: &str) {
        let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        self.reference = some(reference);
        self.subdir = some(subdir);
    }

    fn read_query(&mut self, query: &str) -> Result<(), ParseRemoteError> {
        let Ok(url) = Url::parse(&format!("http://query/?{query}")) else {
            return Err(ParseRemoteError::new("the query makes no sense"));
        };
        let mut named: Option<String> = None;
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in url.query_pairs() {
            if seen.iter().any(|k| *k == key) {
                return Err(ParseRemoteError::new(format!("the query has '{key}' more than once")));
            }
            seen.push(key.clone().into_owned());
            if value.is_empty() && !matches!(&*key, "submodules" | "keep-git-dir" | "fetch-by-commit") {
                return Err(ParseRemoteError::new(format!("'{key}' in the query has no value")));
            }
            match &*key {
                "ref" => agree("ref", &mut self.reference, &value)?,
                "tag" => named = Some(full_name("refs/tags/", &value, named)?),
                "branch" => named = Some(full_name("refs/heads/", &value, named)?),
                "subdir" => agree("subdir", &mut self.subdir, &value)?,
                "checksum" | "commit" => self.checksum = Some(value.into_owned()),
                "keep-git-dir" => self.keep_git_dir = Some(boolean(&key, &value)?),
                "submodules" => self.submodules = Some(boolean(&key, &value)?),
                "mtime" => {
                    self.time = match &*value {
                        "checkout" => GitTime::Checkout,
                        "commit" => GitTime::Commit,
                        _ => return Err(ParseRemoteError::new("'mtime' is neither checkout nor commit")),
                    }
                }
                // A commit is always fetched by its name where the server allows it.
                "fetch-by-commit" => drop(boolean(&key, &value)?),
                _ => return Err(ParseRemoteError::new(format!("'{key}' in the query is not known"))),
            }
        }
        if let Some(named) = named {
            agree("ref", &mut self.reference, &named)?;
        }
        Ok(())
    }
}

impl fmt::Display for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())?;
        if let Some(reference) = &self.reference {
            write!(f, "#{reference}")?;
        }
        Ok(())
    }
}

/// Sets a value that may have been given before, but then the same.
fn agree(what: &str, old: &mut Option<String>, new: &str) -> Result<(), ParseRemoteError> {
    if let Some(old) = old.as_deref().filter(|old| *old != new) {
        return Err(ParseRemoteError::new(format!("two values for {what}: '{old}' and '{new}'")));
    }
    *old = Some(new.to_owned());
    Ok(())
}

fn full_name(prefix: &str, name: &str, other: Option<String>) -> Result<String, ParseRemoteError> {
    if other.is_some() {
        return Err(ParseRemoteError::new("the query has a branch and a tag"));
    }
    Ok(if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") })
}

/// As Go's `strconv.ParseBool`; a key without a value is true.
fn boolean(key: &str, value: &str) -> Result<bool, ParseRemoteError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ParseRemoteError::new(format!("'{value}' for '{key}' is neither true nor false"))),
    }
}

/// Reads the name of a repository; none if the text is something else.
pub(in crate::fetch) fn parse(text: &str) -> Result<Option<GitSource>, ParseRemoteError> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_repository = match remote.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            // Of web servers' URLs only these are repositories.
            "http" | "https" => rest.contains('/') && remote.ends_with(".git"),
            "git" | "ssh" => true,
            _ => false,
        },
        None => is_scp_style(remote),
    };
    if !is_repository {
        return Ok(None);
    }
    check_remote(remote)?;
    let mut source = GitSource::new(remote);
    source.read_fragment(&if remote.contains("://") {
        percent_decoded(fragment)
    } else {
        fragment.to_owned()
    });
    source.read_query(query)?;
    if source.reference.is_none() {
        source.reference.clone_from(&source.checksum);
    }
    source.reference.as_deref().map_or(Ok(()), check_reference)?;
    Ok(Some(source))
}

fn check_remote(remote: &str) -> Result<(), ParseRemoteError> {
    if remote.contains(|c: char| c.is_control() || c.is_whitespace()) || remote.starts_with('-') {
        return Err(ParseRemoteError::new("the repository's URL makes no sense"));
    }
    Ok(())
}

fn check_reference(reference: &str) -> Result<(), ParseRemoteError> {
    if is_reference(reference) {
        return Ok(());
    }
    Err(ParseRemoteError::new(format!("'{reference}' is no branch, tag or commit")))
}

/// `user@host:path` (BuildKit, `sshutil.ParseSCPStyleURL`).
fn is_scp_style(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |text: &str, others: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    word(user, "-_") && word(host, "-.")
}

/// What can be the name of a reference (`git check-ref-format`) or a commit, and no option.
fn is_reference(text: &str) -> bool {
    let wrong = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains(wrong) && !text.contains("..")
}

/// Hides what stands before the `@` of a URL's host, user names of ssh left out.
fn without_credentials(remote: &str) -> String {
    let Some((scheme, rest)) = remote.split_once("://") else { return remote.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let slash = if rest.contains('/') { "/" } else { "" };
    format!("{scheme}://{host}{slash}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(remote: &str, reference: Option<&str>, subdir: Option<&str>) -> GitSource {
        GitSource {
            reference: reference.map(str::to_owned),
            subdir: subdir.map(str::to_owned),
            ..GitSource::new(remote)
        }
    }

    #[test]
    fn repositories() {
        for (text, remote, reference, subdir) in [
            ("https://h/foo.git", "https://h/foo.git", None, None),
            ("https://h/foo.git#deadbeef", "https://h/foo.git", Some("deadbeef"), None),
            ("https://h/foo.git#release/1.2", "https://h/foo.git", Some("release/1.2"), None),
            ("https://h/bar.git#baz/qux:quux/quuz", "https://h/bar.git", Some("baz/qux"), Some("quux/quuz")),
            ("https://h/docker.git#:myfolder", "https://h/docker.git", None, Some("myfolder")),
            ("https://h/d.git?ref=v1.0.0&subdir=/s", "https://h/d.git", Some("v1.0.0"), Some("/s")),
            ("https://h/d.git?tag=v1", "https://h/d.git", Some("refs/tags/v1"), None),
            ("https://h/d.git?branch=main", "https://h/d.git", Some("refs/heads/main"), None),
            ("https://h/d.git?ref=a#a", "https://h/d.git", Some("a"), None),
            ("git://h/foo", "git://h/foo", None, None),
            ("ssh://git@h:22/foo", "ssh://git@h:22/foo", None, None),
            ("git@h.example:a/b.git", "git@h.example:a/b.git", None, None),
            ("git@h:a/b?ref=x", "git@h:a/b", Some("x"), None),
            ("https://u:p@h/b.git", "https://u:p@h/b.git", None, None),
        ] {
            assert_eq!(parse(text), Ok(Some(named(remote, reference, subdir))), "{text}");
        }
        for other in [
            "https://h/",
            "https://h/foo",
            "https://h/foo.git/",
            "https://h/foo.git.bar",
            "http://h/docker.git:#branch",
            "./.git",
            ".git",
            "a/b.git",
            "a:b",
            "a b@h:c",
        ] {
            assert_eq!(parse(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn queries() {
        let source = |query: &str| parse(&format!("https://h/r.git?{query}"));
        let right = |query: &str| source(query).expect(query).expect("a repository");
        assert_eq!(right("checksum=abc").reference.as_deref(), Some("abc"));
        assert_eq!(right("commit=abc&ref=main").reference.as_deref(), Some("main"));
        assert_eq!(right("keep-git-dir").keep_git_dir, Some(true));
        assert_eq!(right("keep-git-dir=0").keep_git_dir, Some(false));
        assert!(!right("submodules=false").with_submodules());
        assert!(right("submodules").with_submodules() && right("").with_submodules());
        assert_eq!(right("mtime=commit").time, GitTime::Commit);
        assert!(right("keep-git-dir=1").keeps_git_dir() && !right("keep-git-dir=1&subdir=a").keeps_git_dir());
        for (query, words) in [
            ("ref=a&ref=b", "more than once"),
            ("ref=", "no value"),
            ("branch=a&tag=b", "a branch and a tag"),
            ("ref=a&tag=b", "two values for ref"),
            ("ref=a#b", "two values for ref"),
            ("keep-git-dir=maybe", "neither true nor false"),
            ("mtime=never", "neither checkout nor commit"),
            ("depth=1", "is not known"),
            ("ref=-x", "is no branch"),
            ("ref=a..b", "is no branch"),
        ] {
            let error = source(query).expect_err(query).to_string();
            assert!(error.contains(words), "{query}: {error}");
        }
    }

    #[test]
    fn parts_stay_inside() {
        for (subdir, clean) in [("/a//b/", "a/b"), ("..", ""), ("a/../../b", "b"), ("/", "")] {
            assert_eq!(named("x", None, Some(subdir)).subdir(), clean);
        }
    }

    #[test]
    fn credentials_are_hidden() {
        for (remote, shown) in [
            ("https://u:p@h:8443/r.git", "https://h:8443/r.git"),
            ("ssh://git@h/r", "ssh://h/r"),
            ("git@h:r", "git@h:r"),
            ("git://h", "git://h"),
        ] {
            assert_eq!(GitSource::new(remote).shown(), shown);
        }
    }
}
