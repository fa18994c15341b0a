//! Archives: unpacked by ADD, known by what is in them.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Place};

use super::{Row, check};

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

#[test]
fn archives_of_every_compression() {
    let context = "mkdir -p t/sub; echo x > t/sub/x; chmod 0600 t/sub/x; ln t/sub/x t/sub/a; mkfifo -m 0644 t/sub/p; \
                   ln -s /sub t/abs; tar --owner=3 --group=4 -C t -cf plain.tar sub abs; rm -r t; \
                   for by in gzip bzip2 xz zstd; do $by -c plain.tar > by-$by; done; \
                   bzip2 -c plain.tar > two; head -c 1000 by-xz > cut.xz; gzip -c Dockerfile > file.gz";
    let unpacked = "d 0755 0:0 x\nl 0777 3:4 x/abs -> /sub\nd 0755 3:4 x/sub\nf 0600 3:4 x/sub/a \"x\\n\"\n\
                    p 0644 3:4 x/sub/p\nh 0600 3:4 x/sub/x -> x/sub/a\n";
    check(
        "busybox",
        &[
            Row("plain", context, "ADD plain.tar /x/", unpacked),
            Row("gzip", context, "ADD by-gzip /x/", unpacked),
            Row("bzip2", context, "ADD by-bzip2 /x/", unpacked),
            Row("xz", context, "ADD by-xz /x/", unpacked),
            Row("zstd", context, "ADD by-zstd /x", unpacked),
            Row("told to", context, "ADD --unpack=true by-xz /x", unpacked),
            Row(
                "an owner for all, a mode for none",
                context,
                "ADD --chown=8:9 --chmod=777 plain.tar /x/",
                "d 0755 8:9 x\nl 0777 8:9 x/abs -> /sub\nd 0755 8:9 x/sub\nf 0600 8:9 x/sub/a \"x\\n\"\n\
                 p 0644 8:9 x/sub/p\nh 0600 8:9 x/sub/x -> x/sub/a\n",
            ),
        ],
    );
}

/// Bytes of an archive that GNU tar makes of a directory.
#[test]
fn what_an_archive_brings_and_what_is_there() {
    check(
        "busybox",
        &[
            Row(
                "directories merge and get what the archive says, files and links give way",
                "mkdir -p t/tmp t/etc; echo new > t/etc/passwd; mkdir t/bin; echo b > t/bin/tool; chmod 0700 t/tmp; \
                 tar --owner=0 --group=0 -C t -cf a.tar tmp etc/passwd bin; rm -r t",
                "ADD a.tar /",
                "d 0755 0:0 bin\nf 0644 0:0 bin/tool \"b\\n\"\nd 0755 0:0 etc\nf 0644 0:0 etc/passwd \"new\\n\"\n\
                 d 0700 0:0 tmp\n",
            ),
            Row(
                "a link of the image on the way is followed, the destination its root",
                "mkdir -p t/bin; echo b > t/bin/tool; tar --owner=0 --group=0 -C t -cf a.tar bin/tool; rm -r t",
                "ADD a.tar /",
                "d 0755 0:0 usr\nd 0755 0:0 usr/bin\nf 0644 0:0 usr/bin/tool \"b\\n\"\n",
            ),
            Row(
                "an absolute link leads into the destination",
                "mkdir t; ln -s /data t/l; tar --owner=0 --group=0 -C t -cf a.tar l; rm t/l; mkdir t/l; echo y > t/l/y; \
                 tar --owner=0 --group=0 -C t -rf a.tar l/y; rm -r t",
                "ADD a.tar /opt/",
                "d 0755 0:0 opt\nd 0755 0:0 opt/data\nf 0644 0:0 opt/data/y \"y\\n\"\nl 0777 0:0 opt/l -> /data\n",
            ),
            Row(
                "a file takes the place of a directory",
                "mkdir t; echo f > t/home; tar --owner=0 --group=0 -C t -cf a.tar home; rm -r t",
                "ADD a.tar /",
                "f 0644 0:0 home \"f\\n\"\n",
            ),
            Row(
                "sparse files",
                "truncate -s 2M hole; echo end >> hole; tar -S --owner=0 --group=0 -cf a.tar hole; rm hole",
                "ADD a.tar /n/",
                "d 0755 0:0 n\nf 0644 0:0 n/hole 2097156 bytes\n",
            ),
        ],
    );
}

#[test]
fn archives_that_are_refused() {
    for (context, parts) in [
        ("echo x > f; tar -P --transform=s,f,../../etc/f, -cf a.tar f", &["leaves the directory"][..]),
        ("echo x > f; tar --transform=s,f,.wh.gone, -cf a.tar f", &[".wh.gone"]),
        ("seq 99 > f; tar -cf a.tar f; head -c 600 a.tar > b; mv b a.tar", &["cannot unpack 'a.tar'"]),
        // 4 GiB of zeros, many times over, in some kilobytes.
        (
            "truncate -s 4G z; tar -S --transform=s,z,1, -cf a.tar z; \
             for n in 2 3 4 5; do tar -S --transform=s,z,$n, -rf a.tar z; done; rm z",
            &["unpacks to far more than its size"],
        ),
    ] {
        let built = Build::new("FROM scratch\nADD a.tar /x/\n").prepare(context).run(Place::Overlay);
        let error = built.failed(1);
        for part in parts {
            assert!(error.contains(part) && error.contains("Dockerfile:2"), "{context}: {error}");
        }
    }
}

/// Files, links, owners and archives in every place where steps are run.
#[test]
fn the_same_everywhere() {
    let build = Build::new(
        "FROM busybox AS one\n\
         ADD by-xz /opt/\n\
         RUN test \"$(cat /opt/sub/x)\" = x && test /opt/sub/a -ef /opt/sub/x && chown app /opt/sub/x\n\
         FROM busybox\n\
         COPY --parents --exclude=**/*.md --chmod=a=rX,u+w a/./b/* /bin/\n\
         RUN test -x /usr/bin/b/run && test ! -e /usr/bin/b/no.md\n\
         COPY --link a/b/run /tmp/new/run\n\
         RUN test -e /tmp/new/run && test \"$(stat -c %a /tmp)\" = 755\n\
         COPY --from=one /opt/ /opt/\n\
         RUN test \"$(stat -c %U /opt/sub/a)\" = app && test /opt/sub/a -ef /opt/sub/x\n\
         ADD by-bzip2 /home/app\n\
         RUN test -p /home/app/sub/p && echo done > /done\n",
    )
    .env("SOURCE_DATE_EPOCH", "1000000000")
    .prepare(
        "mkdir -p t/sub a/b; echo x > t/sub/x; ln t/sub/x t/sub/a; mkfifo t/sub/p; \
         tar --mtime=@1 --sort=name --owner=3 --group=4 -C t -cf plain.tar sub; rm -r t; \
         for by in bzip2 xz; do $by -c plain.tar > by-$by; done; \
         echo r > a/b/run; chmod 0755 a/b/run; echo m > a/b/no.md; echo f > a/b/f",
    );
    let images = build.run_everywhere();
    let (_, first) = &images[0];
    for (place, image) in &images {
        assert_eq!(image.diff_ids(), first.diff_ids(), "{place:?}");
    }
}
