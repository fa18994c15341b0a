//! `--name=value` words between an instruction's keyword and its arguments.

use super::lines::Line;
use super::report::Report;
use super::{Word, suggest};
use std::ops::Range;

/// A flag as written, quotes and escapes removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawFlag {
    text: String,
    range: Range<usize>,
}

impl RawFlag {
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The flags at the start of a range, and where the arguments after them begin.
///
/// Flags are words that begin with `--`; `--` alone ends them. Single and double quotes are
/// equal here, and the escape character escapes in both.
pub(super) fn split(line: &Line, range: Range<usize>, escape: char) -> (Vec<RawFlag>, Range<usize>) {
    let mut flags = Vec::new();
    let mut rest = line.trim(range);
    while line.slice(rest.clone()).starts_with("--") {
        let (text, length) = unquote(line.slice(rest.clone()), escape);
        let word = rest.start..rest.start + length;
        rest = line.trim(word.end..rest.end);
        if text == "--" {
            break;
        }
        flags.push(RawFlag { text, range: word });
    }
    (flags, rest)
}

/// The first word without quotes and escapes, and its length as written.
fn unquote(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match quote {
            None if char.is_whitespace() => return (word, at),
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            // An escape at the very end escapes nothing and is dropped.
            _ if char == escape => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(char),
        }
    }
    (word, text.len())
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `=true` or `=false`.
    Bool,
    /// `=value`, once.
    Value,
    /// `=value`, any number of times.
    Values,
}

/// The checked flags of an instruction.
#[derive(Debug, Default)]
pub(super) struct Flags {
    values: Vec<(&'static str, Word)>,
    bools: Vec<(&'static str, bool)>,
}

impl Flags {
    /// Checks flags against what an instruction knows, and reports every one that is wrong.
    pub(super) fn check(
        raw: &[RawFlag],
        known: &[(&'static str, Takes)],
        instruction: &str,
        line: &Line,
        report: &mut Report<'_>,
    ) -> Flags {
        let mut flags = Flags::default();
        let mut used = Vec::new();
        for flag in raw {
            let body = flag.text.strip_prefix("--").unwrap_or(&flag.text);
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (body, None),
            };
            let span = line.span(flag.range.clone());
            let Some(&(name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                let help = unknown_help(name, known, instruction);
                report.error(span, format!("{instruction} has no flag `--{name}`"), help);
                continue;
            };
            if takes != Takes::Values && used.contains(&name) {
                let help = format!("give `--{name}` once");
                report.error(span, format!("the flag `--{name}` is given twice"), help);
                continue;
            }
            used.push(name);
            match (takes, value) {
                (Takes::Bool, None) => flags.bools.push((name, true)),
                (Takes::Bool, Some(value)) => match value.to_lowercase().as_str() {
                    "true" => flags.bools.push((name, true)),
                    "false" => flags.bools.push((name, false)),
                    _ => {
                        let message = format!("`--{name}` is true or false, not `{value}`");
                        report.error(span, message, format!("write `--{name}` or `--{name}=false`"));
                    }
                },
                (_, None) => {
                    let help = format!("write `--{name}=…`, without blanks around the `=`");
                    report.error(span, format!("the flag `--{name}` needs a value"), help);
                }
                (_, Some(value)) => {
                    let range = value_range(line, flag);
                    flags.values.push((name, Word { text: value.to_owned(), span: line.span(range) }));
                }
            }
        }
        flags
    }

    /// The value of a flag. An empty value counts as none.
    pub(super) fn value(&self, name: &str) -> Option<Word> {
        self.given(name).filter(|word| !word.text.is_empty())
    }

    /// The value of a flag, also an empty one.
    pub(super) fn given(&self, name: &str) -> Option<Word> {
        self.values.iter().find(|(given, _)| *given == name).map(|(_, word)| word.clone())
    }

    /// All values of a flag.
    pub(super) fn values(&self, name: &str) -> Vec<Word> {
        self.values.iter().filter(|(given, _)| *given == name).map(|(_, word)| word.clone()).collect()
    }

    /// A flag that takes no value, if given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.bools.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }
}

fn unknown_help(name: &str, known: &[(&'static str, Takes)], instruction: &str) -> String {
    let names = known.iter().map(|(name, _)| *name);
    if let Some(meant) = suggest(name, names.clone()) {
        return format!("did you mean `--{meant}`?");
    }
    if known.is_empty() {
        return format!("{instruction} takes no flags; `--` before the arguments ends the flags");
    }
    let names: Vec<_> = names.map(|name| format!("--{name}")).collect();
    format!("{instruction} has {}", names.join(", "))
}

/// Where the value stands: what follows the first `=` of the flag as written.
fn value_range(line: &Line, flag: &RawFlag) -> Range<usize> {
    let offset = line.slice(flag.range.clone()).find('=').map_or(0, |equals| equals + 1);
    flag.range.start + offset..flag.range.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_flags_from_arguments() {
        for (text, flags, rest) in [
            ("a b", &[][..], "a b"),
            ("--x a", &["--x"], "a"),
            ("--x=1 --y  a --z", &["--x=1", "--y"], "a --z"),
            ("--x=\"a b\"c 'd'", &["--x=a bc"], "'d'"),
            ("--x='a \"b' d", &["--x=a \"b"], "d"),
            ("--x=a\\ b d", &["--x=a b"], "d"),
            ("--x -- --y", &["--x"], "--y"),
            ("-- a", &[], "a"),
            ("--", &[], ""),
            ("-x a", &[], "-x a"),
            ("--x=\"a b", &["--x=a b"], ""),
            ("--x\\", &["--x"], ""),
            ("  --chown=é  a  ", &["--chown=é"], "a"),
        ] {
            let mut line = Line::default();
            line.push(text, 0);
            let (found, range) = split(&line, 0..text.len(), '\\');
            let found: Vec<_> = found.iter().map(|flag| flag.text.as_str()).collect();
            assert_eq!((found.as_slice(), line.slice(range)), (flags, rest), "{text:?}");
        }
    }

    #[test]
    fn escapes_with_the_escape_character_of_the_file() {
        for (text, flag, rest) in [
            ("--x=a` b c", "--x=a b", "c"),
            ("--x=C:\\a\\ c", "--x=C:\\a\\", "c"),
            ("--x=\"a`\"b\" c", "--x=a\"b", "c"),
            ("--x`", "--x", ""),
        ] {
            let mut line = Line::default();
            line.push(text, 0);
            let (found, range) = split(&line, 0..text.len(), '`');
            assert_eq!((found[0].text.as_str(), line.slice(range)), (flag, rest), "{text:?}");
        }
    }
}
