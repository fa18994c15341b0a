//! What sources mean.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, ForgedImage, ForgedLayer, Place, scratch};

use super::{Row, check};

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

/// Of an image that is only copied from, the contents that steps take are kept; where that takes
/// links which come after what they lead to, it is read again.
#[test]
fn contents_of_an_image_are_found_through_links() {
    let layout = scratch();
    ForgedImage::of([
        ForgedLayer::new()
            .symlink("bin", "usr/bin")
            .file("first", 0o644, b"1\n")
            .hard_link("usr/bin/twin", "first")
            .file("usr/bin/tool", 0o755, b"t\n")
            .symlink("usr/bin/up", "../../first"),
        ForgedLayer::new().file("upper", 0o644, b"u\n").symlink("late", "usr"),
    ])
    .write(layout.path());
    let again = "reading it again";
    for (copied, expected, is_read_again) in [
        ("COPY --from=links /bin/tool /", "f 0755 0:0 tool \"t\\n\"\n", false),
        ("COPY --from=links /usr/bin/twin /", "f 0644 0:0 twin \"1\\n\"\n", true),
        ("COPY --from=links /bin/up /", "f 0644 0:0 up \"1\\n\"\n", true),
        ("COPY --from=links /late/bin/t??l /", "f 0755 0:0 tool \"t\\n\"\n", true),
        (
            "COPY --from=links /f* /upper /x/",
            "d 0755 0:0 x\nf 0644 0:0 x/first \"1\\n\"\nf 0644 0:0 x/upper \"u\\n\"\n",
            false,
        ),
        ("COPY --from=links --parents /./upper /", "f 0644 0:0 upper \"u\\n\"\n", false),
    ] {
        let build = Build::new(&format!("FROM scratch\n{copied}\n")).base("links", layout.path());
        let built = build.flag("--verbosity=debug").run(Place::Overlay);
        built.succeeded();
        assert_eq!(built.image().layer(-1).listing(), expected, "{copied}");
        assert_eq!(
            built.finished.stderr.contains(again),
            is_read_again,
            "{copied}: {}",
            built.finished.stderr
        );
    }
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

#[test]
fn a_pattern_without_matches_is_told_and_copies_nothing() {
    let built = Build::new("FROM scratch\nCOPY *.none a /x/\n").file("a", "a").run(Place::Overlay);
    assert_eq!(built.image().layer(0).listing(), "d 0755 0:0 x\nf 0644 0:0 x/a \"a\"\n");
    built.said("`*.none` matches nothing in the build context").said("WildcardMatchedNothing");
    let strict = "# check=error=true\nFROM scratch\nCOPY *.none a /x/\n";
    let refused = Build::new(strict).file("a", "a").run(Place::Overlay);
    assert!(refused.failed(1).contains("WildcardMatchedNothing"), "{}", refused.finished.output());
}

#[test]
fn what_hides_a_source_is_named() {
    let build = |copy: &str| {
        Build::new(&format!("FROM scratch\n{copy}\n"))
            .prepare("mkdir src; echo a > src/app.js; echo s > secret; ln -s secret link")
            .file(".dockerignore", "# not for images\nsecret\n")
            .run(Place::Overlay)
    };
    for (copy, parts) in [
        (
            "COPY secret /x",
            &["'secret' is not in the build context", "line 2 of", "('secret') leaves it out"][..],
        ),
        ("COPY link /x", &["it is a link to 'secret', which line 2 of"]),
        ("COPY src/ap.js /x", &["did you mean 'src/app.js'?"]),
        ("COPY scr/* /x/", &["'scr' is not in the build context: did you mean 'src'?"]),
    ] {
        let built = build(copy);
        let error = built.failed(1);
        for part in parts {
            assert!(error.contains(part), "{copy}: '{part}' is not in:\n{error}");
        }
    }
}

#[test]
fn hard_links_pipes_and_capabilities() {
    check(
        "busybox",
        &[
            Row(
                "hard links of one source stay together",
                "mkdir d e; echo a > d/a; ln d/a d/b; ln d/a e/c; mkfifo -m 0640 d/p",
                "COPY d e /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/a \"a\\n\"\nh 0644 0:0 x/b -> x/a\nf 0644 0:0 x/c \"a\\n\"\n\
                 p 0640 0:0 x/p\n",
            ),
            Row(
                "matches of a pattern are sources of their own",
                "mkdir d; echo a > d/a; ln d/a d/b",
                "COPY d/* /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/a \"a\\n\"\nf 0644 0:0 x/b \"a\\n\"\n",
            ),
            Row(
                "a file that is replaced leaves its other names as they are",
                "mkdir d e; echo old > d/a; ln d/a d/b; echo new > e/a",
                "COPY d e /x/",
                "d 0755 0:0 x\nf 0644 0:0 x/a \"new\\n\"\nf 0644 0:0 x/b \"old\\n\"\n",
            ),
        ],
    );
}
