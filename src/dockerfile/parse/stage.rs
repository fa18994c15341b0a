//! `FROM`.

use super::statement::Statement;
use crate::dockerfile::flags::Takes;
use crate::dockerfile::report::Report;
use crate::dockerfile::{Span, Stage, Word, unicode, words};

pub(super) fn parse(
    statement: &Statement<'_>,
    lines: Span,
    comments: &[Word],
    report: &mut Report<'_>,
) -> Option<Stage> {
    let flags = statement.check_flags(&[("platform", Takes::Value)], report);
    let words = words::split(statement.line, statement.rest.clone());
    let (base, named) = match words.as_slice() {
        [] => {
            statement.missing("an image", "FROM alpine:3.22", report);
            return None;
        }
        [base] => (base, None),
        [base, keyword, name] if unicode::is_same_word(&keyword.text, "AS") => (base, Some((keyword, name))),
        [_, second, ..] => {
            let message = "FROM takes an image, or an image, `AS` and a name";
            report.error(second.span, message, "write `FROM image AS name`");
            return None;
        }
    };
    let name = named.map(|(_, word)| Word { text: unicode::lower(&word.text), span: word.span });
    if let Some(name) = name.as_ref().filter(|name| !is_stage_name(&name.text)) {
        let message = format!("`{}` cannot name a stage", name.text);
        let help = "a name begins with a letter and goes on with letters, digits, `-`, `_` and `.`";
        report.error(name.span, message, help);
        return None;
    }
    Some(Stage {
        base: base.clone(),
        name,
        platform: flags.value("platform"),
        span: statement.span(),
        keyword: statement.keyword().to_owned(),
        as_keyword: named.map(|(keyword, _)| keyword.text.clone()),
        lines,
        comments: comments.to_vec(),
        instructions: Vec::new(),
    })
}

/// `^[a-z][a-z0-9-_.]*$`
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}
