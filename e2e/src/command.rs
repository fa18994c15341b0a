//! Programs that are run to their end.

use std::process::{Command, Stdio};

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code; 128 + signal number where a signal ended it.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Finished {
    /// Output and error output together, for looking for a message that may be in either.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `command` without input and returns how it ended.
pub fn run(command: &mut Command) -> Finished {
    use std::os::unix::process::ExitStatusExt;
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let status = output.status;
    Finished {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `command`, which must succeed, and returns its standard output.
pub fn run_ok(command: &mut Command) -> String {
    let finished = run(command);
    assert_eq!(finished.code, 0, "{command:?} failed:\n{}{}", finished.stdout, finished.stderr);
    finished.stdout
}
