//! The engine for results: files of one value, files of lines that are appended to, JSON files, and lines on
//! standard output.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use yadokari::config::{BuildConfig, BuildOutcome};
use yadokari::event::Events;

use crate::cli::files;
use crate::cli::results::{NAMES, Name};
use crate::session::EmitError;

/// An image.
pub(super) struct Image<'a> {
    /// Put behind the names of its variables, where there are several images: the target's name.
    pub(super) suffix: String,
    /// What was built.
    pub(super) config: &'a BuildConfig,
    /// What it came to.
    pub(super) outcome: &'a BuildOutcome,
}

/// What came out.
pub(super) struct Results<'a> {
    /// The images, one at least.
    pub(super) images: Vec<Image<'a>>,
    /// Where warnings go.
    pub(super) events: &'a Events,
    /// What [`super::System`]'s `before` said.
    pub(super) before: Option<&'a str>,
}

impl Results<'_> {
    /// A result of the first image by its name, `digest`; none where nothing was pushed and it would name what
    /// is not there.
    pub(super) fn get(&self, output: &str) -> Option<String> {
        NAMES.into_iter().find(|name| name.output == output).and_then(|name| self.value(name))
    }

    /// As [`Results::get`].
    pub(super) fn value(&self, name: Name) -> Option<String> {
        let first = self.images.first()?;
        name.value(first.config, first.outcome)
    }

    /// What the images came to.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = &BuildOutcome> + Clone {
        self.images.iter().map(|image| image.outcome)
    }

    /// Everything that fits a line, by its variable's name: `IMAGE_DIGEST` and its like.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let pairs = self.images.iter().flat_map(|image| {
            let short = NAMES.into_iter().filter(|name| name.output != "metadata");
            short.filter_map(|name| {
                let value = name.value(image.config, image.outcome)?;
                Some((format!("{}{}", name.variable, image.suffix), value))
            })
        });
        pairs.collect()
    }

    /// Everything that fits a line, each with its line's end.
    pub(super) fn lines(&self, line: impl Fn(&str, &str) -> String) -> String {
        self.pairs().iter().map(|(name, value)| format!("{}\n", line(name, value))).collect()
    }

    /// The digest, and where the image is; those that are known.
    pub(super) fn object(&self, names: &[&str]) -> Value {
        let known = names.iter().filter_map(|name| Some(((*name).to_owned(), self.get(name)?.into())));
        Value::Object(known.collect())
    }
}

/// Writes a value without a newline: it would be part of it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), EmitError> {
    Ok(files::write(path, text.as_bytes())?)
}

/// Appends to a file that other steps write to, too.
pub(super) fn append(path: &Path, text: &str) -> Result<(), EmitError> {
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|source| EmitError::Append { path: path.to_owned(), source })
}

/// Writes a JSON document.
pub(super) fn json(path: &Path, value: &Value) -> Result<(), EmitError> {
    write(path, &format!("{value:#}\n"))
}

/// Writes lines that the system reads in the log.
pub(super) fn say(text: &str) -> Result<(), EmitError> {
    write(Path::new("/dev/stdout"), text)
}
