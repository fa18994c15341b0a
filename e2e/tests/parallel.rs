//! Stages side by side.

use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Kind, Layer, Place};

/// Two stages that say when their commands began and ended.
fn timed() -> Build {
    let run = "RUN cut -d' ' -f1 /proc/uptime > /start && sleep 0.7 && cut -d' ' -f1 /proc/uptime > /end";
    Build::new(&format!(
        "FROM busybox AS a\n{run}\nFROM busybox AS b\n{run}\nFROM scratch\n\
         COPY --from=a /start /end /a/\nCOPY --from=b /start /end /b/\n"
    ))
}

/// The second that a file holds.
fn second(layer: &Layer, path: &str) -> f64 {
    let Kind::File(content) = &layer.entry(path).kind else { panic!("{path} is a file") };
    String::from_utf8_lossy(content).trim().parse().expect("a number")
}

fn overlapping(build: &Build, place: Place) -> bool {
    let image = build.run(place).image();
    let (a, b) = (image.layer(0), image.layer(1));
    second(&a, "a/start") < second(&b, "b/end") && second(&b, "b/start") < second(&a, "a/end")
}

#[test]
fn as_many_commands_as_jobs_run_at_once() {
    for place in [Place::Overlay, Place::Chroot] {
        for (jobs, expected) in [(2, true), (1, false)] {
            let build = timed().flag(&format!("--jobs={jobs}"));
            assert_eq!(overlapping(&build, place), expected, "{jobs} jobs in {place:?}");
        }
    }
}

#[test]
fn in_place_commands_run_one_by_one() {
    assert!(!overlapping(&timed().flag("--jobs=2"), Place::InPlace));
}

#[test]
fn a_failing_step_stops_the_others_and_is_the_one_reported() {
    let dockerfile = "FROM busybox AS slow\n\
         RUN sleep 120 && touch /x\n\
         FROM busybox AS broken\n\
         RUN sleep 0.5; echo it breaks; exit 7\n\
         FROM scratch\n\
         COPY --from=slow /x /x\n\
         COPY --from=broken /x /y\n";
    for place in [Place::Overlay, Place::Chroot, Place::NoVolume] {
        let start = Instant::now();
        let built = Build::new(dockerfile).flag("--jobs=2").run(place);
        let error = built.failed(7);
        assert!(start.elapsed() < Duration::from_secs(60), "the slow stage was waited for: {error}");
        let said = error.split("error:").last().unwrap_or_default();
        assert!(said.contains("exited with code 7") && said.contains("Dockerfile:4"), "{place:?}: {error}");
    }
}
