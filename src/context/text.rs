//! The Dockerfile and the ignore file of a context.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::dockerfile::{IgnoreMatcher, Source, Span};
use crate::layer::{View, resolve};

use super::{Context, ContextError, IgnoreRules};

/// Most bytes of a Dockerfile or an ignore file.
const MAX_TEXT: u64 = 16 << 20;

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
        let found = read_in(context.as_deref(), path);
        match found {
            Ok(bytes) => {
                if let Some(context) = context {
                    let mut own = path.clone().into_os_string();
                    own.push(".dockerignore");
                    context.ignore = match parse_ignore(Some(context), Path::new(&own))? {
                        Some(rules) => Some(rules),
                        None => parse_ignore(Some(context), &context.path.join(".dockerignore"))?,
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

/// Reads an ignore file, if it is there.
pub(super) fn read_ignore(path: &Path) -> Result<Option<Arc<IgnoreRules>>, ContextError> {
    parse_ignore(None, path)
}

fn parse_ignore(context: Option<&Context>, path: &Path) -> Result<Option<Arc<IgnoreRules>>, ContextError> {
    let text = match read_in(context, path).and_then(|bytes| ignore_text(&bytes)) {
        Ok(text) => text,
        Err(error) if absent(&error) => return Ok(None),
        Err(source) => return Err(ContextError::Read { path: path.to_owned(), source }),
    };
    let matcher = IgnoreMatcher::parse(&text)
        .map_err(|e| ContextError::Ignore { path: path.to_owned(), message: e.to_string() })?;
    Ok(Some(Arc::new(IgnoreRules { path: path.to_owned(), matcher })))
}

/// Reads a text; one of a context that others made without following a link out of it.
fn read_in(context: Option<&Context>, path: &Path) -> io::Result<Vec<u8>> {
    let inside = context.filter(|c| c.confined).and_then(|c| Some((c, path.strip_prefix(&c.path).ok()?)));
    let file = match inside {
        None => File::open(path)?,
        Some((context, below)) => {
            let at = resolve(context.view(), below.as_os_str().as_encoded_bytes(), true)?;
            match context.view().node(&at)? {
                None => return Err(io::ErrorKind::NotFound.into()),
                Some(_) => context.view().open(&at)?,
            }
        }
    };
    read_text(&file)
}

fn read_text(file: &File) -> io::Result<Vec<u8>> {
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
