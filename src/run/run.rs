//! Running a command from our side.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};

use super::control::{Channel, Command, Order, Report, Spec, Task};
use super::error::{Failure, RunError, Step};
use super::lines::Lines;
use super::root::{Mounted, Root};
use super::terminal::Terminal;
use super::{Cancel, HOSTNAME, Script, User, supervisor, uid_map};
use crate::event::Stream;

/// A command and where it runs.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// The root it gets.
    pub root: &'a Root,
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: &'a [String],
    /// `NAME=value`; `HOME` is added where it is missing, as the container runtimes do.
    pub env: &'a [String],
    /// Working directory, an absolute path in the root; made if missing, owned by the user.
    pub cwd: &'a str,
    /// Who it runs as.
    pub user: &'a User,
    /// A file that is there while the command runs, and is no change of it.
    pub script: Option<&'a Script>,
    /// Whether it has the caller's network; otherwise a loopback device of its own, which needs a
    /// root that is mounted.
    pub network: bool,
    /// Its host name, [`super::HOSTNAME`] by default; only in a root that is mounted.
    pub hostname: Option<&'a str>,
    /// Whether it gets every right that we have, in a root that is mounted.
    pub insecure: bool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// How long a command may take to end after SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// How often a request to stop is looked for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Runs a command and everything it starts to the end. Each line it writes goes to `output`, without
/// its newline, in pieces if it is longer than 64 KiB. When this returns no process of the command is
/// left.
///
/// # Errors
/// [`RunError`]; that the command ran and failed is no error.
pub fn run(
    process: &Process<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
    cancel: &Cancel,
) -> Result<Ended, RunError> {
    if let Some(signal) = cancel.signal() {
        return Err(RunError::Cancelled { signal });
    }
    let spec = spec_of(process, command_of(process));
    ended(process, Supervised::start(&spec)?.wait(output, cancel)?)
}

/// Runs a command on the terminal that we have, until it ends. Our terminal is as it was when this
/// returns.
///
/// # Errors
/// [`RunError`]; that the command ran and failed is no error.
pub fn run_on_terminal(process: &Process<'_>, cancel: &Cancel) -> Result<Ended, RunError> {
    let failed = |e: io::Error| RunError::from(Failure::new(Step::Process, "use the terminal", e));
    let (terminal, end) = Terminal::open().map_err(failed)?;
    let spec = spec_of(process, Command { terminal: true, ..command_of(process) });
    let report = terminal.relay(|| Supervised::start_with(&spec, end)?.wait(&mut |_, _| {}, cancel));
    ended(process, report.map_err(failed)??)
}

fn command_of(process: &Process<'_>) -> Command {
    let mut env = process.env.to_vec();
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(format!("HOME={}", process.user.home));
    }
    Command {
        argv: process.argv.to_vec(),
        env,
        cwd: process.cwd.to_owned(),
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.groups.clone(),
        script: process.script.cloned(),
        // In place the container's own runtime has seen to that.
        filtered: matches!(process.root, Root::Mounted(_)) && !process.insecure,
        privileged: matches!(process.root, Root::Mounted(_)) && process.insecure,
        terminal: false,
    }
}

fn spec_of(process: &Process<'_>, command: Command) -> Spec {
    Spec {
        root: process.root.clone(),
        network: process.network,
        hostname: process.hostname.unwrap_or(HOSTNAME).to_owned(),
        task: Task::Run(command),
    }
}

fn ended(process: &Process<'_>, report: Report) -> Result<Ended, RunError> {
    match report {
        Report::Ended(ended) => Ok(ended),
        Report::NotExecuted(why) => {
            Err(RunError::not_executed(process.argv.first().map_or("", String::as_str), &why))
        }
        other => Err(unexpected(&other)),
    }
}

