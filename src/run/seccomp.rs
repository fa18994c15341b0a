//! A filter of system calls for commands in roots that we mount: where we may do that, nobody else's
//! filter stands between a command and the kernel.
//!
//! It refuses what container runtimes refuse by default and what matters (moby,
//! `profiles/seccomp/default.json`, for a container without capabilities beyond the usual): calls
//! that make or enter namespaces and mounts, load code into the kernel, open files by handle, use
//! keys that are not of a namespace, set the clock. Everything else is left to rights.

use std::io;

/// `struct seccomp_data`: offsets of what a filter reads.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half of the first argument, on the little-endian machines that there are.
const FIRST_ARGUMENT: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xC000_00B7;

/// Flags of clone(2) that make namespaces: mount, cgroup, UTS, IPC, user, PID, network.
const NAMESPACES: u32 = 0x7E02_0000;

/// System calls that are refused.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// The same calls by their numbers on 32-bit x86 (arch/x86/entry/syscalls/syscall_32.tbl), and those
/// that only it has: old forms of umount and of setting the clock, vm86.
#[cfg(target_arch = "x86_64")]
const REFUSED_32: &[u32] = &[
    51, 286, 357, 343, 264, 404, 129, 350, 431, 432, 430, 433, 128, 426, 427, 425, 349, 283, 288, 21, 442,
    429, 342, 428, 336, 217, 131, 443, 88, 287, 346, 79, 115, 87, 52, 310, 374, 111, 22, 25, 86, 110, 101,
    113, 166, 438,
];

/// One instruction, `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    value: u32,
}

/// `struct sock_fprog`
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Load a word of the data.
fn load(offset: u32) -> Instruction {
    Instruction { code: 0x20, jump_true: 0, jump_false: 0, value: offset }
}

/// Skip the next instruction unless the word is this.
fn unless_equal(value: u32) -> Instruction {
    Instruction { code: 0x15, jump_true: 0, jump_false: 1, value }
}

/// Skip so many instructions unless the word is this.
fn skip_unless_equal(value: u32, skipped: u8) -> Instruction {
    Instruction { jump_false: skipped, ..unless_equal(value) }
}

/// Skip the next instruction unless the word has one of these bits.
fn unless_any(bits: u32) -> Instruction {
    Instruction { code: 0x45, jump_true: 0, jump_false: 1, value: bits }
}

fn answer(value: u32) -> Instruction {
    Instruction { code: 0x06, jump_true: 0, jump_false: 0, value }
}

const ALLOW: u32 = 0x7FFF_0000;

fn refuse(errno: i32) -> Instruction {
    answer(0x0005_0000 | errno as u32)
}

/// What follows when the architecture is known: the calls, and clone with its flags.
fn calls(refused: &[u32], clone: u32, clone3: u32) -> Vec<Instruction> {
    let mut program = vec![load(NUMBER)];
    for number in refused {
        program.extend([unless_equal(*number), refuse(libc::EPERM)]);
    }
    // Its flags are in memory, out of a filter's reach; the C library then uses clone.
    program.extend([unless_equal(clone3), refuse(libc::ENOSYS)]);
    program.push(skip_unless_equal(clone, 3));
    program.extend([load(FIRST_ARGUMENT), unless_any(NAMESPACES), refuse(libc::EPERM)]);
    program.push(answer(ALLOW));
    program
}

fn program() -> Vec<Instruction> {
    let refused: Vec<u32> = REFUSED.iter().map(|number| *number as u32).collect();
    let mut native = calls(&refused, libc::SYS_clone as u32, libc::SYS_clone3 as u32);
    #[cfg(target_arch = "x86_64")]
    // The x32 calls have this bit; no distribution has programs that make them.
    native.splice(1..1, [Instruction { code: 0x35, ..unless_equal(0x4000_0000) }, refuse(libc::ENOSYS)]);
    let mut program = vec![load(ARCHITECTURE)];
    program.push(skip_unless_equal(NATIVE, native.len() as u8));
    program.extend(native);
    #[cfg(target_arch = "x86_64")]
    {
        /// `AUDIT_ARCH_I386`
        const I386: u32 = 0x4000_0003;
        let old = calls(REFUSED_32, 120, 435);
        program.push(skip_unless_equal(I386, old.len() as u8));
        program.extend(old);
    }
    program.push(refuse(libc::ENOSYS));
    program
}

/// Puts this process and all it starts under the filter, for good. It needs CAP_SYS_ADMIN, so that
/// no-new-privileges stays off.
pub(super) fn restrict() -> io::Result<()> {
    let instructions = program();
    let length = u16::try_from(instructions.len()).map_err(io::Error::other)?;
    let program = Program { length, instructions: instructions.as_ptr() };
    // SAFETY: the program points to as many complete instructions as it says, which outlive the call.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0u32, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers, as the kernel runs it.
    fn run(architecture: u32, number: u32, argument: u32) -> u32 {
        let program = program();
        let (mut at, mut word) = (0, 0);
        loop {
            let i = program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { i.jump_true } else { i.jump_false });
            match i.code {
                0x20 => {
                    word = match i.value {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        FIRST_ARGUMENT => argument,
                        other => panic!("reads {other}"),
                    }
                }
                0x15 => at += jump(word == i.value),
                0x35 => at += jump(word >= i.value),
                0x45 => at += jump(word & i.value != 0),
                0x06 => return i.value,
                other => panic!("no instruction {other}"),
            }
        }
    }

    const EPERM: u32 = 0x0005_0000 | libc::EPERM as u32;
    const ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;

    #[test]
    fn calls_are_refused_by_number_and_architecture() {
        for call in REFUSED {
            assert_eq!(run(NATIVE, *call as u32, 0), EPERM, "{call}");
        }
        for call in [libc::SYS_read, libc::SYS_openat, libc::SYS_ptrace, libc::SYS_chroot, libc::SYS_execve] {
            assert_eq!(run(NATIVE, call as u32, u32::MAX), ALLOW, "{call}");
        }
        let clone = libc::SYS_clone as u32;
        assert_eq!(run(NATIVE, clone, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(run(NATIVE, clone, libc::CLONE_NEWUSER as u32), EPERM);
        assert_eq!(run(NATIVE, clone, (libc::CLONE_NEWNET | libc::SIGCHLD) as u32), EPERM);
        assert_eq!(run(NATIVE, libc::SYS_clone3 as u32, 0), ENOSYS);
        assert_eq!(run(0x1234, libc::SYS_read as u32, 0), ENOSYS, "an architecture nobody knows");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn other_ways_to_call_are_no_way_around() {
        let i386 = 0x4000_0003;
        assert_eq!(run(i386, 21, 0), EPERM, "mount");
        assert_eq!(run(i386, 310, 0), EPERM, "unshare");
        assert_eq!(run(i386, 120, libc::CLONE_NEWUSER as u32), EPERM);
        assert_eq!(run(i386, 120, 17), ALLOW);
        assert_eq!(run(i386, 435, 0), ENOSYS);
        assert_eq!(run(i386, 3, 0), ALLOW, "read");
        assert_eq!(run(NATIVE, 0x4000_0000 | libc::SYS_mount as u32, 0), ENOSYS);
    }

    #[test]
    fn jumps_reach() {
        // A jump has 8 bits.
        assert!(program().len() < 256);
    }
}
