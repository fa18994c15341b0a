//! `ENV`, `LABEL` and `ARG`: names and values.

use super::statement::Statement;
use crate::dockerfile::report::Report;
use crate::dockerfile::words::{self, QuotedWord};
use crate::dockerfile::{ArgDeclaration, InstructionKind, KeyValue, Span, Word};

pub(super) fn env(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    pairs(statement, report).map(InstructionKind::Env)
}

pub(super) fn label(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    pairs(statement, report).map(InstructionKind::Label)
}

pub(super) fn arg(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.warn_of_flags(report);
    let words = words::split_quoted(statement.line, statement.rest.clone(), statement.escape);
    if words.is_empty() {
        statement.missing("a name", "ARG VERSION=1.0", report);
        return None;
    }
    let mut declarations = Vec::new();
    for word in &words {
        match split(statement, word) {
            Some((name, _)) if name.text.is_empty() => {
                blank_name(statement.line.span(word.range.clone()), report);
            }
            Some((name, value)) => declarations.push(ArgDeclaration { name, default: Some(value) }),
            None => declarations.push(ArgDeclaration { name: whole(statement, word), default: None }),
        }
    }
    (declarations.len() == words.len()).then_some(InstructionKind::Arg(declarations))
}

fn pairs(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<Vec<KeyValue>> {
    statement.check_flags(&[], report);
    let pairs = cut(statement, report)?;
    if pairs.is_empty() {
        let name = statement.name().unwrap_or_default();
        statement.missing("a name and a value", &format!("{name} NAME=value"), report);
        return None;
    }
    let nameless: Vec<_> = pairs.iter().filter(|pair| pair.key.text.is_empty()).collect();
    for pair in &nameless {
        blank_name(pair.key.span.to(pair.value.span), report);
    }
    nameless.is_empty().then_some(pairs)
}

/// `k=v …`, or the legacy form `k v`, in which the value is the rest of the line. Nothing but the
/// form is checked.
pub(super) fn cut(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<Vec<KeyValue>> {
    let name = statement.name().unwrap_or_default();
    let words = words::split_quoted(statement.line, statement.rest.clone(), statement.escape);
    let Some(first) = words.first() else { return Some(Vec::new()) };
    if !first.text.contains('=') {
        let (key, value) = words::split_first(statement.line, statement.rest.clone());
        let Some(value) = value else {
            let message = format!("{name} needs a value for `{}`", statement.line.slice(key.clone()));
            let help = format!("write `{name} {}=value`", statement.line.slice(key.clone()));
            report.syntax(statement.line.span(key), message, help);
            return None;
        };
        let (key, value) = (statement.line.word(key), statement.line.word(value));
        return Some(vec![KeyValue { key, value, legacy: true }]);
    }
    let mut pairs = Vec::new();
    for word in &words {
        match split(statement, word) {
            Some((key, value)) => pairs.push(KeyValue { key, value, legacy: false }),
            None => {
                let message = format!("`{}` has no `=`", word.text);
                let help = format!(
                    "quote values with blanks, `{name} NAME=\"a b\"`, or write the word as `{}=value`",
                    word.text
                );
                report.syntax(statement.line.span(word.range.clone()), message, help);
            }
        }
    }
    (pairs.len() == words.len()).then_some(pairs)
}

fn blank_name(span: Span, report: &mut Report<'_>) {
    report.error(
        span,
        "there is no name before the `=`",
        "write `NAME=value`, without blanks around the `=`",
    );
}

/// A word at its first `=`.
fn split(statement: &Statement<'_>, word: &QuotedWord) -> Option<(Word, Word)> {
    let (key, value) = word.text.split_once('=')?;
    let start = word.range.start;
    let key_span = statement.line.span(start..start + key.len());
    let value_span = statement.line.span(start + key.len() + 1..word.range.end);
    Some((Word { text: key.to_owned(), span: key_span }, Word { text: value.to_owned(), span: value_span }))
}

fn whole(statement: &Statement<'_>, word: &QuotedWord) -> Word {
    Word { text: word.text.clone(), span: statement.line.span(word.range.clone()) }
}
