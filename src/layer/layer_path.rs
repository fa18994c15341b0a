//! Names of layer entries: made safe, and told apart from whiteouts.

use super::pack::WHITEOUT_PREFIX;
use super::view::join;

/// Marks a directory whose contents in lower layers are gone.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Prefix of aufs's own files, which say nothing about an image.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// What the name of an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LayerPath {
    /// The entry at this path; empty for the root.
    Entry(Vec<u8>),
    /// This path of lower layers is gone.
    Whiteout(Vec<u8>),
    /// All that lower layers have in this directory is gone.
    Opaque(Vec<u8>),
    /// A file of aufs's own.
    Ignored,
}

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    #[error("the path leads out of the image's root")]
    Escapes,
    #[error("the whiteout names no file")]
    Whiteout,
    #[error("the path is nested too deep")]
    Deep,
}

/// A path from the root without leading slash, `.`, `..` and repeated slashes.
pub(super) fn clean(path: &[u8], depth: usize) -> Result<Vec<u8>, PathError> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or(PathError::Escapes)?;
            }
            name => parts.push(name),
        }
    }
    if parts.len() > depth {
        return Err(PathError::Deep);
    }
    Ok(parts.join(&b'/'))
}

/// Reads the name of an entry.
pub(super) fn classify(path: &[u8], depth: usize) -> Result<LayerPath, PathError> {
    let path = clean(path, depth)?;
    let (directory, name) = split_last(&path);
    if name == OPAQUE {
        return Ok(LayerPath::Opaque(directory.to_vec()));
    }
    if path.split(|b| *b == b'/').any(|part| part.starts_with(AUFS_PREFIX)) {
        return Ok(LayerPath::Ignored);
    }
    match name.strip_prefix(WHITEOUT_PREFIX) {
        None => Ok(LayerPath::Entry(path)),
        Some(b"" | b"." | b"..") => Err(PathError::Whiteout),
        Some(hidden) => Ok(LayerPath::Whiteout(join(directory, hidden))),
    }
}

/// Directory and name of a path.
pub(super) fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The path that a link in `directory` leads to, kept inside the root, and what follows it.
pub(super) fn follow(directory: &[u8], target: &[u8], after: &[u8]) -> Vec<u8> {
    let start = if target.starts_with(b"/") { &b""[..] } else { directory };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in [start, target, after].into_iter().flat_map(|p| p.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            // Above the root is the root, as for a process in it.
            b".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let entry = |p: &str| Ok(LayerPath::Entry(p.into()));
        for (name, meaning) in [
            ("a/b", entry("a/b")),
            ("/a//b/", entry("a/b")),
            ("./a/./b", entry("a/b")),
            ("a/../b", entry("b")),
            ("./", entry("")),
            ("/", entry("")),
            ("..", Err(PathError::Escapes)),
            ("a/../..", Err(PathError::Escapes)),
            ("/../etc/passwd", Err(PathError::Escapes)),
            ("a/.wh.b", Ok(LayerPath::Whiteout(b"a/b".to_vec()))),
            (".wh.b", Ok(LayerPath::Whiteout(b"b".to_vec()))),
            ("a/.wh..wh..opq", Ok(LayerPath::Opaque(b"a".to_vec()))),
            (".wh..wh..opq", Ok(LayerPath::Opaque(b"".to_vec()))),
            (".wh..wh.plnk/1.2", Ok(LayerPath::Ignored)),
            (".wh..wh.aufs", Ok(LayerPath::Ignored)),
            ("a/.wh.", Err(PathError::Whiteout)),
            ("a/.wh..", Err(PathError::Whiteout)),
            ("a/.wh...", Err(PathError::Whiteout)),
        ] {
            assert_eq!(classify(name.as_bytes(), 8), meaning, "{name}");
        }
        assert_eq!(classify(b"1/2/3/4/5/6/7/8/9", 8), Err(PathError::Deep));
    }
}
