//! Sources by name: archives of images, archives and repositories elsewhere, in place of base
//! images and of what is copied from.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, Page, Place, WebServer, run_ok, scratch};

/// An archive of the small base, made by another tool.
fn archive(kind: &str, directory: &std::path::Path) -> String {
    let path = directory.join(format!("{kind}.tar"));
    let to = format!("{kind}:{}:example.com/base:1", path.display());
    let from = format!("oci:{}:latest", Base::Busybox.layout().display());
    run_ok(Command::new("skopeo").args(["copy", "--quiet", "--insecure-policy", &from, &to]));
    path.display().to_string()
}

#[test]
fn archives_of_images_are_bases() {
    let directory = scratch();
    let docker = archive("docker-archive", directory.path());
    let oci = archive("oci-archive", directory.path());
    let plain = Build::new("FROM busybox\nRUN echo hi > /hi\n").run(Place::Overlay).image().tree();
    for place in [
        format!("docker-archive:{docker}"),
        format!("docker-archive:{docker}:example.com/base:1"),
        format!("oci-archive:{oci}"),
        format!("oci-archive:{oci}:example.com/base:1"),
    ] {
        let build = Build::new("FROM my/base\nRUN echo hi > /hi\n")
            .flag(&format!("--build-context=docker.io/my/base:latest={place}"));
        assert_eq!(build.run(Place::Overlay).image().tree().differences(&plain), "", "{place}");
    }
    let copied = Build::new("FROM scratch\nCOPY --from=files /etc/passwd /p\n")
        .flag(&format!("--build-context=files=docker-archive:{docker}"))
        .run(Place::Overlay);
    assert!(copied.image().layer(-1).listing().starts_with("f 0644 0:0 p "));
    for (place, words) in [
        (format!("docker-archive:{docker}:other:2"), "has no image other:2"),
        (format!("docker-archive:{oci}"), "is no archive of docker save"),
        (format!("oci-archive:{oci}:none"), "none"),
        ("docker-archive:/no/such/file".to_owned(), "/no/such/file"),
    ] {
        let built =
            Build::new("FROM mine\n").flag(&format!("--build-context=mine={place}")).run(Place::Overlay);
        assert!(built.failed(1).contains(words), "{place}: {}", built.finished.output());
    }
}

/// A build context stands in for the stage of its name: also by the stage's number, and as what is
/// built. Nothing of the stage is looked at.
#[test]
fn a_build_context_stands_in_for_a_stage() {
    let directory = scratch();
    let docker = archive("docker-archive", directory.path());
    let text = "FROM nowhere.invalid/x AS base\nRUN false\nFROM scratch\n\
                COPY --from=0 /etc/passwd /p\nCOPY --from=base /etc/group /g\n";
    let build = Build::new(text).flag(&format!("--build-context=base=docker-archive:{docker}"));
    let image = build.run(Place::Overlay).image();
    assert_eq!((image.layer(-2).paths(), image.layer(-1).paths()), (vec!["p"], vec!["g"]));
    let itself = build.flag("--target=base").run(Place::Overlay).image();
    let plain = Build::new("FROM busybox\n").run(Place::Overlay).image();
    assert_eq!(itself.tree().differences(&plain.tree()), "");
    assert_eq!(itself.config["history"], plain.config["history"]);
    let files = Build::new("FROM busybox AS files\nRUN false\nFROM scratch\nCOPY --from=0 f /\n")
        .file("d/f", "here\n")
        .flag("--build-context=files={context}/d");
    assert_eq!(files.run(Place::Overlay).image().layer(-1).listing(), "f 0644 0:0 f \"here\\n\"\n");
    let refused = files.flag("--target=files").run(Place::Overlay);
    assert!(refused.failed(1).contains("holds files and cannot be a base image"));
    let misspelt = Build::new("FROM scratch\nCOPY --from=fiels f /\n")
        .file("f", "")
        .flag("--build-context=files={context}")
        .run(Place::Overlay);
    assert!(misspelt.failed(1).contains("did you mean the build context 'files'?"));
}

#[test]
fn files_elsewhere_are_copied_from() {
    let server = WebServer::start();
    let repository = server.repository(
        "r.git",
        "mkdir sub && echo deep > sub/f && echo top > f && echo f > .dockerignore && ln -s /etc out\n\
         git add . && git commit -qm 1 && git tag v1",
    );
    let packed = scratch();
    fs::write(packed.path().join("f"), "archived\n").expect("written");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(packed.path().join("a.tgz")).arg("-C").arg(packed.path()).arg("f");
    run_ok(&mut tar);
    server.page("/a.tgz", Page::of(fs::read(packed.path().join("a.tgz")).expect("there")));
    server.page("/plain", Page::of("plain"));
    for (place, from, expected) in [
        (repository.clone(), "f", "f 0644 0:0 x \"top\\n\"\n"),
        (format!("{repository}#v1:sub"), "f", "f 0644 0:0 x \"deep\\n\"\n"),
        (server.url("/a.tgz"), "f", "f 0644 0:0 x \"archived\\n\"\n"),
        (server.url("/plain"), "context", "f 0600 0:0 x \"plain\"\n"),
    ] {
        let build = Build::new(&format!("FROM scratch\nCOPY --from=Src {from} /x\n"));
        let built = build.flag(&format!("--build-context=src={place}")).run(Place::Overlay);
        assert_eq!(built.image().layer(-1).listing(), expected, "{place}");
    }
    let evil = Build::new("FROM scratch\nCOPY --from=src out/hostname /x\n")
        .flag(&format!("--build-context=src={repository}"))
        .run(Place::Overlay);
    assert!(evil.failed(1).contains("is not in"), "{}", evil.finished.output());
    let base =
        Build::new("FROM src\n").flag(&format!("--build-context=src={repository}")).run(Place::Overlay);
    assert!(base.failed(1).contains("holds files and cannot be a base image"));
    let before = server.requests().len();
    let unused = Build::new("FROM scratch\nCOPY Dockerfile /\n")
        .flag(&format!("--build-context=src={}", server.url("/gone")))
        .run(Place::Overlay);
    unused.succeeded();
    assert_eq!(server.requests().len(), before, "what nobody uses stays where it is");
}
