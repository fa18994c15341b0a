//! `yadokari unpack` and `yadokari repack`, beside umoci.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, ForgedImage, ForgedLayer, Image, Registry, run, run_ok, scratch, umoci_unpack};

use super::{read_json, text, yadokari, yadokari_ok};

/// Every file below a directory, with all that a layer keeps of it.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let script = "find . -printf '%P\\t%y %m %U:%G %s %T@ %l %n\\n' | sort";
    let listing = run_ok(Command::new("sh").args(["-euc", script]).current_dir(root));
    let mut tree = BTreeMap::new();
    for line in listing.lines() {
        let (path, rest) = line.split_once('\t').expect("a tab");
        let mut words: Vec<&str> = rest.split(' ').collect();
        if words[0] == "d" {
            (words[3], words[4], words[6]) = ("", "", "");
        }
        let sum = match words[0] {
            "f" => run_ok(Command::new("sha256sum").arg(root.join(path)))[..64].to_owned(),
            _ => String::new(),
        };
        tree.insert(path.to_owned(), format!("{} {sum}", words.join(" ")));
    }
    tree
}

fn change(rootfs: &Path) {
    let script = "echo new > etc/new; chmod 700 etc; rm -r usr/share; echo more >> etc/passwd; \
                  ln -s ../x etc/link; ln etc/new etc/other; touch -d @5 bin/busybox; \
                  mkdir -p opt/deep/er; chown 7:8 opt/deep; mkfifo opt/pipe; : > etc/hosts";
    run_ok(Command::new("sh").args(["-euc", script]).current_dir(rootfs));
}

fn prepared(at: &Path) -> String {
    let layer = ForgedLayer::new()
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\n")
        .file("etc/hosts", 0o644, b"")
        .directory("usr", 0o755)
        .directory("usr/share", 0o755)
        .file("usr/share/doc", 0o644, b"read me")
        .directory("bin", 0o755)
        .file("bin/busybox", 0o4755, b"no program")
        .entry(tar::EntryType::Link, "bin/sh", 0o4755, (0, 0), "bin/busybox", b"")
        .symlink("bin/ls", "busybox")
        .entry(tar::EntryType::Regular, "owned", 0o640, (1000, 50), "", b"x")
        .entry(tar::EntryType::Symlink, "pointer", 0o777, (1000, 50), "owned", b"")
        .entry(tar::EntryType::Char, "null", 0o666, (0, 6), "", b"");
    ForgedImage::of([layer]).write(at);
    text(at)
}

#[test]
fn the_tree_is_umocis() {
    let out = scratch();
    for (name, layout) in [("busybox", Base::Busybox.layout()), ("forged", out.path().join("forged"))] {
        if name == "forged" {
            prepared(&layout);
        }
        let bundle = out.path().join(format!("{name}-bundle"));
        yadokari_ok(&["unpack", &format!("{}:latest", text(&layout)), &text(&bundle)]);
        let into = out.path().join(format!("{name}-umoci"));
        fs::create_dir_all(&into).expect("made");
        let theirs = umoci_unpack(&layout, "latest", &into);
        let (mut ours, mut theirs) = (tree(&bundle.join("rootfs")), tree(&theirs));
        // The directory itself is nobody's.
        ours.remove("");
        theirs.remove("");
        assert_eq!(ours, theirs, "{name}");
        let record = fs::read_to_string(bundle.join("rootfs.mtree")).expect("the record");
        assert_eq!(record.lines().count(), ours.len() + 2, "a line a file, the root and the head");
    }
}

