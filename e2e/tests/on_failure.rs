//! `--on-failure`: what is left of a command that failed.

use std::path::{Path, PathBuf};
use std::process::Command;

use yadokari_e2e::{Build, Place, Terminal, run};

use crate::userns::{SINGLE_ID, WITH_IDS, as_plain_user, plain_command, plain_user};

const FAILS: &str = "FROM busybox\nRUN mkdir /d && chown 7 /d\nENV GREETING=hello\nUSER 7\nWORKDIR /d\n\
    RUN --mount=type=cache,target=/cache,uid=7 --mount=from=busybox,target=/image echo made > made; exit 9\n";

/// A shell with the user, the variables, the directory and the mounts of the step.
#[test]
fn a_shell_opens_in_the_root_of_the_step() {
    for isolation in ["overlay", "chroot"] {
        let build = Build::new(FAILS).flag("--on-failure=shell").flag(&format!("--isolation={isolation}"));
        let typed = "echo \"<$GREETING $(id -u) $(pwd) $(cat made) $(ls -d /cache /image/etc | tr '\\n' ' ')$(test -t 0 && echo tty)>\"; exit 3\n";
        let seen = Terminal::typing(&mut build.host_command(), "$ ", typed);
        assert_eq!(seen.code, 9, "{}", seen.output);
        assert!(
            seen.output.contains("<hello 7 /d made /cache /image/etc tty>"),
            "{isolation}: {}",
            seen.output
        );
    }
}

/// What other stages print waits until the shell is left, and their failures open no other.
#[test]
fn a_shell_has_the_terminal_alone() {
    let build = Build::new(
        "FROM busybox AS noise\n\
         RUN for i in 0 1 2 3 4 5; do echo no\"\"ise; sleep 0.1; done; exit 4\n\
         FROM busybox\nCOPY --from=noise /x /\n\
         FROM busybox\nUSER 7\nRUN exit 9\nCOPY --from=1 /x /\n",
    )
    .flag("--on-failure=shell")
    .flag("--jobs=2")
    .flag("--isolation=overlay");
    let seen = Terminal::typing(&mut build.host_command(), "$ ", "sleep 1; echo left\"\"it; exit 3\n");
    let (before, after) = seen.output.split_once("leftit").expect("the shell's last words");
    let (_, inside) = before.split_once("$ ").expect("the shell's prompt");
    assert!(!inside.contains("noise") && after.contains("noise"), "{}", seen.output);
    assert_eq!((seen.output.matches("a shell in its root").count(), seen.code), (1, 9), "{}", seen.output);
}

#[test]
fn a_shell_needs_a_terminal() {
    let built = Build::new(FAILS).flag("--on-failure=shell").run(Place::Overlay);
    assert!(built.failed(1).contains("needs a terminal"), "{}", built.finished.output());
}

#[test]
fn the_root_is_kept_and_can_be_entered() {
    for place in [Place::Overlay, Place::Chroot] {
        let build = Build::new(FAILS).flag("--on-failure=keep");
        let built = build.run(place);
        let said = built.failed(9).to_owned();
        let enter = said.split("enter it with: ").nth(1).and_then(|s| s.lines().next()).expect("a way in");
        let enter = enter.trim_end().replace("/bin/sh", "/bin/cat /d/made");
        let inside = run(Command::new("sh").args(["-c", &enter]));
        assert_eq!((inside.code, inside.stdout.as_str()), (0, "made\n"), "{enter}: {}", inside.output());
        let kept = said.split("what is kept is in ").nth(1).and_then(|s| s.split(':').next()).expect("named");
        assert!(PathBuf::from(kept).is_dir(), "{kept}");
    }
    let plain = Build::new(FAILS);
    plain.run(Place::Overlay).failed(9);
    let work = plain.out().with_file_name("work");
    let left = std::fs::read_dir(work).expect("there").flatten();
    assert!(
        !left.into_iter().any(|e| e.file_name().to_string_lossy().starts_with("build-")),
        "nothing is left"
    );
}

