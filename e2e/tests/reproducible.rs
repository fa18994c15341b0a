//! The same inputs give the same bytes: from every place, with any number of threads.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Place};

fn deterministic() -> Build {
    Build::new(
        "FROM debian AS tools\n\
         RUN mkdir /tools && echo tool > /tools/tool && chmod 4755 /tools/tool && ln /tools/tool /tools/again\n\
         FROM busybox\n\
         ENV A=b\n\
         WORKDIR /app\n\
         COPY --chown=app:app src/ src/\n\
         COPY --from=tools /tools /tools\n\
         RUN sort src/*/* > sorted && rm /etc/group && mkdir -p /d/e && ln -s e /d/l && mkfifo /d/p && \
             chown -h 5:6 /d/l && touch /etc/passwd\n\
         RUN true\n\
         USER app\n\
         RUN echo mine > ~/mine\n\
         CMD [\"cat\", \"/app/sorted\"]\n",
    )
    .prepare("for d in a b c; do mkdir -p src/$d; for i in 1 2 3; do echo $d$i > src/$d/$i; done; done")
    .env("SOURCE_DATE_EPOCH", "1700000000")
}

#[test]
fn the_same_digest_from_every_place() {
    let images = deterministic().run_everywhere();
    let (_, first) = &images[0];
    for (place, image) in &images[1..] {
        for number in 0..first.layer_count() as isize {
            let (ours, theirs) = (first.layer(number), image.layer(number));
            assert_eq!(ours.listing(), theirs.listing(), "layer {number} in {place:?}");
        }
        assert_eq!(image.config, first.config, "{place:?}");
        assert_eq!(image.diff_ids(), first.diff_ids(), "{place:?}");
        assert_eq!(image.digest, first.digest, "{place:?}");
    }
    for layer in first.layers_above(1) {
        for entry in layer.entries {
            assert!(entry.mtime <= 1_700_000_000, "{entry}: {}", entry.mtime);
        }
    }
    assert_eq!(first.config["created"], "2023-11-14T22:13:20Z");
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    let mut digests = Vec::new();
    for jobs in [1, 2, 7] {
        for compression in ["gzip", "zstd"] {
            let build = Build::new("FROM scratch\nCOPY . /\n")
                .prepare("for i in $(seq 1 300); do seq $i 3000 > $i; done; touch -d @1 * .")
                .flag(&format!("--jobs={jobs}"))
                .flag(&format!("--compression={compression}"))
                .env("SOURCE_DATE_EPOCH", "1700000000");
            digests.push((compression, build.run(Place::Overlay).image().digest));
        }
    }
    for compression in ["gzip", "zstd"] {
        let mut same: Vec<_> = digests.iter().filter(|(c, _)| *c == compression).collect();
        same.dedup();
        assert_eq!(same.len(), 1, "{digests:#?}");
    }
}

#[test]
fn reproducible_zeroes_every_time() {
    let build = || {
        Build::new("FROM busybox\nRUN date > /dev/null; mkdir /d; echo x > /d/x\nCOPY f /f\n")
            .file("f", "f")
            .flag("--reproducible")
    };
    let image = build().run(Place::Overlay).image();
    for layer in image.layers_above(1) {
        for entry in layer.entries {
            assert_eq!(entry.mtime, 0, "{entry}");
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(build().run(Place::Overlay).image().digest, image.digest);
}

/// Never larger than what Go's gzip at level 1 gives, which pigz at level 1 comes near to.
#[test]
fn layers_are_no_larger_than_fast_gzip() {
    let build = Build::new("FROM debian AS base\nFROM scratch\nCOPY --from=base /usr /usr\n");
    let image = build.run(Place::Overlay).image();
    let layer = image.layer(0);
    let scratch = yadokari_e2e::scratch();
    let (tar, gz) = (scratch.path().join("tar"), scratch.path().join("tar.gz"));
    std::fs::write(&tar, &layer.tar).expect("written");
    yadokari_e2e::run_ok(
        std::process::Command::new("sh")
            .args(["-c", &format!("gzip -1 < {} > {}", tar.display(), gz.display())]),
    );
    let reference = std::fs::metadata(&gz).expect("there").len() as usize;
    assert!(layer.compressed <= reference, "{} bytes, gzip -1 gives {reference}", layer.compressed);
}
