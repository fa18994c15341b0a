//! Where files land, and on what.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Place};

use super::{Row, check};

#[test]
fn where_files_land() {
    let context = "mkdir -p d/sub; echo a > a; echo b > b; echo f > d/f; echo s > d/sub/s; \
                   echo h > .hidden; chmod 0700 d; chmod 0750 d/sub; chmod 0640 d/sub/s";
    check(
        "scratch",
        &[
            Row("a slash means directory", context, "COPY a /x/", "d 0755 0:0 x\nf 0644 0:0 x/a \"a\\n\"\n"),
            Row("so does a dot", context, "COPY a /x/.", "d 0755 0:0 x\nf 0644 0:0 x/a \"a\\n\"\n"),
            Row("no slash means file", context, "COPY a /x/y", "d 0755 0:0 x\nf 0644 0:0 x/y \"a\\n\"\n"),
            Row(
                "contents of a directory, whose own mode stays behind",
                context,
                "COPY d /x",
                "d 0755 0:0 x\nf 0644 0:0 x/f \"f\\n\"\nd 0750 0:0 x/sub\nf 0640 0:0 x/sub/s \"s\\n\"\n",
            ),
            Row(
                "a slash after the source means nothing",
                context,
                "COPY d/ /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/f \"f\\n\"\nd 0750 0:0 x/sub\nf 0640 0:0 x/sub/s \"s\\n\"\n",
            ),
            Row(
                "several sources",
                context,
                "COPY a d b /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/a \"a\\n\"\nf 0644 0:0 x/b \"b\\n\"\n\
                 f 0644 0:0 x/f \"f\\n\"\nd 0750 0:0 x/sub\nf 0640 0:0 x/sub/s \"s\\n\"\n",
            ),
            Row(
                "two dots stop at the root of the context",
                context,
                "COPY ../../a /x",
                "f 0644 0:0 x \"a\\n\"\n",
            ),
            Row(
                "relative to the working directory",
                context,
                "WORKDIR /w\nCOPY a b ./",
                "d 0755 0:0 w\nf 0644 0:0 w/a \"a\\n\"\nf 0644 0:0 w/b \"b\\n\"\n",
            ),
            Row(
                "the JSON form, with blanks",
                "echo a > 'a b'",
                "COPY [\"a b\", \"/x y/\"]",
                "d 0755 0:0 x y\nf 0644 0:0 x y/a b \"a\\n\"\n",
            ),
            Row(
                "variables",
                context,
                "ENV n=a dir=/v\nCOPY $n ${dir}/${n}2",
                "d 0755 0:0 v\nf 0644 0:0 v/a2 \"a\\n\"\n",
            ),
        ],
    );
}

#[test]
fn links_in_the_destination() {
    let a = "echo a > a; mkdir d; echo l > d/link";
    check(
        "busybox",
        &[
            Row(
                "a usr-merged base",
                a,
                "COPY a /bin/a",
                "d 0755 0:0 usr\nd 0755 0:0 usr/bin\nf 0644 0:0 usr/bin/a \"a\\n\"\n",
            ),
            Row(
                "a sticky directory keeps its mode",
                a,
                "COPY a /tmp/x",
                "d 1777 0:0 tmp\nf 0644 0:0 tmp/x \"a\\n\"\n",
            ),
            Row(
                "an absolute link on the way",
                a,
                "COPY a /var/run/x",
                "d 0755 0:0 run\nf 0644 0:0 run/x \"a\\n\"\n",
            ),
            Row("a private directory", a, "COPY a /root/", "d 0700 0:0 root\nf 0644 0:0 root/a \"a\\n\"\n"),
            Row(
                "somebody's directory keeps its owner",
                a,
                "COPY a /home/app/new/a",
                "d 0755 0:0 home\nd 0755 1000:1000 home/app\nd 0755 0:0 home/app/new\n\
                 f 0644 0:0 home/app/new/a \"a\\n\"\n",
            ),
            Row("over a file", a, "COPY a /etc/passwd", "d 0755 0:0 etc\nf 0644 0:0 etc/passwd \"a\\n\"\n"),
        ],
    );
    check(
        "odd",
        &[
            Row(
                "a dangling link",
                a,
                "COPY a /dangling",
                "d 0755 0:0 gone\nf 0644 0:0 gone/target \"a\\n\"\n",
            ),
            Row("a relative link", a, "COPY a /relative/", "d 0750 0:0 real\nf 0644 0:0 real/a \"a\\n\"\n"),
            Row(
                "a chain of links",
                a,
                "COPY a /chain/",
                "d 0750 0:0 real\nd 0700 0:0 real/deep\nf 0644 0:0 real/deep/a \"a\\n\"\n",
            ),
            Row("a link out of the root", a, "COPY a /escape", "f 0644 0:0 outside \"a\\n\"\n"),
            Row(
                "a link where a file of a copied directory goes is replaced",
                a,
                "COPY d /dir/",
                "d 0711 0:0 dir\nf 0644 0:0 dir/link \"l\\n\"\n",
            ),
        ],
    );
}

