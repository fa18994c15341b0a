//! Upper and lower case of instructions and stage names.

use super::{Finding, Linter, about, about_stage, rule};
use crate::dockerfile::{Dockerfile, Source, Span, Stage};

/// The name of a stage, and `AS`.
pub(super) fn check_from(source: &Source, stage: &Stage, linter: &mut Linter) {
    if let Some(name) = &stage.name {
        let written = source.slice(name.span);
        if written.to_lowercase() != written {
            let message = format!("the stage name `{written}` is not in lower case");
            let finding = Finding::new(&rule::STAGE_NAME_CASING, source, stage.lines, name.span, message);
            let help = format!("write `{}`", name.text);
            linter.report_below(&stage.comments, finding.with_help(help));
        }
    }
    // Mixed case of FROM itself is ConsistentInstructionCasing's affair.
    let cased = match (is_lower(&stage.keyword), is_upper(&stage.keyword)) {
        (true, _) => str::to_lowercase as fn(&str) -> String,
        (false, true) => str::to_uppercase,
        (false, false) => return,
    };
    if let Some(keyword) = stage.as_keyword.as_deref().filter(|k| cased(k) != *k) {
        let message = format!("`{keyword}` is not in the case of `{}`", stage.keyword);
        let finding = about_stage(&rule::FROM_AS_CASING, source, stage, message);
        linter.report_below(&stage.comments, finding.with_help(format!("write `{}`", cased(keyword))));
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
