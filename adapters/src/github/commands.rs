//! Workflow commands: groups, annotations, masks; and the fence around what commands print.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::progress::{Markup, Place, Redactor, Severity};

/// 32 hexadecimal digits that nobody can guess.
pub(crate) fn token() -> String {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            // The system call exists since Linux 3.17 and waits until it can answer.
            Err(e) => panic!("getrandom: {e}"),
        }
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The runner shows this many annotations of a kind for each step.
const MOST_ANNOTATIONS: usize = 10;

/// What was found at places of files, for the summary.
pub(crate) type Findings = Arc<Mutex<Vec<Place>>>;

/// GitHub's markup of a log.
pub(crate) struct Commands {
    token: String,
    /// What is said first: values to mask, then notices.
    start: String,
    workspace: Option<PathBuf>,
    /// Annotations so far, errors and warnings.
    shown: [usize; 2],
    findings: Findings,
    /// Whether what checks find is annotated.
    annotated: bool,
}

impl Commands {
    /// `token` ends the stretches in which commands are not interpreted.
    pub(crate) fn new(token: String, redactor: &Redactor, workspace: Option<PathBuf>) -> Self {
        let start = redactor.secrets().iter().map(|s| format!("::add-mask::{}\n", message(s))).collect();
        let findings = Findings::default();
        Commands { token, start, workspace, shown: [0, 0], findings, annotated: true }
    }

    /// Says these first.
    #[must_use]
    pub(crate) fn with_notices(mut self, notices: &[String]) -> Self {
        for notice in notices {
            self.start += &format!("::notice::{}\n", message(&neutral(notice)));
        }
        self
    }

    /// Keeps what is found there, and shows it beside the files if it shall be `annotated`.
    #[must_use]
    pub(crate) fn with_findings(mut self, findings: Findings, annotated: bool) -> Self {
        self.findings = findings;
        self.annotated = annotated;
        self
    }

    /// An annotation, as long as the runner shows more.
    fn capped(&mut self, severity: Severity, properties: &[(&str, String)], text: &str) -> String {
        let (at, kind) = match severity {
            Severity::Error => (0, "error"),
            Severity::Warning => (1, "warning"),
        };
        self.shown[at] += 1;
        match self.shown[at] <= MOST_ANNOTATIONS {
            true => self.annotation(kind, properties, text),
            false => String::new(),
        }
    }

    fn keep(&self, place: &Place) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.push(Place { file: place.file.as_ref().map(|f| self.file(f)), ..place.clone() });
    }

    fn annotation(&self, kind: &str, properties: &[(&str, String)], text: &str) -> String {
        let properties: Vec<String> =
            properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
        let space = if properties.is_empty() { "" } else { " " };
        format!("::{kind}{space}{}::{}\n", properties.join(","), message(text))
    }

    /// Annotations name files relative to the workspace.
    fn file(&self, name: &str) -> String {
        let path = Path::new(name);
        let relative = self.workspace.as_ref().and_then(|w| path.strip_prefix(w).ok()).unwrap_or(path);
        relative.strip_prefix("./").unwrap_or(relative).display().to_string()
    }
}

impl Markup for Commands {
    fn start(&mut self) -> String {
        std::mem::take(&mut self.start)
    }

    fn open(&mut self, title: &str) -> String {
        format!("::group::{}\n", message(&neutral(title)))
    }

    fn close(&mut self) -> String {
        "::endgroup::\n".to_owned()
    }

    fn enter_output(&mut self) -> String {
        format!("::stop-commands::{}\n", self.token)
    }

    fn leave_output(&mut self) -> String {
        format!("::{}::\n", self.token)
    }

    fn warning(&mut self, text: &str) -> String {
        self.capped(Severity::Warning, &[], text)
    }

    fn found(&mut self, place: &Place) -> String {
        self.keep(place);
        if self.annotated { self.placed(Severity::Warning, place) } else { String::new() }
    }

    fn error(&mut self, place: &Place) -> String {
        if self.shown[0] >= MOST_ANNOTATIONS {
            self.keep(place);
        }
        self.placed(Severity::Error, place)
    }

    fn line(&self, line: String) -> String {
        neutral(&line)
    }
}

impl Commands {
    fn placed(&mut self, severity: Severity, place: &Place) -> String {
        let mut properties = Vec::new();
        if let Some(file) = &place.file {
            properties.push(("file", self.file(file)));
        }
        let numbers = [
            ("line", place.line),
            ("endLine", place.end_line),
            ("col", place.column),
            ("endColumn", place.end_column),
        ];
        // GitHub takes columns only where the annotation is on one line.
        let one_line = place.line == place.end_line;
        for (name, value) in numbers {
            if let Some(value) = value.filter(|_| one_line || name.ends_with("ine")) {
                properties.push((name, value.to_string()));
            }
        }
        if let Some(id) = place.id {
            properties.push(("title", id.to_owned()));
        }
        let help = place.help.as_ref().map_or(String::new(), |h| format!("\n{h}"));
        self.capped(severity, &properties, &format!("{}{help}", place.message))
    }
}

/// The runner still reads the old form of commands, `##[…]`, anywhere in a line.
fn neutral(text: &str) -> String {
    text.replace("##[", "# #[")
}

/// Escapes a command's message (actions/runner, ActionCommand.cs).
pub(crate) fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
pub(crate) fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
