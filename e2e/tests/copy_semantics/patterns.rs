//! `--parents`, `--exclude` and heredocs.

use super::{Row, check};

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
fn parents_and_excludes() {
    let context = "mkdir -p a/b a/x other; echo c > a/b/c.go; echo d > a/b/d.md; echo x > a/x/c.go; echo o > other/o; \
                   chmod 0750 a; chmod 0711 a/b";
    check(
        "busybox",
        &[
            Row(
                "directories are kept as they are",
                context,
                "COPY --parents a/b/c.go other /n/",
                "d 0755 0:0 n\nd 0750 0:0 n/a\nd 0711 0:0 n/a/b\nf 0644 0:0 n/a/b/c.go \"c\\n\"\n\
                 d 0755 0:0 n/other\nf 0644 0:0 n/other/o \"o\\n\"\n",
            ),
            Row(
                "right of the pivot only",
                context,
                "COPY --parents a/./b/c.go /n/",
                "d 0755 0:0 n\nd 0711 0:0 n/b\nf 0644 0:0 n/b/c.go \"c\\n\"\n",
            ),
            Row(
                "wildcards of any depth, less what is excluded",
                context,
                "COPY --parents --exclude=a/x **/*.go /n/",
                "d 0755 0:0 n\nd 0750 0:0 n/a\nd 0711 0:0 n/a/b\nf 0644 0:0 n/a/b/c.go \"c\\n\"\n",
            ),
            Row(
                "owners and modes reach them",
                context,
                "COPY --parents --chown=7:8 --chmod=u=rwX,go= a/b/*.md /n/",
                "d 0755 7:8 n\nd 0700 7:8 n/a\nd 0700 7:8 n/a/b\nf 0600 7:8 n/a/b/d.md \"d\\n\"\n",
            ),
            Row(
                "exceptions",
                context,
                "COPY --exclude=b --exclude=!b/*.md a /n/",
                "d 0755 0:0 n\nd 0711 0:0 n/b\nf 0644 0:0 n/b/d.md \"d\\n\"\nd 0755 0:0 n/x\n\
                 f 0644 0:0 n/x/c.go \"x\\n\"\n",
            ),
        ],
    );
}
