//! `--on-failure`: what is left of a command that failed.

use std::path::PathBuf;
use std::process::Command;

use yadokari_e2e::{Build, Place, Terminal, run};

const FAILS: &str = "FROM busybox\nRUN mkdir /d && chown 7 /d\nENV GREETING=hello\nUSER 7\nWORKDIR /d\n\
    RUN --mount=type=cache,target=/cache,uid=7 echo made > made; exit 9\n";

/// A shell with the user, the variables, the directory and the mounts of the step.
#[test]
fn a_shell_opens_in_the_root_of_the_step() {
    for isolation in ["overlay", "chroot"] {
        let build = Build::new(FAILS).flag("--on-failure=shell").flag(&format!("--isolation={isolation}"));
        let typed = "echo \"<$GREETING $(id -u) $(pwd) $(cat made) $(ls -d /cache) $(test -t 0 && echo tty)>\"; exit 3\n";
        let seen = Terminal::typing(&mut build.host_command(), "$ ", typed);
        assert_eq!(seen.code, 9, "{}", seen.output);
        assert!(seen.output.contains("<hello 7 /d made /cache tty>"), "{isolation}: {}", seen.output);
    }
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
        "/yadokari/bin/yadokari {arguments} || echo code=$?; cat /yadokari/stage/*/0/d/made; ls /busybox/sh"
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    let output = finished.output();
    assert!(
        output.contains("code=9") && output.contains("enter it with: chroot /yadokari/stage/"),
        "{output}"
    );
    assert!(finished.stdout.contains("made\n") && finished.stdout.contains("/busybox/sh"), "{output}");
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
