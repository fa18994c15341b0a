//! Secrets that one container of a pod hands to the next, where they are read once.
//!
//! A mounted Secret cannot be unlinked, and a build in the container's own root cannot hide it from
//! the commands of a Dockerfile. So a first container has it mounted, and copies what a build needs
//! to a volume in memory; the build reads the copies and unlinks them before anything executes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use yadokari::config::{
    BuildConfig, CredentialLocation, CredentialSource, SecretBytes, SecretSource, StepSecret,
};

use crate::usage::Usage;

/// docker's file, and the key that `kubectl create secret docker-registry` gives it.
pub(crate) const CONFIG_FILES: [&str; 2] = ["config.json", ".dockerconfigjson"];
/// Directory of build secrets in a volume of handed over files; one file a secret, named as its id.
const SECRETS: &str = "secrets";
/// As the keychain's own limit for a `config.json`.
const LARGEST_CONFIG: u64 = 4 << 20;
/// `BuildKit`'s limit for a secret.
const LARGEST_SECRET: u64 = 500 * 1024;

/// The flags of `yadokari hand-over`; an empty value is a workspace that is not bound.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HandOver {
    /// Directory with docker's config.json, or the .dockerconfigjson of a Secret
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) dockerconfig: String,
    /// Directory with build secrets, one file each, named as its id
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) secrets: String,
    /// Directory, best in memory, that the build is given with --credentials-once
    #[arg(long, value_name = "DIR")]
    pub(crate) to: String,
}

/// Copies what is there; a text that says what was copied, without any content.
///
/// # Errors
/// A directory is named and holds nothing of use, or a file cannot be copied.
pub(crate) fn give(flags: &HandOver) -> Result<String, Usage> {
    let to = Path::new(&flags.to);
    let mut given = Vec::new();
    if let Some(from) = bound(&flags.dockerconfig) {
        let before = given.len();
        for name in CONFIG_FILES {
            if let Some(content) = read(&from.join(name), LARGEST_CONFIG)? {
                write(&to.join(name), &content)?;
                given.push(name.to_owned());
            }
        }
        if given.len() == before {
            return Err(Usage::new(format!(
                "{} has neither {} nor {}",
                from.display(),
                CONFIG_FILES[0],
                CONFIG_FILES[1]
            ))
            .help(
                "bind a Secret of the type kubernetes.io/dockerconfigjson, or one with the key config.json",
            ));
        }
    }
    if let Some(from) = bound(&flags.secrets) {
        for (id, content) in secrets_in(&from)? {
            make_directory(&to.join(SECRETS))?;
            write(&to.join(SECRETS).join(&id), &content)?;
            given.push(format!("the secret {id}"));
        }
    }
    Ok(match given.as_slice() {
        [] => "nothing to hand over\n".to_owned(),
        all => format!("handed over: {}\n", all.join(", ")),
    })
}

/// What was handed over.
#[derive(Default)]
pub(crate) struct Taken {
    /// Credentials of registries, to be looked at first.
    pub(crate) credentials: Vec<CredentialSource>,
    /// Secrets for `RUN --mount=type=secret`.
    pub(crate) secrets: Vec<StepSecret>,
}

impl Taken {
    /// Lets a build use it. Of two secrets of a name the later counts, which is one given otherwise.
    pub(crate) fn put_in(self, config: &mut BuildConfig) {
        config.keychain.sources.splice(0..0, self.credentials);
        config.steps.secrets.splice(0..0, self.secrets);
    }
}

/// Reads what is in a directory of handed over files, and unlinks it.
///
/// # Errors
/// The directory cannot be read, or a file in it cannot be unlinked: steps could read it.
pub(crate) fn take(from: &Path) -> Result<Taken, Usage> {
    if !from.is_dir() {
        return Err(Usage::new(format!("--credentials-once {} is no directory", from.display()))
            .help("mount the volume that yadokari hand-over wrote to"));
    }
    let mut taken = Taken::default();
    for name in CONFIG_FILES {
        let path = from.join(name);
        let Some(content) = read(&path, LARGEST_CONFIG)? else { continue };
        unlink(&path)?;
        let text = String::from_utf8(content)
            .map_err(|_| Usage::new(format!("{} is no UTF-8 text", path.display())))?;
        let name = path.display().to_string();
        taken.credentials.push(CredentialSource { name, location: CredentialLocation::Inline(text) });
    }
    let directory = from.join(SECRETS);
    if directory.is_dir() {
        for (id, content) in secrets_in(&directory)? {
            unlink(&directory.join(&id))?;
            taken.secrets.push(StepSecret { id, source: SecretSource::Value(SecretBytes(content)) });
        }
    }
    Ok(taken)
}

