//! Without being root: a plain user with and without subordinate ids.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use tar::EntryType;
use yadokari_e2e::{
    Build, Compress, Finished, ForgedImage, ForgedLayer, Image, Place, program, run, run_ok, scratch,
};

/// Where `newuidmap` and `newgidmap` are found.
pub(crate) const WITH_IDS: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
/// Where they are not.
pub(crate) const SINGLE_ID: &str = "/nowhere";

/// Runs a build as the user `yadokari`, whom `./test` made.
pub(crate) fn as_plain_user(build: &Build, isolation: &str, path: &str) -> Finished {
    run(&mut plain_command(build, isolation, path))
}

/// The command that does it.
pub(crate) fn plain_command(build: &Build, isolation: &str, path: &str) -> Command {
    let directory = build.out().parent().expect("a parent").to_owned();
    run_ok(Command::new("chown").args(["-R", "yadokari:"]).arg(&directory));
    run_ok(Command::new("chmod").arg("0755").arg(&directory));
    let host = build.host_command();
    let own = |word: &&std::ffi::OsStr| !word.to_string_lossy().starts_with("--isolation=");
    let mut command = plain_user(host.get_program().as_ref(), path);
    command
        .args(host.get_args().filter(own))
        .arg(format!("--isolation={isolation}"))
        .env("HOME", directory.join("home"))
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .current_dir(&directory);
    command
}

pub(crate) fn plain_user(program: &Path, path: &str) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid=yadokari", "--regid=yadokari", "--init-groups", "--inh-caps=-all"]);
    command.arg(program).env_clear().env("PATH", path);
    command
}

fn image_of(build: &Build, finished: &Finished) -> Image {
    assert_eq!(finished.code, 0, "{}", finished.output());
    Image::from_layout(&build.out().join("layout"))
}

/// What a user of a namespace gets must be what root gets.
fn is_the_same_as_of_root(dockerfile: &str, bases: &[(&str, &Path)], path: &str) {
    let build = || {
        let build = Build::new(dockerfile).file("file", "content\n").env("SOURCE_DATE_EPOCH", "1700000000");
        let build = build.prepare("touch -d @1600000000 file");
        bases.iter().fold(build, |build, (name, layout)| build.base(name, layout))
    };
    let expected = build().run(Place::Overlay).image();
    for isolation in ["overlay", "chroot"] {
        let build = build();
        let finished = as_plain_user(&build, isolation, path);
        let image = image_of(&build, &finished);
        for number in 1..expected.layer_count() as isize {
            let (ours, theirs) = (image.layer(number).listing(), expected.layer(number).listing());
            assert_eq!(ours, theirs, "layer {number}, {isolation}");
        }
        assert_eq!(image.digest, expected.digest, "{isolation}");
    }
}

#[test]
fn subordinate_ids_make_a_whole_system() {
    is_the_same_as_of_root(
        "FROM debian AS tools\n\
         RUN chown 33:33 /srv && su -s /bin/sh daemon -c 'id -un' > /who && chgrp mail /who && chmod 2755 /who\n\
         FROM debian\n\
         COPY --chown=www-data file /srv/file\n\
         COPY --from=tools /who /srv /copied/\n\
         RUN stat -c '%u:%g %a %n' /copied/* /var/mail /srv/file > /seen && rm /srv/file\n\
         USER daemon\n\
         RUN id > /tmp/id\n",
        &[],
        WITH_IDS,
    );
}

#[test]
fn a_plain_user_has_mounts_and_can_do_without_a_network() {
    let text = "FROM busybox\n\
         RUN --network=none --mount=target=/c --mount=type=cache,target=/k,uid=3 --mount=type=tmpfs,target=/t,size=1m \
             --mount=type=secret,id=s,target=/s,uid=5,mode=0440 --mount=type=secret,id=s,env=S --mount=from=busybox,source=/bin,target=/b,rw \
             (cat /c/file; cat /s | wc -c; test \"$S\" = \"$(cat /s)\" && echo same; touch /k/x /t/x /b/x && ls /k /t; \
              ip -o link | wc -l) > /seen; stat -c %a /s >> /seen; (touch /c/x || touch /s) 2>/dev/null || echo refused >> /seen\n";
    for (path, isolation) in
        [(WITH_IDS, "overlay"), (WITH_IDS, "chroot"), (SINGLE_ID, "overlay"), (SINGLE_ID, "chroot")]
    {
        let build = Build::new(text).file("file", "content\n").flag("--secret=id=s,src={out}/secret");
        fs::write(build.out().join("secret"), "hunter22").expect("written");
        let image = image_of(&build, &as_plain_user(&build, isolation, path));
        let seen = "f 0644 0:0 seen \"content\\n8\\nsame\\n/k:\\nx\\n\\n/t:\\nx\\n1\\n440\\nrefused\\n\"\n";
        assert_eq!(image.layer(-1).listing(), seen, "{isolation}, {path}");
    }
}

