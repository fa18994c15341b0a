//! What a directory says of itself: its Dockerfiles and git's configuration.

use std::fs;
use std::path::{Path, PathBuf};

use super::Target;

/// Deeper directories are not looked into.
const DEEPEST: usize = 3;

/// More Dockerfiles are not listed.
const MOST: usize = 20;

/// A repository.
pub(super) struct Repository {
    /// Paths of Dockerfiles, the least deep first.
    pub(super) dockerfiles: Vec<PathBuf>,
    /// The branch that others start from.
    pub(super) branch: String,
    origin: Option<Origin>,
}

/// The host and path of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    host: String,
    path: String,
}

impl Repository {
    /// Reads a directory; what cannot be read is not there.
    pub(super) fn read(directory: &Path) -> Self {
        let mut dockerfiles = Vec::new();
        find(directory, Path::new(""), 0, &mut dockerfiles);
        dockerfiles.sort_by_key(|path: &PathBuf| (path.components().count(), path.clone()));
        let git = git_directory(directory);
        let text = |name: &str| git.as_ref().and_then(|git| fs::read_to_string(git.join(name)).ok());
        let head = text("refs/remotes/origin/HEAD")
            .and_then(|head| head.trim().strip_prefix("ref: refs/remotes/origin/").map(str::to_owned));
        let current =
            || text("HEAD").and_then(|head| head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned));
        Repository {
            dockerfiles,
            branch: head.or_else(current).unwrap_or_else(|| "main".to_owned()),
            origin: text("config").and_then(|config| origin(&config)).and_then(|url| parse(&url)),
        }
    }

    /// The image's name at the repository's own registry, and whose registry that is.
    pub(super) fn image(&self) -> Option<(String, Option<Target>)> {
        let Origin { host, path } = self.origin.as_ref()?;
        let path = path.to_ascii_lowercase();
        Some(match host.as_str() {
            "github.com" => (format!("ghcr.io/{path}"), Some(Target::Github)),
            "gitlab.com" => (format!("registry.gitlab.com/{path}"), Some(Target::Gitlab)),
            host if host.contains("gitlab") => (format!("registry.{host}/{path}"), Some(Target::Gitlab)),
            host => (format!("{host}/{path}"), None),
        })
    }

    /// The URL that anybody clones from.
    pub(super) fn https(&self) -> Option<String> {
        let Origin { host, path } = self.origin.as_ref()?;
        Some(format!("https://{host}/{path}.git"))
    }
}

fn find(root: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_file() && ["Dockerfile", "Containerfile"].contains(&name) && found.len() < MOST {
            found.push(below.join(name));
        }
        if kind.is_dir() && depth < DEEPEST && !["node_modules", "vendor", "target"].contains(&name) {
            find(root, &below.join(name), depth + 1, found);
        }
    }
}

/// `.git`, or where a worktree's or a submodule's file says; of a worktree the repository's own.
fn git_directory(directory: &Path) -> Option<PathBuf> {
    let path = directory.join(".git");
    if path.is_dir() {
        return Some(path);
    }
    let text = fs::read_to_string(&path).ok()?;
    let git = directory.join(text.trim().strip_prefix("gitdir: ")?);
    let common = fs::read_to_string(git.join("commondir")).ok();
    Some(common.map_or(git.clone(), |common| git.join(common.trim())))
}

/// `remote.origin.url` of git's configuration.
fn origin(config: &str) -> Option<String> {
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[remote \"origin\"]";
        } else if let (true, Some((name, value))) = (inside, line.split_once('='))
            && name.trim() == "url"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// Host and path of `https://host/path.git`, `ssh://git@host:port/path`, `git@host:path`; never a user or a
/// password.
fn parse(url: &str) -> Option<Origin> {
    let (host, path) = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let host = authority.rsplit('@').next()?;
            // A port of SSH is of no use to anybody else.
            let host = if scheme == "ssh" { host.split(':').next()? } else { host };
            (host, path)
        }
        None => {
            let (authority, path) = url.split_once(':')?;
            (authority.rsplit('@').next()?, path)
        }
    };
    let path = path.trim_matches('/').trim_end_matches(".git");
    let fits = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:".contains(&b))
    };
    (fits(host) && fits(path)).then(|| Origin { host: host.to_ascii_lowercase(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (url, expected) in [
            ("https://github.com/Acme/App.git", Some(("github.com", "Acme/App"))),
            ("https://user:secret@gitlab.example.com:8443/g/s/p", Some(("gitlab.example.com:8443", "g/s/p"))),
            ("git@github.com:acme/app.git", Some(("github.com", "acme/app"))),
            ("ssh://git@host.example:2222/team/app.git/", Some(("host.example", "team/app"))),
            ("/srv/git/app.git", None),
            ("file:///srv/git/app.git", None),
            ("https://host/a b", None),
        ] {
            let expected = expected.map(|(h, p)| Origin { host: h.to_owned(), path: p.to_owned() });
            assert_eq!(parse(url), expected, "{url}");
        }
        let config =
            "[core]\n\turl = no\n[remote \"up\"]\n\turl = x\n[remote \"origin\"]\n\tfetch = y\n\turl = z\n";
        assert_eq!(origin(config).as_deref(), Some("z"));
    }
}
