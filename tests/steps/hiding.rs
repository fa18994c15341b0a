//! What a command must not reach.

use yadokari::rootfs::Root;
use yadokari::run::{Ended, User};

use crate::fixture::{Fixture, Output, WAYS, busybox, execute, root, shell};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("hiding::no_command_looks_into_our_processes", no_command_looks_into_our_processes),
    ("hiding::a_command_has_what_a_container_has", a_command_has_what_a_container_has),
];

/// Looks into itself, which works, and into PID 1, its supervisor and this program; says what it could
/// read.
const LOOK: &str = r"
    look() {
        for file in environ mem; do
            (exec 3< /proc/$1/$file && busybox dd bs=1 count=1 of=/dev/null <&3) 2>/dev/null && echo $1 $file
        done
        for link in root cwd exe fd/0; do
            busybox readlink /proc/$1/$link >/dev/null && echo $1 $link
        done
    }
    look self | busybox grep -v mem
    for process in 1 $PPID TESTS; do
        test ! -d /proc/$process || look $process
    done";

/// Runs a test with a way to run a script as a user, in every kind of root.
fn everywhere(test: impl Fn(&mut dyn FnMut(&User, &str) -> Output)) {
    for way in WAYS {
        let fixture = Fixture::new(way);
        let mut tree = fixture.stage();
        test(&mut |user, script| {
            let place = tree.enter(&[]).expect("enter");
            let output = shell(&place, user, script).expect("run");
            tree.changes(&[]).expect("changes");
            output
        });
        fixture.placement.finish().expect("finish");
    }
    let busybox = busybox();
    let busybox = busybox.to_str().expect("a path");
    test(&mut |user, script| {
        let script = format!("busybox() {{ {busybox} \"$@\"; }}\n{script}");
        execute(&Root::Live, user, &[busybox, "sh", "-c", &script], "/").expect("run")
    });
}

fn no_command_looks_into_our_processes() {
    everywhere(|run| {
        let other = User { uid: 1000, gid: 1000, groups: Vec::new(), home: "/".to_owned() };
        for user in [root(), other] {
            let script = LOOK.replace("TESTS", &std::process::id().to_string());
            let seen = run(&user, &script).stdout;
            assert_eq!(
                seen,
                ["self environ", "self root", "self cwd", "self exe", "self fd/0"],
                "as {}",
                user.uid
            );
        }
    });
}

fn a_command_has_what_a_container_has() {
    everywhere(|run| {
        let script = "
            busybox grep -e CapInh -e CapPrm -e CapEff -e CapBnd -e CapAmb -e NoNewPrivs /proc/self/status
            busybox ls /proc/self/fd | busybox wc -l
            busybox env";
        let output = run(&root(), script);
        assert_eq!(output.ended, Ended::Exited(0), "{:?}", output.stderr);
        // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE NET_RAW SYS_CHROOT
        // MKNOD AUDIT_WRITE SETFCAP, and not SETPCAP.
        let set = "00000000a80424fb";
        let none = "0000000000000000";
        let mut lines = output.stdout.iter().map(String::as_str);
        for (name, value) in
            [("CapInh", none), ("CapPrm", set), ("CapEff", set), ("CapBnd", set), ("CapAmb", none)]
        {
            assert_eq!(lines.next(), Some(format!("{name}:\t{value}").as_str()));
        }
        assert_eq!(lines.next(), Some("NoNewPrivs:\t0"));
        // Three streams and the directory being listed.
        assert_eq!(lines.next().map(str::trim), Some("4"));
        let of_the_shell = ["PWD=", "SHLVL=", "OLDPWD="];
        let mut env: Vec<&str> = lines.filter(|l| !of_the_shell.iter().any(|s| l.starts_with(s))).collect();
        env.sort_unstable();
        assert_eq!(env, ["HOME=/root", "PATH=/bin:/usr/bin"]);
    });
}
