//! `--ssh` with private keys: what OpenSSH's programs in a step make of the agent behind it.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Image, Kind, Place, everywhere, run, scratch};

everywhere!(openssh_signs_with_keys_that_a_step_never_has);

/// Keys by name, and how `ssh-keygen` makes them: in OpenSSH's form unless said otherwise.
const KEYS: [(&str, &str); 6] = [
    ("ed25519", "-t ed25519"),
    ("p256", "-t ecdsa -b 256"),
    ("p384", "-t ecdsa -b 384 -m PEM"),
    ("rsa", "-t rsa -b 2048"),
    ("rsa-pkcs1", "-t rsa -b 3072 -m PEM"),
    ("rsa-pkcs8", "-t rsa -b 2048 -m PKCS8"),
];

/// OpenSSH's programs with their libraries, in a directory of the context.
const PROGRAMS: &str = "mkdir programs; cp $(command -v ssh-add) $(command -v ssh-keygen) programs; \
     ldd programs/* | grep -o '[[:blank:]]/[^ ]*' | sort -u | xargs -I{} cp -L {} programs";

/// What a step does with the agent: it lists the keys, signs with each, and looks for the files.
const STEP: &str = "\
openssh() { program=/c/programs/$1; shift; /c/programs/ld-linux* --library-path /c/programs $program \"$@\"; }
openssh ssh-add -L > /listed
for key in /c/*.pub; do
  echo message | openssh ssh-keygen -Y sign -f $key -n test > /signed-$(basename $key .pub)
done
openssh ssh-add -D || echo kept > /kept
for key in $KEYS; do test ! -e $key || echo $key >> /seen; done
stat -c '%a %F' $SSH_AUTH_SOCK >> /kept
";

fn openssh_signs_with_keys_that_a_step_never_has(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         ARG KEYS\n\
         RUN --mount=type=ssh --mount=target=/c sh -eu /c/step\n",
    )
    .file("step", STEP)
    .prepare(PROGRAMS);
    let files: Vec<String> = KEYS.iter().map(|(name, _)| format!("{{out}}/{name}")).collect();
    let build = build
        .flag(&format!("--ssh=default={}", files.join(",")))
        .flag(&format!("--build-arg=KEYS={}", files.join(" ")));
    for (name, how) in KEYS {
        make(how, &build.out().join(name));
        fs::rename(build.out().join(format!("{name}.pub")), build.context().join(format!("{name}.pub")))
            .expect("a public key");
    }
    let image = build.run(place).image();
    assert_eq!(written(&image, "kept"), "kept\n600 socket\n");
    assert!(!image.layer(-1).paths().contains(&"seen"), "{}", written(&image, "seen"));
    // A public key and its algorithm, without the comment.
    let public = |name: &str| {
        let text = fs::read_to_string(build.context().join(format!("{name}.pub"))).expect("readable");
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    let listed = written(&image, "listed");
    let listed: Vec<_> = listed.lines().map(str::trim_end).collect();
    assert_eq!(listed, KEYS.map(|(name, _)| public(name)));
    for (name, _) in KEYS {
        verify(&public(name), &written(&image, &format!("signed-{name}")));
        assert!(build.out().join(name).exists(), "{name} is back");
    }
}

/// Makes a key with `ssh-keygen`.
fn make(how: &str, path: &std::path::Path) {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").args(how.split(' '));
    if !how.contains("-N") {
        command.args(["-N", ""]);
    }
    let made = run(command.arg("-f").arg(path));
    assert_eq!(made.code, 0, "{}", made.output());
}

/// Has OpenSSH look at a signature of `message`.
fn verify(public: &str, signature: &str) {
    let directory = scratch();
    let file = |name: &str, content: String| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("written");
        path.display().to_string()
    };
    let (allowed, signature) = (file("allowed", format!("me {public}\n")), file("sig", signature.to_owned()));
    let script = format!("echo message | ssh-keygen -Y verify -f {allowed} -I me -n test -s {signature}");
    let verified = run(Command::new("sh").args(["-c", &script]));
    assert_eq!(verified.code, 0, "{public}: {}", verified.output());
}

fn written(image: &Image, path: &str) -> String {
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry(path).kind else { panic!("{path} is no file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

#[test]
fn an_agent_that_is_required_and_was_not_given() {
    let built = Build::new(
        "FROM busybox\nRUN echo executed | tr a-z A-Z\nRUN --mount=type=ssh,id=git,required true\n",
    )
    .run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("'git' is required") && error.contains("--ssh git=FILE"), "{error}");
    assert!(!built.finished.output().contains("EXECUTED"), "{}", built.finished.output());
}

#[test]
fn keys_that_cannot_be_used_are_named_before_anything_is_executed() {
    for (how, said) in [
        ("-t ed25519 -N secret", "has a passphrase"),
        ("-t rsa -b 2048 -m PEM -N secret", "has a passphrase"),
        ("-t ecdsa -b 521", "ecdsa-sha2-nistp521"),
        ("-t rsa -b 1024", "RSA"),
    ] {
        let build = Build::new("FROM busybox\nRUN echo executed | tr a-z A-Z\nRUN --mount=type=ssh true\n")
            .flag("--ssh=default={out}/key");
        make(how, &build.out().join("key"));
        let built = build.run(Place::Overlay);
        let error = built.failed(1);
        assert!(error.contains(said) && error.contains("ssh-add"), "{how}: {error}");
        assert!(!built.finished.output().contains("EXECUTED"), "{}", built.finished.output());
    }
}
