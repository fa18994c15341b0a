//! What to say of a source that is not there.

use crate::layer::{Node, NodeKind, join, parent, resolve};

use super::{CopyError, SourceTree, shown};

/// The error for a path that names nothing, with what is likely behind it.
pub(super) fn missing(source: &SourceTree<'_>, path: &[u8]) -> CopyError {
    let hint = ignored(source, path).or_else(|| dangling(source, path)).or_else(|| near(source, path));
    CopyError::NotFound { path: shown(path), of: source.name.clone(), hint }
}

/// It is there, but a rule leaves it out, or what it is a link to.
fn ignored(source: &SourceTree<'_>, path: &[u8]) -> Option<String> {
    let (rules, file) = (source.ignore?, source.ignore_file?);
    let target = resolve(source.view, path, true).ok()?;
    source.view.node(&target).ok().flatten()?;
    let hidden = if source.is_visible(path).ok()? { &target } else { path };
    let mut ends: Vec<usize> =
        hidden.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).collect();
    ends.push(hidden.len());
    let rule = ends.iter().find_map(|end| rules.rule_for(&hidden[..*end]));
    let file = file.display();
    let by = match rule {
        Some(rule) => format!("line {} of {file} ('{}')", rule.line, rule.pattern),
        None => file.to_string(),
    };
    Some(if hidden == path {
        format!("{by} leaves it out")
    } else {
        format!("it is a link to '{}', which {by} leaves out", shown(hidden))
    })
}

/// It is a link to nothing.
fn dangling(source: &SourceTree<'_>, path: &[u8]) -> Option<String> {
    match source.view.node(path).ok()?? {
        Node { kind: NodeKind::Symlink(target), .. } => {
            Some(format!("it is a link to '{}', which is not there", shown(&target)))
        }
        _ => None,
    }
}

/// A path like this one that does exist.
fn near(source: &SourceTree<'_>, path: &[u8]) -> Option<String> {
    // The first part that is not there is the one that is wrong.
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let wrong = ends
        .map(|end| &path[..end])
        .chain([path])
        .find(|part| source.view.node(part).is_ok_and(|node| node.is_none()))?;
    let directory = parent(wrong);
    let names = source.view.names(directory).ok()?;
    let visible = names.iter().filter(|name| source.is_visible(&join(directory, name)).unwrap_or(false));
    let names: Vec<String> = visible.map(|name| shown(name)).collect();
    let last = shown(wrong.rsplit(|b| *b == b'/').next()?);
    let other_case = names.iter().map(String::as_str).find(|name| name.eq_ignore_ascii_case(&last));
    let found = other_case.or_else(|| crate::dockerfile::suggest(&last, names.iter().map(String::as_str)))?;
    let rest = &path[wrong.len()..];
    let meant = [join(directory, found.as_bytes()).as_slice(), rest].concat();
    let is_there = source.view.node(&meant).is_ok_and(|node| node.is_some());
    let meant = if is_there { meant } else { join(directory, found.as_bytes()) };
    Some(format!("did you mean '{}'?", shown(&meant)))
}
