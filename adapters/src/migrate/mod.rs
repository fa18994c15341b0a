//! `yadokari migrate FILE`: rewrites what used kaniko, buildah's Task or build-push-action to use us. Only the
//! words that change are replaced; comments and layout stay.

mod edit;
mod github;
mod gitlab;
mod image;
mod kubernetes;
mod tekton;
mod unified;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::files;
use crate::usage::Usage;
use crate::yaml::{self, Node};
use edit::Edits;

/// A larger file is refused.
const LARGEST: u64 = 4 << 20;

/// The flags of `yadokari migrate`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Migrate {
    /// A Kubernetes manifest, a Tekton file, a .gitlab-ci.yml or a GitHub workflow
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the file; otherwise only the difference is shown
    #[arg(long)]
    write: bool,
}

/// What became of a text.
pub(crate) struct Migrated {
    /// The new text.
    pub(crate) text: String,
    /// What the user should look at, each with a line of the old text.
    pub(crate) remarks: Vec<(usize, String)>,
}

/// Shows what changes, and what is left to do; changes the file if asked to.
///
/// # Errors
/// The file cannot be read or written, or has nothing that can be rewritten.
pub(crate) fn run(flags: &Migrate) -> Result<u8, Usage> {
    let shown = flags.file.display().to_string();
    let old = read(&flags.file)?;
    let Migrated { text, remarks } =
        migrate(&old, &shown).map_err(|e| Usage { message: format!("{shown}: {}", e.message), ..e })?;
    let notes: String = remarks.iter().map(|(line, remark)| format!("{shown}:{line}: {remark}\n")).collect();
    crate::complain(&notes);
    if text == old {
        return Err(Usage::new(format!("{shown} has nothing that can be rewritten")).help(
            "it rewrites kaniko's image, catalog Tasks kaniko and buildah, and docker/build-push-action",
        ));
    }
    let (before, after) = (format!("a/{shown}"), format!("b/{shown}"));
    let code = crate::print(&unified::unified(&old, &text, (&before, &after)));
    if flags.write {
        files::write(&flags.file, text.as_bytes()).map_err(|e| Usage::new(e.to_string()))?;
        crate::complain(&format!("{shown} is changed\n"));
    }
    Ok(code)
}

fn read(path: &Path) -> Result<String, Usage> {
    let failed = |e: std::io::Error| Usage::new(format!("{} cannot be read: {e}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    match text.len() as u64 > LARGEST {
        true => Err(Usage::new(format!("{} is larger than 4 MiB", path.display()))),
        false => Ok(text),
    }
}

/// Rewrites a text; `name` is its file's.
///
/// # Errors
/// It is no YAML.
pub(crate) fn migrate(text: &str, name: &str) -> Result<Migrated, Usage> {
    let documents = yaml::parse(text).map_err(|e| Usage::new(format!("line {}: {e}", e.line)))?;
    let mut edits = Edits::new(text);
    for document in &documents {
        one(document, name, &mut edits);
    }
    let (text, remarks) = edits.finish();
    Ok(Migrated { text, remarks })
}

/// By what a document looks like.
fn one(document: &Node, name: &str, edits: &mut Edits<'_>) {
    let version = document.get("apiVersion").and_then(Node::text).unwrap_or_default();
    if version.starts_with("tekton.dev/") {
        tekton::rewrite(document, edits);
    } else if !version.is_empty() {
        kubernetes::rewrite(document, edits);
    } else if document.get("jobs").is_some() && document.get("on").is_some() || document.get("runs").is_some()
    {
        github::rewrite(document, edits);
    } else if name.contains("gitlab") || document.get("jobs").is_none() {
        gitlab::rewrite(document, edits);
    }
}

#[cfg(test)]
mod tests;
