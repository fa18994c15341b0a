//! Signals that ask us to stop.

use std::io;
use std::sync::OnceLock;

use super::Cancel;

/// What the handler reaches: it can take no argument.
static ASKED: OnceLock<Cancel> = OnceLock::new();

/// From now on SIGTERM and SIGINT ask the returned [`Cancel`] for the end instead of ending us.
/// Called again it returns the same one.
///
/// # Errors
/// The kernel refuses the handlers.
pub fn install() -> io::Result<Cancel> {
    handle(libc::SA_RESTART)
}

/// As [`install`], but only the first signal of each kind asks: another one ends us at once.
///
/// # Errors
/// As [`install`].
pub fn install_once() -> io::Result<Cancel> {
    handle(libc::SA_RESTART | libc::SA_RESETHAND)
}

fn handle(flags: libc::c_int) -> io::Result<Cancel> {
    let cancel = ASKED.get_or_init(Cancel::new).clone();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: an all-zero sigaction is a valid value: an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = asked as *const () as libc::sighandler_t;
        action.sa_flags = flags;
        // SAFETY: `action` is complete, and the handler does only what a signal handler may: it
        // loads and stores atomics.
        if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(cancel)
}

extern "C" fn asked(signal: libc::c_int) {
    if let Some(cancel) = ASKED.get() {
        cancel.cancel(signal);
    }
}
