//! `COPY` and `ADD`.

use super::statement::{Arguments, Statement};
use crate::dockerfile::checks::rule;
use crate::dockerfile::flags::{Flags, Takes};
use crate::dockerfile::heredoc::{Opening, without_tabs};
use crate::dockerfile::report::Report;
use crate::dockerfile::{
    AddInstruction, CopyArguments, CopyInstruction, CopySource, Heredoc, InstructionKind, Span, Word, words,
};
use std::collections::HashMap;

pub(super) fn copy(
    statement: &Statement<'_>,
    heredocs: &[Heredoc],
    report: &mut Report<'_>,
) -> Option<InstructionKind> {
    let known = [
        ("from", Takes::Value),
        ("chown", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Bool),
        ("parents", Takes::Bool),
        ("exclude", Takes::Values),
    ];
    let flags = statement.check_flags(&known, report);
    let from = flags.value("from");
    let arguments = arguments(statement, &flags, heredocs, report)?;
    let parents = flags.switch("parents").unwrap_or(false);
    Some(InstructionKind::Copy(CopyInstruction { arguments, from, parents }))
}

pub(super) fn add(
    statement: &Statement<'_>,
    heredocs: &[Heredoc],
    report: &mut Report<'_>,
) -> Option<InstructionKind> {
    let known = [
        ("chown", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Bool),
        ("exclude", Takes::Values),
        ("checksum", Takes::Value),
        ("keep-git-dir", Takes::Bool),
        ("unpack", Takes::Bool),
    ];
    let flags = statement.check_flags(&known, report);
    let arguments = arguments(statement, &flags, heredocs, report)?;
    Some(InstructionKind::Add(AddInstruction {
        arguments,
        checksum: flags.value("checksum"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
    }))
}

fn arguments(
    statement: &Statement<'_>,
    flags: &Flags,
    heredocs: &[Heredoc],
    report: &mut Report<'_>,
) -> Option<CopyArguments> {
    let (words, is_json) = match statement.arguments(statement.rest.clone(), report)? {
        Arguments::Json(words) => (words, true),
        Arguments::Text(range) => (words::split(statement.line, range), false),
    };
    let name = statement.name().unwrap_or_default();
    let Some((destination, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        statement.missing("a source and a destination", &format!("{name} . /app/"), report);
        return None;
    };
    if let Ok(Some(_)) = Opening::parse(&destination.text) {
        let help = format!("write `{name} {} /path/of/the/file`", destination.text);
        report.error(destination.span, "a heredoc cannot be the destination", help);
        return None;
    }
    if !is_json {
        check_blanks(sources, heredocs, report);
    }
    let sources = read_sources(sources, is_json, heredocs, report)?;
    Some(CopyArguments {
        sources,
        destination: destination.clone(),
        chown: flags.value("chown"),
        chmod: flags.value("chmod"),
        link: flags.switch("link").unwrap_or(false),
        excludes: flags.values("exclude"),
    })
}

/// Bytes that the heredocs of one instruction may hold: one body may be named by many words.
/// BuildKit hands its builder no more than this in all.
const MAX_INLINE: usize = 16 << 20;

fn read_sources(
    words: &[Word],
    is_json: bool,
    heredocs: &[Heredoc],
    report: &mut Report<'_>,
) -> Option<Vec<CopySource>> {
    // Of heredocs with one name the last one's body counts for all, each read in its own way.
    let named = heredocs.iter().map(|heredoc| (heredoc.name.as_str(), heredoc)).collect();
    let mut sources = Vec::with_capacity(words.len());
    let mut length = 0;
    for word in words {
        let source = source(word, is_json, &named, report);
        if let CopySource::Heredoc(heredoc) = &source {
            length += heredoc.content.len();
        }
        if length > MAX_INLINE {
            let message = format!("heredocs hold more than {} MiB here", MAX_INLINE >> 20);
            report.error(word.span, message, "COPY a file of the context instead");
            return None;
        }
        sources.push(source);
    }
    Some(sources)
}

/// `<< NAME` opens a heredoc, but the words of a COPY are split at the blank, and `<<` would be
/// looked for as a file, as BuildKit does.
fn check_blanks(sources: &[Word], heredocs: &[Heredoc], report: &mut Report<'_>) {
    for word in sources.iter().filter(|word| word.text.ends_with("<<")) {
        if let Some(heredoc) = heredocs.iter().find(|heredoc| heredoc.span.start == word.span.start) {
            let message = format!("a blank stands between `<<` and `{}`", heredoc.name);
            report.warn(&rule::BROKEN_HEREDOC, word.span, message, format!("write `<<{}`", heredoc.name));
        }
    }
}

fn source(
    word: &Word,
    is_json: bool,
    named: &HashMap<&str, &Heredoc>,
    report: &mut Report<'_>,
) -> CopySource {
    let Ok(Some(opening)) = Opening::parse(&word.text) else {
        return CopySource::Path(word.clone());
    };
    if let Some(heredoc) = named.get(opening.name.as_str()) {
        let body = report.source.slice(heredoc.body_span);
        return CopySource::Heredoc(Heredoc {
            content: if opening.strip_tabs { without_tabs(body) } else { body.to_owned() },
            name: opening.name,
            expand: opening.expand,
            strip_tabs: opening.strip_tabs,
            file_descriptor: opening.file_descriptor,
            span: word.span,
            body_span: heredoc.body_span,
        });
    }
    if is_json {
        let message = format!("a heredoc in a JSON array has no body, so `{}` will be empty", opening.name);
        let help = "write the sources without brackets and quotes";
        report.warn(&rule::EMPTY_HEREDOC, word.span, message, help);
    }
    let end = Span::new(word.span.end, word.span.end);
    CopySource::Heredoc(Heredoc {
        name: opening.name,
        content: String::new(),
        expand: opening.expand,
        strip_tabs: opening.strip_tabs,
        file_descriptor: opening.file_descriptor,
        span: word.span,
        body_span: end,
    })
}
