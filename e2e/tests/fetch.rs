//! ADD from web servers and git repositories: what is asked for, and what reaches the layer.

use std::io::Write as _;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Page, Place, WebServer, run};

/// The listing of the last layer of a build on the machine.
fn listing(dockerfile: &str) -> String {
    Build::new(dockerfile).run(Place::Overlay).image().layer(-1).listing()
}

/// What a build said that had to fail.
fn refusal(dockerfile: &str) -> String {
    Build::new(dockerfile).run(Place::Overlay).failed(1).to_owned()
}

fn sha256(text: &str) -> String {
    let sum = run(std::process::Command::new("sh").args(["-c", &format!("printf %s '{text}' | sha256sum")]));
    format!("sha256:{}", &sum.stdout[..64])
}

#[test]
fn a_file_has_buildkits_name_mode_and_time() {
    let server = WebServer::start();
    server
        .page("/dir/file.txt", Page::of("hello").header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"))
        .page("/plain", Page::of("plain"))
        .page("/", Page::of("nameless"));
    let url = |path: &str| server.url(path);
    for (instruction, expected) in [
        (
            format!("ADD {} /x/", url("/dir/file.txt?token=1")),
            "d 0755 0:0 x\nf 0600 0:0 x/file.txt \"hello\"\n",
        ),
        (format!("ADD {} /x/y", url("/plain")), "d 0755 0:0 x\nf 0600 0:0 x/y \"plain\"\n"),
        (format!("ADD {} /", url("/")), "f 0600 0:0 __unnamed__ \"nameless\"\n"),
        (
            format!("ADD --chmod=0755 --chown=7:8 {} {} /x/", url("/plain"), url("/dir/file.txt")),
            "d 0755 7:8 x\nf 0755 7:8 x/file.txt \"hello\"\nf 0755 7:8 x/plain \"plain\"\n",
        ),
        (
            format!("ARG P=plain\nADD --link {}/$P /bin/", server.url("")),
            "d 0755 0:0 bin\nf 0600 0:0 bin/plain \"plain\"\n",
        ),
    ] {
        assert_eq!(listing(&format!("FROM scratch\n{instruction}\n")), expected, "{instruction}");
    }
    let image = Build::new(&format!("FROM scratch\nADD {} {} /x/\n", url("/dir/file.txt"), url("/plain")))
        .run(Place::Overlay)
        .image();
    let layer = image.layer(-1);
    assert_eq!((layer.entry("x/file.txt").mtime, layer.entry("x/plain").mtime), (784_111_777, 0));
    let text = format!("ADD {} {} /x/ # buildkit", url("/dir/file.txt"), url("/plain"));
    assert_eq!(image.history(), [(text, true)]);
}

#[test]
fn a_file_is_fetched_once_and_in_every_place() {
    let server = WebServer::start();
    server.page("/f", Page::of("#!/bin/sh\necho ran\n"));
    let dockerfile = format!(
        "FROM busybox AS a\nADD --chmod=755 {0} /a\nRUN /a > /said\n\
         FROM busybox\nADD {0} /b\nCOPY --from=a /said /\nRUN test \"$(cat /said)\" = ran\n",
        server.url("/f")
    );
    let images = Build::new(&dockerfile).run_everywhere();
    assert_eq!(server.requests(), vec!["GET /f"; images.len()]);
    for pair in images.windows(2) {
        assert_eq!(pair[0].1.tree().differences(&pair[1].1.tree()), "");
    }
}

#[test]
fn checksums_must_be_right() {
    let server = WebServer::start();
    server.page("/f", Page::of("hello"));
    let add = |flag: &str| format!("FROM scratch\nADD {flag} {} /f\n", server.url("/f"));
    let right = sha256("hello");
    assert_eq!(listing(&add(&format!("--checksum={right}"))), "f 0600 0:0 f \"hello\"\n");
    let wrong = sha256("other");
    let said = refusal(&add(&format!("--checksum={wrong}")));
    assert!(said.contains(&format!("it should be {wrong}, and is {right}")), "{said}");
    assert!(said.contains("line 2") || said.contains("Dockerfile:2"), "{said}");
    let before = server.requests().len();
    let said = refusal(&add("--checksum=sha256:abc"));
    assert!(said.contains("sha256 has 64 hexadecimal digits"), "{said}");
    assert_eq!(server.requests().len(), before, "a wrong Dockerfile fetches nothing");
}

#[test]
fn archives_are_unpacked_when_asked_for() {
    let server = WebServer::start();
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o640);
    header.set_uid(3);
    header.set_gid(4);
    archive.append_data(&mut header, "in/side", &b"hi"[..]).expect("an archive");
    let bytes =
        archive.into_inner().and_then(|mut gz| gz.flush().and_then(|()| gz.finish())).expect("an archive");
    server.page("/a.tar.gz", Page::of(bytes.clone()));
    let url = server.url("/a.tar.gz");
    let kept = listing(&format!("FROM scratch\nADD {url} /x/\n"));
    assert!(kept.starts_with("d 0755 0:0 x\nf 0600 0:0 x/a.tar.gz "), "{kept}");
    assert_eq!(
        listing(&format!("FROM scratch\nADD --unpack=true {url} /x/\n")),
        "d 0755 0:0 x\nd 0755 0:0 x/in\nf 0640 3:4 x/in/side \"hi\"\n"
    );
}

