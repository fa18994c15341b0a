//! Named contexts that must be put on disk before they are used: archives of images, archives and
//! repositories that are elsewhere. Those nobody uses are left where they are.

mod docker_archive;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::{BuildConfig, NamedContext};
use crate::context::Context;
use crate::fetch::{Fetcher, Remote};
use crate::layer::{LayerSource, Limits, unpack_archive};
use crate::plan::{CopyFrom, FromImage, Plan};
use crate::registry::Network;
use crate::run::Cancel;

use super::Error;
use super::remotes::dress;
use super::workspace::Workspace;

/// What a file is called that is no archive (BuildKit, `namedcontext.go`).
const FILE: &str = "context";

/// Named contexts as they are once they are on disk.
pub(super) struct Named<'a> {
    /// What planning sees: directories and layouts, of which some are still empty.
    pub(super) contexts: BTreeMap<String, NamedContext>,
    pending: Mutex<BTreeMap<PathBuf, Source>>,
    fetched: Vec<PathBuf>,
    fetcher: Fetcher,
    network: &'a Network,
    cancel: Cancel,
}

/// What is put into a directory.
#[derive(Debug, Clone)]
enum Source {
    /// A docker archive, and the name of the image in it.
    DockerArchive(PathBuf, Option<String>),
    /// An OCI layout in an archive.
    OciArchive(PathBuf),
    /// An archive of a web server, or a repository.
    Remote(Remote),
}

impl<'a> Named<'a> {
    pub(super) fn new(
        config: &BuildConfig,
        workspace: &Workspace,
        fetcher: Fetcher,
        network: &'a Network,
        cancel: &Cancel,
    ) -> Result<Named<'a>, Error> {
        let mut named = Named {
            contexts: BTreeMap::new(),
            pending: Mutex::default(),
            fetched: Vec::new(),
            fetcher,
            network,
            cancel: cancel.clone(),
        };
        for (number, (name, context)) in config.build_contexts.iter().enumerate() {
            let context = match source(name, context)? {
                None => context.clone(),
                Some(source) => {
                    let path = workspace.directory_outside(&format!("named-{number}"))?;
                    named.later(path, source, context)
                }
            };
            named.contexts.insert(name.clone(), context);
        }
        Ok(named)
    }

    /// What a context will be that is put into a directory when it is used.
    fn later(&mut self, path: PathBuf, source: Source, context: &NamedContext) -> NamedContext {
        let is_remote = matches!(source, Source::Remote(_));
        let subdir = match &source {
            Source::Remote(Remote::Git(git)) => git.subdir(),
            _ => String::new(),
        };
        self.pending.get_mut().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), source);
        if is_remote {
            self.fetched.push(path.clone());
            return NamedContext::Directory(if subdir.is_empty() { path } else { path.join(subdir) });
        }
        let tag = match context {
            NamedContext::OciArchive { tag, .. } => tag.clone(),
            _ => None,
        };
        NamedContext::OciLayout { path, tag, digest: None }
    }

    /// An image of a named context as it is once it is on disk, if that is elsewhere.
    pub(super) fn on_disk(&self, image: &FromImage) -> Option<FromImage> {
        match image {
            FromImage::Named(name, _) => {
                let context = self.contexts.get(name)?.clone();
                Some(FromImage::Named(name.clone(), context))
            }
            FromImage::Registry(_) => None,
        }
    }

    /// Puts what belongs into a directory there, once.
    ///
    /// # Errors
    /// It cannot be had, or is not what it should be.
    pub(super) fn ensure(&self, path: &Path) -> Result<(), Error> {
        // Held meanwhile: a second user waits for the first.
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(directory) = pending.keys().find(|directory| path.starts_with(directory)).cloned() else {
            return Ok(());
        };
        let Some(source) = pending.remove(&directory) else { return Ok(()) };
        self.put(&source, &directory)
    }

    /// Puts every directory on disk that steps of the plan read.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub(super) fn ensure_used(&self, plan: &Plan) -> Result<(), Error> {
        for step in plan.stages.iter().flat_map(|s| &s.steps) {
            for from in step.action.sources() {
                if let CopyFrom::Directory(_, path) = from {
                    self.ensure(path).map_err(|e| e.at(&step.place))?;
                }
            }
        }
        Ok(())
    }

    /// Opens a named directory. Ignore rules count where its files are the user's own (BuildKit).
    ///
    /// # Errors
    /// There is no such directory.
    pub(super) fn open(&self, path: &Path) -> Result<Context, Error> {
        match self.fetched.iter().find(|root| path.starts_with(root)) {
            Some(root) => {
                let below = path.strip_prefix(root).unwrap_or(Path::new(""));
                Ok(Context::confined(root, below)?)
            }
            None => Ok(Context::named(path)?),
        }
    }

    fn put(&self, source: &Source, directory: &Path) -> Result<(), Error> {
        match source {
            Source::OciArchive(path) => unpack(path, directory),
            Source::DockerArchive(path, name) => {
                let unpacked = directory.with_extension("unpacked");
                fs::create_dir_all(&unpacked).map_err(|e| unwritable(&unpacked, &e))?;
                unpack(path, &unpacked)?;
                docker_archive::to_layout(path, &unpacked, name.as_deref(), directory)
            }
            Source::Remote(Remote::Git(git)) => {
                let stop = || self.cancel.signal().is_some();
                self.fetcher.checkout(git, directory, &stop)?;
                Ok(())
            }
            Source::Remote(Remote::Url(url)) => {
                let path = directory.with_extension("download");
                let file = File::create_new(&path).map_err(|e| unwritable(&path, &e))?;
                let kept = file.try_clone().map_err(|e| unwritable(&path, &e))?;
                let download = self.network.block_on(self.fetcher.download(url, file))?;
                dress(&kept, &download).map_err(|e| unwritable(&path, &e))?;
                if is_archive(&path).map_err(|e| unwritable(&path, &e))? {
                    unpack_as(&path, &url.shown(), directory)?;
                    return fs::remove_file(&path).map_err(|e| unwritable(&path, &e));
                }
                fs::rename(&path, directory.join(FILE)).map_err(|e| unwritable(&path, &e))
            }
        }
    }
}

