//! What must not keep a build from ending, or the next one from working: full disks, processes without
//! end, steps that destroy what they run in.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Finished, Place};

/// Files of the container's own, which must be there again whatever happens.
pub(crate) const MINE: &str =
    "mkdir -p /etc /home /srv; echo mine > /etc/mine; echo home > /home/x; echo srv > /srv/x";

/// Fails unless the container's own files are there and nothing of an image is.
pub(crate) const CHECK: &str = "test \"$(cat /etc/mine /home/x /srv/x)\" = \"$(printf 'mine\\nhome\\nsrv')\" || \
                     { echo LOST; ls -la / /etc /home; exit 9; }; \
                     test ! -e /made-by-a-step || { echo LEFT; exit 9; }";

/// A script in one container that builds in place whenever it says `yadokari $arguments`.
fn in_one_container(build: Build, script: &str) -> Finished {
    let arguments = build.arguments(Place::InPlace).join(" ");
    let build = build.container(|c| c.option("--init").option("--pids-limit=400"));
    let script = format!("set +e; arguments='{arguments}'; {MINE}; {script}");
    build.container_for(Place::InPlace).script(&script)
}

/// The same build again, which must work.
pub(crate) const AGAIN: &str = "printf 'FROM busybox\\nRUN echo ok > /made-by-a-step && rm -rf /home\\n' > /workspace/Dockerfile; \
                     yadokari $arguments >/kaniko/log 2>&1 || { echo AGAIN; cat /kaniko/log; exit 8; }";

pub(crate) fn good(finished: &Finished) {
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.ends_with("all is well\n"), "{}", finished.output());
}

#[test]
fn a_step_that_ignores_signals_is_ended() {
    let step = "trap '' TERM INT HUP; rm -rf /home; echo waiting; while :; do sleep 1; done";
    let build = Build::new(&format!("FROM busybox\nRUN {step}\n"));
    let script = format!(
        "yadokari $arguments >/kaniko/log 2>&1 & child=$!; \
         until grep -q 'waiting$' /kaniko/log; do usleep 50000; done; kill -TERM $child; \
         wait $child; code=$?; test $code = 1 || {{ echo code $code; cat /kaniko/log; exit 7; }}; \
         {CHECK}; {AGAIN}; {CHECK}; echo all is well"
    );
    good(&in_one_container(build, &script));
}

#[test]
fn processes_without_end_are_ended() {
    for step in [
        // Each forks and ends: nobody can be waited for by its number.
        "(while :; do (sleep 0.05 &); done) & sleep 1",
        // As many as the container may have.
        "for n in $(seq 1000); do sleep 1000 & done; exit 3",
        // Out of the process group and the session, with files open and a directory to stand in.
        "mkdir -p /srv/d; cd /srv/d; setsid sh -c 'exec 3>open; trap : TERM; while :; do sleep 1; done' & sleep 0.2",
    ] {
        let build = Build::new(&format!("FROM busybox\nRUN {step}\n"));
        let script = format!(
            "yadokari $arguments >/kaniko/log 2>&1; echo code $?; {CHECK}; \
             test \"$(pidof sleep | wc -w)\" = 0 || {{ echo STILL THERE; ps; exit 6; }}; \
             {AGAIN}; {CHECK}; echo all is well"
        );
        good(&in_one_container(build, &script));
    }
}

#[test]
fn a_step_that_deletes_our_directory() {
    // Our program is a mount there, and the container's own files are below it: what root deletes
    // is gone, but it is said, and the next build works.
    let build = Build::new("FROM busybox\nRUN rm -rf /yadokari 2>/dev/null; true\n");
    let script = format!(
        "yadokari $arguments >/kaniko/log 2>&1; code=$?; echo code $code; cat /kaniko/log; \
         mkdir -p /etc /home /srv; {MINE}; {AGAIN}; {CHECK}; echo all is well"
    );
    good(&in_one_container(build, &script));
}

#[test]
fn a_full_disk_leaves_room_for_the_next_build() {
    for place in [Place::UserNamespace, Place::InPlace] {
        // In place the disk is that of the blobs; elsewhere the command fills it itself.
        let build = Build::new("FROM busybox\nRUN head -c 90000000 /dev/urandom > /made-by-a-step\n")
            .flag("--work-dir=/small");
        let arguments = build.arguments(place).join(" ");
        let build = build.container(|c| c.option("--tmpfs=/small:size=40m,exec"));
        let script = format!(
            "set +e; arguments='{arguments}'; {MINE}; yadokari $arguments >/kaniko/log 2>&1 && {{ echo BUILT; exit 7; }}; \
             grep -qiE 'no space left|i.o error' /kaniko/log || {{ cat /kaniko/log; exit 6; }}; \
             {CHECK}; test -z \"$(ls -A /small | grep build-)\" || {{ echo LEFT; ls -lR /small; exit 5; }}; \
             {AGAIN}; {CHECK}; echo all is well"
        );
        let finished = build.container_for(place).script(&script);
        assert_eq!(finished.code, 0, "{place:?}: {}", finished.output());
        good(&finished);
    }
}

#[test]
fn cleaning_up_is_for_free() {
    let build = Build::new("FROM busybox\nRUN rm -rf /home; echo 1 > /made-by-a-step\n");
    let script = format!(
        "for flags in --cleanup --pre-cleanup --preserve-context '--cleanup --preserve-context'; do \
           yadokari $arguments $flags >/kaniko/log 2>&1 || {{ cat /kaniko/log; exit 7; }}; {CHECK}; \
         done; KANIKO_CLEANUP=true yadokari $arguments >/kaniko/log 2>&1; {CHECK}; echo all is well"
    );
    good(&in_one_container(build, &script));
}
