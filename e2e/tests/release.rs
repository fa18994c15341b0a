//! What a release makes: images, binaries, references to them, tags, and the repositories of the component and
//! the action, each used from its root as its platform uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use yadokari_e2e::{Base, Finished, Registry, program, run, run_ok, scratch, state};

/// The version of the program under test, the only one that can be released with it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

/// A program run as somebody who commits.
fn as_somebody(program: &str, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(program);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "e2e").env(format!("GIT_{who}_EMAIL"), "e2e@example.com");
    }
    command.args(arguments).current_dir(directory);
    command
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    run_ok(&mut as_somebody("git", arguments, directory))
}

/// A clone of this repository as it stands, with what is not committed yet; no tags.
fn clone(parent: &TempDir) -> PathBuf {
    let (from, to) = (repository(), parent.path().join("yadokari"));
    git(&from, &["clone", "--quiet", "--no-tags", ".", &to.display().to_string()]);
    let changed = git(&from, &["ls-files", "--modified", "--others", "--exclude-standard"]);
    for file in changed.lines() {
        let (source, target) = (from.join(file), to.join(file));
        if source.is_file() {
            fs::create_dir_all(target.parent().expect("below the clone")).expect("made");
            fs::copy(source, target).expect("copied");
        } else if target.exists() {
            fs::remove_file(target).expect("removed");
        }
    }
    git(&to, &["checkout", "--quiet", "-B", "main"]);
    git(&to, &["add", "--all"]);
    git(&to, &["commit", "--quiet", "--allow-empty", "--message=As it stands"]);
    to
}

fn release(clone: &Path, registry: &Registry, flags: &[&str]) -> Finished {
    // Without symbols, of which a program that is not optimised has much.
    let stripped = clone.with_file_name("program");
    run_ok(Command::new("strip").arg("-o").arg(&stripped).arg(program()));
    let (images, program) = (registry.reference("tools/yadokari"), stripped.display().to_string());
    let mut arguments = vec![VERSION, "--registry", images.as_str(), "--program", program.as_str()];
    arguments.extend(flags);
    run(&mut as_somebody("./release", &arguments, clone))
}

#[test]
fn a_dry_run_changes_nothing() {
    let (registry, parent) = (Registry::open(), scratch());
    let clone = clone(&parent);
    let before = git(&clone, &["rev-parse", "HEAD"]);
    let out = parent.path().join("out").display().to_string();
    let finished = release(&clone, &registry, &["--dry-run", "--out", &out]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let digest = finished.stdout.matches("@sha256:").count();
    assert!(digest >= 4, "it does not show what would be written:\n{}", finished.output());
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), before);
    assert_eq!(git(&clone, &["status", "--porcelain"]), "");
    assert_eq!(git(&clone, &["tag"]), "");
    assert_eq!(git(&clone, &["worktree", "list"]).lines().count(), 1);
    assert!(!registry.has_tag("tools/yadokari", "latest"));
}

#[test]
fn what_makes_no_release_is_said() {
    let (registry, parent) = (Registry::open(), scratch());
    let clone = clone(&parent);
    for (arguments, said) in [
        (vec!["1.2"], "write ./release X.Y.Z"),
        (vec!["1.2.3", "--no-such"], "there is no flag --no-such"),
        (vec!["1.2.3", "--registry", "r.example.com/builder"], "must be HOST/…/yadokari"),
        (vec!["1.2.3", "--dry-run", "--push"], "--dry-run pushes nothing"),
    ] {
        let finished = run(&mut as_somebody("./release", &arguments, &clone));
        assert_eq!(finished.code, 1, "{arguments:?}: {}", finished.output());
        assert!(finished.stderr.contains(said), "{arguments:?}: {}", finished.output());
    }
    fs::write(clone.join("README.md"), "changed").expect("written");
    let finished = release(&clone, &registry, &[]);
    assert!(finished.stderr.contains("not committed"), "{}", finished.output());
}

#[test]
fn a_release_can_be_referenced() {
    let (registry, parent) = (Registry::open(), scratch());
    let clone = clone(&parent);
    let out = parent.path().join("out");
    let finished = release(&clone, &registry, &["--out", &out.display().to_string()]);
    assert_eq!(finished.code, 0, "{}", finished.output());

    let image = |tag: &str| registry.image(&format!("tools/yadokari:{tag}"));
    let (plain, debug) = (image(&format!("v{VERSION}")), image(&format!("v{VERSION}-debug")));
    assert_eq!(image("latest").digest, plain.digest);
    assert_eq!(image("debug").digest, debug.digest);
    let task = fs::read_to_string(clone.join("tekton/task/yadokari/0.1/yadokari.yaml")).expect("the Task");
    let (reference, tag) = (registry.reference("tools/yadokari"), format!("v{VERSION}"));
    assert!(task.contains(&format!("{reference}:{tag}@{}", plain.digest)), "{task}");
    let action = fs::read_to_string(clone.join("github-action/container/action.yml")).expect("the action");
    assert!(action.contains(&format!("image: docker://{reference}:{tag}@{}\n", plain.digest)), "{action}");
    let other =
        ["grep", "-nE", r"ghcr\.io/yadokari-build/yadokari[:@]", "--", "tekton", "gitlab", "github-action"];
    let left = run(&mut as_somebody("git", &other, &clone));
    assert_eq!(left.stdout, "", "references to something else are left");

    run_ok(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&out));
    assert_eq!(git(&clone, &["status", "--porcelain"]), "");
    assert_eq!(git(&clone, &["log", "-1", "--format=%s"]).trim(), format!("Release {VERSION}"));
    let major = format!("v{}", VERSION.split('.').next().expect("a version has a major number"));
    assert_eq!(git(&clone, &["tag"]).lines().collect::<Vec<_>>(), [major.as_str(), tag.as_str()]);
    let programs = |at: &str| git(&clone, &["ls-tree", "--name-only", at, "github-action/"]);
    assert!(!programs("main").contains("linux"), "programs are on the branch");
    assert!(programs(&tag).contains("github-action/yadokari-linux-amd64.sha256"), "{}", programs(&tag));

    let component = git(&out.join("gitlab-component"), &["rev-parse", "main"]);
    component_at_the_root(&out.join("gitlab-component"), &registry, &debug.digest);
    action_at_the_root(&out.join("github-action"), &tag);
    later_release(&clone, &registry, &parent.path().join("later"), component.trim());
}