#[test]
fn broken_servers_are_borne_and_gone_files_are_not() {
    let server = WebServer::start();
    let large = "0123456789".repeat(100_000);
    server.page("/cut", Page { cut: 1, ..Page::of(large.clone()) }.header("ETag", "\"v1\""));
    server.page("/moved", Page::redirect("/cut"));
    let layer = Build::new(&format!("FROM scratch\nADD {} /f\n", server.url("/moved")));
    let image = layer.run(Place::Overlay).image();
    assert_eq!(image.layer(-1).listing(), "f 0600 0:0 f 1000000 bytes\n");
    assert_eq!(server.requests(), ["GET /moved", "GET /cut", "GET /moved", "GET /cut"]);
    let said = refusal(&format!("FROM scratch\nADD {} /f\n", server.url("/gone?secret=1")));
    assert!(said.contains("answered 404: no such page") && said.contains("/gone?…"), "{said}");
    let said = Build::new(&format!("FROM scratch\nADD {} /f\n", server.url("/cut")))
        .flag("--fetch-limit=999999")
        .run(Place::Overlay)
        .failed(1)
        .to_owned();
    assert!(said.contains("it has more than 999999 bytes") && said.contains("--fetch-limit"), "{said}");
}

#[test]
fn stages_that_are_not_needed_fetch_nothing() {
    let server = WebServer::start();
    server.page("/f", Page::of("x"));
    let url = server.url("/");
    let dockerfile = format!("FROM scratch AS unused\nADD {url}gone /x\nFROM scratch\nADD {url}f /f\n");
    assert_eq!(listing(&dockerfile), "f 0600 0:0 f \"x\"\n");
    assert_eq!(server.requests(), ["GET /f"]);
}

/// A repository with two commits, a branch, a tag of each kind, a link and an executable.
fn repository(server: &WebServer, name: &str) -> String {
    server.repository(
        name,
        "mkdir -p sub/deep && echo one > file && echo deep > sub/deep/f && ln -s sub link\n\
         printf '#!/bin/sh\\n' > run && chmod 755 run && chmod 600 file\n\
         git add . && git commit -qm one && git tag light && git tag -am note annotated\n\
         git checkout -qb other && echo two > file && git commit -qam two\n\
         git checkout -q main && echo three > file && git commit -qam three\n",
    )
}

const TREE: [&str; 6] = [
    "l 0777 0:0 src/link -> sub",
    "f 0755 0:0 src/run \"#!/bin/sh\\n\"",
    "d 0755 0:0 src/sub",
    "d 0755 0:0 src/sub/deep",
    "f 0644 0:0 src/sub/deep/f \"deep\\n\"",
    "",
];

