//! `RUN --mount`: what a step finds besides its files, and that nothing of it stays; in every place.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Image, Kind, Place, everywhere};

everywhere!(
    files_of_the_context,
    mount_points_are_in_no_layer,
    what_is_written_to_a_bind_mount_is_lost,
    files_of_stages_and_images,
    a_stages_files_are_shown_as_they_are_and_stay_so,
    mounts_lie_in_mounts,
    a_cache_stays_and_is_in_no_layer,
    a_cache_has_an_owner_and_a_start,
    a_cache_named_by_a_variable_is_only_read,
    memory_is_empty_and_gone,
    a_secret_as_file_and_variable,
    a_secret_that_was_not_given,
    an_agent_only_signs,
    what_is_there_is_covered,
    a_failed_step_leaves_nothing,
);

const SECRET: &str = "hunter22-is-the-secret";

/// The content of a file that the last layer has.
fn written(image: &Image, path: &str) -> String {
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry(path).kind else { panic!("{path} is no file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

fn files_of_the_context(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir /real && ln -s /real /link\n\
         WORKDIR /w\n\
         ARG WHICH=sub\n\
         RUN --mount=target=ctx --mount=type=bind,source=$WHICH/file,target=/deep/er/f \
             --mount=source=/sub,dst=/link/in \
             (ls -A ctx; stat -c '%u:%g %a' ctx/sub/file ctx/sub; cat /deep/er/f; ls /real/in) > /result\n",
    )
    .file("sub/file", "content\n")
    .file("ignored", "x")
    .file(".dockerignore", "ignored\nDockerfile\n.dockerignore\n")
    .prepare("chown -R 1234:1234 sub; chmod 0750 sub; chmod 0640 sub/file");
    let image = build.run(place).image();
    assert_eq!(image.layer(-1).paths(), ["result"]);
    assert_eq!(written(&image, "result"), "sub\n0:0 640\n0:0 750\ncontent\nfile\n");
}

fn mount_points_are_in_no_layer(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /d /keeps && touch -d '2001-02-03 04:05:06' /d /keeps\n\
         RUN --mount=type=tmpfs,target=/d/a/b --mount=type=secret,id=none,target=/d/s \
             --mount=type=cache,target=/new/er touch /d/a/b/x /new/er/x\n\
         RUN --mount=type=tmpfs,target=/keeps/a/b touch /keeps/a/mine\n\
         RUN stat -c '%n %Y' /d >> /result; ls -A /d /keeps /keeps/a >> /result\n",
    );
    let image = build.run(place).image();
    assert_eq!(image.layer(-3).listing(), "");
    assert_eq!(image.layer(-2).paths(), ["keeps", "keeps/a", "keeps/a/mine"]);
    assert_eq!(written(&image, "result"), "/d 981173106\n/d:\n\n/keeps:\na\n\n/keeps/a:\nmine\n");
}

fn what_is_written_to_a_bind_mount_is_lost(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN --mount=target=/c,rw echo changed > /c/file && echo new > /c/new && rm /c/gone && cat /c/file > /one\n\
         RUN --mount=target=/c (cat /c/file; ls /c; touch /c/x 2>&1) > /two; true\n",
    )
    .file("file", "original\n")
    .file("gone", "")
    .file(".dockerignore", "Dockerfile\n.dockerignore\n");
    let image = build.run(place).image();
    assert_eq!(image.layer(-2).listing(), "f 0644 0:0 one \"changed\\n\"\n");
    let two = written(&image, "two");
    let kept = place == Place::InPlace || two.contains("Read-only file system");
    assert!(two.starts_with("original\nfile\ngone\n") && kept, "{two}");
    assert_eq!(fs::read_to_string(build.context().join("file")).expect("readable"), "original\n");
    assert!(build.context().join("gone").exists() && !build.context().join("new").exists());
}

fn files_of_stages_and_images(place: Place) {
    let build = Build::new(
        "FROM debian AS made\n\
         RUN mkdir /made && echo built > /made/app && chown 7:8 /made/app && ln -s app /made/link\n\
         FROM scratch AS copied\n\
         COPY f /dir/f\n\
         FROM busybox\n\
         RUN --mount=from=made,source=/made,target=/a --mount=from=copied,target=/b \
             --mount=from=busybox,source=/etc/passwd,target=/c --mount=from=named,target=/d \
             (cat /a/link; stat -c '%u:%g' /a/app; cat /b/dir/f; head -c 4 /c; echo; cat /d/n) > /result\n",
    )
    .file("f", "copied\n")
    .file("sub/n", "named\n")
    .flag("--build-context=named={context}/sub");
    let image = build.run(place).image();
    assert_eq!(image.layer(-1).paths(), ["result"]);
    assert_eq!(written(&image, "result"), "built\n7:8\ncopied\nroot\nnamed\n");
}

