//! What a bundle was made from, in `yadokari.json`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SEED;
use crate::image::{Digest, Platform, Reference};
use crate::ship::{ArchiveKind, Place, ShipError, Source};

/// Most bytes of the file.
const LIMIT: u64 = 1 << 20;

/// What a bundle was made from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seed {
    /// Version of this file: 1.
    version: u32,
    /// Where the image was.
    from: Origin,
    /// Its config, by which it is known again.
    pub(super) config: Digest,
    /// Its platform.
    pub(super) platform: Platform,
    /// Who unpacked it: somebody else sees other owners.
    owner: Owner,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Origin {
    Registry(String),
    Layout { path: PathBuf, digest: Digest },
    OciArchive { path: PathBuf, name: Option<String> },
    DockerArchive { path: PathBuf, name: Option<String> },
}

/// The user, and how ids are mapped.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    uid: u32,
    ids: Vec<String>,
}

impl Owner {
    fn current() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        Owner { uid: rustix::process::geteuid().as_raw(), ids: map.lines().map(words).collect() }
    }
}

impl Seed {
    pub(super) fn new(
        place: &Place,
        source: &Source,
        config: Digest,
        platform: Platform,
    ) -> Result<Self, ShipError> {
        let absolute = |path: &Path| {
            fs::canonicalize(path).map_err(|e| ShipError::new(format!("cannot find {}: {e}", path.display())))
        };
        let digest = source.root().digest;
        let from = match place {
            Place::Registry(reference) => {
                Origin::Registry(reference.clone_with_digest(digest.to_string()).whole())
            }
            Place::Layout { path, .. } => Origin::Layout { path: absolute(path)?, digest },
            Place::Archive { path, .. } if path == Path::new("-") => {
                return Err(ShipError::new("a bundle cannot be made of what is on standard input")
                    .help("give a file: its layers are needed again by yadokari repack"));
            }
            Place::Archive { path, kind, name } => {
                let (path, name) = (absolute(path)?, name.clone());
                match kind {
                    Some(ArchiveKind::Oci) => Origin::OciArchive { path, name },
                    Some(ArchiveKind::Docker) => Origin::DockerArchive { path, name },
                    None if source.is_layout() => Origin::OciArchive { path, name },
                    None => Origin::DockerArchive { path, name },
                }
            }
        };
        Ok(Seed { version: 1, from, config, platform, owner: Owner::current() })
    }

    pub(super) fn write(&self, bundle: &Path) -> Result<(), ShipError> {
        let path = bundle.join(SEED);
        let text = serde_json::to_vec_pretty(self).map_err(|e| ShipError::new(e.to_string()))?;
        fs::write(&path, text).map_err(|e| ShipError::new(format!("cannot write {}: {e}", path.display())))
    }

    /// Reads it, and refuses one that would be misunderstood here.
    pub(super) fn read(bundle: &Path) -> Result<Self, ShipError> {
        let path = bundle.join(SEED);
        let no_bundle = |why: String| {
            ShipError::new(format!("{} is no bundle of yadokari unpack: {why}", bundle.display()))
        };
        let mut text = Vec::new();
        let file = fs::File::open(&path).map_err(|e| no_bundle(format!("{SEED}: {e}")))?;
        file.take(LIMIT).read_to_end(&mut text).map_err(|e| no_bundle(format!("{SEED}: {e}")))?;
        let seed: Seed = serde_json::from_slice(&text).map_err(|e| no_bundle(format!("{SEED}: {e}")))?;
        if seed.version != 1 {
            return Err(no_bundle(format!("{SEED} is of version {}", seed.version)));
        }
        if seed.owner != Owner::current() {
            return Err(ShipError::new(format!(
                "{} was unpacked by another user, or with other ids: its owners mean something else here",
                bundle.display()
            ))
            .help("run yadokari repack as the user who ran yadokari unpack"));
        }
        Ok(seed)
    }

    /// Where the image is.
    pub(super) fn place(&self) -> Result<Place, ShipError> {
        let archive = |path: &Path, kind, name: &Option<String>| Place::Archive {
            path: path.to_owned(),
            kind: Some(kind),
            name: name.clone(),
        };
        Ok(match &self.from {
            Origin::Registry(text) => {
                let reference: Reference =
                    text.parse().map_err(|e| ShipError::new(format!("{SEED} names '{text}': {e}")))?;
                Place::Registry(reference)
            }
            Origin::Layout { path, digest } => {
                Place::Layout { path: path.clone(), tag: None, digest: Some(*digest) }
            }
            Origin::OciArchive { path, name } => archive(path, ArchiveKind::Oci, name),
            Origin::DockerArchive { path, name } => archive(path, ArchiveKind::Docker, name),
        })
    }
}
