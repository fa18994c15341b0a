//! Dockerfiles that were reported as broken by users of builders that run in their own root: each
//! gives the tree that BuildKit gives, in every place.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Compress, ForgedImage, ForgedLayer, Image, scratch};

/// A line for a name of a tree: kind, mode, owner, and the first name where it has several.
fn line(image: &Image, path: &str) -> String {
    let tree = image.tree();
    let Some(node) = tree.nodes.get(path) else { return format!("{path}: nothing") };
    let what = if node.what.starts_with("f ") { "f" } else { node.what.as_str() };
    let linked = node.linked.as_ref().map(|first| format!(" = {first}")).unwrap_or_default();
    let capable = if node.xattrs.is_empty() { "" } else { " capable" };
    format!("{path}: {what} {:04o} {}:{}{linked}{capable}", node.mode, node.uid, node.gid)
}

/// Builds everywhere; the trees must be the same, and have these names as these lines say.
pub(crate) fn gives(build: &Build, expected: &[&str]) {
    let images = build.run_everywhere();
    let (_, first) = &images[0];
    for (place, image) in &images {
        let differences = first.tree().differences(&image.tree());
        assert!(differences.is_empty(), "{place:?} differs from {:?}:\n{differences}", images[0].0);
        for number in 0..first.layer_count() as isize {
            let (ours, theirs) = (first.layer(number).listing(), image.layer(number).listing());
            assert_eq!(ours, theirs, "layer {number} in {place:?}");
        }
    }
    let lines: Vec<_> =
        expected.iter().map(|expected| line(first, expected.split(':').next().expect("a path"))).collect();
    assert_eq!(lines, expected);
}

#[test]
fn files_below_the_link_var_run() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /var/run/app && echo 1 > /var/run/app/pid && echo 2 > /run/lock2\n\
         COPY file /var/run/app/conf\n\
         RUN rm /var/run/app/pid && test -f /run/app/conf\n",
    )
    .file("file", "x");
    gives(
        &build,
        &[
            "var/run: l /run 0777 0:0",
            "run/app: d 0755 0:0",
            "run/app/conf: f 0644 0:0",
            "run/app/pid: nothing",
            "run/lock2: f 0644 0:0",
        ],
    );
}

#[test]
fn the_mode_of_the_root_is_the_images() {
    let build = Build::new(
        "FROM busybox\n\
         RUN stat -c '%a %u:%g' / > /root-is && test \"$(cat /root-is)\" = '755 0:0'\n\
         USER app\n\
         RUN ls / > /dev/null && cat /root-is\n\
         FROM scratch\n\
         COPY --from=0 / /all\n",
    );
    gives(&build, &["all: d 0755 0:0", "all/root-is: f 0644 0:0"]);
}

#[test]
fn hard_links_and_pipes_through_a_copy() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /d/sub && echo x > /d/one && ln /d/one /d/sub/two && ln /d/one /outside && \
             mkfifo -m 640 /d/pipe && chown 5:6 /d/pipe /d/one && ln -s sub /d/link && ln -s /d/one /d/abs\n\
         FROM busybox\n\
         COPY --from=0 /d /copied\n\
         RUN test \"$(stat -c %h /copied/one)\" = 2 && echo more >> /copied/sub/two\n",
    );
    gives(
        &build,
        &[
            "copied/one: f 0644 5:6 = copied/one",
            "copied/sub/two: f 0644 5:6 = copied/one",
            "copied/pipe: p 0640 5:6",
            "copied/link: l sub 0777 0:0",
            "copied/abs: l /d/one 0777 0:0",
            "copied: d 0755 0:0",
        ],
    );
}

#[test]
fn setuid_setgid_and_sticky_bits() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir /s && cp /bin/busybox /s/suid && chown 1000:29 /s/suid && chmod 6755 /s/suid && \
             mkdir -m 3777 /s/tmp && mkdir -m 2750 /s/shared && chgrp 29 /s/shared && touch /s/shared/inherits\n\
         FROM busybox\n\
         COPY --from=0 /s /s\n\
         RUN chown 1000 /s/suid && cp -p /s/suid /kept && chmod u+s /kept\n",
    );
    gives(
        &build,
        &[
            "s/suid: f 0755 1000:29",
            "s/tmp: d 3777 0:0",
            "s/shared: d 2750 0:29",
            "s/shared/inherits: f 0644 0:29",
            "kept: f 4755 1000:29",
        ],
    );
}

