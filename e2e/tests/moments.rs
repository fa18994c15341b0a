//! Signals at random moments of a build, in every place: the next build works, nothing is left, and the
//! container's own files are back. E2E_SEED gives other moments than those of every run.

use std::fs;
use std::time::Duration;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};
use yadokari_e2e::{Build, Place};

use crate::endurance::{AGAIN, CHECK, MINE, good};

/// Two stages of commands that destroy, write and wait.
fn build() -> Build {
    Build::new(
        "FROM busybox AS a\nRUN rm -rf /home /etc; echo 1 > /made-by-a-step\nRUN sleep 0.1\n\
         FROM busybox\nCOPY --from=a /made-by-a-step /x\nRUN echo 2 > /made-by-a-step; mkdir -p /srv; (sleep 0.3 &)\n\
         RUN --mount=type=secret,id=s,target=/etc/s --mount=type=cache,target=/cache cp /etc/s /cache/x; sleep 0.1\n",
    )
    .flag("--secret=id=s,src={context}/secret")
    .file("secret", "hunter22")
}

/// When a build is disturbed, and how.
struct Disturbance {
    microseconds: u64,
    /// `KILL` goes to all our processes, `ALONE` kills the first only.
    how: &'static str,
    /// What is done after a kill, besides building again.
    mend: &'static str,
}

fn seed() -> u64 {
    let given = std::env::var("E2E_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(20_250_601)
}

/// Some of them, the same for a seed.
fn disturbances(place: Place, number: usize) -> Vec<Disturbance> {
    let mut state = (seed() ^ (place as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % end
    };
    let mut one = || Disturbance {
        microseconds: 20_000 + below(900_000),
        how: ["KILL", "KILL", "ALONE", "TERM", "INT"][below(5) as usize],
        mend: ["yadokari restore", "true"][below(2) as usize],
    };
    (0..number).map(|_| one()).collect()
}

/// In one container, one build after the other.
fn in_a_container(place: Place, number: usize) {
    let build = build();
    let arguments = build.arguments(place).join(" ");
    let mut script = format!(
        "set +e; echo seed {}; arguments='{arguments}'; {MINE}; cp /workspace/Dockerfile /kaniko/Dockerfile; \
         disturb() {{ cp /kaniko/Dockerfile /workspace/Dockerfile; echo $1 $2 $3; \
           yadokari $arguments >/kaniko/log 2>&1 & child=$!; usleep $2; \
           case $1 in \
             KILL) kill -KILL $(pidof yadokari) 2>/kaniko/x;; \
             ALONE) kill -KILL $child 2>/kaniko/x;; \
             *) kill -$1 $child 2>/kaniko/x;; \
           esac; wait $child; code=$?; \
           case $1 in KILL|ALONE) $3 2>/kaniko/x || {{ echo MEND; cat /kaniko/x; exit 7; }};; \
             *) test $code -le 1 || {{ echo CODE $code; cat /kaniko/log; exit 6; }};; esac; }}; ",
        seed()
    );
    for Disturbance { microseconds, how, mend } in disturbances(place, number) {
        let killed = matches!(how, "KILL" | "ALONE");
        // After a kill either `restore` or the next build puts everything back.
        let check = if killed && mend == "true" { "" } else { CHECK };
        script += &format!("disturb {how} {microseconds} '{mend}'; {check}\n{AGAIN}; {CHECK}\n");
    }
    script += "test -z \"$(pidof sleep)\" || { echo STILL THERE; ps; exit 5; }; \
               test -z \"$(ls -A /yadokari/work | grep -e build- -e new-)\" || { echo LEFT; ls -lR /yadokari/work; exit 4; }; \
               test -z \"$(ls -A /yadokari | grep -e own -e stage -e journal)\" || { echo LEFT; ls /yadokari; exit 4; }; \
               grep -rl hunter22 /dev/shm /yadokari/work 2>/dev/null | grep -v caches/ && { echo SECRET; exit 3; }; \
               echo all is well";
    let container = build.container(|c| c.option("--init"));
    good(&container.container_for(place).script(&script));
}

#[test]
fn in_place() {
    in_a_container(Place::InPlace, 24);
}

#[test]
fn in_a_user_namespace() {
    in_a_container(Place::UserNamespace, 8);
}

#[test]
fn without_a_volume() {
    in_a_container(Place::NoVolume, 6);
}

#[test]
fn where_mounting_is_allowed() {
    in_a_container(Place::MayMount, 6);
}

#[test]
fn on_a_machine() {
    for place in [Place::Overlay, Place::Chroot] {
        let build = build();
        for Disturbance { microseconds, how, .. } in disturbances(place, 5) {
            let mut child = build.host_command_for(place).spawn().expect("the program starts");
            std::thread::sleep(Duration::from_micros(microseconds));
            let signal = match how {
                "TERM" => Signal::TERM,
                "INT" => Signal::INT,
                _ => Signal::KILL,
            };
            // It may have ended, and waits for us.
            kill_process(Pid::from_child(&child), signal).expect("signalled");
            child.wait().expect("it ends");
            let built = build.run(place);
            assert_eq!(built.finished.code, 0, "seed {}, {place:?}: {}", seed(), built.finished.output());
        }
        let work = build.out().with_file_name("work");
        let left: Vec<_> = fs::read_dir(&work).expect("there").flatten().map(|e| e.file_name()).collect();
        let left: Vec<_> = left.iter().filter(|name| name.to_string_lossy().contains("build-")).collect();
        assert_eq!(left, [""; 0], "{place:?}");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
        assert!(!mounts.contains(&work.display().to_string()), "mounts are left: {mounts}");
    }
}
