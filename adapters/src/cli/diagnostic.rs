//! Errors for people: the file, the line, the words underlined, and a way out.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use yadokari::build;
use yadokari::dockerfile::Diagnostic;
use yadokari::event::Found;

use super::progress::text::clean_lines;
use super::progress::{Failure, Place, Severity};
use crate::usage::Usage;

/// A failed build.
pub(crate) fn of_build(error: &build::Error, color: bool) -> Failure {
    let diagnostics = error.diagnostics();
    if diagnostics.is_empty() {
        return of_text(&error.to_string(), error.help().as_deref(), color);
    }
    let reports: Vec<String> = diagnostics.iter().map(|d| render(d, Kind::Error, color)).collect();
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

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It ends the build.
    Error,
    /// It is questionable.
    Warning,
}

/// The message, the lines with the words underlined, and the way out.
pub(crate) fn render(diagnostic: &Diagnostic, kind: Kind, color: bool) -> String {
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
    let level = if kind == Kind::Error { Level::ERROR } else { Level::WARNING };
    let title = level.primary_title(message.as_str());
    let title = match diagnostic.id {
        Some(id) => title.id(id),
        None => title,
    };
    let mut group = title.element(snippet);
    let origin = diagnostic.origin.as_deref().map(|origin| (clean_lines(origin.source.name()), origin));
    if let Some((name, origin)) = &origin {
        let text = origin.source.text();
        let span = if text.get(origin.span.range()).is_some() { origin.span.range() } else { 0..0 };
        let annotation = AnnotationKind::Context.span(span).label("it comes with this image");
        group = group.element(Snippet::source(text).path(name.as_str()).annotation(annotation));
    }
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer(color).render(&[group])
}

fn renderer(color: bool) -> Renderer {
    if color { Renderer::styled() } else { Renderer::plain() }
}

fn place(diagnostic: &Diagnostic) -> Place {
    // A trigger is in no file: the FROM that brings it in stands for it.
    let (source, span) = diagnostic.in_file();
    let in_file = Diagnostic::new(source, span, "");
    let ((line, column), (end_line, end_column)) = in_file.positions();
    let message = match &diagnostic.origin {
        Some(_) => {
            let trigger = diagnostic.source.text().lines().next().unwrap_or_default();
            format!("{}, in {}: {trigger}", diagnostic.message, diagnostic.source.name())
        }
        None => diagnostic.message.clone(),
    };
    Place {
        message: clean_lines(&message),
        id: diagnostic.id,
        severity: Severity::Error,
        file: Some(clean_lines(source.name())),
        line: Some(line),
        column: Some(column),
        end_line: Some(end_line),
        end_column: Some(end_column),
        help: diagnostic.help.as_deref().map(clean_lines),
    }
}

/// What a check found, for programs.
pub(crate) fn place_of(found: &Found) -> Place {
    Place {
        message: clean_lines(&found.message),
        id: Some(found.id),
        severity: Severity::Warning,
        file: Some(clean_lines(&found.file)),
        line: Some(found.start.0),
        column: Some(found.start.1),
        end_line: Some(found.end.0),
        end_column: Some(found.end.1),
        help: found.help.as_deref().map(clean_lines),
    }
}

/// What a check found, in a line or two of a log.
pub(crate) fn line_of(place: &Place) -> String {
    let file = place.file.as_deref().unwrap_or_default();
    let line = place.line.unwrap_or_default();
    let help = place.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
    format!("{file}:{line}: {}{help} ({})", place.message, place.id.unwrap_or_default())
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
