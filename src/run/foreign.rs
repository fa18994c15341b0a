//! Whether programs for another architecture can be executed: by the processor itself, or by an
//! emulator that the kernel knows (binfmt_misc).

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::image::Platform;

/// Where the kernel lists its handlers; in most containers it is empty though there are some.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";
/// Another thread's child may hold the program open for writing for a moment.
const TRIES: usize = 20;

/// Why programs of a platform cannot be executed in a root filesystem of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Nothing executes them.
    Unknown,
    /// There is an emulator, which is looked for inside the root filesystem: it is registered
    /// without the flag F.
    NotFixed,
}

/// Tries whether programs of a platform run here, by executing one that does nothing. `directory`
/// is where it is written to. An architecture of which there is no such program is taken to run.
pub fn try_platform(platform: &Platform, directory: &Path) -> Option<Foreign> {
    let host = Platform::host();
    if platform.architecture == host.architecture {
        return None;
    }
    let machine = MACHINES.iter().find(|machine| machine.architecture == platform.architecture)?;
    if !machine.runs(directory) {
        return Some(Foreign::Unknown);
    }
    machine.is_emulated_from_inside(Path::new(HANDLERS)).then_some(Foreign::NotFixed)
}

/// An architecture, and what a program that ends at once is made of there.
struct Machine {
    /// Go's name.
    architecture: &'static str,
    /// `EI_CLASS` is 64 bits.
    wide: bool,
    /// `EI_DATA` is big-endian.
    big: bool,
    /// `e_machine`
    number: u16,
    /// `exit(0)`
    code: &'static [u8],
}

const MACHINES: [Machine; 7] = [
    machine("amd64", 62, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
    Machine { wide: false, ..machine("386", 3, &[0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]) },
    machine("arm64", 183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]),
    Machine { wide: false, ..machine("arm", 40, &[0, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef]) },
    machine("riscv64", 243, &[0x93, 0x08, 0xd0, 0x05, 0x13, 0x05, 0, 0, 0x73, 0, 0, 0]),
    machine("ppc64le", 21, &[1, 0, 0, 0x38, 0, 0, 0x60, 0x38, 2, 0, 0, 0x44]),
    Machine { big: true, ..machine("s390x", 22, &[0xa7, 0x29, 0, 0, 0x0a, 1]) },
];

const fn machine(architecture: &'static str, number: u16, code: &'static [u8]) -> Machine {
    Machine { architecture, wide: true, big: false, number, code }
}

impl Machine {
    /// The program, as an ELF file.
    fn program(&self) -> Vec<u8> {
        const LOADED_AT: u64 = 0x10000;
        let (header, entry) = if self.wide { (64_u64, 56_u64) } else { (52, 32) };
        let (begin, size) = (header + entry, header + entry + self.code.len() as u64);
        let mut file = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(self.wide), 1 + u8::from(self.big), 1];
        file.resize(16, 0);
        let mut put = |width: usize, value: u64| {
            let little = value.to_le_bytes();
            let taken = little[..width].iter();
            if self.big { file.extend(taken.rev()) } else { file.extend(taken) }
        };
        let word = if self.wide { 8 } else { 4 };
        // Executable file; ppc64le: ABI version 2.
        let flags = if self.number == 21 {
            2
        } else if self.number == 40 {
            0x0500_0000
        } else {
            0
        };
        for (width, value) in [
            (2, 2),
            (2, u64::from(self.number)),
            (4, 1),
            (word, LOADED_AT + begin),
            (word, header),
            (word, 0),
            (4, flags),
            (2, header),
            (2, entry),
            (2, 1),
            (2, 0),
            (2, 0),
            (2, 0),
        ] {
            put(width, value);
        }
        // One loaded segment, readable and executable; the flags stand elsewhere in each class.
        put(4, 1);
        if self.wide {
            put(4, 5);
        }
        for value in [0, LOADED_AT, LOADED_AT, size, size] {
            put(word, value);
        }
        if !self.wide {
            put(4, 5);
        }
        put(word, 0x1000);
        file.extend(self.code);
        file
    }

    /// Whether the program runs.
    fn runs(&self, directory: &Path) -> bool {
        let path = directory.join(format!("exit-{}", self.architecture));
        let written = fs::write(&path, self.program())
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        let mut command = Command::new(&path);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut end = command.status();
        for _ in 0..TRIES {
            if !end.as_ref().is_err_and(|e| e.kind() == ErrorKind::ExecutableFileBusy) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            end = command.status();
        }
        let ran = written.is_ok() && end.is_ok_and(|status| status.success());
        // What stays goes with the directory.
        let _ = fs::remove_file(&path);
        ran
    }

    /// Whether the kernel looks for the emulator inside a command's root: its handlers can be seen,
    /// and none for this machine has been opened beforehand.
    fn is_emulated_from_inside(&self, handlers: &Path) -> bool {
        let Ok(entries) = fs::read_dir(handlers) else { return false };
        let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
        let mut ours = texts.filter(|text| self.is_handled(text)).peekable();
        ours.peek().is_some() && !ours.any(|text| flags(&text).contains('F'))
    }

    /// Whether a handler, as the kernel describes it, is on and for this machine.
    fn is_handled(&self, text: &str) -> bool {
        let magic = text.lines().find_map(|line| line.strip_prefix("magic ")).unwrap_or_default();
        let [high, low] = self.number.to_be_bytes();
        let machine = if self.big { format!("{high:02x}{low:02x}") } else { format!("{low:02x}{high:02x}") };
        let start = format!("7f454c46{:02x}", 1 + u8::from(self.wide));
        text.starts_with("enabled") && magic.starts_with(&start) && magic.get(36..40) == Some(&machine)
    }
}

fn flags(handler: &str) -> &str {
    handler.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(architecture: &str) -> &'static Machine {
        MACHINES.iter().find(|machine| machine.architecture == architecture).unwrap()
    }

    #[test]
    fn the_hosts_programs_run_and_those_of_nobody_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let host = Platform::host();
        assert!(of(&host.architecture).runs(directory.path()));
        let nobody = Machine { number: 0xfefe, ..machine("nobody", 0, of(&host.architecture).code) };
        assert!(!nobody.runs(directory.path()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_handler_without_the_flag_f_is_looked_for_inside() {
        let magic = "7f454c460201010000000000000000000200b700";
        let handler = |state: &str, flags: &str| {
            format!(
                "{state}\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\nmagic {magic}\n"
            )
        };
        for (state, flags, inside) in
            [("enabled", "OC", true), ("enabled", "OCF", false), ("disabled", "OC", false)]
        {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("qemu-aarch64"), handler(state, flags)).unwrap();
            assert_eq!(of("arm64").is_emulated_from_inside(directory.path()), inside, "{state} {flags}");
            assert!(!of("riscv64").is_emulated_from_inside(directory.path()));
        }
        assert!(!of("arm64").is_emulated_from_inside(Path::new("/nonexistent")));
    }
}
