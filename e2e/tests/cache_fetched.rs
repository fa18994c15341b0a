//! Files of web servers in a warm build: they are asked about, and come only if they are others.

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use yadokari_e2e::{Build, Built, Page, Place, WebServer, scratch};

const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NOW: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

/// A server, and a directory for a cache.
fn ground() -> (WebServer, TempDir) {
    (WebServer::start(), scratch())
}

fn build(cache: &TempDir, dockerfile: &str) -> Built {
    let cache = cache.path().join("cache").display().to_string();
    let built = Build::new(dockerfile).flag("--cache").flag(&format!("--cache-repo=oci:{cache}"));
    built.run(Place::Overlay)
}

fn add(server: &WebServer, path: &str) -> String {
    format!("ADD {} {path}\n", server.url(path))
}

fn content(built: &Built, path: &str) -> String {
    String::from_utf8_lossy(built.succeeded().image().layer(-1).entry(path).content()).into_owned()
}

#[test]
fn a_file_that_is_the_same_does_not_come_again() {
    let (server, cache) = ground();
    server.page("/tagged", Page::of("1").header("ETag", "W/\"1\""));
    server.page("/timed", Page::of("2").header("Last-Modified", THEN).header("Date", NOW));
    server.page("/fresh", Page::of("3").header("Last-Modified", NOW).header("Date", NOW));
    server.page("/untold", Page::of("4"));
    let paths = ["/fresh", "/tagged", "/timed", "/untold"];
    let dockerfile = format!("FROM scratch\n{}", paths.map(|p| add(&server, p)).concat());
    build(&cache, &dockerfile).succeeded();
    assert_eq!(server.answers(), paths.map(|p| format!("200 {p}")));

    build(&cache, &dockerfile).said("4 of 4 steps known");
    let asked = ["200 /fresh", "304 /tagged", "304 /timed", "200 /untold"];
    assert_eq!(server.answers(), asked, "who may have changed within the second comes again");

    // The same under another name: from now on that one is asked about.
    server.page("/tagged", Page::of("1").header("ETag", "\"2\""));
    build(&cache, &dockerfile).said("4 of 4 steps known");
    assert_eq!(server.answers()[1], "200 /tagged");
    build(&cache, &dockerfile).said("4 of 4 steps known");
    assert_eq!(server.answers()[1], "304 /tagged");
}

#[test]
fn a_file_that_is_another_comes() {
    let (server, cache) = ground();
    server.page("/f", Page::of("old").header("ETag", "\"1\""));
    let dockerfile = format!("FROM scratch\n{}", add(&server, "/f"));
    assert_eq!(content(&build(&cache, &dockerfile), "f"), "old");
    server.page("/f", Page::of("new").header("ETag", "\"2\""));
    let built = build(&cache, &dockerfile);
    assert_eq!(content(built.said("0 of 1 steps known"), "f"), "new");
    // Both are known now, and asked about with one request.
    server.answers();
    server.page("/f", Page::of("old").header("ETag", "\"1\""));
    assert_eq!(content(build(&cache, &dockerfile).said("1 of 1 steps known"), "f"), "old");
    assert_eq!(server.answers(), ["304 /f"]);
}

#[test]
fn a_file_that_was_only_asked_about_comes_when_a_step_needs_it() {
    let (server, cache) = ground();
    server.page("/f", Page::of("1").header("ETag", "\"1\""));
    let with = |before: &str| format!("FROM scratch\nWORKDIR {before}\n{}", add(&server, "/f"));
    build(&cache, &with("/a")).succeeded();
    server.answers();
    assert_eq!(content(build(&cache, &with("/b")).said("0 of 2 steps known"), "f"), "1");
    let mut answers = server.answers();
    answers.sort();
    assert_eq!(answers, ["200 /f", "304 /f"]);
    // A server that calls another file by the same name.
    server.page("/f", Page::of("another").header("ETag", "\"1\""));
    let built = build(&cache, &with("/c"));
    built.said("changed while the image was built; building again with what came");
    assert_eq!(content(&built, "f"), "another");
    let again = build(&cache, &with("/c"));
    assert_eq!(content(again.said("2 of 2 steps known"), "f"), "another", "it is kept as what it is");
}

#[test]
fn a_file_whose_checksum_is_known_is_not_even_asked_about() {
    let (server, cache) = ground();
    server.page("/f", Page::of("1"));
    // SHA-256 of "1".
    let sum = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    let dockerfile = format!("FROM scratch\nADD --checksum=sha256:{sum} {} /f\n", server.url("/f"));
    build(&cache, &dockerfile).succeeded();
    assert_eq!(server.answers(), ["200 /f"]);
    let warm = build(&cache, &dockerfile);
    assert_eq!(content(warm.said("1 of 1 steps known"), "f"), "1");
    assert_eq!(server.answers(), [""; 0]);
}
