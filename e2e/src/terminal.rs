//! A pseudo terminal for programs that draw on one.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What a program wrote to a terminal, and how it ended.
pub struct Terminal {
    /// Everything it wrote, control sequences included.
    pub output: String,
    /// Its exit code.
    pub code: i32,
}

impl Terminal {
    /// Runs `command` with its output on a terminal of 100 columns and 30 rows.
    pub fn run(command: &mut Command) -> Terminal {
        Self::start(command, None)
    }

    /// The same with its input from there too: `typed` is typed when the program has written `after`.
    pub fn typing(command: &mut Command, after: &str, typed: &str) -> Terminal {
        Self::start(command, Some((after, typed)))
    }

    fn start(command: &mut Command, typing: Option<(&str, &str)>) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("named").into_string().expect("UTF-8");
        let slave = File::options().read(true).write(true).open(name).expect("opened");
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("a terminal has a size");
        let mut child = command
            .env("TERM", "xterm-256color")
            .stdin(if typing.is_some() {
                Stdio::from(slave.try_clone().expect("shared"))
            } else {
                Stdio::null()
            })
            .stdout(slave.try_clone().expect("shared"))
            .stderr(slave)
            .spawn()
            .expect("the program starts");
        // The command keeps its copies of the terminal until it is replaced; reading ends only
        // when nobody has it open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut bytes = Vec::new();
        let mut master = File::from(master);
        if let Some((after, typed)) = typing {
            let mut byte = [0];
            while !String::from_utf8_lossy(&bytes).contains(after) && master.read_exact(&mut byte).is_ok() {
                bytes.push(byte[0]);
            }
            master.write_all(typed.as_bytes()).expect("typed");
        }
        // EIO is how a terminal says that its other side was closed.
        let _ = master.read_to_end(&mut bytes);
        let status = child.wait().expect("the program ends");
        let output = String::from_utf8_lossy(&bytes).into_owned();
        Terminal { output, code: status.code().unwrap_or(-1) }
    }
}