#[test]
fn repositories_by_branch_tag_and_commit() {
    let server = WebServer::start();
    let url = repository(&server, "r.git");
    let of = |reference: &str| {
        let mut show = std::process::Command::new("git");
        show.arg("-C").arg(server.repository_path("r.git")).args([
            "-c",
            "safe.directory=*",
            "rev-parse",
            reference,
        ]);
        run(&mut show).stdout.trim().to_owned()
    };
    let (commit, first) = (of("other"), of("light"));
    for (flags, source, content) in [
        ("", url.clone(), "three"),
        ("", format!("{url}#other"), "two"),
        ("", format!("{url}#refs/heads/other"), "two"),
        ("", format!("{url}?branch=other"), "two"),
        ("", format!("{url}#light"), "one"),
        ("", format!("{url}?tag=annotated"), "one"),
        ("", format!("{url}#{commit}"), "two"),
        ("", format!("{url}?ref=other&checksum={commit}"), "two"),
        ("", format!("{url}?checksum={commit}"), "two"),
        ("--checksum=", format!("{url}#annotated"), "one"),
    ] {
        let flags = if flags.is_empty() { String::new() } else { format!("{flags}{first} ") };
        let dockerfile = format!("FROM scratch\nADD {flags}{source} /src\n");
        let image = Build::new(&dockerfile).run(Place::Overlay).image();
        let expected = format!("d 0755 0:0 src\nf 0644 0:0 src/file \"{content}\\n\"\n{}", TREE.join("\n"));
        assert_eq!(image.layer(-1).listing(), expected, "{source}");
        assert_eq!(image.history(), [(format!("ADD {source} /src # buildkit"), true)]);
    }
    for (source, words) in [
        (format!("{url}#nothing"), "has no branch, tag or commit 'nothing'"),
        (format!("{url}#{}", "0".repeat(40)), "has no branch, tag or commit '000"),
        (format!("{url}?ref=other&checksum={first}"), "the commit should begin with"),
        (format!("{url}#:none"), "'none' is not in"),
        (server.url("/git/none.git"), "git ls-remote"),
    ] {
        let said = refusal(&format!("FROM scratch\nADD {source} /src\n"));
        assert!(said.contains(words), "{source}: {said}");
    }
}

#[test]
fn a_part_of_a_repository_and_its_history() {
    let server = WebServer::start();
    let url = repository(&server, "r.git");
    for part in ["sub", "link", "link/../sub"] {
        assert_eq!(
            listing(&format!("FROM scratch\nADD --chown=5:6 {url}#main:{part} /x\n")),
            "d 0755 5:6 x\nd 0755 5:6 x/deep\nf 0644 5:6 x/deep/f \"deep\\n\"\n"
        );
    }
    let kept = listing(&format!("FROM scratch\nADD --keep-git-dir=true {url} /src\n"));
    assert!(kept.contains(" src/.git\n") && kept.contains(" src/.git/HEAD "), "{kept}");
    assert!(!kept.contains("FETCH_HEAD") && !kept.contains("hooks"), "{kept}");
    let kept = listing(&format!("FROM scratch\nADD {url}?mtime=commit&keep-git-dir=1 /src\n"));
    assert!(kept.contains(" src/.git/HEAD "), "{kept}");
    let image =
        Build::new(&format!("FROM scratch\nADD {url}?mtime=commit /src\n")).run(Place::Overlay).image();
    assert!(image.layer(-1).entries.iter().all(|e| e.mtime == 981_173_106), "the commit's time");
}

