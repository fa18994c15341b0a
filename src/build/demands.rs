//! What steps ask for that a placement cannot give: said before anything is executed.

use crate::config::{BuildConfig, StepNetwork};
use crate::image::Platform;
use crate::plan::{Access, Action, Plan, RunMountKind, RunNetwork, RunSecurity, RunStep, Step};
use crate::rootfs::PlacementKind;
use crate::run::{Foreign, try_platform};

use super::Error;
use super::attempt::Job;
use super::cached::{At, Cached};

/// How to get a placement with namespaces.
const WAY: &str = "build where namespaces can be made (`yadokari doctor` says what is missing)";

/// Refuses a plan with a step whose demands cannot be met.
///
/// # Errors
/// At the first such step, with one way out.
pub(super) fn check(config: &BuildConfig, plan: &Plan, placement: PlacementKind) -> Result<(), Error> {
    let asked =
        [("--hostname", config.steps.hostname.is_some()), ("--add-host", !config.steps.hosts.is_empty())];
    let cannot = |(_, given): &(&str, bool)| *given && placement == PlacementKind::Inplace;
    if let Some((flag, _)) = asked.into_iter().find(cannot) {
        return Err(Error::Other {
            message: format!(
                "{flag} cannot be given to steps that run in place: they share the container's own"
            ),
            help: Some(format!(
                "give it to the container (docker run {flag}, hostAliases of a pod), or {WAY}"
            )),
        });
    }
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        if let Action::Run(run) = &step.action {
            one(config, run, step, placement)?;
        }
    }
    Ok(())
}

/// An error that no command can be carried out, at the first that should be.
pub(super) fn at_first_command(error: Error, job: &Job<'_>, cached: Option<&Cached<'_>>) -> Error {
    for (at, stage) in job.plan.stages.iter().enumerate() {
        if let Some(step) = first_command(&stage.steps, at, cached) {
            return error.at(&step.place);
        }
    }
    error
}

/// The first command of a stage that is carried out.
fn first_command<'s>(steps: &'s [Step], stage: usize, cached: Option<&Cached<'_>>) -> Option<&'s Step> {
    let runs = |step: usize| cached.is_none_or(|c| c.carries_out(At { stage, step }));
    let command = |(number, step): &(usize, &Step)| matches!(step.action, Action::Run(_)) && runs(*number);
    steps.iter().enumerate().find(command).map(|(_, step)| step)
}

/// Refuses commands of another processor's programs that nothing here executes. What starts from
/// nothing may hold any programs, whatever its platform.
///
/// # Errors
/// At the first such command, with the ways out.
pub(super) fn check_foreign(job: &Job<'_>, cached: Option<&Cached<'_>>) -> Result<(), Error> {
    let mut tried: Vec<(Platform, Option<Foreign>)> = Vec::new();
    for (at, stage) in job.plan.stages.iter().enumerate() {
        let Some(base) = job.images.base_of(job.plan, at) else { continue };
        let Some(step) = first_command(&stage.steps, at, cached) else { continue };
        let platform = base.config.platform();
        if !tried.iter().any(|(known, _)| *known == platform) {
            tried.push((platform.clone(), try_platform(&platform, job.workspace.path())));
        }
        let found = tried.iter().find(|(known, _)| *known == platform).and_then(|(_, found)| *found);
        if let Some(foreign) = found {
            return Err(refusal(&stage.name, &platform, foreign).at(&step.place));
        }
    }
    Ok(())
}

fn refusal(stage: &str, platform: &Platform, foreign: Foreign) -> Error {
    let host = Platform::host();
    let why = match foreign {
        Foreign::Unknown => "nothing here executes its programs",
        Foreign::NotFixed => {
            "the emulator is registered without the flag F, so that it would be looked for inside the image"
        }
    };
    Error::Other {
        message: format!("the stage '{stage}' runs a command on {platform}, and this is {host}: {why}"),
        help: Some(
            "compile for it in a stage FROM --platform=$BUILDPLATFORM and COPY the result; or build on a machine of \
             that kind and join the images with yadokari index create; or register an emulator with the flag F \
             (docker run --privileged tonistiigi/binfmt --install all, or docker/setup-qemu-action)"
                .to_owned(),
        ),
    }
}

/// The network of a step: its own wish, else the build's.
pub(super) fn network(config: &BuildConfig, run: &RunStep) -> RunNetwork {
    match (run.network, config.steps.network) {
        (RunNetwork::Default, StepNetwork::None) => RunNetwork::None,
        (wish, _) => wish,
    }
}

fn one(config: &BuildConfig, run: &RunStep, step: &Step, placement: PlacementKind) -> Result<(), Error> {
    let refuse =
        |message: String, help: String| Err(Error::Other { message, help: Some(help) }.at(&step.place));
    if run.security == RunSecurity::Insecure && !config.steps.allow_insecure {
        let help = "leave it out, or allow it with --allow security.insecure".to_owned();
        return refuse("RUN --security=insecure is not allowed".to_owned(), help);
    }
    if run.security == RunSecurity::Insecure && placement == PlacementKind::Inplace {
        let message = "RUN --security=insecure is never granted in place: the step could read our memory";
        return refuse(message.to_owned(), format!("leave it out, or {WAY}"));
    }
    let devices = super::devices::of(&config.steps.devices, run).map_err(|e| e.at(&step.place))?;
    if placement != PlacementKind::Inplace {
        return Ok(());
    }
    if let Some(device) = devices.first() {
        let message = format!("the device {} cannot be given in place: nothing can be mounted", device.name);
        return refuse(message, format!("leave it out, or {WAY}"));
    }
    if network(config, run) == RunNetwork::None {
        let message = "--network=none needs a network namespace, and building in place there is none";
        return refuse(message.to_owned(), format!("leave it out, or {WAY}"));
    }
    for mount in &run.mounts {
        let demand = match &mount.kind {
            RunMountKind::Bind { access: Access::WrittenReadOnly, .. } => "be read-only",
            RunMountKind::Cache(cache) if cache.access == Access::WrittenReadOnly => "be read-only",
            RunMountKind::Tmpfs { access: Access::WrittenReadOnly, .. } => "be read-only",
            RunMountKind::Tmpfs { size: Some(_), .. } => "have a size",
            _ => continue,
        };
        let target = mount.target.as_deref().unwrap_or_default();
        let message = format!("building in place nothing can be mounted, so that {target} cannot {demand}");
        return refuse(message, format!("leave the option out, or {WAY}"));
    }
    Ok(())
}
