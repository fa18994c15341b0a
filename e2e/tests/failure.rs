//! Builds that end early: the exit code, what is left, what is put back.

use std::fs;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};
use yadokari_e2e::{Build, Place, program, run};

/// The build of a step that waits until it is ended. How long tells it from those of others.
fn waiting() -> Build {
    let script = format!("rm -rf /home /etc/passwd && echo waiting && sleep {}", seconds());
    Build::new(&format!("FROM busybox\nRUN {script}\n"))
}

fn seconds() -> u32 {
    1_000_000 + std::process::id()
}

#[test]
fn signals_end_a_build_on_the_machine() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let build = waiting();
        let log = build.out().join("log");
        let mut command = build.host_command();
        let file = fs::File::create(&log).expect("a log");
        command.stdout(file.try_clone().expect("shared")).stderr(file);
        let mut child = command.spawn().expect("the program starts");
        let start = Instant::now();
        while !fs::read_to_string(&log).expect("readable").contains("waiting\n") {
            assert!(child.try_wait().expect("asked").is_none(), "{}", fs::read_to_string(&log).expect("log"));
            assert!(start.elapsed() < Duration::from_secs(60), "the step did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).expect("signalled");
        let status = child.wait().expect("it ends");
        let said = fs::read_to_string(&log).expect("readable");
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(name), "{said}");
        assert!(!build.out().join("digest").exists());
        assert!(!build.out().join("layout/index.json").exists());
        let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
        let scratch = build.out().parent().expect("a parent").display().to_string();
        assert!(!mounts.contains(&scratch), "mounts are left: {mounts}");
        let sleeping =
            run(std::process::Command::new("pgrep").args(["-f", &format!("^sleep {}", seconds())]));
        assert_eq!(sleeping.stdout, "", "the step's command is still running");
    }
}

#[test]
fn signals_put_the_container_back() {
    for signal in ["TERM", "INT"] {
        let build = waiting();
        let script = format!(
            "trap : TERM INT; mkdir -p /etc /home; echo mine > /etc/mine; echo home > /home/x; \
             yadokari {} & child=$!; \
             wait $child; wait $child; echo ended $?; cat /etc/mine /home/x; ls /; sleep 600",
            build.arguments(Place::InPlace).join(" ")
        );
        let running = build.container_for(Place::InPlace).start("sh", &["-uc", &script]);
        running.wait_for("waiting\n");
        running.exec(&format!("kill -{signal} $(pidof yadokari | tr ' ' '\\n' | sort -n | head -n 1)"));
        running.wait_for("ended ");
        running.wait_for("home\n");
        let logs = running.logs();
        assert!(logs.contains("mine\nhome\n"), "{logs}");
        assert!(!build.out().join("digest").exists());
        let left = running.exec("ps -o args").stdout;
        assert!(!left.contains(&format!("sleep {}", seconds())), "the step goes on:\n{left}");
    }
}