#[test]
fn what_was_changed_is_one_layer() {
    let (out, registry) = (scratch(), Registry::open());
    let layout = prepared(&out.path().join("layout"));
    let bundle = out.path().join("bundle");
    registry.put(Path::new(&layout), "app:1");
    yadokari_ok(&["unpack", &registry.reference("app:1"), &text(&bundle)]);
    // Untouched it is the image it was.
    let words = ["repack", &text(&bundle), "-d", &registry.reference("app:same")];
    let finished = yadokari(&words);
    assert!(finished.stderr.contains("nothing was changed"), "{}", finished.output());
    assert_eq!(registry.image("app:same").digest, registry.image("app:1").digest);

    change(&bundle.join("rootfs"));
    let local = format!("oci:{}:changed", out.path().join("result").display());
    let words =
        ["repack", &text(&bundle), "-d", &registry.reference("app:2"), &local, "--created-by=by hand"];
    yadokari_ok(&words);
    let (before, after) = (registry.image("app:1"), registry.image("app:2"));
    assert_eq!(after.layer_count(), before.layer_count() + 1);
    assert_eq!(after.layer_digests()[0], before.layer_digests()[0]);
    let paths = after.layer(-1).listing();
    let paths: Vec<&str> = paths.lines().collect();
    let expected = [
        "d 0755 0:0 bin",
        "f 4755 0:0 bin/busybox \"no program\"",
        "h 4755 0:0 bin/sh -> bin/busybox",
        "d 0700 0:0 etc",
        "f 0644 0:0 etc/hosts \"\"",
        "l 0777 0:0 etc/link -> ../x",
        "f 0644 0:0 etc/new \"new\\n\"",
        "h 0644 0:0 etc/other -> etc/new",
        "f 0644 0:0 etc/passwd \"root:x:0:0::/:/bin/sh\\nmore\\n\"",
        "d 0755 0:0 opt",
        "d 0755 7:8 opt/deep",
        "d 0755 0:0 opt/deep/er",
        "p 0644 0:0 opt/pipe",
        "d 0755 0:0 usr",
        "f 0000 0:0 usr/.wh.share \"\"",
    ];
    assert_eq!(paths, expected);
    assert_eq!(after.history().last().expect("a history").0, "by hand");
    let saved = Image::from_layout(&out.path().join("result"));
    assert_eq!(saved.tree().nodes, after.tree().nodes);
    // umoci sees in it what the bundle holds.
    let into = out.path().join("umoci");
    fs::create_dir(&into).expect("made");
    let theirs = umoci_unpack(&out.path().join("result"), "changed", &into);
    let (mut ours, mut theirs) = (tree(&bundle.join("rootfs")), tree(&theirs));
    ours.remove("");
    theirs.remove("");
    let whole = |tree: BTreeMap<String, String>| -> BTreeMap<String, String> {
        // Layers have whole seconds.
        let second = |line: String| {
            line.split(' ')
                .map(|w| w.split('.').next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        tree.into_iter().map(|(path, line)| (path, second(line))).collect()
    };
    assert_eq!(whole(ours), whole(theirs));
}

#[test]
fn a_runtime_runs_it() {
    let out = scratch();
    let bundle = out.path().join("bundle");
    yadokari_ok(&["unpack", &text(&Base::Busybox.layout()), &text(&bundle)]);
    let path = bundle.join("config.json");
    let mut config = read_json(&path);
    assert_eq!(config["root"]["path"], "rootfs");
    config["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "echo it runs as $(id -u)"]);
    fs::write(&path, config.to_string()).expect("written");
    let id = format!("yadokari-e2e-{}", std::process::id());
    let state = out.path().join("runc");
    let finished =
        run(Command::new("runc").arg("--root").arg(&state).args(["run", "--bundle"]).arg(&bundle).arg(&id));
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "it runs as 0\n"), "{}", finished.stderr);
}

#[test]
fn a_plain_user_can_do_it_too() {
    let out = scratch();
    let layout = prepared(&out.path().join("layout"));
    let home = out.path().join("home");
    fs::create_dir(&home).expect("made");
    run_ok(Command::new("chmod").args(["-R", "a+rX"]).arg(out.path()));
    run_ok(Command::new("chown").arg("4242:4242").arg(&home));
    let bundle = home.join("bundle");
    let as_user = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(yadokari_e2e::program());
        command.args(words).env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin").env("TMPDIR", &home);
        run(&mut command)
    };
    let finished = as_user(&["unpack", &layout, &text(&bundle)]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(fs::metadata(bundle.join("rootfs/owned")).expect("there").uid(), 4242, "as far as it goes");
    fs::write(bundle.join("rootfs/etc/new"), "new\n").expect("written");
    fs::set_permissions(bundle.join("rootfs/etc/new"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("set");
    run_ok(Command::new("chown").arg("4242:4242").arg(bundle.join("rootfs/etc/new")));
    let result = home.join("result");
    let finished = as_user(&["repack", &text(&bundle), &format!("oci:{}:1", result.display())]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let image = Image::from_layout(&result);
    assert_eq!(image.layer_count(), 2);
    assert_eq!(image.layer(-1).paths(), ["etc", "etc/new"], "owners that could not be set are no change");
    // Root sees other owners in it than the user.
    let finished = yadokari(&["repack", &text(&bundle), &format!("oci:{}:2", result.display())]);
    assert!(finished.stderr.contains("unpacked by another user"), "{}", finished.output());
    let finished = yadokari(&["unpack", &layout, &text(&bundle)]);
    assert!(finished.stderr.contains("is not empty"), "{}", finished.output());
}
