//! Trees that a build rearranges: moved, emptied, given away, deleted and made anew, over several
//! layers. Each gives the tree that BuildKit gives, in every place.

use std::fs;

use yadokari_e2e::{Build, Compress, ForgedImage, ForgedLayer, scratch};

use crate::trouble::gives;

#[test]
fn directories_of_the_base_are_moved_and_removed() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /var/log/apt /var/cache/apt && echo l > /var/log/apt/x && echo c > /var/cache/apt/y && \
             mkdir -p /a/b && echo 1 > /a/b/f && ln /a/b/f /a/twin && chmod 2770 /a/b && chown 0:29 /a/b\n\
         RUN rm -rf /var/log /var/cache/* && mv /home /people && ln -s people /home\n\
         RUN mv /a /b && mv /b/b /c && rmdir /b/b 2>/dev/null; mkdir -p /var/log && touch /var/log/new\n\
         COPY file /home/app/copied\n\
         RUN mkdir -p /srv && mv /people /srv/people && ln -sfn srv/people /home && test -f /home/app/copied\n",
    )
    .file("file", "x");
    gives(
        &build,
        &[
            "var/log: d 0755 0:0",
            "var/log/new: f 0644 0:0",
            "var/log/apt: nothing",
            "var/cache: d 0755 0:0",
            "var/cache/apt: nothing",
            "a: nothing",
            "c: d 2770 0:29",
            "c/f: f 0644 0:0 = b/twin",
            "b/twin: f 0644 0:0 = b/twin",
            "people: nothing",
            "home: l srv/people 0777 0:0",
            "srv/people/app/copied: f 0644 0:0",
        ],
    );
}

#[test]
fn what_is_deleted_and_made_anew_in_one_step_is_new() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /d/keep /d/sub && echo 1 > /d/sub/old && echo 2 > /d/same && touch -d @5 /d/same && \
             mkdir /e && echo 3 > /e/x && ln -s /e /el\n\
         RUN rm -rf /d && mkdir -p /d/sub && echo n > /d/sub/new && echo 2 > /d/same && touch -d @5 /d/same\n\
         RUN rm -r /e && mkdir /e && rmdir /e && mkdir -m 0700 /e && echo y > /e/y; rm /el && cp -a /e /el\n\
         RUN mv /d/sub /tmp/s && rm -r /d && mv /tmp/s /d\n",
    );
    gives(
        &build,
        &[
            "d/new: f 0644 0:0",
            "d/sub: nothing",
            "d/same: nothing",
            "d/keep: nothing",
            "e: d 0700 0:0",
            "e/x: nothing",
            "e/y: f 0644 0:0",
            "el/y: f 0644 0:0",
            "tmp/s: nothing",
        ],
    );
}

#[test]
fn everything_is_given_away_and_linked() {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /srv/app/bin && cp /bin/busybox /srv/app/bin/tool && chmod 4755 /srv/app/bin/tool && \
             ln -s bin/tool /srv/app/link && mkfifo /srv/app/pipe && ln /srv/app/bin/tool /srv/app/twin\n\
         RUN chown -R app:audio /srv\n\
         RUN chown -R app:audio /srv\n\
         USER app\n\
         RUN echo mine > /tmp/mine && rm -f /etc/group 2>/dev/null; echo more > /srv/app/more\n\
         USER root\n\
         RUN rm /etc/group && ln -s passwd /etc/group && mkdir /data && mv /srv/app /data/app && ln -s /data/app /srv/app && \
             mkdir -m 1777 /sticky && chown 1000:29 /sticky\n\
         COPY file /sticky/file\n\
         COPY file /srv/app/copied\n\
         USER app\n\
         RUN rm /sticky/file && touch /sticky/theirs && ! rm /tmp/.none 2>/dev/null\n",
    )
    .file("file", "x");
    gives(
        &build,
        &[
            "data/app/bin/tool: f 0755 1000:29 = data/app/bin/tool",
            "data/app/twin: f 0755 1000:29 = data/app/bin/tool",
            "data/app/link: l bin/tool 0777 1000:29",
            "data/app/pipe: p 0644 1000:29",
            "data/app/more: f 0644 1000:1000",
            "data/app/copied: f 0644 0:0",
            "srv/app: l /data/app 0777 0:0",
            "etc/group: l passwd 0777 0:0",
            "tmp: d 1777 0:0",
            "tmp/mine: f 0644 1000:1000",
            "sticky: d 1777 1000:29",
            "sticky/file: nothing",
            "sticky/theirs: f 0644 1000:1000",
        ],
    );
}

/// Whiteouts meet in several layers of a base, and steps go on from there. The image has files of its
/// own where something is mounted.
#[test]
fn whiteouts_over_several_layers() {
    let layout = scratch();
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let mut shell = ForgedLayer::new().directory("bin/", 0o755).file("bin/busybox", 0o755, &busybox);
    for applet in ["sh", "rm", "mkdir", "touch", "test", "ln", "cat"] {
        shell = shell.symlink(&format!("bin/{applet}"), "busybox");
    }
    let mounted =
        ForgedLayer::new().file("etc/hosts", 0o640, b"own\n").file("etc/resolv.conf", 0o600, b"own\n");
    let layers = [
        shell,
        mounted.file("d/one", 0o644, b"1").file("d/two", 0o644, b"1").file("o/deep/x", 0o644, b"1"),
        ForgedLayer::new().file("d/.wh.one", 0, b"").file("o/.wh..wh..opq", 0, b"").file("o/y", 0o644, b"2"),
        ForgedLayer::new().file("d/one", 0o600, b"3").file(".wh.o", 0, b"").file("d/.wh.two", 0, b""),
        ForgedLayer::new().file("o/z", 0o644, b"4"),
    ];
    let layers = layers.into_iter().map(|layer| layer.blob(Compress::Gzip)).collect();
    ForgedImage { layers, config: serde_json::json!({"Env": ["PATH=/bin"]}) }.write(layout.path());
    let build = Build::new(
        "FROM layered AS one\n\
         RUN test ! -e /d/two && test ! -e /o/y && cat /d/one && rm -r /d && touch /etc/new\n\
         FROM one\n\
         RUN mkdir /d && touch /d/two && rm -r /o && ln -s d /o\n\
         COPY --from=layered /o /o2\n\
         COPY --from=layered /etc/hosts /hosts\n\
         RUN rm /o && mkdir /o && touch /o/deep && test ! -e /o/two\n",
    )
    .base("layered", layout.path());
    gives(
        &build,
        &[
            "d/one: nothing",
            "d/two: f 0644 0:0",
            "o: d 0755 0:0",
            "o/deep: f 0644 0:0",
            "o/z: nothing",
            "o2/z: f 0644 0:0",
            "o2/y: nothing",
            "hosts: f 0640 0:0",
            "etc/hosts: f 0640 0:0",
            "etc/resolv.conf: f 0600 0:0",
            "etc/new: f 0644 0:0",
        ],
    );
}
