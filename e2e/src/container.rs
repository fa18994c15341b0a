//! Containers of the engine that `./test` started.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::command::{Finished, run, run_ok};
use crate::machine::program;

fn docker() -> Command {
    assert!(std::env::var_os("DOCKER_HOST").is_some(), "run these tests with ./test e2e");
    Command::new("docker")
}

/// A container to be run, with the program at `/yadokari/bin/yadokari`.
#[derive(Debug, Clone)]
pub struct Container {
    image: String,
    options: Vec<String>,
    program: bool,
}

impl Container {
    /// A container of an image of the engine.
    pub fn of(image: &str) -> Container {
        Container { image: image.to_owned(), options: Vec::new(), program: false }
    }

    /// A container with a shell below `/busybox` and nothing else of its own.
    pub fn tiny() -> Container {
        Container { program: true, ..Container::of("yadokari-e2e:tiny") }
    }

    /// An ordinary Debian container: every directory comes from an image layer.
    pub fn debian() -> Container {
        Container { program: true, ..Container::of("yadokari-e2e:debian") }
    }

    /// The same container with another image.
    pub fn image(mut self, image: &str) -> Container {
        self.image = image.to_owned();
        self
    }

    /// Adds an option of `docker run`.
    pub fn option(mut self, option: &str) -> Container {
        self.options.push(option.to_owned());
        self
    }

    /// Sets a variable.
    pub fn env(self, name: &str, value: &str) -> Container {
        self.option(&format!("--env={name}={value}"))
    }

    /// Mounts a directory or file of this machine.
    pub fn volume(self, from: &Path, to: &str) -> Container {
        self.option(&format!("--volume={}:{to}", from.display()))
    }

    /// Mounts a directory or file of this machine, not to be written.
    pub fn read_only_volume(self, from: &Path, to: &str) -> Container {
        self.option(&format!("--volume={}:{to}:ro", from.display()))
    }

    /// Runs the program with these arguments to its end.
    pub fn run(&self, arguments: &[impl AsRef<str>]) -> Finished {
        self.run_command("/yadokari/bin/yadokari", arguments)
    }

    /// Runs a command to its end.
    pub fn run_command(&self, entrypoint: &str, arguments: &[impl AsRef<str>]) -> Finished {
        run(&mut self.command(&["--rm".to_owned()], entrypoint, arguments))
    }

    /// Runs a script of the container's shell to its end.
    pub fn script(&self, script: &str) -> Finished {
        self.run_command("sh", &["-euc", script])
    }

    /// The program with these arguments, to be run on a terminal.
    pub fn on_terminal(&self, arguments: &[impl AsRef<str>]) -> Command {
        let options = ["--rm", "--interactive", "--tty"].map(str::to_owned);
        self.command(&options, "/yadokari/bin/yadokari", arguments)
    }

    /// Starts a command and returns while it runs.
    pub fn start(&self, entrypoint: &str, arguments: &[impl AsRef<str>]) -> Running {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("yadokari-e2e-{}-{number}", std::process::id());
        let options = ["--detach".to_owned(), format!("--name={name}")];
        run_ok(&mut self.command(&options, entrypoint, arguments));
        Running { name }
    }

    fn command(&self, options: &[String], entrypoint: &str, arguments: &[impl AsRef<str>]) -> Command {
        let mut command = docker();
        command.args(["run", "--network=host"]).args(options).args(&self.options);
        if self.program {
            let program = program();
            command.arg(format!("--volume={}:/yadokari/bin/yadokari:ro", program.display()));
        }
        command.arg(format!("--entrypoint={entrypoint}")).arg(&self.image);
        command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
        command
    }
}

/// A container that was started; it is removed when this goes.
pub struct Running {
    name: String,
}

impl Running {
    /// Runs a script of the container's shell in it.
    pub fn exec(&self, script: &str) -> Finished {
        run(docker().args(["exec", &self.name, "/busybox/sh", "-euc", script]))
    }

    /// Sends a signal to the container's first process.
    pub fn signal(&self, signal: &str) {
        run_ok(docker().args(["kill", "--signal", signal, &self.name]));
    }

    /// Waits until the output has `text`, a minute at most.
    pub fn wait_for(&self, text: &str) {
        let start = Instant::now();
        loop {
            let logs = self.logs();
            if logs.contains(text) {
                return;
            }
            let running = run_ok(docker().args(["inspect", "--format={{.State.Running}}", &self.name]));
            assert_eq!(running.trim(), "true", "the container ended without '{text}':\n{logs}");
            let patience = Duration::from_secs(60);
            assert!(start.elapsed() < patience, "no '{text}' within {patience:?}:\n{logs}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What was written so far, output and error output.
    pub fn logs(&self) -> String {
        run(docker().args(["logs", &self.name])).output()
    }

    /// Waits for the end; returns the exit code.
    pub fn wait(&self) -> i32 {
        let code = run_ok(docker().args(["wait", &self.name]));
        code.trim().parse().expect("docker wait prints the exit code")
    }

    /// A file of the container, which may have ended; `None` if it has none of that name.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let mut copy = docker();
        copy.args(["cp", &format!("{}:{path}", self.name), "-"]);
        let output = copy.output().expect("docker starts");
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains("No such container:path"), "docker cp {path}: {error}");
            return None;
        }
        let mut archive = tar::Archive::new(output.stdout.as_slice());
        let mut entries = archive.entries().expect("docker cp writes a tar archive");
        let mut entry = entries.next().expect("with one entry").expect("that is whole");
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("the entry is whole");
        Some(content)
    }

    /// Changes of the container's file system against its image, one `A path` a line.
    pub fn diff(&self) -> Vec<String> {
        let lines = run_ok(docker().args(["diff", &self.name]));
        lines.lines().map(str::to_owned).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        run(docker().args(["rm", "--force", "--volumes", &self.name]));
    }
}
