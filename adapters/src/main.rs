//! The program `yadokari`: picks a front, runs it, exits with its code.

mod ci;
mod cli;
mod doctor;
mod env;
mod front;
mod github;
mod gitlab;
mod init;
mod joined;
mod migrate;
mod orders;
mod platforms;
mod session;
mod settings;
mod several;
mod tags;
mod tekton;
mod usage;
mod vocabulary;
mod yaml;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use cli::call::{self, Call};
use cli::check::{self, Check};
use cli::flags::IsolationFlag;
use cli::{describe, diagnostic};
use env::Env;
use front::{Front, Parsed};
use usage::Usage;

fn main() -> ExitCode {
    // A step's supervisor is this program as well, and goes no further.
    yadokari::run::supervisor_entry();
    let env = Env::capture();
    let plugin = std::env::args_os().len() <= 1 && platforms::is_plugin(&env);
    let parsed = match plugin {
        true => Parsed::Front(Front::Ci(Vec::new())),
        false => front::parse(std::env::args_os()),
    };
    let code = match parsed {
        Parsed::Front(front) => run(front, &env).unwrap_or_else(|error| refuse(&error, &env)),
        Parsed::Help(text) => print(&text),
        Parsed::Wrong(text) => complain(&text),
    };
    ExitCode::from(code)
}

fn run(front: Front, env: &Env) -> Result<u8, Usage> {
    match front {
        Front::Build(flags) if flags.explain || !flags.config.is_empty() => {
            identify(flags.rootfs.isolation);
            try_threads()?;
            orders::of_flags(&flags)?.carry_out(env, &session::CommandLine::new(env))
        }
        Front::Build(flags) => {
            match call::of(&flags)? {
                Some(Call::Check(check)) => return check::run(&check, env),
                Some(Call::Describe(what, format)) => return describe::run(what, &flags, format, env),
                None => {}
            }
            identify(flags.rootfs.isolation);
            try_threads()?;
            let job = cli::config::job(&flags, env)?;
            session::run(&job, env, &session::CommandLine::new(env))
        }
        Front::Check(look, flags) => check::run(&Check::new(&look, &flags), env),
        Front::Describe(what, look, format) => describe::run(what, &look.offline_flags(), format, env),
        Front::Ci(words) => {
            identify(IsolationFlag::Auto);
            try_threads()?;
            ci::run(&words, env)
        }
        Front::Doctor(rootfs) => {
            identify(rootfs.isolation);
            Ok(print(&doctor::report(&rootfs, env)))
        }
        Front::Warm(flags) => cli::upkeep::warm(&flags, env),
        Front::Cache(command) => {
            let (text, code) = cli::upkeep::cache(&command, env)?;
            Ok(print(&text).max(code))
        }
        Front::HandOver(flags) => Ok(print(&cli::handover::give(&flags)?)),
        Front::Migrate(flags) => migrate::run(&flags),
        Front::Init(flags) => init::run(&flags),
        Front::Images(command) => {
            if command.has_owners() {
                identify(IsolationFlag::Auto);
            }
            cli::images::run(&command, env)
        }
        Front::Login(flags) => Ok(print(&cli::login::login(&flags, env)?)),
        Front::Logout(flags) => Ok(print(&cli::login::logout(&flags, env)?)),
        Front::Restore => session::restore(env),
        Front::Version => Ok(print(concat!("yadokari ", env!("CARGO_PKG_VERSION"), "\n"))),
    }
}

/// A plain user becomes root of a namespace, as long as there is one thread. In place that is of no
/// use: the container's root belongs to somebody else.
fn identify(isolation: IsolationFlag) {
    if isolation != IsolationFlag::Inplace {
        yadokari::run::take_identity();
    }
}

/// Some container engines refuse the system call that makes threads, in a way that the C library takes
/// for an answer: it goes on to the older call only where the newer one does not exist.
fn try_threads() -> Result<(), Usage> {
    match std::thread::Builder::new().spawn(|| ()) {
        Ok(thread) => {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(())
        }
        Err(error) => Err(Usage::new(format!("no thread can be started here: {error}")).help(
            "if the container's seccomp profile answers clone3 with EPERM rather than ENOSYS (Docker before \
             20.10.10), use a newer engine or --security-opt seccomp=unconfined; else see its limit of processes",
        )),
    }
}

/// Says what is wrong with the usage; 1, as kaniko.
fn refuse(error: &Usage, env: &Env) -> u8 {
    let color = std::io::stderr().is_terminal() && env.get("NO_COLOR").is_none();
    complain(&format!("{}\n", diagnostic::of_usage(error, color).report))
}

fn complain(text: &str) -> u8 {
    // Where standard error is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    1
}

/// Prints what was asked for; a closed pipe is the reader's wish and no error.
fn print(text: &str) -> u8 {
    print_bytes(text.as_bytes())
}

/// As [`print`], of what may be no text.
fn print_bytes(bytes: &[u8]) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => 0,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(e) => complain(&format!("error: cannot write to standard output: {e}\n")),
    }
}
