//! A project whose pipeline gitlab-ci-local runs with our program in place of our image.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use yadokari_e2e::{Base, Finished, Registry, program, run, run_ok, scratch, state};

use super::repository;

/// A repository with a Dockerfile in `app`, and what its jobs get.
pub(super) struct Project {
    directory: TempDir,
    variables: BTreeMap<String, String>,
}

impl Project {
    /// With these instructions on a base of `registry`, which is the project's own.
    pub(super) fn new(registry: &Registry, instructions: &str) -> Project {
        registry.put(&Base::Busybox.layout(), "bases/busybox:1");
        let directory = scratch();
        let dockerfile = format!("FROM {}\n{instructions}", registry.reference("bases/busybox:1"));
        fs::create_dir(directory.path().join("app")).expect("made");
        fs::write(directory.path().join("app/Dockerfile"), dockerfile).expect("written");
        let mut variables = BTreeMap::new();
        variables.insert("CI_REGISTRY".to_owned(), registry.host());
        variables.insert("CI_REGISTRY_IMAGE".to_owned(), registry.reference("team/app"));
        for name in ["build", "index"] {
            let to = directory.path().join("templates").join(name);
            fs::create_dir_all(&to).expect("made");
            let from = repository().join(format!("gitlab/templates/{name}/template.yml"));
            fs::copy(from, to.join("template.yml")).expect("copied");
        }
        Project { directory, variables }
    }

    /// Sets a variable of every job.
    pub(super) fn variable(mut self, name: &str, value: &str) -> Project {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The account that GitLab gives jobs at the project's registry.
    pub(super) fn with_account(self) -> Project {
        self.variable("CI_REGISTRY_USER", "builder")
            .variable("CI_REGISTRY_PASSWORD", "correct horse battery staple")
    }

    /// Commits this pipeline.
    pub(super) fn pipeline(self, text: &str) -> Project {
        fs::write(self.path().join(".gitlab-ci.yml"), text).expect("written");
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=e2e", "-c", "user.email=e2e@example.com"]);
            run_ok(command.args(arguments).current_dir(self.path()))
        };
        run_ok(Command::new("rm").args(["-rf", ".git"]).current_dir(self.path()));
        git(&["init", "--quiet", "--initial-branch=main"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message=one"]);
        git(&["remote", "add", "origin", "git@gitlab.example.com:team/app.git"]);
        git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
        self
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// gitlab-ci-local with these words, and with `yadokari` on the PATH.
    pub(super) fn local(&self, words: &[&str]) -> Finished {
        let programs = scratch();
        std::os::unix::fs::symlink(program(), programs.path().join("yadokari")).expect("linked");
        let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").expect("a PATH"));
        let mut local = Command::new(state().join("tools/node_modules/.bin/gitlab-ci-local"));
        local.args(words);
        for (name, value) in &self.variables {
            local.arg("--variable").arg(format!("{name}={value}"));
        }
        let names = self.variables.keys().cloned().collect::<Vec<_>>().join(",");
        local.arg("--ignore-predefined-vars").arg(names);
        let home = scratch();
        run(local.current_dir(self.path()).env("PATH", path).env("HOME", home.path()))
    }

    /// Runs the pipeline, each job seeing only what the artifacts of others give it.
    pub(super) fn run(&self) -> Finished {
        self.local(&["--force-shell-executor", "--shell-isolation"])
    }

    /// The content of an artifact of a job.
    pub(super) fn artifact(&self, job: &str, path: &str) -> String {
        let all = self.path().join(".gitlab-ci-local/artifacts");
        let mut found = Vec::new();
        files(&all.join(job), &mut found);
        let matching = |file: &&std::path::PathBuf| file.ends_with(path);
        let file = found.iter().find(matching).unwrap_or_else(|| panic!("{job} has no {path}: {found:#?}"));
        fs::read_to_string(file).expect("readable")
    }
}

fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}
