//! From a source as written to the paths it means.

use crate::dockerfile::go_match;
use crate::layer::{NodeKind, join, resolve};

use super::{CopyError, SourceTree, clean, shown};

/// A source that exists.
pub(super) struct Selected {
    /// Its last part as written or matched: what a file is called in a destination directory.
    pub(super) name: Vec<u8>,
    /// Its true path, links followed.
    pub(super) path: Vec<u8>,
    /// Whether it is a regular file.
    pub(super) is_file: bool,
}

/// The paths a source means: one, or what a pattern matches, which may be nothing.
pub(super) fn select(source: &SourceTree<'_>, written: &str) -> Result<Vec<Selected>, CopyError> {
    let path = clean(written.as_bytes());
    if !has_wildcards(&path) {
        return match follow(source, &path)? {
            Some(selected) => Ok(vec![selected]),
            None => Err(missing(source, &path)),
        };
    }
    let mut found = Vec::new();
    for path in matches(source, &path)? {
        // A dangling link that matches is no error in BuildKit either: nothing is there.
        found.extend(follow(source, &path)?);
    }
    Ok(found)
}

/// `*`, `?` or `[` that no backslash escapes (BuildKit, `containsWildcards`).
fn has_wildcards(path: &[u8]) -> bool {
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// The paths a pattern matches, part by part; links on the way are followed only before the
/// first part with a wildcard.
fn matches(source: &SourceTree<'_>, pattern: &[u8]) -> Result<Vec<Vec<u8>>, CopyError> {
    let parts: Vec<&[u8]> = pattern.split(|b| *b == b'/').collect();
    let literal = parts.iter().take_while(|p| !has_wildcards(p)).count();
    let start = parts[..literal].iter().fold(Vec::new(), |path, part| join(&path, part));
    let start = resolve(source.view, &start, true).map_err(|e| read_error(&start, e))?;
    let mut found = vec![start];
    for (at, part) in parts.iter().enumerate().skip(literal) {
        let mut next = Vec::new();
        for directory in &found {
            if !is_directory(source, directory)? {
                continue;
            }
            for name in source.view.names(directory).map_err(|e| read_error(directory, e))? {
                let matched = go_match(part, &name)
                    .map_err(|e| CopyError::Pattern { pattern: shown(pattern), reason: e.to_string() })?;
                let path = join(directory, &name);
                if matched && (at + 1 < parts.len() || source.is_visible(&path)?) {
                    next.push(path);
                }
            }
        }
        found = next;
    }
    Ok(found)
}

fn is_directory(source: &SourceTree<'_>, path: &[u8]) -> Result<bool, CopyError> {
    let node = source.view.node(path).map_err(|e| read_error(path, e))?;
    Ok(path.is_empty() || node.is_some_and(|n| n.kind == NodeKind::Directory))
}

/// What a path means once links are followed, if anything is there and not ignored.
pub(super) fn follow(source: &SourceTree<'_>, path: &[u8]) -> Result<Option<Selected>, CopyError> {
    let target = resolve(source.view, path, true).map_err(|e| read_error(path, e))?;
    if !source.is_visible(path)? || !source.is_visible(&target)? {
        return Ok(None);
    }
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
    if target.is_empty() {
        return Ok(Some(Selected { name, path: target, is_file: false }));
    }
    let node = source.view.node(&target).map_err(|e| read_error(&target, e))?;
    Ok(node.map(|n| Selected { name, path: target, is_file: n.kind == NodeKind::File }))
}

fn missing(source: &SourceTree<'_>, path: &[u8]) -> CopyError {
    let there = source.view.node(path).ok().flatten().is_some();
    let hint = match (there, source.ignore_file) {
        (true, Some(file)) => Some(format!("a rule of {} leaves it out", file.display())),
        _ => near(source, path).map(|near| format!("did you mean '{near}'?")),
    };
    CopyError::NotFound { path: shown(path), of: source.name.clone(), hint }
}

/// A path like this one that does exist.
fn near(source: &SourceTree<'_>, path: &[u8]) -> Option<String> {
    let directory = crate::layer::parent(path);
    let names = source.view.names(directory).ok()?;
    let names: Vec<String> = names.iter().map(|n| shown(n)).collect();
    let last = shown(path.rsplit(|b| *b == b'/').next()?);
    let found = crate::dockerfile::suggest(&last, names.iter().map(String::as_str))?;
    Some(shown(&join(directory, found.as_bytes())))
}

pub(super) fn read_error(path: &[u8], source: std::io::Error) -> CopyError {
    CopyError::Read { path: shown(path), source }
}
