//! A TaskRun's pod, without a cluster: each step in a container with the mounts, rights and words that
//! Tekton gives it, and results read as Tekton reads them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use yadokari_e2e::tekton::{message_size, references};
use yadokari_e2e::{Container, Finished, scratch};

use super::read_yaml;

/// A workspace that is bound.
pub(super) struct Bound {
    name: &'static str,
    directory: PathBuf,
}

/// A Task or StepAction, what it is given, and what is kept of its pod.
pub(super) struct Pod {
    object: Value,
    params: BTreeMap<String, Value>,
    workspaces: Vec<Bound>,
    options: Vec<String>,
    results: TempDir,
    kept: Vec<TempDir>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// A directory that any user may write, as an emptyDir is.
pub(super) fn open_directory() -> TempDir {
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("the mode is set");
    directory
}

/// A Secret as the kubelet mounts it: `key -> ..data/key`, `..data -> ..version`.
pub(super) fn secret(files: &[(&str, &str)]) -> TempDir {
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("the mode is set");
    let version = directory.path().join("..2026_01_01");
    fs::create_dir(&version).expect("made");
    symlink("..2026_01_01", directory.path().join("..data")).expect("linked");
    for (name, content) in files {
        fs::write(version.join(name), content).expect("written");
        symlink(format!("..data/{name}"), directory.path().join(name)).expect("linked");
    }
    directory
}

impl Pod {
    /// A pod of the Task or StepAction in a file of this repository.
    pub(super) fn of(path: &str) -> Pod {
        Pod {
            object: read_yaml(path),
            params: BTreeMap::new(),
            workspaces: Vec::new(),
            options: Vec::new(),
            results: open_directory(),
            kept: Vec::new(),
        }
    }

    /// Gives a parameter.
    pub(super) fn param(mut self, name: &str, value: impl Into<Value>) -> Pod {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// Binds a workspace.
    pub(super) fn workspace(mut self, name: &'static str, directory: &Path) -> Pod {
        self.workspaces.push(Bound { name, directory: directory.to_owned() });
        self
    }

    /// Binds a workspace to a Secret.
    pub(super) fn secret(mut self, name: &'static str, files: &[(&str, &str)]) -> Pod {
        let directory = secret(files);
        self = self.workspace(name, directory.path());
        self.kept.push(directory);
        self
    }

    /// Mounts a directory in every step, as Tekton mounts the Secrets of the service account.
    pub(super) fn mount(mut self, directory: TempDir, path: &str) -> Pod {
        self.options.push(format!("--volume={}:{path}:ro", directory.path().display()));
        self.kept.push(directory);
        self
    }

    /// Adds an option of `docker run` to every step.
    pub(super) fn option(mut self, option: &str) -> Pod {
        self.options.push(option.to_owned());
        self
    }

    fn is_action(&self) -> bool {
        self.object["kind"] == "StepAction"
    }

    /// The value of each reference that stands for a text, and the items of each that stands for many.
    fn values(&self) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        let spec = &self.object["spec"];
        let (mut scalars, mut arrays) = (BTreeMap::new(), BTreeMap::new());
        for declared in items(spec, "params") {
            let name = text(&declared["name"]);
            match self.params.get(name).unwrap_or(&declared["default"]) {
                Value::Array(all) => {
                    arrays.insert(
                        format!("$(params.{name}[*])"),
                        all.iter().map(|i| text(i).to_owned()).collect(),
                    );
                }
                value => {
                    let value = value.as_str().unwrap_or_else(|| panic!("the parameter {name} is not given"));
                    scalars.insert(format!("$(params.{name})"), value.to_owned());
                }
            }
        }
        for name in self.params.keys() {
            let known = items(spec, "params").any(|p| p["name"] == name.as_str());
            assert!(known, "there is no parameter {name}");
        }
        for declared in items(spec, "results") {
            let name = text(&declared["name"]);
            let (key, path) = match self.is_action() {
                true => {
                    (format!("$(step.results.{name}.path)"), format!("/tekton/steps/step-it/results/{name}"))
                }
                false => (format!("$(results.{name}.path)"), format!("/tekton/results/{name}")),
            };
            scalars.insert(key, path);
        }
        for declared in items(spec, "workspaces") {
            let name = text(&declared["name"]);
            let bound = self.workspaces.iter().any(|b| b.name == name);
            assert!(bound || declared["optional"] == true, "the workspace {name} is not bound");
            let path = if bound { mount_path(declared) } else { String::new() };
            scalars.insert(format!("$(workspaces.{name}.path)"), path);
            scalars.insert(format!("$(workspaces.{name}.bound)"), bound.to_string());
        }
        (scalars, arrays)
    }

