//! How commands start and end.

use std::time::{Duration, Instant};

use yadokari::event::Stream;
use yadokari::rootfs::Rootfs;
use yadokari::run::{Cancel, Ended, Process, Root, RunError, Script, User, run};

use crate::fixture::{Fixture, WAYS, busybox, execute, lines, root, shell};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("commands::exit_codes_and_signals_are_exact", exit_codes_and_signals_are_exact),
    ("commands::what_cannot_be_executed_says_why", what_cannot_be_executed_says_why),
    ("commands::output_comes_line_by_line", output_comes_line_by_line),
    ("commands::leftover_processes_end", leftover_processes_end),
    ("commands::a_cancelled_command_is_asked_first", a_cancelled_command_is_asked_first),
    ("commands::a_command_has_its_user_and_directory", a_command_has_its_user_and_directory),
    ("commands::the_live_root_is_ours", the_live_root_is_ours),
    ("commands::a_script_is_there_while_it_runs", a_script_is_there_while_it_runs),
    ("commands::a_cancelled_script_is_gone", a_cancelled_script_is_gone),
];

fn everywhere(test: impl Fn(&mut dyn Rootfs, &Root)) {
    for way in WAYS {
        let fixture = Fixture::new(way);
        let mut tree = fixture.stage();
        let place = tree.enter(&[]).expect("enter");
        test(&mut *tree, &place);
        fixture.placement.finish().expect("finish");
    }
}

fn exit_codes_and_signals_are_exact() {
    let fixture = Fixture::new(WAYS[0]);
    for way in WAYS {
        let fixture = Fixture::new(way);
        let mut tree = fixture.stage();
        let cases = [
            ("exit 0", Ended::Exited(0)),
            ("exit 42", Ended::Exited(42)),
            ("exit 255", Ended::Exited(255)),
            ("kill -KILL $$", Ended::Signaled(9)),
            ("kill -TERM $$", Ended::Signaled(15)),
            ("kill -SEGV $$", Ended::Signaled(11)),
        ];
        for (script, expected) in cases {
            let place = tree.enter(&[]).expect("enter");
            assert_eq!(shell(&place, &root(), script).expect("run").ended, expected, "{script}");
            tree.changes(&[]).expect("changes");
        }
        fixture.placement.finish().expect("finish");
    }
    fixture.placement.finish().expect("finish");
}

fn what_cannot_be_executed_says_why() {
    let fixture = Fixture::new(WAYS[0]);
    let mut tree = fixture.stage();
    let cases: [(&[&str], u8, &str); 5] = [
        (&["nope"], 127, "exec: \"nope\": executable file not found in $PATH"),
        (&["/bin/nope"], 127, "exec: \"/bin/nope\": stat /bin/nope: no such file or directory"),
        (&["/etc/passwd"], 126, "exec: \"/etc/passwd\": permission denied"),
        (&["/etc"], 126, "exec: \"/etc\": is a directory"),
        (&["/tmp/script"], 127, "exec /tmp/script: no such file or directory (its interpreter is missing)"),
    ];
    let place = tree.enter(&[]).expect("enter");
    let make = "echo '#!/no/interpreter' > /tmp/script; chmod +x /tmp/script";
    assert_eq!(shell(&place, &root(), make).expect("run").ended, Ended::Exited(0));
    tree.changes(&[]).expect("changes");
    for (argv, code, message) in cases {
        let place = tree.enter(&[]).expect("enter");
        let error = execute(&place, &root(), argv, "/").err().expect("no command");
        assert_eq!((error.exit_code(), error.to_string()), (Some(code), message.to_owned()));
        tree.changes(&[]).expect("changes");
    }
    fixture.placement.finish().expect("finish");
}

fn output_comes_line_by_line() {
    everywhere(|_, place| {
        let script = "echo one; echo err >&2; printf 'a\\0\\377\\n\\nlast'; busybox dd if=/dev/zero bs=1M count=3 2>/dev/null | busybox tr '\\0' x; read x || echo no input";
        let output = shell(place, &root(), script).expect("run");
        assert_eq!(output.stdout[..3], ["one", "a\u{0}\u{fffd}", ""]);
        assert_eq!(output.stderr, ["err"]);
        let rest: usize = output.stdout[3..].iter().map(String::len).sum();
        assert_eq!(rest, "last".len() + (3 << 20) + "no input".len());
        assert!(output.stdout.iter().all(|l| l.len() <= 64 << 10));
    });
}

fn leftover_processes_end() {
    everywhere(|tree, place| {
        let started = Instant::now();
        let script = "(busybox setsid sh -c 'trap \"\" TERM HUP; sleep 100; echo late > /late' &) ; \
                      sleep 100 & echo $! > /pid; echo done";
        let output = shell(place, &root(), script).expect("run");
        assert_eq!((output.ended, output.stdout), (Ended::Exited(0), vec!["done".to_owned()]));
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(lines(&tree.changes(&[]).expect("changes")).len(), 1);
        let pid = String::from_utf8(tree.view().read(b"pid", 100).expect("read")).expect("text");
        if let Ok(line) = std::fs::read(format!("/proc/{}/cmdline", pid.trim())) {
            assert!(!line.starts_with(b"sleep\x00100"), "it is still there");
        }
    });
}

