//! From a source as written to the paths it means.

use crate::dockerfile::{BadPattern, go_match, is_well_formed};
use crate::layer::{NodeKind, join, resolve};

use super::missing::missing;
use super::{CopyError, SourceTree, clean, shown};

/// A source that exists.
pub(in super::super) struct Selected {
    /// Its last part as written or matched: what a file is called in a destination directory.
    pub(super) name: Vec<u8>,
    /// Its true path, links followed.
    pub(in super::super) path: Vec<u8>,
    /// Whether it is a regular file.
    pub(in super::super) is_file: bool,
}

/// The paths a source means: one, or what a pattern matches, which may be nothing.
pub(in super::super) fn select(source: &SourceTree<'_>, written: &str) -> Result<Vec<Selected>, CopyError> {
    let path = clean(written.as_bytes());
    let paths = if has_wildcards(&path) { matches(source, &path)? } else { vec![path] };
    paths.iter().map(|path| follow(source, path)).collect()
}

/// `*`, `?` or `[` that no backslash escapes (BuildKit, `containsWildcards`).
pub(in super::super) fn has_wildcards(path: &[u8]) -> bool {
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

/// The part of a source as written before its first wildcard: it selects nothing elsewhere, but
/// where links lead from there.
pub(in super::super) fn literal_part(written: &str) -> Vec<u8> {
    let path = clean(written.as_bytes());
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').take_while(|p| !has_wildcards(p)).collect();
    parts.join(&b'/')
}

/// The paths a pattern matches. Links are followed only before its first part with a wildcard, and
/// what stands there must exist (fsutil, `ResolveWildcards`).
fn matches(source: &SourceTree<'_>, pattern: &[u8]) -> Result<Vec<Vec<u8>>, CopyError> {
    let parts: Vec<&[u8]> = pattern.split(|b| *b == b'/').collect();
    let literal = parts.iter().take_while(|p| !has_wildcards(p)).count();
    let start = parts[..literal].join(&b'/');
    let base = follow(source, &start)?.path;
    let mut walk = Walk { source, pattern, parts: &parts[literal..], found: Vec::new() };
    if !is_well_formed(&walk.parts.join(&b'/')) {
        return Err(walk.malformed(BadPattern));
    }
    if is_directory(source, &base)? {
        walk.directory(&base, &[])?;
    }
    Ok(walk.found)
}

/// A walk for what a pattern matches.
struct Walk<'a> {
    source: &'a SourceTree<'a>,
    /// As written, for error texts.
    pattern: &'a [u8],
    /// From the first part with a wildcard on.
    parts: &'a [&'a [u8]],
    found: Vec<Vec<u8>>,
}

impl Walk<'_> {
    /// Looks at what is in a directory; `names` lead to it from where the walk began.
    fn directory(&mut self, directory: &[u8], names: &[Vec<u8>]) -> Result<(), CopyError> {
        for name in self.source.view.names(directory).map_err(|e| read_error(directory, e))? {
            let path = join(directory, &name);
            if !self.source.is_visible(&path)? {
                continue;
            }
            let here = [names, &[name]].concat();
            if self.matches(&self.parts.join(&b'/'), &here.join(&b'/'))? {
                // What is in a matched directory goes with it.
                self.found.push(path);
            } else if self.may_match_below(&here)? && is_directory(self.source, &path)? {
                self.directory(&path, &here)?;
            }
        }
        Ok(())
    }

    /// A bracket may match a slash, as Go's `filepath.Match` has it, so that it matches paths of
    /// more parts than the pattern has.
    fn may_match_below(&self, names: &[Vec<u8>]) -> Result<bool, CopyError> {
        let brackets = self.parts.concat().iter().filter(|b| **b == b'[').count();
        if names.len() >= self.parts.len() + brackets {
            return Ok(false);
        }
        if brackets > 0 {
            return Ok(true);
        }
        self.matches(&self.parts[..names.len()].join(&b'/'), &names.join(&b'/'))
    }

    fn matches(&self, pattern: &[u8], path: &[u8]) -> Result<bool, CopyError> {
        go_match(pattern, path).map_err(|e| self.malformed(e))
    }

    fn malformed(&self, error: BadPattern) -> CopyError {
        CopyError::Pattern { pattern: shown(self.pattern), reason: error.to_string() }
    }
}

fn is_directory(source: &SourceTree<'_>, path: &[u8]) -> Result<bool, CopyError> {
    let node = source.view.node(path).map_err(|e| read_error(path, e))?;
    Ok(path.is_empty() || node.is_some_and(|n| n.kind == NodeKind::Directory))
}

/// What a path means once links are followed; something must be there that is not ignored.
pub(super) fn follow(source: &SourceTree<'_>, path: &[u8]) -> Result<Selected, CopyError> {
    let target = resolve(source.view, path, true).map_err(|e| read_error(path, e))?;
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
    if target.is_empty() {
        return Ok(Selected { name, path: target, is_file: false });
    }
    if !source.is_visible(path)? || !source.is_visible(&target)? {
        return Err(missing(source, path));
    }
    let node = source.view.node(&target).map_err(|e| read_error(&target, e))?;
    match node {
        Some(node) => Ok(Selected { name, path: target, is_file: node.kind == NodeKind::File }),
        None => Err(missing(source, path)),
    }
}

pub(super) fn read_error(path: &[u8], source: std::io::Error) -> CopyError {
    CopyError::Read { path: shown(path), source }
}