fn a_stages_files_are_shown_as_they_are_and_stay_so(place: Place) {
    let build = Build::new(
        "FROM busybox AS made\n\
         RUN mkdir -p /made/sub && echo one > /made/one && ln /made/one /made/two && echo old > /made/sub/old && \
             touch /made/gone && chown 7:8 /made && chmod 0750 /made\n\
         RUN rm -r /made/gone /made/sub && mkdir /made/sub && echo in > /made/sub/in && ln -s sub /made/link\n\
         FROM busybox AS other\n\
         RUN --mount=from=made,source=/made,target=/m,rw echo more >> /m/one && rm -r /m/sub && cat /m/one > /other\n\
         FROM busybox\n\
         COPY --from=other /other /result\n\
         RUN --mount=from=made,source=/made/link,target=/link --mount=from=made,source=/made,target=/m \
             --mount=type=tmpfs,target=/r/made/sub/new --mount=from=made,target=/r \
             --mount=from=made,source=/made/one,target=/f --mount=from=busybox,source=/etc,target=/e,rw \
             (ls -A /link /m /r/made/sub; stat -c '%u:%g %a' /m/one /m; stat -c %h /m/one; cat /f; echo > /e/passwd; \
              awk '$5 == \"/m\" { print $4 }' /proc/self/mountinfo | sed 's,.*/,,') >> /result\n\
         RUN --mount=from=made,source=/made,target=/m --mount=from=busybox,source=/etc,target=/e \
             (cat /m/one /m/sub/in; head -c 4 /e/passwd) >> /result\n",
    );
    let image = build.run(place).image();
    assert_eq!(image.layer(-2).paths(), ["result"]);
    // Where there are mounts, it is the stage's own directory.
    let mounted = if place == Place::InPlace { "" } else { "made\n" };
    let shown = "/link:\nin\n\n/m:\nlink\none\nsub\ntwo\n\n/r/made/sub:\nin\nnew\n0:0 644\n7:8 750\n2\none\n";
    assert_eq!(written(&image, "result"), format!("one\nmore\n{shown}{mounted}one\nin\nroot"));
}

fn mounts_lie_in_mounts(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN --mount=type=tmpfs,target=/src/node_modules --mount=target=/src --mount=type=cache,target=/src/a/b \
             (ls /src; touch /src/node_modules/x /src/a/b/y && ls /src/node_modules /src/a/b) > /result\n\
         RUN --mount=target=/src ls /src >> /result\n",
    )
    .file("f", "")
    .file(".dockerignore", "Dockerfile\n.dockerignore\n");
    let image = build.run(place).image();
    assert_eq!(written(&image, "result"), "a\nf\nnode_modules\n/src/a/b:\ny\n\n/src/node_modules:\nx\nf\n");
    assert_eq!(image.layer(-1).paths(), ["result"]);
}

fn a_cache_stays_and_is_in_no_layer(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         WORKDIR /w\n\
         RUN --mount=type=cache,target=/root/.cache echo run >> /root/.cache/log && mkdir -p /root/.cache/d\n\
         RUN --mount=type=cache,id=/root/.cache,target=c cat c/log > /result; ls -A / /root /w >> /result\n\
         RUN --mount=type=cache,id=other,target=/c ls -A /c /w >> /result\n",
    )
    .flag("--cache-dir={out}/cache");
    let first = build.run(place);
    let log = written(&first.image(), "result");
    assert!(log.starts_with("run\n/:\n") && !log.contains(".cache"), "{log}");
    assert_eq!(first.image().layer(-3).listing(), "");
    fs::remove_dir_all(build.out().join("layout")).expect("removed");
    let second = build.run(place);
    assert!(written(&second.image(), "result").starts_with("run\nrun\n/:\n"));
}

