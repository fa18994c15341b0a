//! `RUN`: a command in the stage's root.

use std::sync::PoisonError;

use crate::config::OnFailure;
use crate::event::{Event, StepId};
use crate::plan::{Place, RunNetwork, RunSecurity, RunStep};
use crate::rootfs::Rootfs;
use crate::run::{Ended, Process, Root, RunError, Script, identity, user};

use super::Error;
use super::executor::Executor;
use super::mounts::{self, Prepared};

/// Exit code for a command that a signal ended, as kaniko gives it.
const KILLED: u8 = 255;

/// Runs the command; its changes are in the tree when this returns.
pub(super) fn run(
    executor: &Executor<'_>,
    at: usize,
    tree: &mut dyn Rootfs,
    id: StepId,
    step: &RunStep,
    place: &Place,
) -> Result<(), Error> {
    executor.remotes.settle(executor.cancel)?;
    let prepared = mounts::prepare(executor, at, step)?;
    let root = tree.enter(&prepared.mounts)?;
    let mut outcome = process(executor, tree, &root, id, step, place, &prepared);
    if matches!(outcome, Err(Error::Command { .. })) && executor.cancel.signal().is_none() {
        match executor.config.steps.on_failure {
            OnFailure::Nothing => {}
            OnFailure::Shell => {
                let mut had = executor.terminal.lock().unwrap_or_else(PoisonError::into_inner);
                if std::mem::replace(&mut *had, true) {
                    // Who left the shell of another step wants the end, and to be told of that step.
                    outcome = Err(executor.cancelled());
                } else {
                    shell(executor, tree, &root, step, &prepared);
                }
            }
            OnFailure::Keep => keep(executor, tree, &root),
        }
    }
    // After a failure too: what is kept must be back in its place before others may have it.
    let unmounted = tree.unmount();
    drop(prepared);
    outcome.and(unmounted.map_err(Error::from))
}

fn process(
    executor: &Executor<'_>,
    tree: &dyn Rootfs,
    root: &Root,
    id: StepId,
    step: &RunStep,
    place: &Place,
    prepared: &Prepared,
) -> Result<(), Error> {
    let mut user = user::lookup(tree.view(), &step.user).map_err(Error::from_display)?;
    user.groups.extend(&prepared.groups);
    let env = environment(step, &prepared.env);
    executor.commands.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let script = step.script.as_ref().map(|s| Script { name: s.name.clone(), content: s.content.clone() });
    let process = Process {
        root,
        argv: &step.argv,
        env: &env,
        cwd: &step.workdir,
        user: &user,
        script: script.as_ref(),
        network: super::demands::network(executor.config, step) != RunNetwork::None,
        hostname: executor.config.steps.hostname.as_deref(),
        insecure: step.security == RunSecurity::Insecure,
    };
    let mut output = |stream, line: &[u8]| {
        executor.events.send(Event::StepOutput { id, stream, line: line.to_vec() });
    };
    let more_ids = identity().way_to_more_ids();
    let failed = |message: String, code: u8| {
        let mut diagnostic = place.diagnostic(message);
        diagnostic.help.clone_from(&more_ids);
        Error::Command { place: Box::new(diagnostic), code }
    };
    if more_ids.is_some() && (user.uid, user.gid) != (0, 0) {
        return Err(failed(format!("no command can run as user {}:{} here", user.uid, user.gid), 1));
    }
    let _turn = executor.turns.take(executor.cancel).ok_or_else(|| executor.cancelled())?;
    match crate::run::run(&process, &mut output, executor.cancel) {
        Ok(Ended::Exited(0)) => Ok(()),
        Ok(Ended::Exited(code)) => {
            let shown = u8::try_from(code & 0xff).unwrap_or(1).max(1);
            Err(failed(format!("the command exited with code {code}"), shown))
        }
        Ok(Ended::Signaled(signal)) => {
            Err(failed(format!("the command was ended by {}", signal_name(signal)), KILLED))
        }
        Err(RunError::Cancelled { signal }) => Err(Error::cancelled(signal)),
        Err(error) => match error.exit_code() {
            Some(code) => Err(failed(error.to_string(), code)),
            None => Err(Error::from_display(error)),
        },
    }
}

