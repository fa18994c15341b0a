//! The process between us and a command.
//!
//! It is our own program executed again, so that it has one thread, none of our memory and a clean
//! environment. It ends when the command and everything the command left behind has ended.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::OnceLock;

use rustix::fd::OwnedFd;
use rustix::process::{DumpableBehavior, Pid, Signal};

use super::control::{Channel, Order, Report, Spec, Task};
use super::error::{Failure, RunError, Step};
use super::root::Root;
use super::script::Script;
use super::{command, descriptors, enter, reap};

/// `argv[0]` of a supervisor. Nothing is gained by starting the program with it by hand.
const NAME: &str = "yadokari-supervisor";

/// Our own program, open since the start: in place its path may soon lead elsewhere.
static PROGRAM: OnceLock<File> = OnceLock::new();

/// To be called first in `main`, before there is a second thread. If this process was started to
/// supervise a command, it does so and never returns.
///
/// Otherwise it prepares for starting supervisors and takes care that no process without
/// CAP_SYS_PTRACE can look into this one.
pub fn supervisor_entry() {
    if std::env::args_os().next().as_deref() != Some(OsStr::new(NAME)) {
        if let Ok(program) = File::open("/proc/self/exe") {
            PROGRAM.get_or_init(|| program);
        }
        // Only a precaution: commands are kept from looking in by other means as well.
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
        return;
    }
    // SAFETY: whoever starts a supervisor passes the control socket as standard input; nothing else
    // in this process uses descriptor 0.
    let socket = unsafe { UnixStream::from_raw_fd(0) };
    let code = match supervise(&mut Channel::new(socket)) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    #[allow(clippy::exit)] // this process is done, and nothing above it knows that it is no builder
    std::process::exit(code);
}

/// Starts a supervisor that reads its orders from `socket`.
pub(super) fn start(socket: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> Result<Child, RunError> {
    let program = PROGRAM.get().ok_or(RunError::NoSupervisor)?;
    let mut command = std::process::Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .arg0(NAME)
        .env_clear()
        .stdin(Stdio::from(socket))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        // An interrupt typed at our terminal is for us to pass on.
        .process_group(0);
    super::spawn(&mut command)
        .map_err(|e| RunError::from(Failure::new(Step::Process, "start a supervisor", e)))
}

/// Does what the other side of the channel says. Errors are those of the channel: nobody listens.
fn supervise(channel: &mut Channel) -> io::Result<()> {
    descriptors::close_on_exec_from(3)?;
    let Some(spec) = channel.receive::<Spec>()? else {
        return Ok(());
    };
    match enter_namespaces(channel, &spec)? {
        Err(failure) => channel.send(&Report::Failed(failure)),
        Ok(Place::Here) => serve(channel, &spec, false),
        Ok(Place::FirstOfNamespace) => {
            // SAFETY: this process has one thread, so the child may do whatever it could.
            match unsafe { libc::fork() } {
                -1 => {
                    let failure = Failure::new(Step::Process, "fork", io::Error::last_os_error());
                    channel.send(&Report::Failed(failure))
                }
                0 => {
                    // Nobody else would end the first process of a namespace whose parent is gone.
                    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                    serve(channel, &spec, true)
                }
                child => wait_for(child),
            }
        }
    }
}

/// Which process serves.
enum Place {
    /// This one.
    Here,
    /// A child, the first process of a new PID namespace.
    FirstOfNamespace,
}

fn enter_namespaces(channel: &mut Channel, spec: &Spec) -> io::Result<Result<Place, Failure>> {
    let Root::Mounted(mount) = &spec.root else {
        hide()?;
        return Ok(Ok(Place::Here));
    };
    if mount.user_namespace {
        if let Err(failure) = enter::unshare_user() {
            return Ok(Err(failure));
        }
        channel.send(&Report::Unshared)?;
        if channel.receive::<Order>()? != Some(Order::Mapped) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    hide()?;
    if let Err(failure) = enter::unshare_rest(mount, spec.network) {
        return Ok(Err(failure));
    }
    Ok(Ok(if mount.pid_namespace { Place::FirstOfNamespace } else { Place::Here }))
}

/// Not before the id maps are written: it changes who may write them.
fn hide() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Waits in the outer PID namespace for the child that does the work.
fn wait_for(child: i32) -> io::Result<()> {
    // The output's end is what our reader waits for: only the child may keep it open.
    for fd in 1..=2 {
        // SAFETY: the standard streams belong to nobody in particular, and this process prints nothing more.
        unsafe { libc::close(fd) };
    }
    let child = Pid::from_raw(child);
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitpid(child, rustix::process::WaitOptions::empty())
    {}
    Ok(())
}

/// Enters the root, does the task and reports how it ended. `alone` says that every other process
/// in sight is the command's.
fn serve(channel: &mut Channel, spec: &Spec, alone: bool) -> io::Result<()> {
    let report = match work(channel, spec, alone)? {
        Ok(report) => report,
        Err(failure) => Report::Failed(failure),
    };
    channel.send(&report)
}

fn work(channel: &mut Channel, spec: &Spec, alone: bool) -> io::Result<Result<Report, Failure>> {
    let entered = match &spec.root {
        Root::Mounted(mount) => enter::enter(mount, &spec.hostname),
        Root::Live => rustix::process::chdir("/").map_err(|e| Failure::new(Step::Pivot, "enter /", e)),
    };
    if let Err(failure) = entered {
        return Ok(Err(failure));
    }
    let wanted = match &spec.task {
        Task::Try => return Ok(super::trial::write().map(|links_kept| Report::Tried { links_kept })),
        Task::Run(wanted) => wanted,
    };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let signals = reap::block_signals()?;
    // With signals blocked: one that ended this process would leave the file behind.
    let script = match wanted.script.as_ref().map(Script::write).transpose() {
        Ok(script) => script,
        Err(failure) => return Ok(Err(failure)),
    };
    let started = match command::start(wanted) {
        Ok(started) => started,
        Err(failure) => return Ok(Err(failure)),
    };
    let report = match started {
        command::Started::Running(pid) => reap::until_ended(channel, &signals, pid).map(Report::Ended),
        command::Started::NotExecuted(why) => Ok(Report::NotExecuted(why)),
        command::Started::Failed(failure) => Ok(Report::Failed(failure)),
    };
    reap::end_everything(alone)?;
    drop(script);
    report.map(Ok)
}
