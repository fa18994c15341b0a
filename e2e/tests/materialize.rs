//! `--materialize`: the image's files stay as the container's own, for later commands of the job.

use yadokari_e2e::{Build, Container, Finished, Place};

/// The image's own programs see the image; the container's files are away, and come back.
const LEFT: &str = "test \"$(/bin/sh -c 'cat /made /copied')\" = \"$(printf 'made\\ncopied')\"; test ! -e /home/mine; \
                    test -s /etc/passwd; test ! -e /gone";
const BACK: &str = "test \"$(cat /home/mine)\" = mine; test ! -e /made; test ! -e /bin/sh; \
                    test -z \"$(ls -A /yadokari | grep -e own -e stage -e journal)\"";

fn image() -> Build {
    Build::new(
        "FROM busybox AS other\nRUN echo made > /made && mkdir /gone\n\
         FROM busybox\nRUN touch /gone\nCOPY --from=other /made /made\nCOPY file /copied\nRUN rm /gone\n",
    )
    .file("file", "copied\n")
}

fn script(build: &Build, script: &str) -> Finished {
    let arguments = build.arguments(Place::InPlace).join(" ");
    let finished = build.container_for(Place::InPlace).script(&format!(
        "arguments='{arguments}'; mkdir /home; echo mine > /home/mine; {script}; echo all is well"
    ));
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.ends_with("all is well\n"), "{}", finished.output());
    finished
}

#[test]
fn the_image_stays_until_it_is_put_away() {
    let finished = script(
        &image(),
        &format!(
            "yadokari $arguments --materialize --digest-file=/result/digest; {LEFT}; \
             test -s /result/digest; \
             test \"$(ls /yadokari/stage/*)\" = 1; yadokari restore; {BACK}; yadokari restore"
        ),
    );
    let said = finished.output();
    for part in ["the image's files are this container's own now", "yadokari restore`", "nothing to put back"]
    {
        assert!(said.contains(part), "'{part}' is not in:\n{said}");
    }
}

#[test]
fn the_next_build_starts_from_the_containers_own_files() {
    let finished = script(
        &image(),
        &format!(
            "yadokari $arguments --materialize; {LEFT}; yadokari $arguments --materialize; {LEFT}; \
             yadokari $arguments; {BACK}"
        ),
    );
    let said = finished.output();
    let times =
        said.matches("put the container's own files back, which an earlier build had set aside").count();
    assert_eq!(times, 2, "{said}");
}

/// Where no command is executed, and where every step is known, the files are there all the same.
#[test]
fn what_was_only_copied_or_known_is_there_too() {
    let copied = Build::new("FROM busybox\nCOPY file /copied\nCOPY file /made\n").file("file", "same\n");
    script(
        &copied,
        "yadokari $arguments --materialize; test \"$(/bin/sh -c 'cat /made /copied | sort -u')\" = same",
    );
    let known = image().flag("--cache").flag("--cache-dir=/out/cache").flag("--materialize");
    let again = format!(
        "yadokari $arguments; {LEFT}; yadokari $arguments >/kaniko/log 2>&1; {LEFT}; cat /kaniko/log"
    );
    let said = script(&known, &again).output();
    assert!(said.contains("CACHED") || said.contains("cached"), "{said}");
    let single = image().flag("--single-snapshot").flag("--materialize");
    script(&single, &format!("yadokari $arguments; {LEFT}"));
}

/// In a container of an ordinary image, whose directories cannot all be renamed.
#[test]
fn an_ordinary_image_as_the_container() {
    let build = image();
    let build = build.container(|_| Container::debian());
    let arguments = build.arguments(Place::InPlace).join(" ");
    let finished = build.container_for(Place::InPlace).script(&format!(
        "/yadokari/bin/yadokari {arguments} --materialize; {LEFT}; test ! -e /etc/debian_version; test ! -e /usr/bin/apt-get; \
         /yadokari/bin/yadokari restore; test -e /etc/debian_version; apt-get --version > /dev/null; test ! -e /made"
    ));
    assert_eq!(finished.code, 0, "{}", finished.output());
}

/// Mounts keep their paths and their files, whatever the image has there.
#[test]
fn mounts_stay_as_they_are() {
    let build = Build::new(
        "FROM busybox\nWORKDIR /workspace/app\nRUN echo made > made && mkdir -p /data/deep && echo image > /data/deep/x\n\
         RUN ln -s /data /srv\n",
    );
    let build = build.container(|c| c.option("--tmpfs=/data/volume").option("--tmpfs=/srv/run/secret"));
    let said = script(
        &build,
        "echo v > /data/volume/v; echo s > /srv/run/secret/s; yadokari $arguments --materialize; \
         test \"$(/bin/cat /data/volume/v /data/deep/x)\" = \"$(printf 'v\\nimage')\"; \
         test -f /workspace/Dockerfile; test ! -e /workspace/app; test -s /out/digest; \
         test \"$(/bin/readlink /srv)\" = /data; test -f /yadokari/own/srv/run/secret/s; \
         yadokari restore; test -f /srv/run/secret/s; test -f /data/volume/v; test ! -e /data/deep; test -f /workspace/Dockerfile; \
         test -z \"$(ls -A /workspace | grep yadokari)\"",
    )
    .output();
    assert!(said.contains("/workspace is mounted in this container: the image's files there"), "{said}");
    assert!(
        said.contains("/srv/run/secret is mounted in this container and the image has no directory at /srv"),
        "{said}"
    );
}

#[test]
fn a_build_that_fails_leaves_nothing() {
    let failing = Build::new("FROM busybox\nRUN echo made > /made && exit 3\n");
    script(&failing, &format!("yadokari $arguments --materialize || test $? = 3; {BACK}"));
    let unpushed = image().push_to("127.0.0.1:1/none").flag("--skip-push-permission-check");
    script(&unpushed, &format!("yadokari $arguments --materialize --push-retry=0 && exit 1; {BACK}"));
}

#[test]
fn elsewhere_it_is_refused_before_anything_is_executed() {
    for place in [Place::Overlay, Place::Chroot, Place::UserNamespace] {
        let built = image().flag("--materialize").run(place);
        let error = built.failed(1);
        assert!(error.contains("--materialize") && error.contains("--isolation=inplace"), "{error}");
        assert!(!error.contains("[other") && !error.contains("[stage-"), "nothing may be executed: {error}");
    }
    // Where namespaces could be had it is built in place.
    let build = image().flag("--materialize").any_isolation();
    build.run(Place::UserNamespace).succeeded().said("steps run in place");
}
