//! The code quality report: what checks found, shown in merge requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use yadokari::image::Digest;

use crate::cli::progress::{Place, Severity};
use crate::env::Env;

/// What checks found so far.
#[derive(Debug)]
pub(super) struct Findings {
    roots: Vec<PathBuf>,
    issues: Vec<Value>,
    seen: BTreeMap<String, usize>,
}

/// Findings are whole after every change.
pub(super) fn lock(findings: &Mutex<Findings>) -> MutexGuard<'_, Findings> {
    findings.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Findings {
    /// None yet; paths in the project are shown without its directory.
    pub(super) fn new(env: &Env) -> Findings {
        let roots =
            env.get("CI_PROJECT_DIR").map(PathBuf::from).into_iter().chain(std::env::current_dir().ok());
        Findings { roots: roots.collect(), issues: Vec::new(), seen: BTreeMap::new() }
    }

    /// Adds one. What is in no file is no matter of code.
    pub(super) fn add(&mut self, place: &Place) {
        let Some(file) = &place.file else { return };
        let path = self.relative(file);
        let id = place.id.unwrap_or("Dockerfile");
        // Without the line's number, so that an issue stays the same when lines move; equal ones are numbered.
        let base = format!("{id}\n{path}\n{}", place.message);
        let number = self.seen.entry(base.clone()).and_modify(|count| *count += 1).or_insert(0);
        let fingerprint = Digest::of(format!("{base}\n{number}").as_bytes()).hex();
        let help = place.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        let line = place.line.unwrap_or(1);
        self.issues.push(json!({
            "type": "issue",
            "check_name": id,
            "description": format!("{}{help}", place.message),
            "categories": ["Bug Risk"],
            "severity": if place.severity == Severity::Error { "critical" } else { "minor" },
            "fingerprint": fingerprint,
            "location": { "path": path, "lines": { "begin": line, "end": place.end_line.unwrap_or(line) } },
        }));
    }

    fn relative(&self, file: &str) -> String {
        let path = Path::new(file);
        let inside = self.roots.iter().find_map(|root| path.strip_prefix(root).ok()).unwrap_or(path);
        let parts = inside.components().filter(|part| !matches!(part, std::path::Component::CurDir));
        parts.collect::<PathBuf>().display().to_string()
    }

    /// The report.
    pub(super) fn report(&self) -> String {
        format!("{:#}\n", Value::Array(self.issues.clone()))
    }
}
