//! Build contexts that are no directory: archives from files, standard input and web servers, and
//! git repositories.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Image, Page, Place, WebServer, run, scratch};

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

/// A context with a link, an executable, an ignored file and a sub-directory with one of its own.
fn files() -> Build {
    Build::new(DOCKERFILE)
        .file(".dockerignore", "secret\nDockerfile\n.dockerignore\n.git\n")
        .file("secret", "x")
        .file("a", "a")
        .file_with_mode("run", 0o755, "r")
        .file("sub/Dockerfile", DOCKERFILE)
        .file("sub/b", "b")
        .prepare("ln -s a link")
}

const EXPECTED: &str = "f 0644 0:0 a \"a\"\nl 0777 0:0 link -> a\nf 0755 0:0 run \"r\"\n\
                        d 0755 0:0 sub\nf 0644 0:0 sub/Dockerfile \"FROM scratch\\nCOPY . /\\n\"\n\
                        f 0644 0:0 sub/b \"b\"\n";

/// The same build with another context.
fn with(build: Build, context: &str) -> Build {
    build.flag(&format!("--context={context}")).flag("--dockerfile=Dockerfile")
}

fn listing(built: &Built) -> String {
    built.image().layer(-1).listing()
}

/// Packs a context; `how` are tar's options.
fn packed(build: &Build, how: &str) -> Vec<u8> {
    let script = format!("tar --owner=7 --group=8 {how} -c .");
    let mut tar = Command::new("sh");
    let output = tar.args(["-euc", &script]).current_dir(build.context()).output().expect("tar starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn archives_in_every_compression_we_read() {
    let directory = scratch();
    for how in ["", "--gzip", "--bzip2", "--xz", "--zstd"] {
        let archive = directory.path().join("context");
        fs::write(&archive, packed(&files(), how)).expect("written");
        for context in [format!("tar://{}", archive.display()), archive.display().to_string()] {
            assert_eq!(listing(&with(files(), &context).run(Place::Overlay)), EXPECTED, "{how} {context}");
        }
    }
    let sub = with(files(), &format!("tar://{}", directory.path().join("context").display()))
        .flag("--context-sub-path=sub")
        .run(Place::Overlay);
    let expected = "f 0644 0:0 Dockerfile \"FROM scratch\\nCOPY . /\\n\"\nf 0644 0:0 b \"b\"\n";
    assert_eq!(listing(&sub), expected);
}

#[test]
fn an_archive_on_standard_input() {
    for name in ["-", "tar://stdin"] {
        let build = with(files(), name);
        let archive = scratch();
        let path = archive.path().join("a");
        fs::write(&path, packed(&build, "--gzip")).expect("written");
        let mut command = build.host_command();
        let output = command.stdin(Stdio::from(File::open(&path).expect("there"))).output().expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let image = Image::from_layout(&build.out().join("layout"));
        assert_eq!(image.layer(-1).listing(), EXPECTED);
    }
    let said = with(files(), "tar://stdin").run(Place::Overlay);
    assert!(said.failed(1).contains("cannot unpack the build context of standard input: it is empty"));
}

#[test]
fn an_archive_of_a_web_server() {
    let server = WebServer::start();
    let bytes = packed(&files(), "--gzip");
    server.page("/c.tar.gz", Page { cut: 1, ..Page::of(bytes) }.header("ETag", "\"v\""));
    server.page("/text", Page::of("no archive ".repeat(100)));
    let context = server.url("/c.tar.gz?token=hidden");
    assert_eq!(listing(&with(files(), &context).run(Place::Overlay)), EXPECTED);
    assert_eq!(server.requests().len(), 2, "it went on where it broke");
    for (path, words) in [("/none?token=hidden", "answered 404"), ("/text", "not a valid tar")] {
        let built = with(files(), &server.url(path)).run(Place::Overlay);
        let said = built.failed(1);
        assert!(said.contains(words) && !said.contains("hidden"), "{said}");
    }
}

#[test]
fn hostile_archives_stay_inside() {
    let outside = scratch();
    let secret = outside.path().join("secret");
    fs::write(&secret, "FROM scratch\nLABEL leaked=yes\n").expect("written");
    for (script, words) in [
        ("rm Dockerfile; ln -s \"$SECRET\" Dockerfile", "there is no Dockerfile"),
        ("rm Dockerfile; ln -s / root", "there is no Dockerfile"),
    ] {
        let build = files().prepare(&format!("SECRET={}\n{script}", secret.display()));
        let archive = outside.path().join("a.tar");
        fs::write(&archive, packed(&build, "")).expect("written");
        let context = format!("tar://{}", archive.display());
        let built =
            build.flag(&format!("--context={context}")).flag("--dockerfile=Dockerfile").flag("--no-push");
        // The directory's own Dockerfile is gone, too, but not looked for.
        fs::write(built.context().join("Dockerfile.bases"), "").expect("written");
        let finished = run(&mut without_bases(&built));
        assert!(finished.code == 1 && finished.stderr.contains(words), "{}", finished.output());
    }
    let mut evil = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.as_gnu_mut().expect("gnu").name[..9].copy_from_slice(b"../escape");
    header.set_cksum();
    evil.append(&header, &b"x"[..]).expect("appended");
    let archive = outside.path().join("evil.tar");
    fs::write(&archive, evil.into_inner().expect("an archive")).expect("written");
    let built = with(files(), &format!("tar://{}", archive.display())).run(Place::Overlay);
    assert!(built.failed(1).contains("leads out of"), "{}", built.finished.output());
}

/// The command of a build whose context has no Dockerfile to look for names of bases in.
fn without_bases(build: &Build) -> Command {
    let dockerfile = build.context().join("Dockerfile");
    let kept = fs::read_link(&dockerfile).ok();
    let _ = fs::remove_file(&dockerfile);
    fs::write(&dockerfile, "").expect("written");
    let command = build.host_command();
    fs::remove_file(&dockerfile).expect("removed");
    if let Some(target) = kept {
        std::os::unix::fs::symlink(target, &dockerfile).expect("linked");
    }
    command
}

#[test]
fn a_repository_is_cloned_as_kaniko_does() {
    let server = WebServer::with_password("token:");
    let script = "printf 'FROM scratch\\nCOPY . /\\n' > Dockerfile && echo 1 > a && git add . && git commit -qm 1\n\
                  git checkout -qb other && echo 2 > a && git commit -qam 2 && git tag -a v2 -m v2\n\
                  git checkout -q main && echo 3 > a && git commit -qam 3\n";
    let url = server.repository("r.git", script).replace("http://", "git://");
    let bare = server.repository_path("r.git");
    let mut show = Command::new("git");
    show.arg("-C").arg(&bare).args(["-c", "safe.directory=*", "rev-parse", "main~1"]);
    let first = run(&mut show).stdout.trim().to_owned();
    // The token is the name, its password is empty, and it goes before the others.
    let build = |context: &str| {
        let build = with(files(), context).env("GIT_PULL_METHOD", "http").env("GIT_TOKEN", "token");
        build.env("GIT_USERNAME", "other").env("GIT_PASSWORD", "wrong")
    };
    for (context, flags, content) in [
        (url.clone(), vec![], "3"),
        (format!("{url}#refs/heads/other"), vec![], "2"),
        (format!("{url}#other"), vec![], "2"),
        (format!("{url}#refs/tags/v2"), vec![], "2"),
        (format!("{url}#{first}"), vec![], "1"),
        (format!("{url}#refs/heads/main#{first}"), vec![], "1"),
        (url.clone(), vec!["--git=branch=v2"], "2"),
        (url.clone(), vec!["--git=branch=other,single-branch=true", "--git=depth=1"], "2"),
    ] {
        let build = flags.iter().fold(build(&context), |build, flag| build.flag(flag));
        let built = build.run(Place::Overlay);
        let layer = built.image().layer(-1);
        let a = layer.entries.iter().find(|e| e.path == "a").expect("a");
        assert!(a.to_string().contains(content), "{context} {flags:?}: {a}");
        assert!(layer.paths().contains(&".git/HEAD"), "{context}: history comes along");
        assert!(!String::from_utf8_lossy(&layer.tar).contains("token:@"), "{context}");
    }
    let said = with(files(), &url).env("GIT_PULL_METHOD", "http").run(Place::Overlay);
    let said = said.failed(1);
    assert!(said.contains("git ls-remote") && said.contains("GIT_TOKEN"), "{said}");
}

#[test]
fn a_repository_by_buildkits_url() {
    let server = WebServer::start();
    let script = "mkdir sub && printf 'FROM scratch\\nCOPY . /\\n' | tee Dockerfile > sub/Dockerfile\n\
                  echo b > sub/b && echo a > a && git add . && git commit -qm 1 && git tag v1";
    let url = server.repository("r.git", script);
    let dockerfile = "f 0644 0:0 Dockerfile \"FROM scratch\\nCOPY . /\\n\"\n";
    let part = format!("{dockerfile}f 0644 0:0 b \"b\\n\"\n");
    assert_eq!(listing(&with(files(), &format!("{url}#v1:sub")).run(Place::Overlay)), part);
    let by_path = with(files(), &url).flag("--context-sub-path=sub").run(Place::Overlay);
    assert_eq!(listing(&by_path), part);
    let kept = with(files(), &url).flag("--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1").run(Place::Overlay);
    assert!(listing(&kept).contains(" .git/HEAD "));
    assert!(!listing(&with(files(), &url).run(Place::Overlay)).contains(".git"));
}

/// `SOURCE_DATE_EPOCH=context` is the time of the commit; a directory has none.
#[test]
fn the_epoch_is_the_commits() {
    let server = WebServer::start();
    let script = "printf 'ARG SOURCE_DATE_EPOCH=context\\nFROM scratch\\nCOPY f /\\n' > Dockerfile\n\
                  echo f > f && git add . && GIT_COMMITTER_DATE='2020-01-02T03:04:05Z' git commit -qm 1";
    let url = server.repository("r.git", script);
    let given = "--build-arg=SOURCE_DATE_EPOCH=context";
    for build in [with(files(), &url), with(files(), &url).flag(given)] {
        assert_eq!(build.run(Place::Overlay).image().config["created"], "2020-01-02T03:04:05Z");
    }
    let here = Build::new(
        "ARG SOURCE_DATE_EPOCH\nFROM scratch\nARG SOURCE_DATE_EPOCH=none\nLABEL a=$SOURCE_DATE_EPOCH\n",
    );
    let image = here.flag(given).run(Place::Overlay).image();
    assert_eq!(image.config["config"]["Labels"]["a"], "none");
    assert_ne!(image.config["created"], "2020-01-02T03:04:05Z");
}

#[test]
fn an_archive_in_every_place() {
    let build = Build::new("FROM busybox\nCOPY . /c/\nRUN test \"$(cat /c/a)\" = a && echo ran > /said\n")
        .file("a", "a");
    let archive = packed(&build, "--gzip");
    fs::write(build.context().join("context.tar.gz"), archive).expect("written");
    let build = build.flag("--context=tar://{context}/context.tar.gz").flag("--dockerfile=Dockerfile");
    let images = build.run_everywhere();
    for (place, image) in &images {
        let tree = image.tree();
        assert!(tree.nodes.contains_key("c/a") && tree.nodes.contains_key("said"), "{place:?}");
        assert!(!tree.nodes.contains_key("c/context.tar.gz"), "{place:?}: the archive stays outside");
    }
    for pair in images.windows(2) {
        assert_eq!(pair[0].1.tree().differences(&pair[1].1.tree()), "");
    }
}
