//! Regular expressions of rules, which are JavaScript's: lookaround, back-references, lazy and
//! backtracking as there.

mod matcher;
mod parse;

use matcher::Matcher;
use parse::Pattern;

use crate::usage::Usage;

/// What a pattern found: the groups of its first match, or all matches if it is a global one.
pub(super) type Found = Vec<Option<String>>;

/// Looks for `pattern`, or for what stands between slashes in it with flags after these.
///
/// # Errors
/// A pattern that is none, or that takes too long.
pub(super) fn find(pattern: &str, text: &str) -> Result<Option<Found>, Usage> {
    let (source, flags) = delimited(pattern).unwrap_or((pattern, ""));
    search(source, flags, text)
}

/// Looks for `pattern`, slashes and all.
///
/// # Errors
/// As [`find`].
pub(super) fn find_plain(pattern: &str, text: &str) -> Result<Option<Found>, Usage> {
    search(pattern, "", text)
}

fn delimited(pattern: &str) -> Option<(&str, &str)> {
    let (source, flags) = pattern.strip_prefix('/')?.rsplit_once('/')?;
    Some((source, flags)).filter(|_| !source.is_empty() && !source.contains('\n') && !flags.contains('\n'))
}

fn search(source: &str, flags: &str, text: &str) -> Result<Option<Found>, Usage> {
    let repeated = |at: usize, flag: char| flags[..at].contains(flag);
    if let Some((_, flag)) =
        flags.char_indices().find(|(at, flag)| !"dgimsuvy".contains(*flag) || repeated(*at, *flag))
    {
        return Err(Usage::new(format!("'{flag}' is no flag of a pattern: /{source}/{flags}"))
            .help("write i for letters of either case, m for lines, s for dots that match line ends, or g"));
    }
    let wrong = |why: &str| {
        Usage::new(format!("the pattern {source} cannot be used: {why}"))
            .help("patterns are JavaScript's regular expressions")
    };
    let pattern = Pattern::parse(source, flags).map_err(wrong)?;
    let text: Vec<char> = text.chars().collect();
    let mut matcher = Matcher::new(&text, pattern.groups);
    let string = |(from, to): (usize, usize)| text[from..to].iter().collect::<String>();
    let (global, sticky) = (flags.contains('g'), flags.contains('y'));
    let mut all = Vec::new();
    let mut start = 0;
    while start <= text.len() {
        match matcher.at(&pattern.root, start).map_err(wrong)? {
            Some(groups) if !global => return Ok(Some(groups.into_iter().map(|g| g.map(string)).collect())),
            Some(groups) => {
                let (from, to) = groups[0].unwrap_or((start, start));
                all.push(Some(string((from, to))));
                // An empty match is not found twice.
                start = if to == from { to + 1 } else { to };
            }
            None if sticky => break,
            None => start += 1,
        }
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}
