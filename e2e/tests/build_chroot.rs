//! Plain trees in a mount namespace: where no overlay can be had.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Kind, Place};

#[test]
fn it_is_chosen_where_the_work_directory_is_on_an_overlay() {
    let build = Build::new("FROM busybox\nRUN echo x > /x\n").any_isolation();
    let built = build.run(Place::NoVolume);
    assert_eq!(built.image().layer(-1).listing(), "f 0644 0:0 x \"x\\n\"\n");
    let said = &built.finished.stderr;
    let lines: Vec<_> = said.lines().filter(|line| line.contains("steps run")).collect();
    let [line] = lines[..] else { panic!("one line names the placement:\n{said}") };
    for part in ["in a chroot", "user namespace", "not in an overlay", "/yadokari/work"] {
        assert!(line.contains(part), "'{part}' is not in: {line}");
    }
}

#[test]
fn it_is_refused_where_no_namespace_can_be_made() {
    let built = Build::new("FROM busybox\nRUN true\n").flag("--isolation=chroot").any_isolation();
    let built = built.run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("in a chroot") && error.contains("seccomp"), "{error}");
}

/// Stages that start from one another's trees, some of them more than once.
fn forking() -> Build {
    Build::new(
        "FROM busybox AS base\n\
         RUN echo base > /base && mkdir /d && ln /base /d/again && mkfifo /d/pipe && chown 5:6 /d && \
             chmod 4755 /usr/bin/id && touch -d @981158400 /d\n\
         FROM base AS one\n\
         RUN echo one > /one && stat -c '%u:%g %a %Y %h %n' /d /base /usr/bin/id /d/pipe /d/again > /seen\n\
         FROM base AS two\n\
         RUN chmod 755 /bin && touch -c -r /d /d && echo two >> /base && test ! -e /one\n\
         FROM base\n\
         COPY --from=one /one /seen /from/\n\
         COPY --from=two /base /from/two\n\
         RUN cat /from/* && rm /d/again && test ! -e /one\n",
    )
    .env("SOURCE_DATE_EPOCH", "1700000000")
}

#[test]
fn stages_that_share_a_stage_have_trees_of_their_own() {
    let expected = forking().run(Place::Overlay).image();
    let image = forking().run(Place::Chroot).image();
    for number in 1..expected.layer_count() as isize {
        assert_eq!(image.layer(number).listing(), expected.layer(number).listing(), "layer {number}");
    }
    let layer = image.layer(2);
    let Kind::File(seen) = &layer.entry("from/seen").kind else { panic!("a file") };
    let seen = String::from_utf8_lossy(seen);
    assert!(seen.contains("5:6 755 981158400 2 /d"), "{seen}");
}

#[test]
fn what_is_mounted_on_is_in_no_layer_and_in_no_later_stage() {
    let build = Build::new(
        "FROM busybox AS shell\n\
         FROM scratch\n\
         COPY --from=shell / /\n\
         RUN rmdir /proc /sys 2>/dev/null; test -s /etc/hosts && test -c /dev/null && echo x > /x\n\
         RUN ls / > /names\n\
         FROM scratch\n\
         COPY --from=1 / /all/\n",
    )
    .flag("--target=1");
    for place in [Place::Overlay, Place::Chroot, Place::NoVolume] {
        let image = build.run(place).image();
        assert_eq!(image.layer(1).listing(), "f 0644 0:0 x \"x\\n\"\n", "{place:?}");
        let tree = image.tree();
        for stub in ["etc/hosts", "etc/resolv.conf", "dev/null"] {
            assert!(!tree.nodes.contains_key(stub), "{stub} in {place:?}");
        }
        std::fs::remove_dir_all(build.out().join("layout")).expect("removed");
    }
}

#[test]
fn nothing_is_left_behind() {
    let build = Build::new("FROM busybox\nRUN echo x > /x\nRUN rm /x\n");
    build.run(Place::Chroot).succeeded();
    let work = build.out().parent().expect("out has a parent").join("work");
    let left: Vec<_> = std::fs::read_dir(&work).expect("readable").flatten().collect();
    assert!(left.is_empty(), "left in the work directory: {left:?}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
    assert!(!mounts.contains(&work.display().to_string()), "mounts are left:\n{mounts}");
}

/// A command that is root and may change its root directory stays inside: the old root is gone.
#[test]
fn the_old_root_is_out_of_reach() {
    let escape = "mkdir -p /jail && cd / && chroot /jail /no 2>/dev/null; \
                  i=0; while [ $i -lt 30 ]; do cd ..; i=$((i+1)); done; \
                  test ! -e ./yadokari/bin && test ! -e ./work && test ! -e /proc/1/root/work && ls > /seen";
    let build = Build::new(&format!("FROM busybox\nRUN {escape}\n"));
    for place in [Place::Chroot, Place::NoVolume] {
        let image = build.run(place).image();
        let seen = image.layer(-1).entry("seen").to_string();
        assert!(seen.contains("jail") && !seen.contains("workspace"), "{place:?}: {seen}");
        std::fs::remove_dir_all(build.out().join("layout")).expect("removed");
    }
}
