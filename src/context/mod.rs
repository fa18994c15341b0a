//! Where source files come from: a directory, seen through its ignore rules.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::ContextSource;
use crate::dockerfile::{IgnoreMatcher, Source, Span};
use crate::layer::DirView;

/// Most bytes of a Dockerfile or an ignore file.
const MAX_TEXT: u64 = 16 << 20;

/// Why the context, or a text in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// No such directory, or no rights to it.
    #[error("cannot open the build context {}: {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No Dockerfile where one was looked for.
    #[error("there is no Dockerfile at {}", looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" nor at "))]
    NoDockerfile {
        /// The places.
        looked: Vec<PathBuf>,
    },
    /// A text that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A wrong pattern.
    #[error("{}: {message}", path.display())]
    Ignore {
        /// The ignore file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
}

/// A directory of source files. Held by a descriptor, so that it stays readable when the
/// directories around it are renamed.
pub struct Context {
    path: PathBuf,
    view: DirView,
    ignore: Option<Arc<IgnoreRules>>,
}

/// The rules of an ignore file, and which file.
pub struct IgnoreRules {
    /// The file.
    pub path: PathBuf,
    /// Its patterns.
    pub matcher: IgnoreMatcher,
}

impl Context {
    /// Opens the directory of a build context, without ignore rules yet.
    ///
    /// # Errors
    /// [`ContextError::Open`].
    pub fn open(source: &ContextSource, sub_path: Option<&Path>) -> Result<Option<Context>, ContextError> {
        let ContextSource::Directory(directory) = source else { return Ok(None) };
        let path = sub_path.map_or_else(|| directory.clone(), |sub| join_below(directory, sub));
        Self::directory(&path).map(Some)
    }

    /// Opens a named context's directory, with its own `.dockerignore`.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn named(path: &Path) -> Result<Context, ContextError> {
        let mut context = Self::directory(path)?;
        context.ignore = read_ignore(&path.join(".dockerignore"))?;
        Ok(context)
    }

    fn directory(path: &Path) -> Result<Context, ContextError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let view =
            DirView::at(&absolute).map_err(|source| ContextError::Open { path: absolute.clone(), source })?;
        Ok(Context { path: absolute, view, ignore: None })
    }

    /// The same context where it is now: what was at its path may have been set aside.
    ///
    /// # Errors
    /// [`ContextError::Open`].
    pub fn relocated(&self, now: &Path) -> Result<Context, ContextError> {
        Ok(Context { ignore: self.ignore.clone(), ..Self::directory(now)? })
    }

    /// The directory's absolute path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files.
    pub fn view(&self) -> &DirView {
        &self.view
    }

    /// Its ignore rules.
    pub fn ignore(&self) -> Option<&IgnoreRules> {
        self.ignore.as_deref()
    }
}

/// Reads the Dockerfile, looked for relative to the working directory and then to the context,
/// as kaniko does, and gives the context the ignore rules that go with it:
/// `<Dockerfile>.dockerignore` beside it, else `.dockerignore` of the context.
///
/// # Errors
/// [`ContextError`].
pub fn read_dockerfile(dockerfile: &Path, context: Option<&mut Context>) -> Result<Source, ContextError> {
    let mut looked = vec![dockerfile.to_owned()];
    if let Some(context) = &context {
        looked.push(context.path.join(dockerfile));
        // BuildKit's fallback for the default name.
        if dockerfile == Path::new("Dockerfile") {
            looked.push(context.path.join("dockerfile"));
        }
    }
    looked.dedup();
    for path in &looked {
        match read_text(path) {
            Ok(bytes) => {
                if let Some(context) = context {
                    let mut own = path.clone().into_os_string();
                    own.push(".dockerignore");
                    context.ignore = match read_ignore(Path::new(&own))? {
                        Some(rules) => Some(rules),
                        None => read_ignore(&context.path.join(".dockerignore"))?,
                    };
                }
                return Ok(Source::from_bytes(path.display().to_string(), &bytes));
            }
            Err(error) if absent(&error) => {}
            Err(source) => return Err(ContextError::Read { path: path.clone(), source }),
        }
    }
    Err(ContextError::NoDockerfile { looked })
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

fn read_ignore(path: &Path) -> Result<Option<Arc<IgnoreRules>>, ContextError> {
    let text = match read_text(path).and_then(|bytes| ignore_text(&bytes)) {
        Ok(text) => text,
        Err(error) if absent(&error) => return Ok(None),
        Err(source) => return Err(ContextError::Read { path: path.to_owned(), source }),
    };
    let matcher = IgnoreMatcher::parse(&text)
        .map_err(|e| ContextError::Ignore { path: path.to_owned(), message: e.to_string() })?;
    Ok(Some(Arc::new(IgnoreRules { path: path.to_owned(), matcher })))
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_TEXT >> 20)));
    }
    Ok(bytes)
}

/// The text of an ignore file. Comments may be in any encoding.
fn ignore_text(bytes: &[u8]) -> io::Result<String> {
    let source = Source::from_bytes("", bytes);
    let mut at = 0;
    for (index, line) in source.text().split_inclusive('\n').enumerate() {
        let span = Span::new(at, at + line.len());
        if !line.starts_with('#') && source.is_replaced(span) {
            return Err(io::Error::other(format!("line {} is not UTF-8", index + 1)));
        }
        at = span.end;
    }
    Ok(source.text().to_owned())
}

/// `sub` below `directory`, whatever it starts with.
fn join_below(directory: &Path, sub: &Path) -> PathBuf {
    directory.join(sub.strip_prefix("/").unwrap_or(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_an_ignore_file_may_be_in_any_encoding() {
        assert_eq!(ignore_text(b"# caf\xe9\na\n").unwrap(), "# caf\u{fffd}\na\n");
        let error = ignore_text(b"# a\ncaf\xe9\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2 is not UTF-8");
    }
}
