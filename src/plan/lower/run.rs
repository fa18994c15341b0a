//! `RUN`: shell, exec form, heredocs.

use crate::dockerfile::{Diagnostic, Instruction, RunForm, RunInstruction, Word};

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
        refuse_options(at, run)?;
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
        };
        Ok((Action::Run(step), created_by))
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

/// Options whose effect would be missing from the image are errors.
fn refuse_options(at: &Instruction, run: &RunInstruction) -> Result<(), Box<Diagnostic>> {
    match run.devices.first() {
        None => Ok(()),
        Some(device) => {
            let message = "RUN --device is not supported yet";
            let help = "run the step where the device is";
            Err(Box::new(Diagnostic::new(&at.source, device.span, message).with_help(help)))
        }
    }
}