/// Enters a root without a command and changes some files in it: see the constants of
/// [`super::trial`]. Says whether names of one file stayed together.
///
/// # Errors
/// Why such a root cannot be used here.
pub fn probe(mount: &Mounted) -> Result<bool, RunError> {
    let spec = Spec {
        root: Root::Mounted(Box::new(mount.clone())),
        network: true,
        hostname: HOSTNAME.to_owned(),
        task: Task::Try,
    };
    match Supervised::start(&spec)?.wait(&mut |_, _| {}, &Cancel::new())? {
        Report::Tried { links_kept } => Ok(links_kept),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(report: &Report) -> RunError {
    let text = format!("make sense of a supervisor's report ({report:?})");
    Failure::new(Step::Process, text, io::Error::from_raw_os_error(libc::EPROTO)).into()
}

/// A supervisor and the pipes of its command.
struct Supervised {
    child: Child,
    channel: Channel,
    streams: [Output; 2],
}

/// One output of a command.
struct Output {
    stream: Stream,
    /// None after its end.
    pipe: Option<OwnedFd>,
    lines: Lines,
}

impl Supervised {
    fn start(spec: &Spec) -> Result<Self, RunError> {
        let failed =
            |action: &'static str| move |e: io::Error| RunError::from(Failure::new(Step::Process, action, e));
        let pipe =
            || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("make a pipe")(e.into()));
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let (ours, theirs) = UnixStream::pair().map_err(failed("make a socket"))?;
        let child = supervisor::start(theirs.into(), stdout_end, stderr_end)?;
        let streams = [(Stream::Stdout, stdout), (Stream::Stderr, stderr)].map(|(stream, pipe)| Output {
            stream,
            pipe: Some(pipe),
            lines: Lines::default(),
        });
        let mut started = Supervised { child, channel: Channel::new(ours), streams };
        // A supervisor that is gone already is found when its report is missing.
        let _ = started.channel.send(spec);
        Ok(started)
    }

    /// The same with one terminal for all output.
    fn start_with(spec: &Spec, terminal: OwnedFd) -> Result<Self, RunError> {
        let failed = |e: io::Error| RunError::from(Failure::new(Step::Process, "make a socket", e));
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let again = terminal.try_clone().map_err(failed)?;
        let child = supervisor::start(theirs.into(), again, terminal)?;
        let streams = [Stream::Stdout, Stream::Stderr].map(|stream| Output {
            stream,
            pipe: None,
            lines: Lines::default(),
        });
        let mut started = Supervised { child, channel: Channel::new(ours), streams };
        let _ = started.channel.send(spec);
        Ok(started)
    }

    /// Hands on output until the supervisor is gone; gives its last report.
    fn wait(mut self, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Report, RunError> {
        let failed = |e: io::Error| RunError::from(Failure::new(Step::Process, "hear from a supervisor", e));
        let mut last = None;
        let mut stopping = None;
        let mut open = true;
        while open {
            let ready = self.poll().map_err(failed)?;
            for (at, _) in ready.iter().enumerate().take(2).filter(|(_, ready)| **ready) {
                self.streams[at].read(output).map_err(failed)?;
            }
            if ready[2] {
                open = self.channel.fill().map_err(failed)? > 0;
                while let Some(report) = self.channel.buffered::<Report>().map_err(failed)? {
                    match report {
                        Report::Unshared => self.map_ids()?,
                        report => last = Some(report),
                    }
                }
            }
            if let Some(signal) = cancel.signal() {
                self.stop(signal, &mut stopping);
            }
        }
        let status = self.child.wait().map_err(failed)?;
        // Nobody can write any more, so that whatever is still in the pipes is all there is.
        for stream in &mut self.streams {
            stream.drain(output).map_err(failed)?;
        }
        if let Some(signal) = cancel.signal() {
            return Err(RunError::Cancelled { signal });
        }
        match last {
            Some(Report::Failed(failure)) => Err(failure.into()),
            Some(report) => Ok(report),
            None => Err(RunError::Lost { status }),
        }
    }

    /// Waits until standard output, standard error or the channel can be read.
    fn poll(&self) -> io::Result<[bool; 3]> {
        let mut wanted = Vec::with_capacity(3);
        let mut places = Vec::with_capacity(3);
        for (at, stream) in self.streams.iter().enumerate() {
            if let Some(pipe) = &stream.pipe {
                wanted.push(PollFd::new(pipe, PollFlags::IN));
                places.push(at);
            }
        }
        wanted.push(PollFd::new(&self.channel, PollFlags::IN));
        places.push(2);
        match poll(&mut wanted, Some(&LOOK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = [false; 3];
        for (at, wanted) in places.into_iter().zip(wanted) {
            ready[at] = !wanted.revents().is_empty();
        }
        Ok(ready)
    }

    fn map_ids(&mut self) -> Result<(), RunError> {
        if let Err(error) = uid_map::write(self.child.id()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let action = "map user and group ids into a user namespace";
            return Err(Failure::new(Step::IdMap, action, error).into());
        }
        // If it is gone, its missing report says so.
        let _ = self.channel.send(&Order::Mapped);
        Ok(())
    }

    /// Asks the command to end, and after a while makes it.
    fn stop(&mut self, signal: i32, since: &mut Option<(Instant, bool)>) {
        match since {
            None => {
                let _ = self.channel.send(&Order::Signal(signal));
                *since = Some((Instant::now(), false));
            }
            Some((start, killed)) if start.elapsed() >= GRACE && !*killed => {
                let _ = self.channel.send(&Order::Signal(libc::SIGKILL));
                *killed = true;
            }
            Some(_) => {}
        }
    }
}

impl Output {
    /// Reads once, what is there.
    fn read(&mut self, output: &mut dyn FnMut(Stream, &[u8])) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else {
            return Ok(0);
        };
        let mut block = [0; 64 << 10];
        match rustix::io::read(pipe, &mut block) {
            Ok(0) => {
                self.pipe = None;
                Ok(0)
            }
            Ok(count) => {
                let stream = self.stream;
                self.lines.push(&block[..count], &mut |line| output(stream, line));
                Ok(count)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is left without waiting for more.
    fn drain(&mut self, output: &mut dyn FnMut(Stream, &[u8])) -> io::Result<()> {
        if let Some(pipe) = &self.pipe {
            rustix::fs::fcntl_setfl(pipe, rustix::fs::OFlags::NONBLOCK)?;
        }
        while self.read(output)? > 0 {}
        let stream = self.stream;
        self.lines.finish(&mut |line| output(stream, line));
        Ok(())
    }
}
