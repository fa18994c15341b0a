//! The caller's secrets, read before the first step.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::config::{SecretBytes, SecretSource, StepSecret};
use crate::plan::{Action, Plan, RunMountKind};

use super::super::Error;

/// Most bytes of a secret, BuildKit's `secrets.MaxSecretSize`.
const LARGEST: u64 = 500 * 1024;

/// Secrets by name: those that steps ask for.
#[derive(Default)]
pub(in crate::build) struct Secrets(BTreeMap<String, SecretBytes>);

impl Secrets {
    /// Reads the secrets that a plan's steps ask for.
    ///
    /// # Errors
    /// At the step: a required secret was not given, or one that was given cannot be read.
    pub(in crate::build) fn read(given: &[StepSecret], plan: &Plan) -> Result<Secrets, Error> {
        let mut known = BTreeMap::new();
        for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
            let Action::Run(run) = &step.action else { continue };
            for mount in &run.mounts {
                let RunMountKind::Secret { id, required, .. } = &mount.kind else { continue };
                if known.contains_key(id) {
                    continue;
                }
                // The last of a name wins, as in buildx.
                match given.iter().rev().find(|secret| secret.id == *id) {
                    Some(secret) => {
                        let content = read(secret).map_err(|e| e.at(&step.place))?;
                        known.insert(id.clone(), SecretBytes(content));
                    }
                    None if *required => return Err(missing(id).at(&step.place)),
                    None => {}
                }
            }
        }
        Ok(Secrets(known))
    }

    /// A secret that was given.
    pub(super) fn get(&self, id: &str) -> Option<&SecretBytes> {
        self.0.get(id)
    }
}

fn missing(id: &str) -> Error {
    Error::Other {
        message: format!("the secret '{id}' is required and was not given"),
        help: Some(format!("give it with --secret id={id},src=FILE or --secret id={id},env=NAME")),
    }
}

/// The bytes of a secret, bounded.
///
/// # Errors
/// Its file cannot be read, or it is too large.
pub(in crate::build) fn read(secret: &StepSecret) -> Result<Vec<u8>, Error> {
    let content = match &secret.source {
        SecretSource::Value(value) => value.0.clone(),
        SecretSource::File(path) => read_file(path)
            .map_err(|e| Error::other(format!("cannot read the secret '{}': {e}", secret.id)))?,
    };
    if content.len() as u64 > LARGEST {
        return Err(Error::Other {
            message: format!("the secret '{}' has more than {} KiB", secret.id, LARGEST >> 10),
            help: Some("give large files as a build context, or encrypted".to_owned()),
        });
    }
    Ok(content)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let named = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(named)?;
    if file.metadata().map_err(named)?.is_dir() {
        return Err(format!("{} is a directory", path.display()));
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(named)?;
    Ok(content)
}

/// A secret as the value of a variable.
pub(super) fn text(id: &str, content: &SecretBytes) -> Result<String, Error> {
    String::from_utf8(content.0.clone()).ok().filter(|text| !text.contains('\0')).ok_or_else(|| {
        Error::Other {
            message: format!("the secret '{id}' is no text, and cannot be the value of a variable"),
            help: Some("mount it as a file: leave `env` out".to_owned()),
        }
    })
}