    /// Runs the steps in order, to the first that fails; what each printed.
    pub(super) fn run(&self) -> Vec<Finished> {
        let spec = &self.object["spec"];
        let (scalars, arrays) = self.values();
        let substitute = |word: &str| -> Vec<String> {
            if let Some(items) = arrays.get(word) {
                return items.clone();
            }
            let mut word = word.to_owned();
            for (name, value) in &scalars {
                word = word.replace(name, value);
            }
            vec![word]
        };
        for reference in items(spec, "steps").chain([spec]).flat_map(|s| items(s, "args")).map(text) {
            for r in references(reference) {
                let known = scalars.contains_key(&r.text()) || arrays.contains_key(&r.text());
                assert!(known, "{} is not filled in", r.text());
            }
        }
        let volumes: BTreeMap<&str, TempDir> =
            items(spec, "volumes").map(|v| (text(&v["name"]), open_directory())).collect();
        let steps: Vec<&Value> = if self.is_action() { vec![spec] } else { items(spec, "steps").collect() };
        let mut ended = Vec::new();
        for step in &steps {
            let mut container = self.container(&steps, step);
            for mount in items(step, "volumeMounts") {
                container = container.volume(volumes[text(&mount["name"])].path(), text(&mount["mountPath"]));
            }
            let directory = step["workingDir"].as_str().map(|d| substitute(d).remove(0)).unwrap_or_default();
            if !directory.is_empty() {
                container = container.option(&format!("--workdir={directory}"));
            }
            let words = |key: &str| -> Vec<String> {
                items(step, key).flat_map(|word| substitute(text(word))).collect()
            };
            let (command, args) = (words("command"), words("args"));
            let rest: Vec<_> = command[1..].iter().chain(&args).cloned().collect();
            ended.push(container.run_command(&command[0], &rest));
            if ended.last().is_some_and(|step| step.code != 0) {
                break;
            }
        }
        ended
    }

    fn container(&self, steps: &[&Value], step: &Value) -> Container {
        let spec = &self.object["spec"];
        let mut container =
            Container::tiny().env("PATH", "/yadokari/bin:/busybox").env("HOME", "/tekton/home");
        for directory in ["home", "artifacts", "creds", "scripts", "run", "bin"] {
            container = container.option(&format!("--tmpfs=/tekton/{directory}:mode=1777"));
        }
        let results = if self.is_action() { "/tekton/steps/step-it/results" } else { "/tekton/results" };
        container = container.volume(self.results.path(), results);
        for bound in &self.workspaces {
            let mut declared = items(spec, "workspaces").filter(|d| d["name"] == bound.name);
            let declared = declared.next().unwrap_or_else(|| panic!("there is no workspace {}", bound.name));
            let lists = |s: &Value| items(s, "workspaces").any(|w| w["name"] == bound.name);
            // A workspace that some step lists is mounted in such steps only.
            if steps.iter().any(|s| lists(s)) && !lists(step) {
                continue;
            }
            let path = mount_path(declared);
            container = match declared["readOnly"] == true {
                true => container.read_only_volume(&bound.directory, &path),
                false => container.volume(&bound.directory, &path),
            };
        }
        for option in rights(&spec["stepTemplate"]["securityContext"], &step["securityContext"]) {
            container = container.option(&option);
        }
        self.options.iter().fold(container, |container, option| container.option(option))
    }

    /// The results as Tekton reads them: each file's bytes, in the order in which they are declared.
    pub(super) fn results(&self) -> Vec<(String, String)> {
        let read = |declared: &Value| {
            let name = text(&declared["name"]);
            Some((name.to_owned(), fs::read_to_string(self.results.path().join(name)).ok()?))
        };
        let results: Vec<_> = items(&self.object["spec"], "results").filter_map(read).collect();
        let files = fs::read_dir(self.results.path()).expect("readable").count();
        assert_eq!(files, results.len(), "a result is not declared");
        let total: usize = results.iter().map(|(_, value)| value.len()).sum();
        assert!(total <= 1536 && message_size(&results) <= 4096, "{total} bytes of results");
        for (name, value) in &results {
            assert!(!value.contains('\n'), "the result {name} has a newline: {value:?}");
        }
        results
    }

    /// One result.
    pub(super) fn result(&self, name: &str) -> Option<String> {
        self.results().into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

fn mount_path(declared: &Value) -> String {
    let name = text(&declared["name"]);
    declared["mountPath"].as_str().map_or(format!("/workspace/{name}"), str::to_owned)
}

/// Options of `docker run` for a step's security context over the template's.
fn rights(template: &Value, step: &Value) -> Vec<String> {
    let field = |name: &str| if step[name].is_null() { &template[name] } else { &step[name] };
    let mut options = Vec::new();
    if let Some(user) = field("runAsUser").as_u64() {
        let group = field("runAsGroup").as_u64().unwrap_or(0);
        options.push(format!("--user={user}:{group}"));
    }
    let capabilities = field("capabilities");
    options.extend(items(capabilities, "add").map(|c| format!("--cap-add={}", text(c))));
    options.extend(items(capabilities, "drop").map(|c| format!("--cap-drop={}", text(c))));
    if *field("allowPrivilegeEscalation") == false {
        options.push("--security-opt=no-new-privileges".to_owned());
    }
    if *field("readOnlyRootFilesystem") == true {
        options.push("--read-only".to_owned());
    }
    if field("seccompProfile")["type"] == "Unconfined" {
        options.push("--security-opt=seccomp=unconfined".to_owned());
    }
    if field("appArmorProfile")["type"] == "Unconfined" {
        options.push("--security-opt=apparmor=unconfined".to_owned());
    }
    if *field("runAsNonRoot") == true {
        assert!(field("runAsUser").as_u64().is_some_and(|user| user > 0), "it would run as root");
    }
    options
}