/// An image with owners and devices, and a shell.
fn owned() -> tempfile::TempDir {
    let layout = scratch();
    let busybox = fs::read("/bin/busybox").expect("busybox is readable");
    let mut shell = ForgedLayer::new().directory("bin/", 0o755).file("bin/busybox", 0o755, &busybox);
    for applet in ["sh", "cp", "mv", "touch", "chmod", "mkdir", "echo"] {
        shell = shell.symlink(&format!("bin/{applet}"), "busybox");
    }
    let files = ForgedLayer::new()
        .entry(EntryType::Directory, "n/", 0o755, (3, 4), "", b"")
        .entry(EntryType::Char, "n/null", 0o660, (0, 6), "", b"")
        .entry(EntryType::Block, "n/disk", 0o600, (1, 0), "", b"")
        .entry(EntryType::Fifo, "n/pipe", 0o640, (5, 6), "", b"")
        .entry(EntryType::Symlink, "n/link", 0o777, (7, 8), "gone", b"")
        .entry(EntryType::Regular, "n/suid", 0o4755, (9, 10), "", b"x")
        .entry(EntryType::Regular, "n/moved", 0o644, (9, 70_000), "", b"moved")
        .entry(EntryType::Directory, "n/sticky/", 0o3777, (11, 12), "", b"");
    let layers = vec![shell.blob(Compress::Gzip), files.blob(Compress::Gzip)];
    ForgedImage { layers, config: serde_json::json!({"Env": ["PATH=/bin"]}) }.write(layout.path());
    layout
}

const OWNED: &str = "FROM owned AS files\n\
     RUN touch -d @1 /n/new /n/sticky/new && chmod 600 /n/suid && mv /n/moved /n/sticky/moved\n\
     RUN cp -a /bin/echo /n/sh\n\
     FROM files AS forked\n\
     RUN chmod 0700 /n/sticky\n\
     FROM files\n\
     COPY --chown=33:34 file /n/copied/file\n\
     COPY --from=files /n /all\n\
     COPY --from=forked /n/sticky /forked\n\
     RUN echo more >> /n/copied/file && touch -d @1 /n/copied/new /all/new\n";

#[test]
fn a_single_id_records_what_it_cannot_set() {
    // The group of a new file in a directory with setgid is taken from the directory by the kernel,
    // which does not know the recorded one: so nothing is made there.
    let dockerfile = OWNED.replace(" /n/sticky/new", "");
    is_the_same_as_of_root(&dockerfile, &[("owned", owned().path())], SINGLE_ID);
}

#[test]
fn an_id_outside_the_subordinate_ones_is_recorded() {
    is_the_same_as_of_root(OWNED, &[("owned", owned().path())], WITH_IDS);
}

#[test]
fn a_single_id_says_what_more_would_take() {
    for step in ["RUN chown daemon /srv", "USER daemon\nRUN true"] {
        let build = Build::new(&format!("FROM debian\nRUN echo x > /x\n{step}\n"));
        let finished = as_plain_user(&build, "auto", SINGLE_ID);
        assert_eq!(finished.code, 1, "{step}: {}", finished.output());
        for part in ["single id", "help:", "newuidmap", "/etc/subuid"] {
            assert!(finished.stderr.contains(part), "'{part}' is not in:\n{}", finished.stderr);
        }
        assert!(!build.out().join("layout").exists());
    }
}

#[test]
fn doctor_says_who_one_is() {
    for (path, part) in [(WITH_IDS, "65536 subordinate ids"), (SINGLE_ID, "newuidmap is not in PATH")] {
        let finished = run(plain_user(&program(), path).arg("doctor"));
        assert_eq!(finished.code, 0, "{}", finished.output());
        let line = finished.stdout.lines().find(|line| line.starts_with("user id"));
        assert!(line.is_some_and(|line| line.contains(part)), "{}", finished.stdout);
    }
}

#[test]
fn copies_need_no_namespace() {
    let build = Build::new("FROM busybox\nCOPY f /bin/f\n").file("f", "f").any_isolation();
    let file = build.context().join("f");
    chown(&file, Some(12345), Some(12345)).expect("given away");
    let finished = as_plain_user(&build, "inplace", WITH_IDS);
    let image = image_of(&build, &finished);
    assert_eq!(image.layer(-1).entry("usr/bin/f").to_string(), "f 0644 0:0 usr/bin/f \"f\"");
}