fn bound(directory: &str) -> Option<PathBuf> {
    Some(directory.trim()).filter(|d| !d.is_empty()).map(PathBuf::from)
}

/// The files of a directory as a kubelet mounts a Secret: names that start with two dots are its own
/// versions, the others are links into the current one. Sorted by name.
fn secrets_in(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, Usage> {
    let failed = |e: std::io::Error| Usage::new(format!("cannot read {}: {e}", directory.display()));
    let mut secrets = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(id) = name.to_str() else {
            return Err(Usage::new(format!("{} has a name that is no UTF-8", directory.display())));
        };
        let path = directory.join(id);
        if !id.starts_with("..") && path.is_file() {
            secrets.extend(read(&path, LARGEST_SECRET)?.map(|content| (id.to_owned(), content)));
        }
    }
    secrets.sort();
    Ok(secrets)
}

/// A file's content, bounded; none if there is no such file.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Usage> {
    let failed = |e: std::io::Error| Usage::new(format!("cannot read {}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e).help("let both containers run as the same user")),
    };
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    match content.len() as u64 > limit {
        true => Err(Usage::new(format!("{} has more than {} KiB", path.display(), limit >> 10))),
        false => Ok(Some(content)),
    }
}

fn make_directory(path: &Path) -> Result<(), Usage> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Usage::new(format!("cannot make {}: {e}", path.display())))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Usage> {
    let mut options = OpenOptions::new();
    let written = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content));
    written.map_err(|e| {
        Usage::new(format!("cannot write {}: {e}", path.display()))
            .help("mount a volume of the kind emptyDir with medium: Memory there")
    })
}

fn unlink(path: &Path) -> Result<(), Usage> {
    fs::remove_file(path).map_err(|e| {
        Usage::new(format!("{} cannot be unlinked, so steps could read it: {e}", path.display()))
            .help("let yadokari hand-over copy it to a volume that both containers may write")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn flags(dockerconfig: &Path, secrets: &Path, to: &Path) -> HandOver {
        let text = |path: &Path| path.display().to_string();
        HandOver { dockerconfig: text(dockerconfig), secrets: text(secrets), to: text(to) }
    }

    /// A Secret as the kubelet mounts it: `key -> ..data/key`, `..data -> ..version`.
    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..2026")).unwrap();
        symlink("..2026", dir.path().join("..data")).unwrap();
        for (name, content) in files {
            fs::write(dir.path().join("..2026").join(name), content).unwrap();
            symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
        }
        dir
    }

    #[test]
    fn what_is_given_can_be_taken_once() {
        let config = mounted(&[(".dockerconfigjson", r#"{"auths":{}}"#), ("notes", "x")]);
        let secrets = mounted(&[("npm", "s3cret\n"), ("GIT_AUTH_TOKEN.h", "t")]);
        let to = tempfile::tempdir().unwrap();
        let said = give(&flags(config.path(), secrets.path(), to.path())).unwrap();
        assert_eq!(said, "handed over: .dockerconfigjson, the secret GIT_AUTH_TOKEN.h, the secret npm\n");
        let mode = fs::metadata(to.path().join(".dockerconfigjson")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let taken = take(to.path()).unwrap();
        let [source] = taken.credentials.as_slice() else { panic!("one source") };
        assert!(matches!(&source.location, CredentialLocation::Inline(text) if text == r#"{"auths":{}}"#));
        let ids: Vec<&str> = taken.secrets.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["GIT_AUTH_TOKEN.h", "npm"]);
        assert_eq!(taken.secrets[1].source, SecretSource::Value(SecretBytes(b"s3cret\n".to_vec())));

        let again = take(to.path()).unwrap();
        assert!(again.credentials.is_empty() && again.secrets.is_empty());
    }

    #[test]
    fn what_is_not_bound_is_not_there() {
        let to = tempfile::tempdir().unwrap();
        let none = Path::new("");
        assert_eq!(give(&flags(none, none, to.path())).unwrap(), "nothing to hand over\n");
        let empty = mounted(&[]);
        let error = give(&flags(empty.path(), none, to.path())).unwrap_err();
        assert!(error.message.contains("neither config.json nor .dockerconfigjson"));
        assert!(take(&to.path().join("missing")).is_err());
        let large = mounted(&[("big", &"x".repeat(LARGEST_SECRET as usize + 1))]);
        assert!(give(&flags(none, large.path(), to.path())).is_err());
    }
}
