//! Which capabilities a command gets, and how our own processes are hidden from it.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// What container runtimes give by default (`oci/caps` of moby), without SETPCAP: see [`Hiding`].
const OF_A_CONTAINER: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// What keeps a command from reading environment, memory, descriptors and root of our processes
/// and of the container's PID 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hiding {
    /// It lacks CAP_SETPCAP for good and they have it: the kernel lets nobody look into a process
    /// that holds a capability he does not hold (`ptrace(2)`, access mode checking).
    BoundingSet,
    /// It is in a Landlock domain and they are not. That needs no-new-privileges: setuid programs
    /// such as `su` do not work in it.
    Landlock,
    /// Neither is possible.
    Impossible,
}

/// What hides us from commands in the root that we have.
pub fn hiding() -> Hiding {
    let may_drop = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETPCAP));
    if may_drop {
        Hiding::BoundingSet
    } else if landlock_version() >= SCOPES {
        Hiding::Landlock
    } else {
        Hiding::Impossible
    }
}

/// Gives up, for good, every capability that a command in a container does not have, and hides us.
pub(super) fn restrict() -> io::Result<()> {
    match hiding() {
        Hiding::BoundingSet => drop_from_bounding_set()?,
        Hiding::Landlock => enter_landlock_domain()?,
        Hiding::Impossible => return Err(io::Error::from_raw_os_error(libc::EPERM)),
    }
    Ok(())
}

/// Makes what is left of our capabilities those of a command: nothing inheritable or ambient, so that
/// another user's programs start with none.
pub(super) fn settle() -> io::Result<()> {
    // EINVAL: before Linux 4.3 there are none.
    match clear_ambient_capability_set() {
        Err(rustix::io::Errno::INVAL) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let permitted = capabilities(None)?.permitted & OF_A_CONTAINER;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

fn drop_from_bounding_set() -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if OF_A_CONTAINER.contains(capability) {
            continue;
        }
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // Past the last capability that this kernel knows.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Version of Landlock that has scopes, Linux 6.12.
const SCOPES: i64 = 6;

/// `LANDLOCK_CREATE_RULESET_VERSION`
const ASK_VERSION: u32 = 1;

/// `LANDLOCK_SCOPE_SIGNAL`
const SCOPE_SIGNAL: u64 = 1 << 1;

/// `struct landlock_ruleset_attr`
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

fn landlock_version() -> i64 {
    // SAFETY: asking for the version takes a null pointer of size 0, landlock_create_ruleset(2).
    unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<RulesetAttributes>(),
            0usize,
            ASK_VERSION,
        )
    }
}

/// Enters a domain that restricts signals to processes of the domain and nothing else. Any domain
/// hides the processes outside; rules about files would forbid renames between directories.
fn enter_landlock_domain() -> io::Result<()> {
    let attributes = RulesetAttributes { handled_access_fs: 0, handled_access_net: 0, scoped: SCOPE_SIGNAL };
    set_no_new_privs(true)?;
    // SAFETY: the pointer is to a complete structure of the size given, read during the call only.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size_of_val(&attributes),
            0u32,
        )
    };
    if ruleset < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: two integers; the descriptor is the one just made, and close-on-exec.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0u32) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
