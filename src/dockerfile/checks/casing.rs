//! Upper and lower case of instructions and stage names.

use super::{Finding, Linter, about, about_stage, first_line, rule};
use crate::dockerfile::{Dockerfile, Source, Span, Stage, Word, unicode};

/// The name of a stage, and `AS`.
pub(super) fn check_from(source: &Source, stage: &Stage, linter: &mut Linter) {
    let keyword = Word { text: stage.keyword.clone(), span: first_line(source, stage.span) };
    let words = From { source, keyword: &keyword, lines: stage.lines };
    let name = stage.name.as_ref().map(|name| words.name(source.slice(name.span), name.span));
    let sign = stage.as_keyword.as_deref().map(|sign| words.sign(sign));
    for finding in [name, sign].into_iter().flatten().flatten() {
        linter.report_below(&stage.comments, finding);
    }
}

/// The same of a `FROM` that cannot be read: its third word is taken for a name, if it is the last.
pub(super) fn of_unread(source: &Source, keyword: &Word, words: &[Word], lines: Span) -> Vec<Finding> {
    let from = From { source, keyword, lines };
    let name = words.get(2).filter(|_| words.len() == 3);
    let name = name.and_then(|name| from.name(&name.text, name.span));
    let sign = words.get(1).filter(|_| words.len() >= 3).and_then(|sign| from.sign(&sign.text));
    name.into_iter().chain(sign).collect()
}

/// A `FROM` whose words are looked at.
struct From<'a> {
    source: &'a Source,
    keyword: &'a Word,
    lines: Span,
}

impl From<'_> {
    fn name(&self, written: &str, span: Span) -> Option<Finding> {
        let lower = unicode::lower(written);
        if lower == written {
            return None;
        }
        let message = format!("the stage name `{written}` is not in lower case");
        let finding = Finding::new(&rule::STAGE_NAME_CASING, self.source, self.lines, span, message);
        Some(finding.with_help(format!("write `{lower}`")))
    }

    /// Mixed case of FROM itself is ConsistentInstructionCasing's affair.
    fn sign(&self, written: &str) -> Option<Finding> {
        let keyword = self.keyword.text.as_str();
        let cased = match (is_lower(keyword), is_upper(keyword)) {
            (true, _) => written.to_lowercase(),
            (false, true) => written.to_uppercase(),
            (false, false) => return None,
        };
        let message = format!("`{written}` is not in the case of `{keyword}`");
        let span = self.keyword.span;
        let finding = Finding::new(&rule::FROM_AS_CASING, self.source, self.lines, span, message);
        (cased != written).then(|| finding.with_help(format!("write `{cased}`")))
    }
}

/// The keywords of all stages: most of them decide. Those before the first stage do not count.
pub(super) fn check_all(dockerfile: &Dockerfile, linter: &mut Linter) {
    let stages = &dockerfile.stages;
    let all = || {
        stages.iter().flat_map(|stage| {
            let instructions = stage.instructions.iter().map(|i| i.keyword.as_str());
            std::iter::once(stage.keyword.as_str()).chain(instructions)
        })
    };
    let lower = all().filter(|keyword| is_lower(keyword)).count();
    let upper = all().filter(|keyword| is_upper(keyword)).count();
    let (style, cased) = match lower > upper {
        true => ("lower", str::to_lowercase as fn(&str) -> String),
        false => ("upper", str::to_uppercase as fn(&str) -> String),
    };
    let wrong = |keyword: &str| {
        let right = cased(keyword);
        let message = format!("`{keyword}` is not in {style} case as most instructions are");
        (right != keyword).then(|| (message, format!("write `{right}`")))
    };
    let keyword_span = |span: Span, keyword: &str| Span::new(span.start, span.start + keyword.len());
    for stage in stages {
        if let Some((message, help)) = wrong(&stage.keyword) {
            let mut finding =
                about_stage(&rule::CONSISTENT_INSTRUCTION_CASING, &dockerfile.source, stage, message);
            finding.diagnostic.span = keyword_span(stage.span, &stage.keyword);
            linter.report(finding.with_help(help));
        }
        for instruction in &stage.instructions {
            if let Some((message, help)) = wrong(&instruction.keyword) {
                let mut finding = about(&rule::CONSISTENT_INSTRUCTION_CASING, instruction, message);
                finding.diagnostic.span = keyword_span(instruction.span, &instruction.keyword);
                linter.report(finding.with_help(help));
            }
        }
    }
}

fn is_lower(text: &str) -> bool {
    text.to_lowercase() == text
}

fn is_upper(text: &str) -> bool {
    text.to_uppercase() == text
}
