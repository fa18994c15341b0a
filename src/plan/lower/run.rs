//! `RUN`: shell, exec form, heredocs.

use crate::dockerfile::{Device, Diagnostic, Instruction, RunForm, RunInstruction, Word};

use super::super::metadata;
use super::super::mount::{RunMountKind, RunNetwork, RunSecurity};
use super::super::step::{Action, RunStep, Script};
use super::{Lowering, ResolveFrom};

/// Directory of the files that heredocs starting with `#!` become (BuildKit, `convert.go`).
const SCRIPTS: &str = "/dev/pipes/";

impl Lowering<'_> {
    pub(super) fn run(
        &mut self,
        at: &Instruction,
        run: &RunInstruction,
        resolve: &mut ResolveFrom<'_>,
    ) -> Result<(Action, String), Box<Diagnostic>> {
        let devices = self.devices(at, run)?;
        let mounts = self.mounts(at, run, resolve)?;
        let (network, security) = rights(run);
        let (argv, script) = self.command(at, run);
        let mut words = self.scope.history_prefix();
        words.extend(argv.iter().cloned());
        let created_by = format!("RUN {} # buildkit", words.join(" "));
        let mut env = self.run_environment();
        let socket = mounts.iter().find(|m| matches!(m.kind, RunMountKind::Ssh { .. }));
        if let Some(target) = socket.and_then(|mount| mount.target.clone())
            && self.scope.get("SSH_AUTH_SOCK").is_none()
        {
            env.push(("SSH_AUTH_SOCK".to_owned(), target));
        }
        let step = RunStep {
            argv,
            env,
            proxies: self.undeclared_proxies().into_iter().map(|(name, _)| name).collect(),
            user: self.config.config.user.clone(),
            workdir: super::absolute("/", &self.config.config.working_dir),
            script,
            mounts,
            network,
            security,
            devices,
        };
        Ok((Action::Run(step), created_by))
    }

    /// The devices it asks for, which only the labs channel has (BuildKit, `convert_norundevice.go`).
    fn devices(&self, at: &Instruction, run: &RunInstruction) -> Result<Vec<Device>, Box<Diagnostic>> {
        let wrong = |span, message: String| Box::new(Diagnostic::new(&at.source, span, message));
        if let Some(first) = run.devices.first().filter(|_| !self.labs) {
            let message = "RUN --device is of the labs channel only".to_owned();
            let help = "begin the Dockerfile with: # syntax=docker/dockerfile:labs";
            return Err(Box::new(wrong(first.span, message).with_help(help)));
        }
        let read = |word: &Word| {
            Device::parse(&word.text)
                .map_err(|(message, help)| Box::new(wrong(word.span, message).with_help(help)))
        };
        run.devices.iter().map(read).collect()
    }

    /// What is run, and the file to run it needs.
    fn command(&self, at: &Instruction, run: &RunInstruction) -> (Vec<String>, Option<Script>) {
        match run.form(&at.source) {
            RunForm::Exec(words) => (words.to_vec(), None),
            RunForm::Shell(text) => (metadata::shell_words(&self.config, &text), None),
            RunForm::Script { name, content } => {
                let script = Script { name: name.to_owned(), content: content.to_owned() };
                (metadata::shell_words(&self.config, &format!("{SCRIPTS}{name}")), Some(script))
            }
        }
    }
}

/// What the step asks for besides files.
fn rights(run: &RunInstruction) -> (RunNetwork, RunSecurity) {
    let is = |word: &Option<Word>, text: &str| word.as_ref().is_some_and(|word| word.text == text);
    let network = match () {
        () if is(&run.network, "none") => RunNetwork::None,
        () if is(&run.network, "host") => RunNetwork::Host,
        () => RunNetwork::Default,
    };
    let insecure = is(&run.security, "insecure");
    (network, if insecure { RunSecurity::Insecure } else { RunSecurity::Sandbox })
}
