//! Names that two stages have, or that mean something else.

use super::{Finding, Linter, rule};
use crate::dockerfile::Dockerfile;

pub(super) fn check(dockerfile: &Dockerfile, linter: &mut Linter) {
    for (number, stage) in dockerfile.stages.iter().enumerate() {
        let Some(name) = &stage.name else { continue };
        let found = |rule, message| Finding::new(rule, &dockerfile.source, stage.lines, name.span, message);
        if matches!(name.text.as_str(), "scratch" | "context") {
            let message = format!("`{}` means something else than a stage", name.text);
            linter
                .report(found(&rule::RESERVED_STAGE_NAME, message).with_help("give the stage another name"));
        }
        let same =
            |other: &crate::dockerfile::Stage| other.name.as_ref().is_some_and(|n| n.text == name.text);
        if let Some(first) = dockerfile.stages[..number].iter().position(same) {
            let line = dockerfile.source.line(dockerfile.stages[first].span.start);
            let message = format!("the stage in line {line} is called `{}` too", name.text);
            let help = "the last one of a name counts; rename one of them";
            linter.report(found(&rule::DUPLICATE_STAGE_NAME, message).with_help(help));
        }
    }
}