#[test]
fn submodules_come_along_but_not_from_this_machine() {
    let server = WebServer::start();
    repository(&server, "inner.git");
    let inner = server.repository_path("inner.git").display().to_string();
    let add = format!("git -c protocol.file.allow=always submodule --quiet add {inner} lib");
    let outer = server.repository(
        "outer.git",
        &format!("{add}\ngit config -f .gitmodules submodule.lib.url ../inner.git\ngit commit -qam outer\n"),
    );
    let tree = listing(&format!("FROM scratch\nADD {outer} /o\n"));
    assert!(tree.contains("o/lib/file \"three\\n\"") && !tree.contains("o/lib/.git"), "{tree}");
    let tree = listing(&format!("FROM scratch\nADD {outer}?submodules=false /o\n"));
    assert!(!tree.contains("o/lib/file"), "{tree}");
    let evil = server.repository("evil.git", &format!("{add}\ngit commit -qm evil\n"));
    let said = refusal(&format!("FROM scratch\nADD {evil} /o\n"));
    assert!(said.contains("not allowed"), "{said}");
}

/// A directory with a program named git that writes to `log` what it was given.
fn spy() -> tempfile::TempDir {
    let spy = yadokari_e2e::scratch();
    let script = format!(
        "#!/bin/sh\n{{ echo \"$@\"; env; }} >> {0}/log\nexec /usr/bin/git \"$@\"\n",
        spy.path().display()
    );
    std::fs::write(spy.path().join("git"), script).expect("written");
    run(std::process::Command::new("chmod").arg("755").arg(spy.path().join("git")));
    spy
}

#[test]
fn credentials_of_a_url_reach_the_server_and_nothing_else() {
    let server = WebServer::with_password("me:hunter2hunter2");
    let url = repository(&server, "r.git");
    let with_password = url.replace("http://", "http://me:hunter2hunter2@");
    let spy = spy();
    let built = Build::new(&format!("FROM scratch\nADD --keep-git-dir {with_password} /src\n"))
        .env("PATH", &format!("{}:/usr/bin:/bin", spy.path().display()))
        .run(Place::Overlay);
    let image = built.image();
    let layer = String::from_utf8_lossy(&image.layer(-1).tar).into_owned();
    assert!(!layer.contains("hunter2"), "no credentials in .git");
    assert!(!built.finished.output().contains("hunter2"), "{}", built.finished.output());
    let log = std::fs::read_to_string(spy.path().join("log")).expect("git ran");
    assert!(log.contains("ls-remote") && !log.contains("hunter2"), "{log}");
    assert!(!log.contains("bWU6aHVudGVyMmh1bnRlcjI"), "{log}");
    let wrong = url.replace("http://", "http://me:wrongwrong@");
    let said = refusal(&format!("FROM scratch\nADD {wrong} /src\n"));
    assert!(said.contains("Authentication failed") && !said.contains("wrongwrong@"), "{said}");
}