/// The variables of a step; what it is given besides counts more.
fn environment(step: &RunStep, given: &[(String, String)]) -> Vec<String> {
    let is_given = |name: &str| given.iter().any(|(other, _)| other == name);
    let env = step.env.iter().filter(|(name, _)| !is_given(name)).chain(given);
    env.map(|(name, value)| format!("{name}={value}")).collect()
}

/// A shell on the terminal where a command failed, with all that the command had.
fn shell(executor: &Executor<'_>, tree: &dyn Rootfs, root: &Root, step: &RunStep, prepared: &Prepared) {
    let Ok(mut user) = user::lookup(tree.view(), &step.user) else { return };
    user.groups.extend(&prepared.groups);
    let argv = ["/bin/sh".to_owned(), "-i".to_owned()];
    let process = Process {
        root,
        argv: &argv,
        env: &environment(step, &prepared.env),
        cwd: &step.workdir,
        user: &user,
        script: None,
        network: super::demands::network(executor.config, step) != RunNetwork::None,
        hostname: executor.config.steps.hostname.as_deref(),
        insecure: step.security == RunSecurity::Insecure,
    };
    let Some(_turn) = executor.turns.take(executor.cancel) else { return };
    let renewed = match root {
        Root::Mounted(mounted) => mounted.renew(),
        Root::Live => Ok(()),
    };
    if let Err(error) = renewed {
        executor.events.warn(format!("there is no shell: {error}"));
        return;
    }
    let shown = step.argv.join(" ");
    executor.events.warn(format!("the command failed: {shown}"));
    executor.events.info("a shell in its root follows; the build ends when you leave it");
    executor.events.send(Event::Shell { open: true });
    let ended = crate::run::run_on_terminal(&process, executor.cancel);
    executor.events.send(Event::Shell { open: false });
    match ended {
        Ok(_) | Err(RunError::Cancelled { .. }) => {}
        Err(error) => executor.events.warn(format!("there is no shell: {error}")),
    }
}

/// Leaves the root of a command that failed where it is, and says how to get in.
fn keep(executor: &Executor<'_>, tree: &mut dyn Rootfs, root: &Root) {
    let elsewhere = tree.keep();
    if let Some(placement) = executor.placement {
        placement.keep();
    }
    let kept = match root {
        Root::Mounted(mounted) => mounted.renew().and_then(|()| executor.workspace.keep()),
        Root::Live => Ok(()),
    };
    if let Err(error) = kept {
        executor.events.warn(format!("the root of the failed step is not kept: {error}"));
        return;
    }
    let workspace = executor.workspace.path().display();
    let (enter, until) = match (root, elsewhere) {
        (Root::Mounted(mounted), _) => {
            (mounted.way_in(), format!("what is kept is in {workspace}: remove it when you are done"))
        }
        (Root::Live, Some(path)) => {
            let until = "the next build in this container, or `yadokari restore`, removes it".to_owned();
            (format!("chroot {} /bin/sh", path.display()), until)
        }
        (Root::Live, None) => return,
    };
    executor.events.warn(format!("the root of the failed step is kept; enter it with: {enter}"));
    executor.events.info(until);
}

/// A signal for people, with what commonly sends it.
fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGKILL => "SIGKILL (signal 9); the kernel sends it when memory runs out".to_owned(),
        libc::SIGTERM => "SIGTERM (signal 15)".to_owned(),
        libc::SIGSEGV => "SIGSEGV (signal 11)".to_owned(),
        libc::SIGABRT => "SIGABRT (signal 6)".to_owned(),
        libc::SIGINT => "SIGINT (signal 2)".to_owned(),
        libc::SIGPIPE => "SIGPIPE (signal 13)".to_owned(),
        other => format!("signal {other}"),
    }
}