/// An image with a program that has `cap_net_raw=ep`.
fn capable() -> tempfile::TempDir {
    let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let mut layer = ForgedLayer::new().directory("bin/", 0o755).file("bin/busybox", 0o755, &busybox);
    for applet in ["sh", "mv", "cp", "touch", "rm", "echo", "cat", "ln"] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    for name in ["ping", "written", "linked"] {
        let records = [("SCHILY.xattr.security.capability", &value[..])];
        layer = layer.pax(&records).file(name, 0o755, b"program");
    }
    let layout = scratch();
    let config = serde_json::json!({"Env": ["PATH=/bin"]});
    ForgedImage { layers: vec![layer.blob(Compress::Gzip)], config }.write(layout.path());
    layout
}

#[test]
fn file_capabilities() {
    let layout = capable();
    let build = Build::new(
        "FROM capable AS base\n\
         RUN mv /ping /moved && echo changed >> /written && touch -c /linked && ln /linked /again\n\
         FROM capable\n\
         COPY --from=base /moved /linked /copied/\n\
         RUN mv /copied/moved /copied/renamed && touch /unrelated\n",
    )
    .base("capable", layout.path());
    gives(
        &build,
        &[
            "copied/renamed: f 0755 0:0 capable",
            "copied/linked: f 0755 0:0 capable",
            "ping: f 0755 0:0 capable",
            "copied/moved: nothing",
        ],
    );
}

#[test]
fn files_in_volumes_are_kept() {
    let build = Build::new(
        "FROM busybox\n\
         VOLUME /data /var/lib/app\n\
         RUN mkdir -p /data /var/lib/app && echo x > /data/x && echo y > /var/lib/app/y\n\
         COPY file /data/copied\n\
         RUN test -f /data/x && rm /data/copied\n",
    )
    .file("file", "x");
    let expected = ["data/x: f 0644 0:0", "var/lib/app/y: f 0644 0:0", "data/copied: nothing"];
    gives(&build, &expected);
}

#[test]
fn daemons_left_running_end_with_their_step() {
    let build = Build::new(
        "FROM busybox\n\
         RUN (while :; do cat /dev/null; sleep 0.1; done) & echo ok > /started\n\
         RUN setsid sh -c 'exec >/dev/null 2>&1 </dev/null; trap : TERM HUP; while :; do sleep 0.1; touch /late; done' & \
             (setsid sleep 1000 &) ; true\n\
         RUN sleep 0.5; rm -f /late; sleep 0.5; test ! -e /late\n",
    );
    gives(&build, &["started: f 0644 0:0", "late: nothing"]);
}

#[test]
fn odd_links() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir /o && cd /o && ln -s loop loop && ln -s /gone dangling && ln -s . dot && ln -s ../../../.. up && \
             ln -s /proc/self/exe exe && ln -s dot/dot/dot/file chain && echo x > file && ln -s /o/../o/./file untidy && \
             ln -s \"$(printf '%0200d' 0)\" long && cat chain untidy up/o/file > /dev/null\n\
         FROM busybox\n\
         COPY --from=0 /o /o\n\
         RUN rm /o/file && ln -s dot /o/file && mv /o/loop /o/loop2 && ln -sfn /tmp /o/dot\n",
    );
    gives(
        &build,
        &[
            "o/loop2: l loop 0777 0:0",
            "o/loop: nothing",
            "o/dangling: l /gone 0777 0:0",
            "o/up: l ../../../.. 0777 0:0",
            "o/exe: l /proc/self/exe 0777 0:0",
            "o/untidy: l /o/../o/./file 0777 0:0",
            "o/file: l dot 0777 0:0",
            "o/dot: l /tmp 0777 0:0",
        ],
    );
}