/// What must be put on disk for a context; none for one that is there.
fn source(name: &str, context: &NamedContext) -> Result<Option<Source>, Error> {
    Ok(match context {
        NamedContext::Directory(_) | NamedContext::OciLayout { .. } | NamedContext::Image(_) => None,
        NamedContext::DockerArchive { path, name } => Some(Source::DockerArchive(path.clone(), name.clone())),
        NamedContext::OciArchive { path, .. } => Some(Source::OciArchive(path.clone())),
        NamedContext::Remote(text) => {
            let wrong = |reason: String| Error::other(format!("the build context '{name}': {reason}"));
            let remote = Remote::parse(text).map_err(|e| wrong(e.to_string()))?;
            let remote =
                remote.ok_or_else(|| wrong("it names neither a file nor a repository".to_owned()))?;
            Some(Source::Remote(remote))
        }
    })
}

fn unpack(archive: &Path, directory: &Path) -> Result<(), Error> {
    unpack_as(archive, &archive.display().to_string(), directory)
}

fn unpack_as(archive: &Path, name: &str, directory: &Path) -> Result<(), Error> {
    let file = File::open(archive).map_err(|e| Error::other(format!("cannot open {name}: {e}")))?;
    let source = LayerSource { name: name.to_owned(), reader: Box::new(file), diff_id: None };
    let unpacked = unpack_archive(source, directory, &Limits::default());
    unpacked.map(drop).map_err(|e| {
        let words = e.to_string();
        let words = words.strip_prefix(&format!("layer {name}: ")).unwrap_or(&words);
        Error::other(format!("cannot unpack {name}: {words}"))
    })
}

/// Whether a file is an archive, by its first bytes (BuildKit, `isArchive`, and zstd).
fn is_archive(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    BufReader::new(File::open(path)?).take(512).read_to_end(&mut start)?;
    let magics: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    let is_tar = start.get(257..262) == Some(b"ustar");
    Ok(is_tar || magics.iter().any(|magic| start.starts_with(magic)))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::other(format!("cannot write {}: {error}", path.display()))
}
