//! From a forked child to the command: identity, surroundings, exec.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::pipe::PipeFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::control::Command;
use super::error::{Failure, NotExecuted, Step};
use super::identity::may_set_groups;
use super::{capability, descriptors, seccomp};

/// Where programs are looked up if the environment has no `PATH`, as BuildKit.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What became of starting a command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Started {
    /// It runs, as this process.
    Running(i32),
    /// Its program could not be executed.
    NotExecuted(NotExecuted),
    /// It could not be prepared.
    Failed(Failure),
}

/// Forks, and in the child becomes the command. Returns when it runs or is known not to.
pub(super) fn start(command: &Command) -> Result<Started, Failure> {
    let failed = |action: &'static str| move |e: io::Error| Failure::new(Step::Process, action, e);
    let (news, tell) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("make a pipe")(e.into()))?;
    // SAFETY: this process has one thread, so the child may do whatever it could.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(failed("fork")(io::Error::last_os_error())),
        0 => {
            drop(news);
            let why = match prepare(command) {
                Ok(()) => Started::NotExecuted(execute(command)),
                Err(failure) => Started::Failed(failure),
            };
            let text = serde_json::to_vec(&why).unwrap_or_default();
            let _ = fs::File::from(tell).write_all(&text);
            // SAFETY: ends this process at once; the parent's buffers, which exit handlers would
            // write out a second time, stay the parent's.
            unsafe { libc::_exit(127) }
        }
        _ => {
            drop(tell);
            let mut text = Vec::new();
            fs::File::from(news).read_to_end(&mut text).map_err(failed("hear from the command"))?;
            if text.is_empty() {
                return Ok(Started::Running(pid));
            }
            serde_json::from_slice(&text).map_err(|e| failed("hear from the command")(e.into()))
        }
    }
}

/// Makes this process what the command is to find. The order matters: each right is given up after
/// its last use.
fn prepare(command: &Command) -> Result<(), Failure> {
    let process = |action: &'static str| move |e: io::Error| Failure::new(Step::Process, action, e);
    let identity = |action: &'static str| move |e: io::Error| Failure::new(Step::Identity, action, e);
    rustix::process::setsid().map_err(|e| process("start a session")(e.into()))?;
    standard_input(command.terminal).map_err(process("set standard input"))?;
    descriptors::close_on_exec_from(3).map_err(process("close descriptors"))?;
    rustix::process::umask(Mode::from(0o022));
    working_directory(command)?;
    let (uid, gid) = (Uid::from_raw(command.uid), Gid::from_raw(command.gid));
    // So that a command of another user can open /dev/stdout.
    for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
        match rustix::fs::fchown(stream, Some(uid), Some(gid)) {
            // A terminal may be of a user namespace above ours.
            Err(_) if command.terminal => {}
            given => given.map_err(|e| identity("give away its output")(e.into()))?,
        }
    }
    if command.filtered {
        seccomp::restrict()
            .map_err(|e| Failure::new(Step::Hiding, "filter the command's system calls", e))?;
    }
    if !command.privileged {
        capability::restrict()
            .map_err(|e| Failure::new(Step::Hiding, "hide this process from the command", e))?;
    }
    let mut groups = vec![gid];
    groups.extend(command.groups.iter().map(|g| Gid::from_raw(*g)));
    if may_set_groups() {
        rustix::thread::set_thread_groups(&groups).map_err(|e| identity("set its groups")(e.into()))?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|e| identity("set its group")(e.into()))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|e| identity("set its user")(e.into()))?;
    if !command.privileged {
        capability::settle().map_err(identity("set its capabilities"))?;
    }
    // After the change of user, which clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| process("be ended with its supervisor")(e.into()))?;
    default_signals();
    Ok(())
}

/// Nothing to read, or the terminal that standard output is, which becomes the session's own.
fn standard_input(terminal: bool) -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let from = if terminal { 1 } else { null.as_raw_fd() };
    // SAFETY: both are open descriptors; what 0 was before, the supervisor's socket, is not used in
    // this process.
    if unsafe { libc::dup2(from, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: an ioctl without a pointer, on a descriptor that is open.
    if terminal && unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Enters the working directory; where it is missing it is made, owned by the user, as BuildKit
/// does. Missing again after a command deleted it, it is part of what this command changes.
fn working_directory(command: &Command) -> Result<(), Failure> {
    let failed = |e: io::Error| {
        Failure::new(Step::WorkingDirectory, format!("enter the working directory {}", command.cwd), e)
    };
    let path = Path::new("/").join(&command.cwd);
    let mut missing: Vec<&Path> = Vec::new();
    for directory in path.ancestors() {
        match fs::metadata(directory) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(directory),
            Err(error) => return Err(failed(error)),
        }
    }
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory).map_err(failed)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        chown(directory, Some(command.uid), Some(command.gid)).map_err(failed)?;
    }
    rustix::process::chdir(&path).map_err(|e| failed(e.into()))
}

/// A command starts with no signal ignored or blocked; our runtime ignores SIGPIPE, and the
/// supervisor blocks what it waits for.
fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: sets a default action; for numbers that are no signal, or cannot be set, it fails
        // without effect.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: sigemptyset fills the set before it is read.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Becomes the command's program; says why not.
fn execute(command: &Command) -> NotExecuted {
    let name = command.argv.first().map_or("", String::as_str);
    let program = match find(name, &command.env) {
        Ok(program) => program,
        Err(why) => return why,
    };
    let strings =
        |all: &[String]| all.iter().map(|s| CString::new(s.as_str())).collect::<Result<Vec<_>, _>>();
    let (Ok(program), Ok(argv), Ok(env)) =
        (CString::new(program), strings(&command.argv), strings(&command.env))
    else {
        return NotExecuted::Refused(libc::EINVAL);
    };
    let pointers =
        |all: &[CString]| all.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let error = exec(&program, &pointers(&argv), &pointers(&env));
    match error.raw_os_error() {
        Some(libc::ENOENT) => NotExecuted::NoFile { present: true },
        errno => NotExecuted::Refused(errno.unwrap_or(libc::EIO)),
    }
}

fn exec(program: &CStr, argv: &[*const libc::c_char], env: &[*const libc::c_char]) -> io::Error {
    // SAFETY: both arrays end with a null pointer, and their strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// The file to execute, looked up as Go's `exec.LookPath`, which runc uses.
fn find(name: &str, env: &[String]) -> Result<String, NotExecuted> {
    if name.contains('/') {
        return match fs::metadata(name) {
            Ok(file) if file.is_dir() => Err(NotExecuted::Refused(libc::EISDIR)),
            Ok(_) => Ok(name.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(NotExecuted::NoFile { present: false })
            }
            Err(error) => Err(NotExecuted::Refused(error.raw_os_error().unwrap_or(libc::EIO))),
        };
    }
    let path = env.iter().rev().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|directory| format!("{}/{name}", if directory.is_empty() { "." } else { directory }))
        .find(|file| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
        .filter(|_| !name.is_empty())
        .ok_or(NotExecuted::NotInPath)
}
