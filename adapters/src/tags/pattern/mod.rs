//! Regular expressions of rules, which are JavaScript's: lookaround, back-references, lazy and
//! backtracking as there.

mod matcher;
mod node;
mod parse;

use matcher::Matcher;
use node::Pattern;

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
    if flags.contains('u') && flags.contains('v') {
        return Err(Usage::new(format!("the flags u and v exclude each other: /{source}/{flags}")));
    }
    let wrong = |why: &str| {
        Usage::new(format!("the pattern {source} cannot be used: {why}"))
            .help("patterns are JavaScript's regular expressions")
    };
    let whole = flags.contains(['u', 'v']);
    let split = if whole { source.to_owned() } else { units(source).collect() };
    let pattern = Pattern::parse(&split, flags).map_err(wrong)?;
    let text: Vec<char> = if whole { text.chars().collect() } else { units(text).collect() };
    let mut matcher = Matcher::new(&text, pattern.groups);
    let string = |(from, to): (usize, usize)| joined(&text[from..to]);
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

/// Without `u`, half of a character that UTF-16 writes in two counts as one: halves stand where Unicode
/// has nothing of its own.
const HALVES: u32 = 0x10_0000;

/// The character that stands for a unit of UTF-16.
fn unit(unit: u16) -> char {
    let number = u32::from(unit);
    let half = (0xD800..0xE000).contains(&number);
    char::from_u32(if half { HALVES + number } else { number }).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn units(text: &str) -> impl Iterator<Item = char> {
    text.encode_utf16().map(unit)
}

/// The text of characters and halves of them.
fn joined(chars: &[char]) -> String {
    let half = |c: char| (c as u32).checked_sub(HALVES).filter(|n| (0xD800..0xE000).contains(n));
    let mut units = Vec::new();
    for c in chars {
        match half(*c).and_then(|n| u16::try_from(n).ok()) {
            Some(unit) => units.push(unit),
            None => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
        }
    }
    String::from_utf16_lossy(&units)
}