#[test]
fn a_failed_step_puts_the_container_back() {
    let build = Build::new("FROM busybox\nRUN rm -rf /etc/passwd /home; exit 42\n");
    let script = format!(
        "mkdir -p /etc /home; echo mine > /etc/mine; code=0; yadokari {} || code=$?; cat /etc/mine; exit $code",
        build.arguments(Place::InPlace).join(" ")
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    assert_eq!(finished.code, 42, "{}", finished.output());
    assert!(finished.stdout.ends_with("mine\n"), "{}", finished.output());
}

#[test]
fn after_a_kill_the_journal_puts_the_container_back() {
    for way in ["yadokari restore", "again"] {
        let build = waiting();
        let arguments = build.arguments(Place::InPlace).join(" ");
        let restore = match way {
            // The next build finds the journal and puts everything back before it begins.
            "again" => format!(
                "printf 'FROM scratch\\nLABEL a=b\\n' > /yadokari/home/Dockerfile; \
                 yadokari {arguments} --dockerfile=/yadokari/home/Dockerfile"
            ),
            command => command.to_owned(),
        };
        let build = build.container(|c| c.option("--init"));
        let script = format!(
            "mkdir -p /etc /home; echo mine > /etc/mine; echo home > /home/x; \
             yadokari {arguments}; echo killed; sleep 600"
        );
        let running = build.container_for(Place::InPlace).start("sh", &["-uc", &script]);
        running.wait_for("waiting\n");
        running.exec("kill -KILL $(pidof yadokari)");
        running.wait_for("killed");
        let finished = running.exec(&format!("{restore}; cat /etc/mine /home/x"));
        assert_eq!(finished.code, 0, "{way}: {}", finished.output());
        assert!(finished.stdout.ends_with("mine\nhome\n"), "{way}: {}", finished.output());
    }
}

#[test]
fn after_a_kill_nothing_that_a_step_was_given_is_left() {
    for way in ["yadokari restore", "again"] {
        let build = Build::new(&format!(
            "FROM busybox\n\
             RUN --mount=type=secret,id=s --mount=type=secret,id=s,target=/etc/s --mount=target=/c \
                 --mount=type=cache,target=/root/.cache \
                 cat /etc/s /run/secrets/s | wc -c; echo kept >> /root/.cache/f && echo waiting && sleep {}\n",
            seconds()
        ))
        .env("TOKEN", "hunter22-of-the-caller")
        .flag("--secret=id=s,env=TOKEN")
        .flag("--cache-dir=/yadokari/caches");
        let arguments = build.arguments(Place::InPlace).join(" ");
        let restore = match way {
            "again" => format!(
                "printf 'FROM scratch\\nLABEL a=b\\n' > /yadokari/home/Dockerfile; \
                 yadokari {arguments} --dockerfile=/yadokari/home/Dockerfile"
            ),
            command => command.to_owned(),
        };
        let build = build.container(|c| c.option("--init"));
        let script = format!("yadokari {arguments}; echo killed; sleep 600");
        let running = build.container_for(Place::InPlace).start("sh", &["-uc", &script]);
        running.wait_for("waiting\n");
        running.exec("kill -KILL $(pidof yadokari)");
        running.wait_for("killed");
        let look = "ls -A /dev/shm; grep -r -l hunter22-of /dev/shm /etc /root /run /tmp /yadokari 2>/dev/null || true; \
                    echo looked; cat /yadokari/caches/mounts/*/0/data/f";
        let finished = running.exec(&format!("{restore}; {look}"));
        assert!(finished.stdout.ends_with("looked\nkept\n"), "{way}: {}", finished.output());
        assert!(!finished.stdout.contains("/s\n"), "{way}: {}", finished.output());
        assert!(!finished.stdout.contains(".yadokari"), "{way}: {}", finished.output());
        // Something was found and counted: the secret was there, twice.
        assert!(running.logs().contains(" 44\n"), "{}", running.logs());
    }
}

#[test]
fn wrong_usage() {
    for (arguments, parts) in [
        (vec!["build", "--no-such-flag"], vec!["--no-such-flag"]),
        (vec!["build", "--context=/tmp"], vec!["--destination", "--no-push"]),
        (vec!["build", "--no-push", "--context=/no/such/dir"], vec!["/no/such/dir"]),
        (vec!["build", "--no-push", "--context=/tmp", "--dockerfile=/no/such/file"], vec!["/no/such/file"]),
        (vec!["build", "--no-push=yes"], vec!["yes"]),
        (vec!["build", "--destination=UPPER/case"], vec!["UPPER"]),
        (vec!["build", "--no-push", "--context=ftp://host/key"], vec!["ftp://host/key", "tar://"]),
        (vec!["nonsense"], vec!["nonsense"]),
    ] {
        let finished = run(std::process::Command::new(program()).args(&arguments));
        assert_eq!(finished.code, 1, "{arguments:?}: {}", finished.output());
        for part in parts {
            assert!(
                finished.stderr.contains(part),
                "{arguments:?}: '{part}' is not in:\n{}",
                finished.stderr
            );
        }
    }
}

#[test]
fn a_full_disk_is_said() {
    let build = Build::new("FROM busybox\nRUN head -c 30000000 /dev/urandom > /x\n")
        .container(|c| c.option("--tmpfs=/small:size=8m"))
        .flag("--work-dir=/small");
    let built = build.run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("No space left") || error.contains("no space left"), "{error}");
    assert!(error.contains("/small"), "{error}");
}

#[test]
fn the_last_line_says_what_to_do() {
    let built = Build::new("FROM busybox\nCOPY missing /x\n").run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("Dockerfile:2"), "{error}");
    assert!(error.contains("COPY missing /x"), "{error}");
}