/// The component's repository as a project of its own, included by gitlab-ci-local.
fn component_at_the_root(project: &Path, registry: &Registry, digest: &str) {
    assert_eq!(git(project, &["tag"]).trim(), VERSION);
    assert_eq!(
        fs::read(project.join("LICENSE")).expect("a licence"),
        fs::read(repository().join("LICENSE")).expect("a licence")
    );
    let template = fs::read_to_string(project.join("templates/build/template.yml")).expect("the component");
    assert!(template.contains(&format!("@{digest}")), "{template}");

    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let base = registry.reference("bases/busybox:1");
    fs::write(project.join("Dockerfile"), format!("FROM {base}\nRUN echo split > /split\n"))
        .expect("written");
    let pipeline = format!(
        "include:\n  - component: $CI_SERVER_FQDN/tools/yadokari/build@$CI_COMMIT_SHA\n    inputs:\n\
         \x20     tags: split\n      insecure-registries: {}\n      extra-args: --isolation=overlay\n",
        registry.host()
    );
    fs::write(project.join(".gitlab-ci.yml"), pipeline).expect("written");
    git(project, &["add", "."]);
    git(project, &["commit", "--quiet", "--message=A project"]);
    git(project, &["remote", "add", "origin", "git@gitlab.example.com:tools/yadokari.git"]);
    git(project, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    git(project, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    let programs = scratch();
    std::os::unix::fs::symlink(program(), programs.path().join("yadokari")).expect("linked");
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").expect("a PATH"));
    let mut local = Command::new(state().join("tools/node_modules/.bin/gitlab-ci-local"));
    local.args(["--force-shell-executor", "--shell-isolation", "--variable"]);
    local.arg(format!("CI_REGISTRY_IMAGE={}", registry.reference("team/app")));
    let home = scratch();
    let finished = run(local.current_dir(project).env("PATH", path).env("HOME", home.path()));
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(registry.image("team/app:split").layer(-1).listing(), "f 0644 0:0 split \"split\\n\"\n");
}

/// The action's repository, checked out at its tag as a runner does.
fn action_at_the_root(directory: &Path, tag: &str) {
    assert!(!directory.join("yadokari-linux-amd64").exists(), "programs are on the branch");
    git(directory, &["checkout", "--quiet", tag]);
    for file in ["action.yml", "README.md", "LICENSE"] {
        assert!(directory.join(file).is_file(), "{file}");
    }
    run_ok(Command::new("sha256sum").args(["--check", "yadokari-linux-amd64.sha256"]).current_dir(directory));
    let validator = state().join("tools/node_modules/.bin/action-validator");
    run_ok(Command::new(validator).arg("action.yml").current_dir(directory));
}

/// Releases once more: what was pushed of the component can be fast-forwarded to the new history.
fn later_release(clone: &Path, registry: &Registry, out: &Path, first: &str) {
    fs::write(clone.join("gitlab/NEWS"), "more").expect("written");
    git(clone, &["add", "."]);
    git(clone, &["commit", "--quiet", "--message=More"]);
    git(clone, &["tag", "--delete", &format!("v{VERSION}")]);
    let finished = release(clone, registry, &["--out", &out.display().to_string()]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let component = out.join("gitlab-component");
    let base = git(&component, &["merge-base", "main", first]);
    assert_eq!(base.trim(), first, "the component's main branch cannot be fast-forwarded");
    assert!(component.join("NEWS").is_file());
}

#[test]
fn runners_download_little() {
    // What `uses:` of an action in this repository downloads is all of it.
    let archive =
        Command::new("git").args(["archive", "--format=tar.gz", "HEAD"]).current_dir(repository()).output();
    let archive = archive.expect("git starts").stdout.len();
    assert!((1..5_000_000).contains(&archive), "{archive} bytes");
    let fixtures = git(&repository(), &["ls-files", "-z", "testdata", "tests", "fuzz"]);
    let sizes = fixtures
        .split_terminator('\0')
        .map(|file| fs::symlink_metadata(repository().join(file)).map_or(0, |meta| meta.len()));
    let fixtures: u64 = sizes.sum();
    assert!((1..5_000_000).contains(&fixtures), "{fixtures} bytes");
}
