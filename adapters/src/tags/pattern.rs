//! Regular expressions of rules, which are written for JavaScript.

use regex::{Regex, RegexBuilder};

use crate::usage::Usage;

/// What a pattern found: the groups of its first match, or all matches if it is a global one.
pub(super) type Found = Vec<Option<String>>;

/// Looks for `pattern`, or for what stands between slashes in it with flags after these.
///
/// # Errors
/// A pattern that is none here.
pub(super) fn find(pattern: &str, text: &str) -> Result<Option<Found>, Usage> {
    let (source, flags) = delimited(pattern).unwrap_or((pattern, ""));
    let regex = compile(source, flags)?;
    if flags.contains('g') {
        let all: Found = regex.find_iter(text).map(|m| Some(m.as_str().to_owned())).collect();
        return Ok(Some(all).filter(|all| !all.is_empty()));
    }
    Ok(first(&regex, text))
}

/// Looks for `pattern`, slashes and all.
///
/// # Errors
/// A pattern that is none here.
pub(super) fn find_plain(pattern: &str, text: &str) -> Result<Option<Found>, Usage> {
    Ok(first(&compile(pattern, "")?, text))
}

fn first(regex: &Regex, text: &str) -> Option<Found> {
    let groups = regex.captures(text)?;
    Some(groups.iter().map(|group| group.map(|g| g.as_str().to_owned())).collect())
}

fn delimited(pattern: &str) -> Option<(&str, &str)> {
    let (source, flags) = pattern.strip_prefix('/')?.rsplit_once('/')?;
    Some((source, flags)).filter(|_| !source.is_empty())
}

fn compile(source: &str, flags: &str) -> Result<Regex, Usage> {
    if let Some(flag) = flags.chars().find(|c| !"dgimsuvy".contains(*c)) {
        return Err(Usage::new(format!("'{flag}' is no flag of a pattern: /{source}/{flags}"))
            .help("write i for letters of either case, m for lines, s for dots that match line ends, or g"));
    }
    let wrong = |why: &str| {
        Usage::new(format!("the pattern {source} cannot be used: {why}")).help(
            "patterns have no lookaround and no back-references here: match the whole tag, and choose a group",
        )
    };
    let translated = translated(source).map_err(wrong)?;
    let translated = if flags.contains('y') { format!(r"\A(?:{translated})") } else { translated };
    RegexBuilder::new(&translated)
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .build()
        .map_err(|why| {
            let why = why.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            wrong(why)
        })
}

/// What a quantifier would stand behind.
enum Before {
    Nothing,
    Something,
    Quantifier,
}

impl Before {
    /// What it is after a quantifier.
    fn repeated(self, quantifier: char) -> Result<Self, &'static str> {
        match (self, quantifier) {
            (Before::Something, _) => Ok(Before::Quantifier),
            // A lazy one.
            (Before::Quantifier, '?') => Ok(Before::Nothing),
            _ => Err("there is nothing to repeat"),
        }
    }
}

/// JavaScript's classes are of ASCII, `[` is a character inside a class, `\cX`, `\/` and braces
/// that count nothing are characters.
fn translated(source: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut chars = source.chars().peekable();
    let mut class = false;
    let mut before = Before::Nothing;
    while let Some(c) = chars.next() {
        if !class && (matches!(c, '*' | '+' | '?') || (c == '{' && counts(chars.clone()))) {
            before = before.repeated(c)?;
            out.push(c);
            while c == '{' && !out.ends_with('}') {
                out.extend(chars.next());
            }
            continue;
        }
        before = match c {
            '^' | '$' | '|' | '(' if !class => Before::Nothing,
            '\\' if matches!(chars.peek(), Some('b' | 'B')) && !class => Before::Nothing,
            _ => Before::Something,
        };
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str(if class { "0-9" } else { "[0-9]" }),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str(if class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('b') if class => out.push_str(r"\x08"),
                Some('b') => out.push_str(r"(?-u:\b)"),
                Some('0') => out.push_str(r"\x00"),
                // Letters with a meaning in both, and digits, which are back-references.
                Some(c) if "BsStnrvfxup".contains(c) || c.is_ascii_digit() => out.extend(['\\', c]),
                Some('k') => out.push_str(r"\k"),
                Some(c) => out.push_str(&regex::escape(&c.to_string())),
                None => out.push('\\'),
            },
            // An empty class matches nothing, its opposite everything.
            '[' if !class && chars.next_if_eq(&']').is_some() => out.push_str(r"[^\s\S]"),
            '[' if !class => {
                class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                    if chars.next_if_eq(&']').is_some() {
                        out.truncate(out.len() - 1);
                        out.push_str(r"\s\S]");
                        class = false;
                    }
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '[' | '&' | '~' if class => out.extend(['\\', c]),
            '-' if class && chars.peek() == Some(&'-') => out.push_str(r"\-"),
            '{' | '}' if !class => out.extend(['\\', c]),
            // What begins so in a group is no quantifier.
            '(' if !class => {
                out.push('(');
                out.extend(chars.next_if_eq(&'?'));
            }
            ']' => out.push_str(r"\]"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Whether `{` begins a repetition.
fn counts(rest: impl Iterator<Item = char>) -> bool {
    let inside: String = rest.take_while(|c| c.is_ascii_digit() || *c == ',' || *c == '}').collect();
    inside.split('}').next().is_some_and(|count| {
        inside.contains('}')
            && count.starts_with(|c: char| c.is_ascii_digit())
            && count.matches(',').count() < 2
    })
}
