//! What GitHub's runner does with a step: the rules of actions/runner (ActionCommand.cs,
//! ActionCommandManager.cs, FileCommandManager.cs), written down again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{Finished, run};
use crate::machine::scratch;

/// A step's environment: its variables, and the files it writes commands to.
pub struct Runner {
    directory: TempDir,
    variables: BTreeMap<String, String>,
}

/// A step that has ended.
pub struct Step {
    /// How.
    pub finished: Finished,
    /// Its log, as the runner took it.
    pub log: Log,
    files: BTreeMap<&'static str, String>,
}

/// What a step writes to.
const FILES: [&str; 4] = ["output", "env", "summary", "artifacts"];

impl Default for Runner {
    fn default() -> Self {
        Runner::new()
    }
}

impl Runner {
    /// A push to the branch `main` of `octo/app`, with an empty workspace.
    pub fn new() -> Runner {
        let directory = scratch();
        let mut runner = Runner { directory, variables: BTreeMap::new() };
        for directory in ["workspace", "home", "temp"] {
            fs::create_dir(runner.path(directory)).expect("made");
        }
        for file in FILES {
            fs::write(runner.path(file), "").expect("written");
        }
        let path = |name: &str| runner.path(name).display().to_string();
        let variables = [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("CI", "true".to_owned()),
            ("GITHUB_EVENT_NAME", "push".to_owned()),
            ("GITHUB_REF", "refs/heads/main".to_owned()),
            ("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37".to_owned()),
            ("GITHUB_REPOSITORY", "octo/app".to_owned()),
            ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
            ("GITHUB_WORKSPACE", path("workspace")),
            ("GITHUB_OUTPUT", path("output")),
            ("GITHUB_ENV", path("env")),
            ("GITHUB_STEP_SUMMARY", path("summary")),
            ("GITHUB_ARTIFACTS", path("artifacts")),
            ("RUNNER_TEMP", path("temp")),
            ("HOME", path("home")),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
        ];
        runner.variables.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The workspace.
    pub fn workspace(&self) -> PathBuf {
        self.path("workspace")
    }

    /// Writes a file of the workspace.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Runner {
        let path = self.workspace().join(name);
        fs::create_dir_all(path.parent().expect("below the workspace")).expect("made");
        fs::write(path, text).expect("written");
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Runner {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives an input as a docker action gets it.
    #[must_use]
    pub fn input(self, name: &str, value: &str) -> Runner {
        let name = format!("INPUT_{}", name.to_uppercase().replace(' ', "_"));
        self.variable(&name, value)
    }

    /// Runs a command in the workspace, with this environment only.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Step {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.workspace()).env_clear().envs(&self.variables);
        let finished = run(&mut command);
        let log = Log::read(&finished.stdout);
        let text = |name: &'static str| (name, fs::read_to_string(self.path(name)).expect("readable"));
        Step { finished, log, files: FILES.map(text).into() }
    }
}

impl Step {
    /// The step's outputs.
    pub fn outputs(&self) -> BTreeMap<String, String> {
        entries(&self.text("output"))
    }

    /// The variables that later steps get.
    pub fn exports(&self) -> BTreeMap<String, String> {
        entries(&self.text("env"))
    }

    /// The summary.
    pub fn summary(&self) -> String {
        self.text("summary")
    }

    /// The subjects of attestations.
    pub fn artifacts(&self) -> String {
        self.text("artifacts")
    }

    fn text(&self, name: &str) -> String {
        let text = self.files[name].clone();
        assert!(text.len() <= 1 << 20, "the runner takes no {name} of {} bytes", text.len());
        text
    }