#[test]
fn busy_mount_points() {
    let build = Build::new(
        "FROM busybox\n\
         RUN rm -f /etc/hosts /etc/resolv.conf 2>/dev/null; mv /etc/hosts /etc/hosts.old 2>/dev/null; \
             rm -rf /proc /sys /dev /tmp/* 2>/dev/null; cat /etc/hosts /etc/resolv.conf > /dev/null && touch /etc/after\n\
         RUN chown -R 0:0 / 2>/dev/null; chmod 755 /etc; touch /last\n",
    );
    gives(
        &build,
        &[
            "etc/after: f 0644 0:0",
            "etc/hosts: nothing",
            "etc/hosts.old: nothing",
            "etc/resolv.conf: nothing",
            "last: f 0644 0:0",
        ],
    );
}

#[test]
fn things_that_become_other_things() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /a/b/c && echo 1 > /a/b/c/f && echo 2 > /file && mkdir /d && touch /d/x && ln -s /d /l\n\
         RUN rm -r /a/b && ln -s /d /a/b && rm /file && mkdir /file && touch /file/in && rm -r /d && echo f > /d && \
             rm /l && mkdir /l && touch /l/y\n\
         RUN rm /a/b && mkdir -p /a/b/c && touch /a/b/c/new && rm -r /file && mkfifo /file && rm -rf /home && \
             mkdir /home && touch /home/only\n",
    );
    gives(
        &build,
        &[
            "a/b: d 0755 0:0",
            "a/b/c/new: f 0644 0:0",
            "a/b/c/f: nothing",
            "file: p 0644 0:0",
            "d: f 0644 0:0",
            "l/y: f 0644 0:0",
            "home/only: f 0644 0:0",
            "home/app: nothing",
        ],
    );
}

#[test]
fn modes_that_keep_everybody_out_and_odd_names() {
    let long = "n".repeat(250);
    let build = Build::new(&format!(
        "FROM busybox\n\
         RUN mkdir -p /o/locked && touch /o/locked/x && chmod 000 /o/locked /o/locked/x && touch '/-dash' '/new\nline' '/ü é' && \
             mkdir -p /{long}/{long}/{long}/{long} && touch /{long}/{long}/{long}/{long}/{long}\n\
         FROM busybox\n\
         COPY --from=0 /o /o\n\
         COPY --from=0 /{long} /deep\n\
         RUN chown -R app /o/locked && rm -r /deep/{long}/{long}/{long}\n"
    ));
    let dockerfile = build.context().join("Dockerfile");
    let text = fs::read_to_string(&dockerfile)
        .expect("readable")
        .replace("'/new\nline'", "\"/new$(printf '\\nline')\"");
    fs::write(Path::new(&dockerfile), text).expect("writable");
    let deep = format!("deep/{long}/{long}: d 0755 0:0");
    let gone = format!("deep/{long}/{long}/{long}: nothing");
    gives(&build, &["o/locked: d 0000 1000:0", "o/locked/x: f 0000 1000:0", &deep, &gone]);
}

/// systemd's images have `/etc/resolv.conf` as a link to a file that is not in the image.
#[test]
fn a_link_in_place_of_resolv_conf() {
    let layout = scratch();
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let mut layer = ForgedLayer::new().directory("bin/", 0o755).file("bin/busybox", 0o755, &busybox);
    for applet in ["sh", "cat", "touch", "test"] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    let layer = layer.directory("etc/", 0o755).symlink("etc/mtab", "../proc/self/mounts");
    let config = serde_json::json!({"Env": ["PATH=/bin"]});
    let image = |layer: ForgedLayer| ForgedImage { layers: vec![layer.blob(Compress::Gzip)], config };
    image(layer.symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")).write(layout.path());
    let build = Build::new("FROM linked\nRUN cat /etc/mtab > /dev/null && touch /etc/new\nRUN touch /last\n")
        .base("linked", layout.path());
    gives(
        &build,
        &[
            "etc/resolv.conf: l ../run/systemd/resolve/stub-resolv.conf 0777 0:0",
            "etc/mtab: l ../proc/self/mounts 0777 0:0",
            "etc/new: f 0644 0:0",
            "run: nothing",
            "last: f 0644 0:0",
        ],
    );
}