#[test]
fn below_a_directory_with_the_setgid_bit() {
    check(
        "odd",
        &[
            Row(
                "directories that are made inherit it",
                "echo a > a",
                "COPY a /shared/n/x/",
                "d 2775 0:0 shared\nd 2755 0:0 shared/n\nd 2755 0:0 shared/n/x\nf 0644 0:0 shared/n/x/a \"a\\n\"\n",
            ),
            Row(
                "those that are copied have their own mode",
                "mkdir -p d/s",
                "COPY d /shared",
                "d 2775 0:0 shared\nd 0755 0:0 shared/s\n",
            ),
            Row(
                "a working directory, too",
                "",
                "USER 7\nWORKDIR /shared/w",
                "d 2775 0:0 shared\nd 2755 7:7 shared/w\n",
            ),
        ],
    );
}

#[test]
fn working_directories() {
    check(
        "busybox",
        &[
            Row("made with its parents", "", "WORKDIR /n/x", "d 0755 0:0 n\nd 0755 0:0 n/x\n"),
            Row(
                "made for the user",
                "",
                "USER app\nWORKDIR /n/x",
                "d 0755 1000:1000 n\nd 0755 1000:1000 n/x\n",
            ),
            Row("a number is the group too", "", "USER 7\nWORKDIR /n", "d 0755 7:7 n\n"),
            Row("no group after the colon", "", "USER app:\nWORKDIR /n", "d 0755 1000:0 n\n"),
            Row("one that exists stays as it is", "", "WORKDIR /tmp", ""),
            Row("the root by another name", "", "WORKDIR /x/..", ""),
            Row("through a link", "", "WORKDIR /var/run/x", "d 0755 0:0 run\nd 0755 0:0 run/x\n"),
            Row("relative, cleaned", "", "WORKDIR /n\nWORKDIR a/../b", "d 0755 0:0 n\nd 0755 0:0 n/b\n"),
        ],
    );
}

#[test]
fn linked_copies() {
    let context = "echo a > a; mkdir d; echo x > d/x";
    check(
        "busybox",
        &[
            Row(
                "the destination's links are not followed, its directories are new",
                context,
                "COPY --link a /bin/x",
                "d 0755 0:0 bin\nf 0644 0:0 bin/x \"a\\n\"\n",
            ),
            Row(
                "a sticky directory, too",
                context,
                "COPY --link a /tmp/x",
                "d 0755 0:0 tmp\nf 0644 0:0 tmp/x \"a\\n\"\n",
            ),
            Row(
                "owners of parents",
                context,
                "COPY --link --chown=5:6 d /n/m",
                "d 0755 5:6 n\nd 0755 5:6 n/m\nf 0644 5:6 n/m/x \"x\\n\"\n",
            ),
            Row(
                "with a mode it is a plain copy",
                context,
                "COPY --link --chmod=755 a /bin/x",
                "d 0755 0:0 usr\nd 0755 0:0 usr/bin\nf 0755 0:0 usr/bin/x \"a\\n\"\n",
            ),
        ],
    );
}

/// The layer of a linked copy depends on nothing below it: it is the same on every base.
#[test]
fn a_linked_layer_is_the_same_on_every_base() {
    let diff_id = |base: &str| {
        let build = Build::new(&format!("FROM {base}\nCOPY --link --chown=3:4 a /bin/sub/x\n"))
            .file("a", "a")
            .env("SOURCE_DATE_EPOCH", "1000");
        build.run(Place::Overlay).image().diff_ids().pop().expect("a layer")
    };
    let all = ["scratch", "busybox", "debian"].map(diff_id);
    assert!(all.iter().all(|id| *id == all[0]), "{all:?}");
}

#[test]
fn several_files_for_one_name() {
    let build = |flag: &str| {
        let build = Build::new("FROM scratch\nCOPY a b /x\n").file("a", "a").file("b", "b");
        if flag.is_empty() { build } else { build.flag(flag) }.run(Place::Overlay)
    };
    let built = build("");
    let error = built.failed(1);
    assert!(error.contains("end the destination with a slash") && error.contains("Dockerfile:2"), "{error}");
    assert_eq!(build("--compat").image().layer(0).listing(), "f 0644 0:0 x \"b\"\n");
}