/// In place the tree stays below our directory, and the container's own files are back.
#[test]
fn in_place_the_tree_stays() {
    let build = Build::new(FAILS).flag("--on-failure=keep");
    let arguments = build.arguments(Place::InPlace).join(" ");
    let script = format!(
        "mkdir /home; echo mine > /home/x; yadokari {arguments} 2>/kaniko/log || echo code=$?; cat /kaniko/log; cat /home/x; \
         $(sed -n 's|^.*enter it with: \\(.*\\)/bin/sh$|\\1|p' /kaniko/log) /bin/cat /d/made; \
         yadokari restore; ls -A /yadokari; yadokari restore; cat /home/x"
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    let output = finished.output();
    assert_eq!(finished.code, 0, "{output}");
    for part in ["code=9", "mine\nmade\n", "removed what a build had left", "nothing to put back"] {
        assert!(output.contains(part), "'{part}' is not in:\n{output}");
    }
    assert!(finished.stdout.ends_with("mine\n") && !finished.stdout.contains("\nstage\n"), "{output}");
}

/// The next build removes it too, and does not speak of files that were never away.
#[test]
fn in_place_the_next_build_removes_it() {
    let build = Build::new(FAILS).flag("--on-failure=keep");
    let arguments = build.arguments(Place::InPlace).join(" ");
    let script = format!(
        "yadokari {arguments} || test $? = 9; printf 'FROM busybox\\nRUN true\\n' > /workspace/Dockerfile; \
         yadokari {arguments}; ls -A /yadokari"
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    let output = finished.output();
    assert!(output.contains("removed what an earlier build had left"), "{output}");
    assert!(!finished.stdout.contains("stage\n") && !output.contains("own files back"), "{output}");
}

/// In containers the command that is printed works with what busybox has.
#[test]
fn in_a_container_what_is_kept_can_be_entered() {
    for place in [Place::UserNamespace, Place::NoVolume, Place::MayMount] {
        let build = Build::new(FAILS).flag("--on-failure=keep");
        let arguments = build.arguments(place).join(" ");
        let script = format!(
            "yadokari {arguments} 2>/kaniko/log || echo code=$?; cat /kaniko/log; \
             sed -n 's|/bin/sh|/bin/cat /d/made|; s|^.*enter it with: ||p' /kaniko/log > /kaniko/enter; sh /kaniko/enter"
        );
        let finished = build.container_for(place).script(&script);
        let output = finished.output();
        assert!(finished.code == 0 && finished.stdout.ends_with("\nmade\n"), "{place:?}: {output}");
    }
}

/// A plain user has a shell, and enters what is kept.
#[test]
fn a_plain_user_can_look() {
    for isolation in ["overlay", "chroot"] {
        let build = Build::new(FAILS).flag("--on-failure=keep");
        let built = as_plain_user(&build, isolation, WITH_IDS);
        assert_eq!(built.code, 9, "{}", built.output());
        let said = built.output();
        let enter = said.split("enter it with: ").nth(1).and_then(|s| s.lines().next()).expect("a way in");
        for (command, said) in [("touch /d/more", ""), ("cat /d/made", "made\n"), ("stat -c %u /d", "7\n")] {
            let enter = enter.trim_end().replace("/bin/sh", &format!("/bin/{command}"));
            let inside = run(plain_user(Path::new("/bin/sh"), WITH_IDS).args(["-c", &enter]));
            assert_eq!((inside.code, inside.stdout.as_str()), (0, said), "{enter}: {}", inside.output());
        }
    }
    let shell = FAILS.replace("USER 7\n", "").replace("&& chown 7 /d", "").replace(",uid=7", "");
    for (path, dockerfile, id) in [(WITH_IDS, FAILS, 7), (SINGLE_ID, shell.as_str(), 0)] {
        let build = Build::new(dockerfile).flag("--on-failure=shell");
        let typed = "echo \"<$GREETING $(id -u) $(pwd) $(cat made) $(test -t 0 && echo tty)>\"; exit 3\n";
        let prompt = if id == 0 { "# " } else { "$ " };
        let seen = Terminal::typing(&mut plain_command(&build, "overlay", path), prompt, typed);
        assert_eq!(seen.code, 9, "{}", seen.output);
        assert!(seen.output.contains(&format!("<hello {id} /d made tty>")), "{}", seen.output);
    }
}

/// In place the shell is in the container's own root, which is the step's.
#[test]
fn in_place_a_shell_opens_where_the_step_failed() {
    let build = Build::new(FAILS).flag("--on-failure=shell");
    let typed =
        "echo \"<$GREETING $(id -u) $(pwd) $(cat made) $(ls -d /cache) $(test -t 0 && echo tty)>\"; exit 3\n";
    let container = build.container_for(Place::InPlace);
    let seen = Terminal::typing(&mut container.on_terminal(&build.arguments(Place::InPlace)), "$ ", typed);
    assert_eq!(seen.code, 9, "{}", seen.output);
    assert!(seen.output.contains("<hello 7 /d made /cache tty>"), "{}", seen.output);
}

#[test]
fn every_right_must_be_allowed() {
    let dockerfile = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status > /caps; grep Seccomp: /proc/self/status >> /caps\n\
        RUN grep CapEff /proc/self/status > /fewer\n";
    let refused = Build::new(dockerfile).run(Place::Overlay);
    assert!(refused.failed(1).contains("--allow security.insecure"), "{}", refused.finished.output());
    let in_place = Build::new(dockerfile).flag("--allow=security.insecure").run(Place::InPlace);
    assert!(in_place.failed(1).contains("never granted in place"), "{}", in_place.finished.output());
    for place in [Place::Overlay, Place::Chroot] {
        let image = Build::new(dockerfile).flag("--allow=network.host,security.insecure").run(place).image();
        let caps = |layer: isize, name: &str| {
            let text = String::from_utf8(image.layer(layer).entry(name).content().to_vec()).expect("text");
            let line = text.lines().next().expect("a line").to_owned();
            (u64::from_str_radix(line.trim_start_matches("CapEff:").trim(), 16).expect("hex"), text)
        };
        let ((all, text), (fewer, _)) = (caps(-2, "caps"), caps(-1, "fewer"));
        assert!(all & (1 << 21) != 0 && all & (1 << 8) != 0, "SYS_ADMIN and SETPCAP: {all:x}");
        assert!(text.contains("Seccomp:\t0"), "{text}");
        assert_eq!(fewer & (1 << 21), 0);
    }
    let unknown = Build::new(dockerfile).flag("--allow=all").run(Place::Overlay);
    assert!(unknown.failed(1).contains("--allow all is unknown"), "{}", unknown.finished.output());
}
