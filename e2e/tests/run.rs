//! What a RUN sees and how it ends; in every place.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Kind, Place, everywhere};

everywhere!(
    users_by_name_number_and_group,
    a_user_that_is_not_there,
    the_environment,
    the_shell_and_its_replacements,
    heredocs,
    the_working_directory,
    umask_and_session,
    the_exit_code_is_ours,
    a_signal_is_named,
    a_command_that_is_not_there,
    output_comes_line_by_line,
    background_processes_are_ended,
    zombies_are_reaped,
    setuid_programs_work,
    devices_and_proc,
);

/// Contents of the file that the last RUN wrote to `/result`.
fn written(place: Place, dockerfile: &str) -> String {
    let image = Build::new(dockerfile).run(place).image();
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry("result").kind else { panic!("/result is a file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

fn users_by_name_number_and_group(place: Place) {
    let id = "id -u; id -g; id -G; echo $HOME";
    for (user, expected) in [
        ("root", "0\n0\n0\n/root\n"),
        ("app", "1000\n1000\n1000 29 2000\n/home/app\n"),
        ("1000", "1000\n1000\n1000 29 2000\n/home/app\n"),
        ("app:daemon", "1000\n1\n1\n/home/app\n"),
        ("app:29", "1000\n29\n29\n/home/app\n"),
        ("4711", "4711\n0\n0\n/\n"),
        ("4711:4712", "4711\n4712\n4712\n/\n"),
    ] {
        let dockerfile = format!(
            "FROM busybox\nRUN touch /result && chmod 0666 /result\nUSER {user}\nRUN ({id}) > /result\n"
        );
        assert_eq!(written(place, &dockerfile), expected, "USER {user}");
    }
}

fn a_user_that_is_not_there(place: Place) {
    let built = Build::new("FROM busybox\nUSER nobody-here\nRUN true\n").run(place);
    let error = built.failed(1);
    for part in ["nobody-here", "/etc/passwd"] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
}

fn the_environment(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         ARG GIVEN=default\n\
         ARG UNSET\n\
         ENV SET=\"two words\" GIVEN2=$GIVEN\n\
         RUN env | sort | grep -v -E '^(SHLVL|_|OLDPWD)=' > /result\n",
    )
    .flag("--build-arg=GIVEN=from outside")
    .env("OURS", "must not be seen")
    .env("DOCKER_AUTH_CONFIG", "{}");
    let image = build.run(place).image();
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry("result").kind else { panic!("/result is a file") };
    assert_eq!(
        String::from_utf8_lossy(content),
        "GIVEN2=from outside\n\
         GIVEN=from outside\n\
         HOME=/root\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         PWD=/\n\
         SET=two words\n"
    );
}

fn the_shell_and_its_replacements(place: Place) {
    let out = written(
        place,
        "FROM busybox\n\
         RUN echo shell $0 >> /result\n\
         RUN [\"/bin/sh\", \"-c\", \"echo exec $0 >> /result\", \"name\"]\n\
         SHELL [\"/bin/busybox\", \"ash\", \"-e\", \"-c\"]\n\
         RUN echo $- | grep -q e && echo other >> /result\n",
    );
    assert_eq!(out, "shell /bin/sh\nexec name\nother\n");
}

fn heredocs(place: Place) {
    let out = written(
        place,
        "FROM busybox\n\
         RUN <<EOF\n\
         echo one >> /result\n\
         \techo $((1 + 1)) >> /result\n\
         EOF\n\
         RUN <<-'TWO' cat >> /result\n\
         \tno $expansion\n\
         TWO\n\
         RUN <<AWK\n\
         #!/usr/bin/awk -f\n\
         BEGIN { print \"by awk\" >> \"/result\" }\n\
         AWK\n",
    );
    assert_eq!(out, "one\n2\nno $expansion\nby awk\n");
}

fn the_working_directory(place: Place) {
    let out = written(
        place,
        "FROM busybox\n\
         RUN mkdir -p /real/dir && ln -s /real /link\n\
         WORKDIR /link\n\
         WORKDIR dir\n\
         RUN pwd -P > /result\n",
    );
    assert_eq!(out, "/real/dir\n");
}

fn umask_and_session(place: Place) {
    let out = written(
        place,
        "FROM busybox\n\
         RUN umask > /result; cat >> /result; \
             [ $(cut -d ' ' -f 5 /proc/self/stat) != 0 ] && echo grouped >> /result; \
             for m in $(grep -E '^(SigBlk|SigIgn)' /proc/self/status | cut -c 17-); do \
               echo $((0x$m & 0x7fffffff)) >> /result; done; \
             ls /proc/self/fd | wc -l >> /result\n",
    );
    // Standard input is empty; none of the 31 ordinary signals is blocked or ignored (the C
    // library ignores two of its own in what it spawns); no descriptor of ours is open: there
    // are 0, 1, 2 and the one `ls` itself opens.
    assert_eq!(out, "0022\ngrouped\n0\n0\n4\n");
}

fn the_exit_code_is_ours(place: Place) {
    let build = Build::new("FROM busybox\nRUN echo before; exit 42\nRUN echo never\n");
    let built = build.run(place);
    let error = built.failed(42);
    for part in ["Dockerfile", "echo before; exit 42", "42"] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
    assert!(!build.out().join("digest").exists(), "a digest of a failed build");
    assert!(!build.out().join("layout/index.json").exists(), "a layout of a failed build");
}

fn a_signal_is_named(place: Place) {
    let built = Build::new("FROM busybox\nRUN kill -KILL $$\n").run(place);
    assert!(built.failed(255).contains("SIGKILL"), "{}", built.finished.stderr);
}

fn a_command_that_is_not_there(place: Place) {
    let built = Build::new("FROM busybox\nRUN [\"/no/such/program\"]\n").run(place);
    let error = built.failed(127);
    assert!(error.contains("/no/such/program"), "{error}");

    let built = Build::new("FROM scratch\nCOPY Dockerfile /\nRUN true\n").run(place);
    let error = built.failed(127);
    assert!(error.contains("/bin/sh"), "{error}");

    let built = Build::new("FROM busybox\nRUN no-such-program\n").run(place);
    built.failed(127);
}

fn output_comes_line_by_line(place: Place) {
    let built = Build::new(
        "FROM busybox\n\
         RUN echo to stdout; echo to stderr >&2; printf 'no end'\n",
    )
    .run(place);
    built.succeeded().said("to stdout").said("to stderr").said("no end");
}

/// What a step leaves running ends before its layer is read.
fn background_processes_are_ended(place: Place) {
    let image = Build::new(
        "FROM busybox\n\
         RUN (while :; do date +%N > /ticks; done) & \
             (trap '' TERM HUP; setsid sleep 4711 & sleep 4711) & sleep 0.1\n\
         RUN sleep 0.1; ps -o args | grep -c '[4]711' > /result || true\n",
    )
    .run(place)
    .image();
    let layer = image.layer(-1);
    assert_eq!(layer.listing(), "f 0644 0:0 result \"0\\n\"\n", "only the count, and it is 0");
}

fn zombies_are_reaped(place: Place) {
    let out = written(
        place,
        "FROM busybox\n\
         RUN for i in 1 2 3 4 5; do (sh -c 'sleep 0.05 & exec sh -c \"exit 0\"' &); done; sleep 0.5; \
             grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l > /result\n",
    );
    assert_eq!(out, "0\n");
}

fn setuid_programs_work(place: Place) {
    let out = written(
        place,
        "FROM debian\n\
         RUN useradd bob && cp /usr/bin/id /usr/bin/id-root && chmod 4755 /usr/bin/id-root && \
             touch /result && chmod 0666 /result\n\
         USER bob\n\
         RUN /usr/bin/id-root -u > /result\n",
    );
    assert_eq!(out, "0\n");
}

fn devices_and_proc(place: Place) {
    let out = written(
        place,
        "FROM busybox\n\
         RUN head -c 4 /dev/zero | wc -c > /result; head -c 4 /dev/urandom | wc -c >> /result; \
             echo x > /dev/null; echo tty > /dev/stderr; [ -d /proc/$$ ] && echo proc >> /result; \
             [ -d /dev/shm ] && touch /dev/shm/x && echo shm >> /result; \
             grep -q localhost /etc/hosts && echo hosts >> /result\n",
    );
    assert_eq!(out, "4\n4\nproc\nshm\nhosts\n");
}