    /// The step, which must have succeeded.
    #[must_use]
    pub fn succeeded(self) -> Step {
        assert_eq!(self.finished.code, 0, "{}", self.finished.output());
        self
    }
}

/// Reads `NAME=VALUE` and `NAME<<DELIMITER` entries.
///
/// # Panics
/// Where the runner would fail the step.
pub fn entries(text: &str) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        match (equals, heredoc) {
            (equals, Some(at)) if equals.is_none_or(|equals| at < equals) => {
                let delimiter = &line[at + 2..];
                assert!(at > 0 && !delimiter.is_empty(), "invalid format '{line}'");
                let mut value: Vec<&str> = Vec::new();
                loop {
                    let next = lines.next().expect("matching delimiter not found");
                    assert!(next.ends_with('\n'), "EOF marker missing new line");
                    let next = next.trim_end_matches('\n');
                    if next == delimiter {
                        break;
                    }
                    value.push(next);
                }
                entries.insert(line[..at].to_owned(), value.join("\n"));
            }
            (Some(at), _) => {
                assert!(at > 0, "invalid format '{line}'");
                entries.insert(line[..at].to_owned(), line[at + 1..].to_owned());
            }
            _ => panic!("invalid format '{line}'"),
        }
    }
    entries
}

/// A workflow command that the runner obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obeyed {
    /// Its name.
    pub name: String,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
    /// Its message.
    pub message: String,
}

/// A step's log.
#[derive(Debug, Default)]
pub struct Log {
    /// Commands in order, `stop-commands` left out.
    pub commands: Vec<Obeyed>,
    /// The other lines, with masked values replaced.
    pub lines: Vec<String>,
}

/// The commands a runner knows.
const COMMANDS: [&str; 15] = [
    "internal-set-repo-path",
    "set-env",
    "set-output",
    "save-state",
    "add-path",
    "add-mask",
    "add-matcher",
    "remove-matcher",
    "warning",
    "error",
    "notice",
    "debug",
    "group",
    "endgroup",
    "echo",
];

impl Log {
    /// Reads a step's standard output.
    pub fn read(text: &str) -> Log {
        let mut log = Log::default();
        let mut stopped: Option<String> = None;
        let mut masks: Vec<String> = Vec::new();
        for line in text.lines() {
            match parse(line, stopped.as_deref()) {
                Some(command) if stopped.is_some() => {
                    if stopped.as_deref().is_some_and(|token| token.eq_ignore_ascii_case(&command.name)) {
                        stopped = None;
                    } else {
                        log.lines.push(line.to_owned());
                    }
                }
                Some(command) if command.name == "stop-commands" => stopped = Some(command.message),
                Some(command) => {
                    if command.name == "add-mask" {
                        masks.extend(command.message.lines().map(str::to_owned));
                    }
                    log.commands.push(command);
                }
                None => log.lines.push(masks.iter().fold(line.to_owned(), |l, mask| l.replace(mask, "***"))),
            }
        }
        assert!(stopped.is_none(), "commands are still stopped at the end");
        log
    }

    /// The commands of a name.
    pub fn of(&self, name: &str) -> Vec<&Obeyed> {
        self.commands.iter().filter(|command| command.name == name).collect()
    }
}

fn parse(line: &str, token: Option<&str>) -> Option<Obeyed> {
    let known = |name: &str| {
        name == "stop-commands"
            || COMMANDS.contains(&name.to_ascii_lowercase().as_str())
            || token.is_some_and(|token| token.eq_ignore_ascii_case(name))
    };
    new_form(line).filter(|c| known(&c.name)).or_else(|| old_form(line).filter(|c| known(&c.name)))
}

/// `::name key=value,key=value::message`
fn new_form(line: &str) -> Option<Obeyed> {
    let rest = line.trim_start().strip_prefix("::")?;
    let (command, message) = rest.split_once("::")?;
    let unescape = |text: &str| text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%");
    let value = |text: &str| unescape(&text.replace("%3A", ":").replace("%2C", ","));
    let (name, properties) = command.split_once(' ').unwrap_or((command, ""));
    let properties = properties.trim().split(',').filter_map(|p| p.split_once('='));
    Some(Obeyed {
        name: name.to_owned(),
        properties: properties.map(|(key, text)| (key.to_owned(), value(text))).collect(),
        message: unescape(message),
    })
}

/// `##[name key=value;key=value]message`, anywhere in a line.
fn old_form(line: &str) -> Option<Obeyed> {
    let (_, rest) = line.split_once("##[")?;
    let (command, message) = rest.split_once(']')?;
    let (name, _) = command.split_once(' ').unwrap_or((command, ""));
    Some(Obeyed { name: name.to_owned(), properties: BTreeMap::new(), message: message.to_owned() })
}
