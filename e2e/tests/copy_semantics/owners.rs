//! `--chown` and `--chmod`.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Place};

use super::{Row, check};

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
fn symbolic_modes() {
    let context =
        "mkdir -p d/s; echo a > d/a; echo x > d/s/x; chmod 0600 d/a; chmod 0711 d/s/x; chmod 0700 d/s";
    check(
        "busybox",
        &[
            Row(
                "executable where somebody may",
                context,
                "COPY --chmod=a=rX,u+w d /n/",
                "d 0755 0:0 n\nf 0644 0:0 n/a \"a\\n\"\nd 0755 0:0 n/s\nf 0755 0:0 n/s/x \"x\\n\"\n",
            ),
            Row(
                "copied from another class",
                context,
                "COPY --chmod=g=u,o-x d /n/",
                "d 0755 0:0 n\nf 0660 0:0 n/a \"a\\n\"\nd 0770 0:0 n/s\nf 0770 0:0 n/s/x \"x\\n\"\n",
            ),
            Row(
                "special bits of a heredoc",
                "",
                "COPY --chmod=u+xs,go+rx --chown=app <<run /bin/\nx\nrun",
                "d 0755 0:0 usr\nd 0755 0:0 usr/bin\nf 4755 1000:1000 usr/bin/run \"x\\n\"\n",
            ),
        ],
    );
}

/// BuildKit takes root for a name that the image does not know; so do we if asked.
#[test]
fn names_that_the_image_does_not_know() {
    let build = |copy: &str, flags: &[&str]| {
        let build = Build::new(&format!("FROM busybox\n{copy}\n")).file("a", "a");
        flags.iter().fold(build, |build, flag| build.flag(flag)).run(Place::Overlay)
    };
    let built = build("COPY --chown=ghost a /x", &[]);
    let error = built.failed(1);
    for part in ["--chown=ghost", "no user 'ghost' in /etc/passwd", "--compat", "Dockerfile:2"] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
    let built = build("COPY --chown=app:ghosts a /x", &[]);
    assert!(built.failed(1).contains("no group 'ghosts' in /etc/group"));
    let built = build("COPY --link --chown=app a /x", &["--compat"]);
    assert!(built.failed(1).contains("a linked copy knows nothing of the image"));
    let workdir = "USER ghost\nWORKDIR /w";
    assert!(build(workdir, &[]).failed(1).contains("USER ghost: the image has no user 'ghost'"));
    assert_eq!(build(workdir, &["--compat"]).image().layer(-1).listing(), "d 0755 0:0 w\n");
    let layer = build("COPY --chown=ghost a /x", &["--compat"]).image().layer(-1);
    assert_eq!(layer.listing(), "f 0644 0:0 x \"a\"\n");
}