fn a_cancelled_command_is_asked_first() {
    everywhere(|tree, place| {
        let cancel = Cancel::new();
        let argv = [
            "/bin/sh",
            "-c",
            "trap 'echo asked; echo > /asked; exit 3' TERM; echo ready; while :; do sleep 1; done",
        ];
        let argv = argv.map(str::to_owned);
        let env = ["PATH=/bin".to_owned()];
        let user = root();
        let process = Process {
            root: place,
            argv: &argv,
            env: &env,
            cwd: "/",
            user: &user,
            script: None,
            network: true,
            hostname: None,
            insecure: false,
        };
        let mut seen = Vec::new();
        let result = run(
            &process,
            &mut |_, line| {
                seen.push(String::from_utf8_lossy(line).into_owned());
                cancel.cancel(15);
            },
            &cancel,
        );
        assert!(matches!(result, Err(RunError::Cancelled { signal: 15 })), "{result:?}");
        // The shell may say what became of its sleep.
        assert!(seen.first().is_some_and(|l| l == "ready") && seen.contains(&"asked".to_owned()), "{seen:?}");
        assert_eq!(lines(&tree.changes(&[]).expect("changes")), ["f asked 1"]);
    });
}

fn a_command_has_its_user_and_directory() {
    everywhere(|tree, place| {
        let user = User { uid: 1000, gid: 7, groups: vec![20, 30], home: "/home/it".to_owned() };
        let script = "id -u; id -g; id -G; umask; pwd; echo $HOME; echo x > mine; (echo > /etc/x) 2>/dev/null || echo denied; echo out > /dev/stdout";
        let argv = ["/bin/sh", "-c", script];
        let output = execute(place, &user, &argv, "/work/deep").expect("run");
        let expected = ["1000", "7", "7 20 30", "0022", "/work/deep", "/home/it", "denied", "out"];
        assert_eq!(output.stdout, expected);
        let changes = tree.changes(&[]).expect("changes");
        assert_eq!(lines(&changes), ["d work 755", "d work/deep 755", "f work/deep/mine 2"]);
        assert!(changes.iter().all(|e| (e.uid, e.gid) == (1000, 7)));
    });
}

fn the_live_root_is_ours() {
    let busybox = busybox();
    let busybox = busybox.to_str().expect("a path");
    let script = "sleep 100 & echo $0; test \"$(cat /proc/sys/kernel/hostname)\"; exit 9";
    let output = execute(&Root::Live, &root(), &[busybox, "sh", "-c", script], "/tmp").expect("run");
    assert_eq!((output.ended, output.stdout), (Ended::Exited(9), vec!["sh".to_owned()]));
}

/// Runs a script that stands in `/dev/pipes`; what it wrote to standard output.
fn run_script(
    root: &Root,
    user: &User,
    script: &Script,
    cancel: &Cancel,
    each: &dyn Fn(),
) -> (Result<Ended, RunError>, Vec<String>) {
    let argv = [format!("/dev/pipes/{}", script.name)];
    let env = ["PATH=/bin:/usr/bin".to_owned()];
    let process = Process {
        root,
        argv: &argv,
        env: &env,
        cwd: "/",
        user,
        script: Some(script),
        network: true,
        hostname: None,
        insecure: false,
    };
    let mut seen = Vec::new();
    let mut collect = |stream, line: &[u8]| {
        if stream == Stream::Stdout {
            seen.push(String::from_utf8_lossy(line).into_owned());
        }
        each();
    };
    let ended = run(&process, &mut collect, cancel);
    (ended, seen)
}

fn a_script_is_there_while_it_runs() {
    let other = User { uid: 1000, gid: 1000, groups: Vec::new(), home: "/".to_owned() };
    everywhere(|tree, place| {
        let content = "#!/bin/busybox sh\nbusybox stat -c '%a %u:%g %n' $0\nexit 3\n".to_owned();
        let script = Script { name: "EOF".to_owned(), content };
        let (ended, seen) = run_script(place, &other, &script, &Cancel::new(), &|| ());
        assert_eq!(
            (ended.expect("run"), seen),
            (Ended::Exited(3), vec!["755 0:0 /dev/pipes/EOF".to_owned()])
        );
        assert_eq!(lines(&tree.changes(&[]).expect("changes")), Vec::<String>::new());
    });
    let busybox = busybox().display().to_string();
    let content = format!("#!{busybox} sh\n{busybox} stat -c '%a %u:%g' $0\n");
    let script = Script { name: format!("test-{}", std::process::id()), content };
    let (ended, seen) = run_script(&Root::Live, &other, &script, &Cancel::new(), &|| ());
    assert_eq!((ended.expect("run"), seen), (Ended::Exited(0), vec!["755 0:0".to_owned()]));
    assert!(!std::path::Path::new("/dev/pipes").join(&script.name).exists(), "it is still there");
}

fn a_cancelled_script_is_gone() {
    let content = format!("#!{} sh\necho ready\nwhile :; do sleep 1; done\n", busybox().display());
    let script = Script { name: format!("cancelled-{}", std::process::id()), content };
    let path = std::path::Path::new("/dev/pipes").join(&script.name);
    let cancel = Cancel::new();
    let (ended, seen) = run_script(&Root::Live, &root(), &script, &cancel, &|| {
        assert!(path.exists(), "it is not there");
        cancel.cancel(15);
    });
    assert!(matches!(ended, Err(RunError::Cancelled { signal: 15 })), "{ended:?}");
    assert_eq!(seen, ["ready"]);
    assert!(!path.exists(), "it is still there");
}
