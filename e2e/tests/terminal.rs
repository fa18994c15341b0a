//! What people see while it builds: a live tree on a terminal, plain lines in a log.

use yadokari_e2e::{Build, Place, Terminal};

fn example() -> Build {
    Build::new(
        "FROM busybox AS first\n\
         RUN echo said by a step; sleep 0.3; echo x > /x\n\
         FROM busybox\n\
         COPY --from=first /x /x\n",
    )
}

#[test]
fn a_terminal_gets_a_live_tree() {
    let build = example();
    let seen = Terminal::run(&mut build.host_command());
    assert_eq!(seen.code, 0, "{}", seen.output);
    for part in ["\x1b[", "RUN echo said by a step", "COPY --from=first", "sha256:"] {
        assert!(seen.output.contains(part), "{part:?} is not in:\n{:?}", seen.output);
    }
    // Lines are drawn again as they change: the cursor goes up.
    let moves = seen.output.matches("\x1b[1A").count() + seen.output.matches("\x1b[2A").count();
    assert!(moves > 0, "nothing was drawn twice:\n{:?}", seen.output);
    assert!(
        seen.output.contains("\x1b[?25h") || !seen.output.contains("\x1b[?25l"),
        "the cursor stays hidden"
    );
}

#[test]
fn a_log_gets_plain_lines_with_times() {
    let built = example().run(Place::Overlay);
    built.succeeded();
    let output = built.finished.output();
    let control = output.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
    assert_eq!(control, None, "a control character in a log:\n{output:?}");
    for part in ["RUN echo said by a step", "said by a step\n", "COPY --from=first", "sha256:"] {
        assert!(output.contains(part), "{part:?} is not in:\n{output}");
    }
    let timed = built.finished.stderr.lines().any(|line| {
        line.split_whitespace().any(|word| {
            word.trim_matches(|c| "()[],".contains(c)).ends_with('s')
                && word.chars().any(|c| c.is_ascii_digit())
        })
    });
    assert!(timed, "no time in:\n{}", built.finished.stderr);
}

#[test]
fn what_a_step_writes_cannot_move_the_cursor() {
    let build = Build::new(
        "FROM busybox\nRUN printf 'a\\033[2Jb\\rc\\033]0;title\\007d\\n'; printf '::set-output name=x::y\\n'\n",
    );
    let built = build.run(Place::Overlay);
    built.succeeded();
    let output = built.finished.output();
    assert!(!output.contains('\x1b') && !output.contains('\x07'), "{output:?}");
}

#[test]
fn log_lines_as_json() {
    let built = example().flag("--log-format=json").run(Place::Overlay);
    built.succeeded();
    let lines: Vec<_> = built.finished.stderr.lines().collect();
    assert!(lines.len() > 3, "{lines:?}");
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["level", "msg", "time"] {
            assert!(value[key].is_string(), "no {key} in {line}");
        }
    }
}

#[test]
fn secrets_are_not_shown() {
    let build = Build::new("FROM busybox\nARG NPM_TOKEN\nRUN echo \"token is $NPM_TOKEN\"\n")
        .flag("--build-arg=NPM_TOKEN=npm_0123456789abcdef");
    let built = build.run(Place::Overlay);
    built.succeeded().said("NPM_TOKEN");
    let output = built.finished.output();
    assert!(!output.contains("npm_0123456789abcdef"), "{output}");
    let history = built.image().history();
    assert!(history.iter().any(|(by, _)| by.contains("npm_0123456789abcdef")), "the history is BuildKit's");
}
