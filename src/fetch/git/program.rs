//! Running the `git` program: a clean environment, a time limit, its words without secrets.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::credentials::{Credentials, hidden};
use super::source::GitSource;
use crate::config::FetchConfig;
use crate::fetch::FetchError;
use crate::registry::plain;
use crate::run::program::{self, Waited, collect};
use crate::run::spawn_with;

/// What is read of each stream.
const OUTPUT_LIMIT: u64 = 4 << 20;
/// Transports that a repository and its submodules may use.
const PROTOCOLS: &str = "http:https:ssh:git";

/// `git` in one repository.
pub(super) struct Git<'a> {
    pub(super) url: String,
    /// The checkout; `.git` is in it.
    pub(super) directory: &'a Path,
    environment: Vec<(String, String)>,
    hidden: Vec<String>,
    deadline: Instant,
    stop: &'a dyn Fn() -> bool,
    credentials: Credentials,
}

/// What a command that failed left behind.
pub(super) struct Failed {
    pub(super) words: String,
    pub(super) error: FetchError,
}

impl<'a> Git<'a> {
    /// `ca_roots` is a file of CA roots that HTTPS trusts.
    pub(super) fn new(
        config: &FetchConfig,
        source: &GitSource,
        directory: &'a Path,
        ca_roots: Option<PathBuf>,
        stop: &'a dyn Fn() -> bool,
    ) -> std::io::Result<Git<'a>> {
        let credentials = Credentials::new(config, source)?;
        let mut environment = config.git_environment.clone();
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS", "/bin/false"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", &credentials.config_path()),
            ("GIT_ALLOW_PROTOCOL", PROTOCOLS),
            ("GIT_TEMPLATE_DIR", ""),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("LC_ALL", "C"),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        let given = |name: &str| environment.iter().any(|(known, _)| known == name);
        if !given("GIT_SSH_COMMAND") {
            environment.push(("GIT_SSH_COMMAND".to_owned(), "ssh -o BatchMode=yes".to_owned()));
        }
        if let Some(roots) = ca_roots {
            environment.push(("GIT_SSL_CAINFO".to_owned(), roots.display().to_string()));
        }
        Ok(Git {
            url: source.shown(),
            directory,
            environment,
            hidden: hidden(config, &source.remote),
            deadline: Instant::now() + config.git_time_limit,
            stop,
            credentials,
        })
    }

    /// Runs a command; what it wrote to standard output.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String, FetchError> {
        self.attempt(arguments).map_err(|failed| failed.error)
    }

    /// Runs a command; an error has the words by which to decide what else to try.
    pub(super) fn attempt(&self, arguments: &[&str]) -> Result<String, Failed> {
        let plainly = |error| Failed { words: String::new(), error };
        let mut child = self.start(arguments).map_err(plainly)?;
        let stdout = collect(child.stdout.take(), OUTPUT_LIMIT);
        let stderr = collect(child.stderr.take(), OUTPUT_LIMIT);
        let status = self.wait(&mut child, arguments).map_err(plainly)?;
        // What the program left running may hold the pipes open.
        let left = || self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let output = stdout.recv_timeout(left()).unwrap_or_default();
        let words = stderr.recv_timeout(left()).unwrap_or_default();
        if status.success() {
            return Ok(String::from_utf8_lossy(&output).into_owned());
        }
        let words = self.redacted(&String::from_utf8_lossy(&words));
        let error = self.failed(arguments, last_words(&words, status));
        Err(Failed { words, error })
    }

    fn start(&self, arguments: &[&str]) -> Result<Child, FetchError> {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.directory)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        spawn_with(&mut command, &self.credentials.files()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => FetchError::NoGit { url: self.url.clone() },
            _ => self.failed(arguments, format!("it cannot be started: {error}")),
        })
    }

    /// Waits for the end; kills the program and its children when the time is over or nobody
    /// wants it any more.
    fn wait(&self, child: &mut Child, arguments: &[&str]) -> Result<ExitStatus, FetchError> {
        let error = match program::wait(child, self.deadline, self.stop) {
            Ok(Waited::Ended(status)) => return Ok(status),
            Ok(Waited::Stopped) => FetchError::Cancelled { url: self.url.clone() },
            Ok(Waited::Late) => self.failed(arguments, "it took too long".to_owned()),
            Err(error) => self.failed(arguments, error.to_string()),
        };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // Gone already is fine.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
        Err(error)
    }

    fn failed(&self, arguments: &[&str], reason: String) -> FetchError {
        let action = arguments.iter().find(|a| !a.starts_with('-')).copied().unwrap_or_default();
        FetchError::Git { url: self.url.clone(), action: action.to_owned(), reason }
    }

    /// Text without secrets.
    fn redacted(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// The end of what the program said: that is where the reason stands.
fn last_words(words: &str, status: ExitStatus) -> String {
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let told = plain(&lines[lines.len().saturating_sub(4)..].join("; "));
    if told.is_empty() { status.to_string() } else { told }
}
