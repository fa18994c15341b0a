//! Random file operations, as scripts of a shell.

use std::process::ExitCode;

/// Operations of a step.
const OPERATIONS: usize = 12;
/// Steps of a sequence.
const STEPS: usize = 3;

/// The operations of each step of a sequence. Devices can be made outside of user namespaces only.
pub(super) fn sequence(seed: u64, devices: bool) -> Vec<String> {
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut step = || {
        let operations: Vec<String> = (0..OPERATIONS).map(|_| operation(&mut numbers, devices)).collect();
        operations.join("\n")
    };
    (0..STEPS).map(|_| step()).collect()
}

/// The whole script of a step, with the path of the program that sets attributes, which busybox
/// cannot.
pub(super) fn script(operations: &str, tool: &str) -> String {
    format!("X='{tool} --attribute'\n{FUNCTIONS}{operations}\ntrue")
}

/// `--attribute set PATH NAME VALUE` and `--attribute remove PATH NAME`, called by the scripts.
pub(crate) fn attribute(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["set", path, "security.capability", which] => {
            // Revision 2, effective: CAP_NET_RAW or CAP_NET_ADMIN is permitted.
            let bits = if which == "net" { 0x20 } else { 0x10 };
            let mut value = [0; 20];
            value[..6].copy_from_slice(&[1, 0, 0, 2, 0, bits]);
            rustix::fs::setxattr(path, "security.capability", &value, rustix::fs::XattrFlags::empty())
        }
        ["set", path, name, value] => {
            rustix::fs::setxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty())
        }
        ["remove", path, name] => match rustix::fs::removexattr(path, name) {
            Err(rustix::io::Errno::NODATA) => Ok(()),
            outcome => outcome,
        },
        // Says which file it is, where it has capabilities.
        ["show", path] => {
            if rustix::fs::getxattr(path, "security.capability", &mut [0_u8; 64]).is_ok() {
                println!("{path}");
            }
            Ok(())
        }
        _ => Err(rustix::io::Errno::INVAL),
    };
    let done = outcome.map_err(|error| eprintln!("{arguments:?}: {error}"));
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Paths that operations are about: few, so that they meet.
const PATHS: [&str; 12] = [
    "data",
    "data/file",
    "data/twin-a",
    "data/twin-b",
    "data/new",
    "data/sub/one",
    "data/sub/two",
    "data/sub/deep/er",
    "data/sub",
    "data/other",
    "data/other/x",
    "top",
];

/// What the operations are made of. Times are given or kept, never those of the run, so that every
/// run of a script does the same. An overlay does not rename directories of its lower layers; mv(1)
/// then copies, which takes hard links apart, gives links and pipes new times and takes capabilities: no
/// such ones are moved.
const FUNCTIONS: &str = r#"
set +eu
at() { touch -h -d "@$1" "$2"; }
plain() { [ -f "$1" ] && [ ! -L "$1" ]; }
write() { [ -p "$1" ] || [ -c "$1" ] || { echo "$2" > "$1" && at $3 "$1"; }; }
append() { plain "$1" && echo more >> "$1" && at $2 "$1"; }
rewrite() { plain "$1" && touch -r "$1" /tmp/r && busybox tr 'a-y' 'b-z' < "$1" > /tmp/c && cat /tmp/c > "$1"; touch -r /tmp/r "$1"; rm -f /tmp/r /tmp/c; }
same() { plain "$1" && touch -r "$1" /tmp/r && cat "$1" > /tmp/c && cat /tmp/c > "$1"; touch -c -r /tmp/r "$1"; rm -f /tmp/r /tmp/c; }
split() { plain "$1" && busybox cp -p "$1" /tmp/c && mv -f /tmp/c "$1"; }
odd() { busybox find "$1" ! -type d ! -type f -o -type f -links +1; busybox find "$1" -type f -exec $X show {} \;; }
move() { [ ! -d "$1" ] || [ -L "$1" ] || [ -z "$(odd "$1")" ] && mv "$1" "$2"; }
copy() { [ -z "$(busybox find "$1" -type p)" ] && [ ! -p "$2" ] && busybox cp -a "$1" "$2"; }
away() { [ -e "$1" ] && move "$1" /tmp/away && move /tmp/away "$1"; }
open() { plain "$1" && true 3<>"$1"; }
tofile() { rm -rf "$1"; echo "$2" > "$1" && at $3 "$1"; }
todir() { rm -rf "$1"; mkdir "$1"; }
link() { ln -sfn "$2" "$1" && at $3 "$1"; }
pipe() { busybox mkfifo "$1" && at $2 "$1"; }
device() { busybox mknod "$1" c 1 $2 && at $3 "$1"; }
attribute() { plain "$1" || { [ -d "$1" ] && [ ! -L "$1" ]; } && $X set "$1" user.$2 $2; }
capable() { plain "$1" && $X set "$1" security.capability $2; }
incapable() { plain "$1" && $X remove "$1" security.capability; }
nochange() { [ -L "$1" ] || { [ -e "$1" ] && chmod $(stat -c %a "$1") "$1" && chown $(stat -c %u:%g "$1") "$1"; }; }
"#;

/// Numbers without end from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.below(PATHS.len())]
    }
}

/// A random operation in the shell.
fn operation(numbers: &mut Numbers, devices: bool) -> String {
    let (path, other, word) = (numbers.path(), numbers.path(), numbers.below(1000));
    let time = 1_000_000_000 + numbers.below(4);
    // Root of a user namespace takes setuid from a file by writing to it: so does the kernel want it.
    let special = if devices { "4755" } else { "1755" };
    match numbers.below(30) {
        0..3 => format!("write {path} w{word} {time}"),
        3 => format!("append {path} {time}"),
        4 => format!("rewrite {path}"),
        5 => format!("same {path}"),
        6 => format!("split {path}"),
        7 => format!("away {path}"),
        8 => format!("open {path}"),
        9 => format!("tofile {path} w{word} {time}"),
        10 => format!("todir {path}"),
        11 => format!("link {path} target{} {time}", word % 3),
        12 => format!("pipe {path} {time}"),
        13 if devices => format!("device {path} {} {time}", 3 + word % 2 * 2),
        13 | 14 => format!("rewrite {path}; write {other} w{word} {time}"),
        15 => format!("nochange {path}"),
        16 => format!("mkdir -p {path}"),
        17 => format!("chmod {} {path}", ["600", "644", "755", special, "1777"][word % 5]),
        18 => format!("chown -h {}:{} {path}", word % 3, word % 2),
        19 if other.starts_with(path) => format!("move {path} top"),
        19 => format!("move {path} {other}"),
        20 => format!("ln {path} {other}"),
        21 => format!("ln -f {path} {other}"),
        22 => format!("rm -f {path}"),
        23 => format!("rm -rf {path}"),
        24 => format!("touch -c -h -d @{time} {path}"),
        25 => format!("attribute {path} a{}", word % 2),
        26 | 27 => format!("capable {path} {}", ["net", "admin"][word % 2]),
        28 => format!("incapable {path}"),
        _ if other.starts_with(path) => format!("move {path} top"),
        _ => format!("copy {path} {other}"),
    }
}
