//! `yadokari check`: what is wrong with a Dockerfile, and what is most likely not meant, in the
//! form that somebody reads: people, programs, SARIF, GitLab, GitHub.

mod github;
mod gitlab;
mod human;
mod json;
mod sarif;

use std::io::{IsTerminal, Write};
use std::path::Path;

use yadokari::build::{self, BaseLookup, CheckReport};
use yadokari::dockerfile::Diagnostic;
use yadokari::dockerfile::checks::Finding;

use super::describe::Look;
use super::flags::{BasesFlag, Flags, FormatFlag};
use super::progress::{Bare, Display, Redactor, Sink};
use super::{config, diagnostic, log, secrets};
use crate::env::Env;
use crate::usage::Usage;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Check {
    /// The build it is about.
    pub(crate) flags: Flags,
    /// The form of the report.
    pub(crate) format: FormatFlag,
    /// What is known of base images.
    pub(crate) bases: BasesFlag,
    /// Whether findings leave the exit code alone.
    pub(crate) ignore_status: bool,
}

impl Check {
    /// The check of `yadokari check`.
    pub(crate) fn new(look: &Look, flags: &super::flags::CheckFlags) -> Self {
        let registry = flags.registry.clone();
        Check {
            flags: look.flags(registry),
            format: flags.format,
            bases: flags.bases,
            ignore_status: flags.ignore_status,
        }
    }
}

/// Checks and prints a report; the exit code: 1 for errors and for findings, as `docker build --check`.
///
/// # Errors
/// Flags that make no sense.
pub(crate) fn run(check: &Check, env: &Env) -> Result<u8, Usage> {
    let mut flags = check.flags.clone();
    flags.result.no_push = true;
    let job = config::job(&flags, env)?;
    let redactor = Redactor::new(secrets::of(&job.config));
    let mut log = log::options(&flags.log)?;
    // Standard output has the report; standard error what stands in the way of it.
    log.level = log.level.max(log::Level::Warning);
    log.progress = super::flags::ProgressFlag::Plain;
    let display = Display::open(log, env, redactor.clone(), Box::new(Bare), Sink::Stderr)?;
    let lookup = match check.bases {
        BasesFlag::Fetch => BaseLookup::Fetch,
        BasesFlag::Skip => BaseLookup::Skip,
        BasesFlag::Empty => BaseLookup::Empty,
    };
    let report = match build::check(&job.config, lookup, &display.events()) {
        Ok(report) => report,
        Err(error) => {
            display.failure(&diagnostic::of_build(&error, display.color()));
            display.close();
            return Ok(1);
        }
    };
    for note in &report.notes {
        let _ = writeln!(
            std::io::stderr(),
            "note: {}",
            redactor.redact(super::progress::text::clean_lines(note))
        );
    }
    display.close();
    let color = std::io::stdout().is_terminal() && env.get("NO_COLOR").is_none();
    let text = redactor.redact(rendered(&report, check.format, color, env));
    let failed = u8::from(report.fails(check.ignore_status));
    Ok(crate::print(&text).max(failed))
}

fn rendered(report: &CheckReport, format: FormatFlag, color: bool, env: &Env) -> String {
    match format {
        FormatFlag::Human => human::render(report, color),
        FormatFlag::Json => json::render(report),
        FormatFlag::Sarif => sarif::render(report, env),
        FormatFlag::Gitlab => gitlab::render(report, env),
        FormatFlag::Github => github::render(report, env),
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

/// An error or a finding, as all forms but BuildKit's show it.
struct Item<'r> {
    severity: Severity,
    /// The rule's id, or `DockerfileError`.
    id: &'r str,
    diagnostic: &'r Diagnostic,
    /// First and last line.
    lines: (usize, usize),
}

/// What an error has in place of a rule.
const ERROR_ID: &str = "DockerfileError";

/// Everything in a report, the worst first, then in the order of the text.
fn items(report: &CheckReport) -> Vec<Item<'_>> {
    let errors = report.errors.iter().map(|diagnostic| {
        let (source, span) = diagnostic.in_file();
        let ((first, _), (last, _)) = Diagnostic::new(source, span, "").positions();
        Item {
            severity: Severity::Error,
            id: diagnostic.id.unwrap_or(ERROR_ID),
            diagnostic,
            lines: (first, last),
        }
    });
    let severity = if report.findings_are_errors { Severity::Error } else { Severity::Warning };
    let found = |finding: &'_ Finding| finding.line_range();
    let findings = report.findings.iter().map(|finding| Item {
        severity,
        id: finding.rule.id,
        diagnostic: &finding.diagnostic,
        lines: found(finding),
    });
    let mut items: Vec<Item<'_>> = errors.chain(findings).collect();
    items.sort_by_key(|item| (item.severity, item.lines));
    items
}

/// The file as a platform knows it: relative to the project where that is known.
fn path_in_project(name: &str, env: &Env) -> String {
    let path = Path::new(name);
    let roots = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].into_iter().filter_map(|name| env.get(name));
    let current = std::env::current_dir().ok();
    let mut roots = roots.map(Path::new).chain(current.as_deref());
    let relative = roots.find_map(|root| path.strip_prefix(root).ok()).unwrap_or(path);
    relative.strip_prefix("./").unwrap_or(relative).display().to_string()
}

/// Message and way out in one text.
fn whole_message(diagnostic: &Diagnostic) -> String {
    let help = diagnostic.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
    super::progress::text::clean_lines(&format!("{}{help}", diagnostic.message))
}

#[cfg(test)]
mod tests;
