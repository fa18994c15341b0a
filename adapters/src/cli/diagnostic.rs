//! Errors for people: the file, the line, the words underlined, and a way out.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use yadokari::build;
use yadokari::dockerfile::Diagnostic;

use super::progress::text::clean_lines;
use super::progress::{Failure, Place};
use crate::usage::Usage;

/// A failed build.
pub(crate) fn of_build(error: &build::Error, color: bool) -> Failure {
    let diagnostics = error.diagnostics();
    if diagnostics.is_empty() {
        return of_text(&error.to_string(), error.help().as_deref(), color);
    }
    let reports: Vec<String> = diagnostics.iter().map(|d| render(d, color)).collect();
    Failure { report: reports.join("\n\n"), places: diagnostics.iter().map(place).collect() }
}

/// Wrong usage.
pub(crate) fn of_usage(error: &Usage, color: bool) -> Failure {
    of_text(&error.message, error.help.as_deref(), color)
}

/// An error without a place.
pub(crate) fn of_text(message: &str, help: Option<&str>, color: bool) -> Failure {
    let (message, help) = (clean_lines(message), help.map(clean_lines));
    let mut report =
        renderer(color).render(&[Group::with_title(Level::ERROR.primary_title(message.as_str()))]);
    if let Some(help) = &help {
        report.push('\n');
        report += &renderer(color).render(&[Group::with_title(Level::HELP.primary_title(help.as_str()))]);
    }
    let place = Place { message: message.clone(), help: help.clone(), ..Place::default() };
    Failure { report, places: vec![place] }
}

fn render(diagnostic: &Diagnostic, color: bool) -> String {
    let message = clean_lines(&diagnostic.message);
    let help = diagnostic.help.as_deref().map(clean_lines);
    let label = diagnostic.label.as_deref().map(clean_lines);
    let name = clean_lines(diagnostic.source.name());
    let span = diagnostic.span.range();
    let text = diagnostic.source.text();
    let annotation = match text.get(span.clone()) {
        Some(_) => AnnotationKind::Primary.span(span),
        None => AnnotationKind::Primary.span(text.len()..text.len()),
    };
    let annotation = match &label {
        Some(label) => annotation.label(label.as_str()),
        None => annotation,
    };
    let snippet = Snippet::source(text).path(name.as_str()).annotation(annotation);
    let mut group = Level::ERROR.primary_title(message.as_str()).element(snippet);
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer(color).render(&[group])
}

fn renderer(color: bool) -> Renderer {
    if color { Renderer::styled() } else { Renderer::plain() }
}

fn place(diagnostic: &Diagnostic) -> Place {
    let (line, column) = position(diagnostic, diagnostic.span.start);
    let last = diagnostic.span.end.saturating_sub(1).max(diagnostic.span.start);
    let (end_line, end_column) = position(diagnostic, last);
    Place {
        message: clean_lines(&diagnostic.message),
        file: Some(clean_lines(diagnostic.source.name())),
        line: Some(line),
        column: Some(column),
        end_line: Some(end_line),
        end_column: Some(end_column),
        help: diagnostic.help.as_deref().map(clean_lines),
    }
}

/// Line and column in characters, both from 1.
fn position(diagnostic: &Diagnostic, at: usize) -> (usize, usize) {
    let bytes = diagnostic.source.text().as_bytes();
    let before = &bytes[..at.min(bytes.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    // Bytes that continue a character are no character of their own.
    let characters = before[line_start..].iter().filter(|b| **b & 0xc0 != 0x80).count();
    (diagnostic.source.line(at), characters + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use yadokari::dockerfile::{Source, Span};

    fn diagnostic() -> Diagnostic {
        let source = Source::new("app/Dockerfile", "FROM scratch\n# grüße\nCOYP a b\n");
        let start = source.text().find("COYP").unwrap();
        Diagnostic::new(&source, Span::new(start, start + 4), "unknown instruction COYP")
            .with_label("no such instruction")
            .with_help("did you mean COPY?")
    }

    #[test]
    fn the_words_are_underlined() {
        let failure = of_build(&build::Error::Dockerfile(vec![diagnostic()]), false);
        let expected = "\
error: unknown instruction COYP
 --> app/Dockerfile:3:1
  |
3 | COYP a b
  | ^^^^ no such instruction
  |
  = help: did you mean COPY?";
        assert_eq!(failure.report, expected);
    }

    #[test]
    fn the_place_is_told_to_programs() {
        let failure = of_build(&build::Error::Dockerfile(vec![diagnostic()]), false);
        let place = &failure.places[0];
        assert_eq!(place.file.as_deref(), Some("app/Dockerfile"));
        assert_eq!(
            (place.line, place.column, place.end_line, place.end_column),
            (Some(3), Some(1), Some(3), Some(4))
        );
        assert_eq!(place.help.as_deref(), Some("did you mean COPY?"));
    }

    #[test]
    fn all_errors_are_shown() {
        let failure = of_build(&build::Error::Dockerfile(vec![diagnostic(), diagnostic()]), false);
        assert_eq!(failure.report.matches("error:").count(), 2);
        assert_eq!(failure.places.len(), 2);
    }

    #[test]
    fn an_error_without_a_place_has_its_way_out() {
        let failure = of_usage(&Usage::new("no\x1b[2Jthing").help("do this"), false);
        assert_eq!(failure.report, "error: nothing\nhelp: do this");
    }

    #[test]
    fn hostile_text_and_a_wrong_span_are_rendered() {
        let source = Source::new("D\x1b[2J", "RUN \x1b]0;x\x07\u{202e}ü\n");
        for span in [Span::new(4, 5), Span::new(11, 12), Span::new(90, 99), Span::new(0, 99)] {
            let failure =
                of_build(&build::Error::Dockerfile(vec![Diagnostic::new(&source, span, "bad")]), false);
            assert!(!failure.report.contains(['\x1b', '\x07', '\u{202e}']), "{:?}", failure.report);
        }
    }
}