#[test]
fn a_private_repository_is_read_with_a_secret() {
    let server = WebServer::with_password("x-access-token:hunter2hunter2");
    let url = repository(&server, "r.git");
    // base64 of x-access-token:hunter2hunter2
    let (basic, host) = ("eC1hY2Nlc3MtdG9rZW46aHVudGVyMmh1bnRlcjI=", server.host());
    let dockerfile = format!("FROM scratch\nADD --keep-git-dir {url} /src\n");
    for (id, value) in [
        (format!("GIT_AUTH_TOKEN.{host}"), "hunter2hunter2\n".to_owned()),
        ("GIT_AUTH_TOKEN".to_owned(), "hunter2hunter2".to_owned()),
        (format!("GIT_AUTH_HEADER.{host}"), format!("Basic {basic}")),
    ] {
        let spy = spy();
        let file = spy.path().join("secret");
        std::fs::write(&file, value).expect("written");
        let built = Build::new(&dockerfile)
            .env("PATH", &format!("{}:/usr/bin:/bin", spy.path().display()))
            .flag(&format!("--secret=id={id},src={}", file.display()))
            .run(Place::Overlay);
        let image = built.image();
        let layer = String::from_utf8_lossy(&image.layer(-1).tar).into_owned();
        let log = std::fs::read_to_string(spy.path().join("log")).expect("git ran");
        assert!(layer.contains("three\n") && log.contains("ls-remote"), "{id}: {log}");
        for text in [&layer, &log, &built.finished.output()] {
            assert!(!text.contains("hunter2") && !text.contains(basic), "{id}: {text}");
        }
    }
    for other in ["GIT_AUTH_TOKEN.127.0.0.1", "GIT_AUTH_TOKEN.other", "HTTP_AUTH_TOKEN_127.0.0.1"] {
        let built = Build::new(&dockerfile)
            .env("TOKEN", "hunter2hunter2")
            .flag(&format!("--secret=id={other},env=TOKEN"))
            .run(Place::Overlay);
        let said = built.failed(1);
        assert!(said.contains("--secret id=GIT_AUTH_TOKEN.<host>") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_private_file_is_read_with_a_secret() {
    let server = WebServer::start();
    server.page("/f", Page::of("hello").private("Bearer hunter2hunter2"));
    let dockerfile = format!("FROM scratch\nADD {} /f\n", server.url("/f"));
    let with = |id: &str, value: &str| {
        Build::new(&dockerfile)
            .env("VALUE", value)
            .flag(&format!("--secret=id={id},env=VALUE"))
            .run(Place::Overlay)
    };
    for (id, value) in [
        ("HTTP_AUTH_TOKEN_127.0.0.1", "hunter2hunter2"),
        ("HTTP_AUTH_HEADER_127.0.0.1", "Bearer hunter2hunter2"),
    ] {
        let built = with(id, value);
        assert_eq!(built.image().layer(-1).listing(), "f 0600 0:0 f \"hello\"\n");
        assert!(!built.finished.output().contains("hunter2"), "{}", built.finished.output());
    }
    let before = server.requests().len();
    for id in ["HTTP_AUTH_TOKEN_localhost", "GIT_AUTH_TOKEN"] {
        let built = with(id, "hunter2hunter2");
        let said = built.failed(1);
        assert!(said.contains("answered 401") && said.contains("id=HTTP_AUTH_TOKEN_<host>"), "{said}");
    }
    assert!(server.requests()[before..].iter().all(|request| request == "GET /f"), "shown to no other host");
    let built = with("HTTP_AUTH_TOKEN_127.0.0.1", "hunter2\nhunter2");
    let said = built.failed(1);
    assert!(said.contains("is not one line of ASCII text") && !said.contains("hunter2"), "{said}");
}

#[test]
fn without_git_there_is_a_sentence() {
    let server = WebServer::start();
    let url = repository(&server, "r.git");
    let built = Build::new(&format!("FROM scratch\nADD {url} /src\n")).run(Place::InPlace);
    let said = built.failed(1);
    assert!(said.contains("there is no program git") && said.contains("use an image that has git"), "{said}");
}

#[test]
fn copy_fetches_nothing() {
    for (source, what) in
        [("https://h/f", "a URL"), ("https://h/r.git", "a git repository"), ("git@h:r", "a git repository")]
    {
        let said = refusal(&format!("FROM scratch\nCOPY {source} /x\n"));
        assert!(
            said.contains(&format!("{what} cannot be a source of COPY")) && said.contains("use ADD"),
            "{said}"
        );
    }
}

/// kaniko's `--dockerfile URL`; the ignore file is the context's.
#[test]
fn a_dockerfile_of_a_web_server() {
    let server = WebServer::start();
    server.page("/d/Dockerfile", Page::of("FROM scratch\nCOPY . /\n"));
    server.page("/wrong", Page::of("FROM scratch\nRUNN x\n"));
    let build = |path: &str| {
        Build::new("FROM scratch\n")
            .file("a", "1")
            .file("b", "2")
            .file(".dockerignore", "b\nDockerfile\n.dockerignore\n")
            .flag(&format!("--dockerfile={}", server.url(path)))
            .run(Place::Overlay)
    };
    assert_eq!(build("/d/Dockerfile").image().layer(0).paths(), ["a"]);
    let wrong = build("/wrong");
    let error = wrong.failed(1);
    assert!(error.contains("RUNN") && error.contains("/wrong:2"), "{error}");
    assert!(build("/none").failed(1).contains("404"));
}
