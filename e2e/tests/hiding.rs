//! What a step cannot read: our memory, environment and descriptors, and credentials.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Container, Place, Registry, everywhere};

everywhere!(environments_and_memory_of_others, credential_files_are_out_of_reach);

const SECRET: &str = "s3cr3t-of-the-builder";

/// Looks at every process but its own children, as root, as another user, and as root again by
/// a program with the setuid bit.
fn environments_and_memory_of_others(place: Place) {
    let look = format!(
        "for p in /proc/[0-9]*; do \
           for f in environ mem maps root/etc/passwd cwd/. fd/0 auxv stack syscall; do \
             case $p in /proc/$$) continue;; esac; \
             grep -q YADOKARI_STEP=1 $p/environ 2>/dev/null && continue; \
             head -c 1 $p/$f >/dev/null 2>&1 && echo readable: $(cat $p/comm) $p/$f; \
           done; \
           tr '\\0' '\\n' < $p/environ 2>/dev/null | grep {SECRET} && echo LEAK $p; \
         done; true"
    );
    let build = Build::new(&format!(
        "FROM debian\n\
         ENV YADOKARI_STEP=1\n\
         RUN cp /bin/dash /bin/setuid-sh && chmod 4755 /bin/setuid-sh\n\
         RUN {look}\n\
         USER daemon\n\
         RUN {look}\n\
         RUN /bin/setuid-sh -p -c '{}'\n",
        look.replace('\'', "'\\''")
    ))
    .env("CI_SECRET", SECRET)
    .env("YADOKARI_TEST_TOKEN", SECRET);
    let built = build.run(place);
    built.succeeded();
    let output = built.finished.output();
    let leaks: Vec<_> = output
        .lines()
        .filter(|line| line.contains("readable: ") || line.contains("LEAK") || line.contains(SECRET))
        .filter(|line| !line.contains("RUN ") && !line.contains("$(cat"))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

fn credential_files_are_out_of_reach(place: Place) {
    let registry = Registry::with_password();
    let build = Build::new(
        "FROM busybox\n\
         RUN for f in /yadokari/home/.docker/config.json /kaniko/.docker/config.json \
               /root/.docker/config.json; do cat $f 2>/dev/null && echo LEAK; done; true\n",
    )
    .docker_config(&registry.docker_config())
    .push(&registry, "app:1");
    let built = build.run(place);
    built.succeeded();
    assert!(!built.finished.output().contains("auths"), "{}", built.finished.output());
    let config = build.out().parent().expect("a parent").join("home/.docker/config.json");
    let after = std::fs::read_to_string(config).expect("the file is back");
    assert_eq!(after, registry.docker_config());
}

#[test]
fn a_read_only_credential_file_is_named() {
    let registry = Registry::with_password();
    let dockerfile = "FROM busybox\nRUN true\n";
    let build = |flag: Option<&str>| {
        let mut build = Build::new(dockerfile).push(&registry, "app:1");
        if let Some(flag) = flag {
            build = build.flag(flag);
        }
        let file = build.out().parent().expect("a parent").join("config.json");
        std::fs::write(&file, registry.docker_config()).expect("written");
        build.container(|c: Container| c.read_only_volume(&file, "/kaniko/.docker/config.json"))
    };
    let built = build(None).run(Place::InPlace);
    built.succeeded();
    let warnings: Vec<_> = built
        .finished
        .stderr
        .lines()
        .filter(|line| line.contains("/kaniko/.docker/config.json") && line.to_lowercase().contains("warn"))
        .collect();
    assert_eq!(warnings.len(), 1, "{}", built.finished.stderr);
    let built = build(Some("--require-hidden-credentials")).run(Place::InPlace);
    assert!(built.failed(1).contains("/kaniko/.docker/config.json"), "{}", built.finished.stderr);
}

/// What packages do while they are installed must go on working.
#[test]
fn hiding_breaks_nothing_that_installs_packages() {
    let build = Build::new(
        "FROM debian\n\
         RUN useradd -m bob && su bob -c 'id -un' && \
             dpkg-divert --local --rename --add /etc/issue && chown bob /etc/issue.distrib && \
             su -s /bin/sh daemon -c 'touch /tmp/by-daemon' && mkdir /top && mv /top /top2 && \
             chroot / /bin/true && setpriv --reuid=bob --regid=bob --clear-groups true\n",
    );
    for place in Place::ALL {
        build.run(place).succeeded();
        std::fs::remove_dir_all(build.out().join("layout")).expect("removed");
    }
}