fn a_cache_has_an_owner_and_a_start(place: Place) {
    let build = Build::new(
        "FROM busybox AS seed\n\
         RUN mkdir -p /s/d && echo seed > /s/d/f && chown -R 5:6 /s\n\
         FROM busybox\n\
         RUN --mount=type=cache,target=/a,uid=12,gid=34,mode=0750 --mount=type=cache,target=/b \
             --mount=type=cache,target=/c,from=seed,source=/s \
             (stat -c '%u:%g %a' /a /b /c; cat /c/d/f) > /result; echo more >> /c/d/f || true\n\
         RUN --mount=type=cache,target=/c,from=seed,source=/s cat /c/d/f >> /result\n",
    );
    let image = build.run(place).image();
    assert_eq!(written(&image, "result"), "12:34 750\n0:0 755\n5:6 755\nseed\nseed\nmore\n");
}

fn a_cache_named_by_a_variable_is_only_read(place: Place) {
    // In place nothing keeps root from writing, and who asks for it is told.
    let (ro, refused) =
        if place == Place::InPlace { ("", "") } else { (",ro", "touch: /w/d/x: Read-only file system\n") };
    let build = Build::new(&format!(
        "FROM busybox\n\
         WORKDIR /w\n\
         ARG ID=mine\n\
         RUN --mount=type=cache,id=$ID,target=${{ID}}/c echo kept > mine/c/f\n\
         RUN --mount=type=cache,id=mine,target=d{ro} (cat d/f; touch /w/d/x) > /result 2>&1; true\n\
         RUN --mount=type=cache,target=other (ls -A other; echo end) >> /result\n"
    ));
    let image = build.run(place).image();
    assert_eq!(written(&image, "result"), format!("kept\n{refused}end\n"));
}

fn memory_is_empty_and_gone(place: Place) {
    let mut mount = "--mount=type=tmpfs,target=/data".to_owned();
    if place != Place::InPlace {
        mount += ",size=4m";
    }
    let build = Build::new(&format!(
        "FROM busybox\n\
         RUN mkdir /data && echo kept > /data/f\n\
         RUN {mount} (ls -A /data; stat -c %a /data; grep -c ' /data tmpfs' /proc/mounts) > /result; \
             dd if=/dev/zero of=/data/big bs=1M count=8 2>/dev/null || echo full >> /result\n\
         RUN cat /data/f >> /result; ls /data >> /result\n"
    ));
    let image = build.run(place).image();
    let (count, full) = if place == Place::InPlace { ("0", "") } else { ("1", "full\n") };
    assert_eq!(image.layer(-2).paths(), ["result"]);
    assert_eq!(written(&image, "result"), format!("1777\n{count}\n{full}kept\nf\n"));
}

fn a_secret_as_file_and_variable(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir /etc/npm && echo old > /etc/npm/rc\n\
         RUN --mount=type=secret,id=file --mount=type=secret,id=file,target=/etc/npm/rc,uid=7,gid=8,mode=0440 \
             --mount=type=secret,id=variable,env=TOKEN --mount=type=secret,id=variable,target=/both,env=BOTH \
             (stat -L -c '%u:%g %a %s' /run/secrets/file /etc/npm/rc; wc -c < /both; \
              test \"$TOKEN\" = \"$(cat /run/secrets/file)\" && test \"$BOTH\" = \"$TOKEN\" && echo same; \
              echo \"it is $TOKEN\") | sed 's/hunter22-/H-/' > /result; cat /run/secrets/file\n\
         RUN cat /etc/npm/rc >> /result; ls -A /run /run/secrets >> /result 2>&1; env | grep -c -i -e TOKEN -e hunter >> /result; true\n",
    )
    .env("CI_TOKEN", SECRET)
    .flag("--secret=id=variable,env=CI_TOKEN")
    .flag("--secret=id=file,src={out}/secret");
    fs::write(build.out().join("secret"), SECRET).expect("written");
    let built = build.run(place);
    let image = built.image();
    let length = SECRET.len();
    let result = written(&image, "result");
    let expected =
        format!("0:0 400 {length}\n7:8 440 {length}\n{length}\nsame\nit is H-is-the-secret\nold\n");
    assert!(result.starts_with(&expected) && result.ends_with("0\n"), "{result}");
    assert_eq!(image.layer(-2).paths(), ["result"]);
    assert!(!built.finished.output().contains(SECRET), "{}", built.finished.output());
    fs::remove_file(build.out().join("secret")).expect("it is there still");
    nothing_holds(build.out().parent().expect("a parent"), SECRET.as_bytes());
}

