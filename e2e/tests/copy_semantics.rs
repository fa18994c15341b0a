//! What COPY, ADD and WORKDIR make, as BuildKit makes it, whether or not the stage has a file
//! tree at that point: every row is built from the listings of the base alone, and again after
//! a RUN.

use std::fmt::Write as _;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, ForgedImage, ForgedLayer, Place, scratch};

/// One case: what it is about, a script that makes the context, instructions, and the listing
/// of the last instruction's layer.
struct Row(&'static str, &'static str, &'static str, &'static str);

/// Builds every row on a base and reports all that differ.
fn check(base: &str, rows: &[Row]) {
    let mut wrong = String::new();
    let layout = scratch();
    odd_base().write(layout.path());
    for Row(subject, context, instructions, expected) in rows {
        for before in ["", "RUN true\n"] {
            if base == "scratch" && !before.is_empty() {
                continue;
            }
            let build = Build::new(&format!("FROM {base}\n{before}{instructions}\n"))
                .base("odd", layout.path())
                .prepare(context);
            let built = build.run(Place::Overlay);
            let got = match built.finished.code {
                0 => built.image().layer(-1).listing(),
                code => format!("exit code {code}\n{}", built.finished.stderr),
            };
            if got != *expected {
                write!(wrong, "\n{subject}: {before}{instructions}\n--- expected\n{expected}--- got\n{got}")
                    .expect("a string takes it");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The small base with more links in it.
fn odd_base() -> ForgedImage {
    let busybox = std::fs::read(which_busybox()).expect("busybox is readable");
    ForgedImage::of([
        ForgedLayer::new()
            .directory("bin/", 0o755)
            .file("bin/busybox", 0o755, &busybox)
            .symlink("bin/sh", "busybox")
            .symlink("bin/true", "busybox")
            .symlink("dangling", "/gone/target")
            .directory("dir/", 0o711)
            .symlink("dir/link", "/elsewhere")
            .symlink("escape", "../../outside")
            .directory("real/", 0o750)
            .symlink("relative", "real")
            .symlink("loop-a", "loop-b")
            .symlink("loop-b", "loop-a"),
        ForgedLayer::new()
            .directory("real/", 0o750)
            .directory("real/deep/", 0o700)
            .symlink("chain", "/relative/deep"),
    ])
}

fn which_busybox() -> &'static str {
    "/bin/busybox"
}

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
fn wildcards() {
    let context = "mkdir -p one two; echo 1 > one/f.txt; echo 2 > two/g.txt; echo a > a.txt; \
                   echo b > .b.txt; echo c > c.md; echo d > '[d'";
    check(
        "scratch",
        &[
            Row(
                "a star matches a leading dot, too",
                context,
                "COPY *.txt /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/.b.txt \"b\\n\"\nf 0644 0:0 x/a.txt \"a\\n\"\n",
            ),
            Row(
                "in a directory's name",
                context,
                "COPY */*.txt /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/f.txt \"1\\n\"\nf 0644 0:0 x/g.txt \"2\\n\"\n",
            ),
            Row(
                "a matched directory gives its contents",
                context,
                "COPY o?e t*o /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/f.txt \"1\\n\"\nf 0644 0:0 x/g.txt \"2\\n\"\n",
            ),
            Row("classes", context, "COPY [a-b].txt /x", "f 0644 0:0 x \"a\\n\"\n"),
            Row("a bracket by itself", context, "COPY [[]d /x", "f 0644 0:0 x \"d\\n\"\n"),
        ],
    );
}

#[test]
fn links_in_the_source() {
    let context = "mkdir -p d real; echo a > a; ln -s a soft; ln -s /a absolute; echo r > real/r; \
                   ln -s real linked; ln -s ../../a d/up; ln -s r d/dangling; \
                   echo h > d/h1; ln d/h1 d/h2; mkfifo d/pipe; chmod 0644 d/pipe";
    check(
        "scratch",
        &[
            Row("followed", context, "COPY soft /x", "f 0644 0:0 x \"a\\n\"\n"),
            Row("an absolute one within the context", context, "COPY absolute /x", "f 0644 0:0 x \"a\\n\"\n"),
            Row("to a directory", context, "COPY linked /x/", "d 0755 0:0 x\nf 0644 0:0 x/r \"r\\n\"\n"),
            Row("on the way", context, "COPY linked/r /x", "f 0644 0:0 x \"r\\n\"\n"),
            Row(
                "kept inside a directory, as are pipes and hard links",
                context,
                "COPY d /x/",
                "d 0755 0:0 x\nl 0777 0:0 x/dangling -> r\nf 0644 0:0 x/h1 \"h\\n\"\n\
                 h 0644 0:0 x/h2 -> x/h1\np 0644 0:0 x/pipe\nl 0777 0:0 x/up -> ../../a\n",
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
fn owners_and_modes() {
    let context = "echo a > a; chown 7:8 a; mkdir -p d/sub; echo s > d/sub/s; chown -R 7:8 d; \
                   chmod 4750 d/sub/s; chmod 2770 d/sub";
    check(
        "busybox",
        &[
            Row(
                "files of the context belong to root",
                context,
                "USER app\nCOPY d /n/",
                "d 0755 0:0 n\nd 2770 0:0 n/sub\nf 4750 0:0 n/sub/s \"s\\n\"\n",
            ),
            Row(
                "numbers, for parents too",
                context,
                "COPY --chown=11:12 a /n/x/",
                "d 0755 11:12 n\nd 0755 11:12 n/x\nf 0644 11:12 n/x/a \"a\\n\"\n",
            ),
            Row("one number is both", context, "COPY --chown=11 a /x", "f 0644 11:11 x \"a\\n\"\n"),
            Row(
                "a name has its primary group",
                context,
                "COPY --chown=app a /x",
                "f 0644 1000:1000 x \"a\\n\"\n",
            ),
            Row("a name and a group", context, "COPY --chown=daemon:audio a /x", "f 0644 1:29 x \"a\\n\"\n"),
            Row(
                "an existing directory keeps its owner",
                context,
                "COPY --chown=11:12 a /home/",
                "d 0755 0:0 home\nf 0644 11:12 home/a \"a\\n\"\n",
            ),
            Row(
                "octal modes reach files, directories and parents",
                context,
                "COPY --chmod=0751 d /n/x/",
                "d 0751 0:0 n\nd 0751 0:0 n/x\nd 0751 0:0 n/x/sub\nf 0751 0:0 n/x/sub/s \"s\\n\"\n",
            ),
            Row("special bits", context, "COPY --chmod=4755 a /x", "f 4755 0:0 x \"a\\n\"\n"),
            Row("symbolic modes", context, "COPY --chmod=u=rwX,go=rX a /x", "f 0644 0:0 x \"a\\n\"\n"),
        ],
    );
}

#[test]
fn from_other_stages() {
    check(
        "busybox AS one\n\
         RUN mkdir -p /o/d && echo x > /o/d/x && chown -R 5:6 /o/d && chmod 0700 /o/d && \
             ln /o/d/x /o/d/y && ln -s x /o/d/l\n\
         FROM busybox",
        &[
            Row(
                "owners and links are kept",
                "",
                "COPY --from=one /o /n/",
                "d 0755 0:0 n\nd 0700 5:6 n/d\nl 0777 0:0 n/d/l -> x\nf 0644 5:6 n/d/x \"x\\n\"\n\
                 h 0644 5:6 n/d/y -> n/d/x\n",
            ),
            Row("a link is followed", "", "COPY --from=one /o/d/l /x", "f 0644 5:6 x \"x\\n\"\n"),
            Row(
                "by number, with an owner",
                "",
                "COPY --from=0 --chown=9:9 /o/d/x /x",
                "f 0644 9:9 x \"x\\n\"\n",
            ),
            Row(
                "from an image",
                "",
                "COPY --from=busybox /etc/group /bin/",
                "d 0755 0:0 usr\nd 0755 0:0 usr/bin\n\
                 f 0644 0:0 usr/bin/group \"root:x:0:\\ndaemon:x:1:\\naudio:x:29:app\\napp:x:1000:\\nextra:x:2000:app\\n\"\n",
            ),
        ],
    );
}

#[test]
fn heredocs_excludes_and_links() {
    let context = "mkdir -p a/b c; echo 1 > a/b/1; echo 2 > a/2.md; echo 3 > c/3.md; echo 4 > c/4";
    check(
        "busybox",
        &[
            Row(
                "heredocs expand unless quoted",
                "",
                "ENV v=value\nCOPY <<one <<\"two\" /h/\nhas $v\none\nhas $v\ntwo",
                "d 0755 0:0 h\nf 0644 0:0 h/one \"has value\\n\"\nf 0644 0:0 h/two \"has $v\\n\"\n",
            ),
            Row("tabs go with a dash", "", "COPY <<-E /h\n\ttab\n\tE", "f 0644 0:0 h \"tab\\n\"\n"),
            Row(
                "excluded",
                context,
                "COPY --exclude=**/*.md a /x/",
                "d 0755 0:0 x\nd 0755 0:0 x/b\nf 0644 0:0 x/b/1 \"1\\n\"\n",
            ),
            Row(
                "linked: the destination's links are not followed",
                context,
                "COPY --link c/4 /tmp/x",
                "d 0755 0:0 tmp\nf 0644 0:0 tmp/x \"4\\n\"\n",
            ),
        ],
    );
}

#[test]
fn archives_are_unpacked_by_add_only() {
    let context = "mkdir -p t/sub; echo x > t/sub/x; chmod 0600 t/sub/x; ln -s x t/sub/l; \
                   tar --owner=3 --group=4 -C t -cf plain.tar sub; gzip -k plain.tar; \
                   zstd -q plain.tar; echo no > no.tar; rm -r t";
    let unpacked = "d 0755 0:0 x\nd 0755 3:4 x/sub\nl 0777 3:4 x/sub/l -> x\nf 0600 3:4 x/sub/x \"x\\n\"\n";
    check(
        "scratch",
        &[
            Row("plain", context, "ADD plain.tar /x/", unpacked),
            Row("gzip", context, "ADD plain.tar.gz /x/", unpacked),
            Row("zstd", context, "ADD plain.tar.zst /x/", unpacked),
            Row(
                "no archive in spite of its name",
                context,
                "ADD no.tar /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/no.tar \"no\\n\"\n",
            ),
            Row("told not to", context, "ADD --unpack=false no.tar /x", "f 0644 0:0 x \"no\\n\"\n"),
            Row("never by COPY", context, "COPY no.tar /x", "f 0644 0:0 x \"no\\n\"\n"),
        ],
    );
}

/// What would change the image and is not there yet is refused, never left out.
#[test]
fn what_is_not_there_is_said() {
    for (instruction, part) in
        [("COPY --parents d/f /x/", "--parents"), ("ADD archive.tar.xz /x/", "archive.tar.xz")]
    {
        let build = Build::new(&format!("FROM scratch\n{instruction}\n"))
            .prepare("mkdir d; echo f > d/f; tar -cJf archive.tar.xz d");
        let built = build.run(Place::Overlay);
        let error = built.failed(1);
        assert!(error.contains(part) && error.contains("Dockerfile:2"), "{instruction}: {error}");
        assert!(error.contains("help:") || error.contains("recompress"), "no way out: {error}");
    }
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
            Row("one that exists stays as it is", "", "WORKDIR /tmp", ""),
            Row("through a link", "", "WORKDIR /var/run/x", "d 0755 0:0 run\nd 0755 0:0 run/x\n"),
            Row("relative, cleaned", "", "WORKDIR /n\nWORKDIR a/../b", "d 0755 0:0 n\nd 0755 0:0 n/b\n"),
        ],
    );
}

#[test]
fn times_of_copied_files_are_the_sources() {
    let build = Build::new("FROM scratch\nCOPY d /x/\nCOPY d/f /y\n").prepare(
        "mkdir -p d/sub; echo f > d/f; touch -d '2001-02-03 04:05:06.7 UTC' d/f; \
         touch -d '2002-02-02 UTC' d/sub; touch -d '2003-03-03 UTC' d",
    );
    let image = build.run(Place::Overlay).image();
    let layer = image.layer(0);
    let times = ["x", "x/f", "x/sub"].map(|path| layer.entry(path).mtime);
    assert_eq!(times, [1_046_649_600, 981_173_106, 1_012_608_000]);
    assert_eq!(image.layer(1).entry("y").mtime, 981_173_106);
}

#[test]
fn a_missing_source_is_named() {
    let build = Build::new("FROM scratch\nCOPY present absent /x/\n").file("present", "");
    let built = build.run(Place::Overlay);
    let error = built.failed(1);
    for part in ["absent", "Dockerfile", "2"] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
}

#[test]
fn ignored_files_are_not_there() {
    let context = "mkdir -p node_modules/x pkg/node_modules src; echo m > node_modules/x/m; \
                   echo n > pkg/node_modules/n; echo s > src/s; echo k > src/keep.log; \
                   echo l > src/l.log; echo d > .env";
    let build = Build::new("FROM scratch\nCOPY . /\n").prepare(context).file(
        ".dockerignore",
        "# comment\n**/node_modules\n*.env\n**/*.log\n!src/keep.log\nDockerfile\n.dockerignore\n",
    );
    let layer = build.run(Place::Overlay).image().layer(0);
    assert_eq!(layer.paths(), ["pkg", "src", "src/keep.log", "src/s"]);

    let build = build.file("Dockerfile.dockerignore", "*\n!src/s\n");
    std::fs::remove_dir_all(build.out().join("layout")).expect("the first result can go");
    let layer = build.run(Place::Overlay).image().layer(0);
    assert_eq!(layer.paths(), ["src", "src/s"], "the Dockerfile's own ignore file wins");

    let build = Build::new("FROM scratch\nCOPY src/s /\n").prepare(context).file(".dockerignore", "src\n");
    let built = build.run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("src/s") && error.contains(".dockerignore"), "{error}");
}
