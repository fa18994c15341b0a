//! Checks that look at the files of the build context.

use crate::context::Context;
use crate::dockerfile::Span;
use crate::dockerfile::checks::{Finding, Linter, Rule, rule};
use crate::plan::{Action, Chmod, CopyFrom, CopySource, CopyStep, Plan, StageBase, Step};

use super::copy::{SourceTree, has_wildcards, select};

/// Looks at the copies of a plan.
pub(super) fn check(plan: &Plan, context: Option<&Context>, linter: &mut Linter) {
    for at in 0..plan.stages.len() {
        let mut has_files = inherits_files(plan, at);
        for step in &plan.stages[at].steps {
            if let Action::Copy(copy) = &step.action {
                let mut look = Look { step, copy, linter };
                look.owner(has_files);
                if let (CopyFrom::Context, Some(context)) = (&copy.from, context) {
                    look.sources(context);
                }
            }
            has_files |= matches!(step.action, Action::Run(_) | Action::Copy(_));
        }
    }
}

/// Whether anything but directories may be in a stage before its first step.
fn inherits_files(plan: &Plan, at: usize) -> bool {
    match plan.stages[at].base {
        StageBase::Scratch => false,
        StageBase::Image(_) => true,
        StageBase::Stage(parent) => {
            let steps = &plan.stages[parent].steps;
            inherits_files(plan, parent)
                || steps.iter().any(|s| matches!(s.action, Action::Run(_) | Action::Copy(_)))
        }
    }
}

struct Look<'a> {
    step: &'a Step,
    copy: &'a CopyStep,
    linter: &'a mut Linter,
}

impl Look<'_> {
    fn report(&mut self, rule: &'static Rule, message: String, help: &str) {
        let place = &self.step.place;
        let text = place.source.slice(place.span);
        let first = Span::new(place.span.start, place.span.start + text.find('\n').unwrap_or(text.len()));
        let finding = Finding::new(rule, &place.source, place.span, first, message);
        self.linter.report(finding.with_help(help));
    }

    /// Names cannot be looked up where there are no files.
    fn owner(&mut self, has_files: bool) {
        let Some(chown) = &self.copy.chown else { return };
        let names = chown.0.split(':').filter(|part| !part.is_empty());
        // A linked copy sees no stage, unless `--chmod` makes it a plain one.
        let linked = self.copy.link && self.copy.chmod.is_none();
        let why = match (linked, has_files) {
            (true, _) => "--link does not look at the stage's",
            (false, false) => "the stage has no files yet",
            (false, true) => return,
        };
        for name in names.filter(|part| *part != "root" && part.parse::<i32>().is_err()) {
            let message = format!("there is no user or group `{name}`: {why}");
            self.report(&rule::UNKNOWN_CHOWN_NAME, message, "write numbers, such as --chown=1000:1000");
        }
    }

    fn sources(&mut self, context: &Context) {
        // What a pattern with `--parents` means is another question.
        if self.copy.parents {
            return;
        }
        let rules = context.ignore();
        let tree = SourceTree {
            view: context.view(),
            ignore: rules.map(|r| &r.matcher),
            ignore_file: rules.map(|r| r.path.as_path()),
            keep_owner: false,
            modes: crate::config::ContextModes::Disk,
            name: "the build context".to_owned(),
        };
        for source in &self.copy.sources {
            let CopySource::Path(path) = source else { continue };
            // One that is not there is the copy's to report.
            let Ok(selected) = select(&tree, path) else { continue };
            if selected.is_empty() && has_wildcards(path.as_bytes()) {
                let message = format!("`{path}` matches nothing in the build context: nothing is copied");
                let help = "correct the pattern, or remove it; an ignore rule may leave files out";
                self.report(&rule::WILDCARD_MATCHED_NOTHING, message, help);
            }
            if selected.iter().any(|s| !s.is_file) && self.mode_without_search() {
                let mode = self.copy.chmod.as_ref().map_or("", Chmod::text);
                let message =
                    format!("`{path}` holds directories, and with the mode {mode} only root enters them");
                self.report(&rule::UNSEARCHABLE_DIRECTORY, message, "write --chmod=u=rwX,go=rX");
            }
        }
    }

    /// Whether the mode is in digits and lets nobody enter a directory.
    fn mode_without_search(&self) -> bool {
        self.copy.chmod.as_ref().and_then(Chmod::octal).is_some_and(|mode| mode & 0o111 == 0)
    }
}
