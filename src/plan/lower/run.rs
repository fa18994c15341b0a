//! `RUN`: shell, exec form, heredocs.

use crate::dockerfile::{Diagnostic, Instruction, RunForm, RunInstruction};

use super::super::metadata;
use super::super::step::{Action, RunStep, Script};
use super::Lowering;

/// Directory of the files that heredocs starting with `#!` become (BuildKit, `convert.go`).
const SCRIPTS: &str = "/dev/pipes/";

impl Lowering<'_> {
    pub(super) fn run(
        &mut self,
        at: &Instruction,
        run: &RunInstruction,
    ) -> Result<(Action, String), Box<Diagnostic>> {
        refuse_options(at, run)?;
        let (argv, script) = self.command(at, run);
        let mut words = self.scope.history_prefix();
        words.extend(argv.iter().cloned());
        let created_by = format!("RUN {} # buildkit", words.join(" "));
        let step = RunStep {
            argv,
            env: self.run_environment(),
            user: self.config.config.user.clone(),
            workdir: super::absolute("/", &self.config.config.working_dir),
            script,
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

/// Options whose effect would be missing from the image or weaken isolation are errors.
fn refuse_options(at: &Instruction, run: &RunInstruction) -> Result<(), Box<Diagnostic>> {
    let refuse = |span, message: &str, help: &str| {
        Err(Box::new(Diagnostic::new(&at.source, span, message).with_help(help)))
    };
    if let Some(mount) = run.mounts.first() {
        let help =
            "COPY what the step needs and remove it in the same stage, or do the step in a stage of its own";
        return refuse(mount.span, "RUN --mount is not supported yet", help);
    }
    if let Some(network) = &run.network
        && network.text == "none"
    {
        return refuse(
            network.span,
            "RUN --network=none is not supported yet",
            "leave it out: the step then has the network",
        );
    }
    if let Some(security) = &run.security
        && security.text == "insecure"
    {
        return refuse(
            security.span,
            "RUN --security=insecure is never granted here",
            "leave it out, or build this image with a privileged builder",
        );
    }
    if let Some(device) = run.devices.first() {
        return refuse(device.span, "RUN --device is not supported yet", "run the step where the device is");
    }
    Ok(())
}