/// No file below a directory has these bytes.
fn nothing_holds(directory: &std::path::Path, bytes: &[u8]) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        let found = fs::symlink_metadata(&path).expect("there");
        if found.is_dir() {
            nothing_holds(&path, bytes);
        } else if found.is_file() {
            let content = fs::read(&path).expect("readable");
            assert!(!content.windows(bytes.len()).any(|w| w == bytes), "{} has it", path.display());
        }
    }
}

fn a_secret_that_was_not_given(place: Place) {
    let run = |options: &str| {
        Build::new(&format!(
            "FROM busybox\nRUN echo executed | tr a-z A-Z\n\
             RUN --mount=type=secret,id=absent{options} ls /run/secrets/absent 2>&1; echo env=$ENV. > /result\n"
        ))
        .run(place)
    };
    let image = run(",env=ENV").image();
    assert_eq!(written(&image, "result"), "env=.\n");
    let refused = run(",required=true");
    let error = refused.failed(1);
    assert!(error.contains("'absent' is required") && error.contains("--secret id=absent"), "{error}");
    assert!(!refused.finished.output().contains("EXECUTED"), "{}", refused.finished.output());
}

/// Asks the agent for its keys, and to forget them; prints the first byte of each answer.
const ASK: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die $!; \
     for my $kind (11, 19) { syswrite $s, pack(q(NC), 1, $kind); sysread $s, my $a, 5; print unpack(q(x4C), $a), qq(\\n) }";

fn an_agent_only_signs(place: Place) {
    let build = Build::new(&format!(
        "FROM debian\n\
         RUN --mount=type=ssh,uid=1,mode=0600 (stat -c '%u %a %F' $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK; perl -e '{ASK}') > /result\n\
         RUN --mount=type=ssh,id=absent,target=/x ls /x >> /result 2>&1; true\n"
    ))
    .flag("--ssh=default={out}/agent");
    let listener = UnixListener::bind(build.out().join("agent")).expect("a socket");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut request = [0; 5];
            while client.read_exact(&mut request).is_ok() {
                // SSH_AGENT_IDENTITIES_ANSWER is 12.
                client.write_all(&[0, 0, 0, 1, request[4] + 1]).expect("answered");
            }
        }
    });
    let image = build.run(place).image();
    let result = written(&image, "result");
    assert!(result.starts_with("1 600 socket\n/run/buildkit/ssh_agent.0\n12\n5\n"), "{result}");
    assert!(result.contains("No such file"), "{result}");
    assert_eq!(image.layer(-2).paths(), ["result"]);
}

fn what_is_there_is_covered(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /d/sub && echo own > /d/f && echo own > /d/sub/g && echo own > /file\n\
         RUN --mount=target=/d --mount=source=f,target=/file (cat /d/f /file; ls /d/sub 2>&1) > /result; true\n\
         RUN cat /d/f /d/sub/g /file >> /result\n",
    )
    .file("f", "theirs\n");
    let image = build.run(place).image();
    assert_eq!(image.layer(-2).paths(), ["result"]);
    let result = written(&image, "result");
    assert!(result.starts_with("theirs\ntheirs\nls: ") && result.ends_with("own\nown\nown\n"), "{result}");
    let refused =
        Build::new("FROM busybox\nRUN --mount=source=f,target=/bin true\n").file("f", "").run(place);
    assert!(refused.failed(1).contains("in the way"), "{}", refused.finished.stderr);
}

fn a_failed_step_leaves_nothing(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN --mount=type=secret,id=s,target=/new/s --mount=type=cache,target=/cache --mount=target=/c,rw \
             cat /new/s > /cache/was; echo x > /c/x; exit 9\n",
    )
    .flag("--secret=id=s,src={out}/secret")
    .flag("--cache-dir={out}/cache");
    fs::write(build.out().join("secret"), "tiny").expect("written");
    build.run(place).failed(9);
    // A cache keeps what a failed step put there.
    let caches = build.out().join("cache/mounts");
    let one = fs::read_dir(caches).expect("caches").next().expect("one").expect("readable").path();
    assert_eq!(fs::read(one.join("0/data/was")).expect("the cache is back"), b"tiny");
    assert_eq!(fs::metadata(one.join("0/data")).expect("there").mode() & 0o7777, 0o755);
    assert!(!build.context().join("x").exists());
}
