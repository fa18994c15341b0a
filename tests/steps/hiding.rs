//! What a command must not reach.

use yadokari::config::SecretBytes;
use yadokari::run::{Ended, Mount, MountSource, Root, SecretFile, User};

use crate::fixture::{Fixture, Output, WAYS, busybox, execute, root, shell};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("hiding::no_command_looks_into_our_processes", no_command_looks_into_our_processes),
    ("hiding::a_command_has_what_a_container_has", a_command_has_what_a_container_has),
    ("hiding::no_command_makes_namespaces", no_command_makes_namespaces),
    ("hiding::a_secret_is_in_memory_and_cannot_be_written", a_secret_is_in_memory_and_cannot_be_written),
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

/// In a user namespace of its own a command would have every right again.
fn no_command_makes_namespaces() {
    for way in WAYS {
        let fixture = Fixture::new(way);
        let mut tree = fixture.stage();
        let place = tree.enter(&[]).expect("enter");
        let script = "for kind in U m n i u p; do busybox unshare -$kind true 2>&1 && echo made $kind; done
            busybox mount -t tmpfs none /tmp 2>&1 && echo mounted
            busybox umount /proc 2>&1 && echo unmounted
            busybox chroot / /bin/busybox true && echo done";
        let argv = ["/bin/busybox", "sh", "-c", script];
        let output = execute(&place, &root(), &argv, "/").expect("run");
        tree.changes(&[]).expect("changes");
        let refused = output
            .stdout
            .iter()
            .filter(|l| l.contains("not permitted") || l.contains("permission denied"))
            .count();
        assert_eq!(
            (refused, output.stdout.last().map(String::as_str)),
            (8, Some("done")),
            "{:?}",
            output.stdout
        );
        let others = output
            .stdout
            .iter()
            .filter(|l| ["made", "mounted", "unmounted"].iter().any(|w| l.starts_with(w)));
        assert_eq!(others.count(), 0, "{:?}", output.stdout);
        fixture.placement.finish().expect("finish");
    }
}

fn a_secret_is_in_memory_and_cannot_be_written() {
    for way in WAYS {
        let fixture = Fixture::new(way);
        let mut tree = fixture.stage();
        let content = SecretBytes(b"of the caller".to_vec());
        let source = MountSource::Secret(SecretFile { content, mode: 0o400, uid: 0, gid: 0 });
        let mounts = [Mount { target: "run/secrets/one".into(), source, read_only: true }];
        let place = tree.enter(&mounts).expect("enter");
        let script = "cat /run/secrets/one; echo; busybox stat -f -c %T /run/secrets/one
            (echo x > /run/secrets/one) 2>/dev/null || echo refused
            rm /run/secrets/one 2>/dev/null || echo busy";
        let output = shell(&place, &root(), script).expect("run");
        tree.unmount().expect("unmounted");
        assert_eq!(output.stdout, ["of the caller", "tmpfs", "refused", "busy"], "{:?}", output.stderr);
        assert_eq!(crate::fixture::lines(&tree.changes(&[]).expect("changes")), Vec::<String>::new());
        fixture.placement.finish().expect("finish");
    }
}
