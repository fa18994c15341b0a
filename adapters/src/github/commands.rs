//! Workflow commands: groups, annotations, masks; and the fence around what commands print.

use std::path::{Path, PathBuf};

use crate::cli::progress::{Markup, Place, Redactor};

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

/// GitHub's markup of a log.
pub(crate) struct Commands {
    token: String,
    masks: String,
    workspace: Option<PathBuf>,
}

impl Commands {
    /// `token` ends the stretches in which commands are not interpreted.
    pub(crate) fn new(token: String, redactor: &Redactor, workspace: Option<PathBuf>) -> Self {
        let masks = redactor.secrets().iter().map(|s| format!("::add-mask::{}\n", message(s))).collect();
        Commands { token, masks, workspace }
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
        std::mem::take(&mut self.masks)
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
        self.annotation("warning", &[], text)
    }

    fn found(&mut self, place: &Place) -> String {
        self.placed("warning", place)
    }

    fn error(&mut self, place: &Place) -> String {
        self.placed("error", place)
    }

    fn line(&self, line: String) -> String {
        neutral(&line)
    }
}

impl Commands {
    fn placed(&self, kind: &str, place: &Place) -> String {
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
        self.annotation(kind, &properties, &format!("{}{help}", place.message))
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
