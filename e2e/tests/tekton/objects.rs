//! Tekton's objects as files: their references, their metadata, and that they agree with each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari_e2e::tekton::Objects;

use super::{ACTION, RESTRICTED, TASK, USERNS, read_yaml, repository};

fn yaml_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => yaml_files(&path, found),
            false => found.extend(path.extension().is_some_and(|e| e == "yaml").then_some(path)),
        }
    }
}

/// Every document of every file below `tekton/`.
fn documents() -> Vec<(String, Value)> {
    let mut files = Vec::new();
    yaml_files(&repository().join("tekton"), &mut files);
    let mut all = Vec::new();
    for file in files {
        let place = file.strip_prefix(repository()).expect("below").display().to_string();
        let text = fs::read_to_string(&file).expect("readable");
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{place}: {e}"));
        all.extend(documents.into_iter().map(|document| (place.clone(), document)));
    }
    assert!(all.len() >= 12, "{} documents", all.len());
    all
}

#[test]
fn every_reference_leads_somewhere() {
    let mut objects = Objects::default();
    for (place, document) in documents() {
        objects.add(&place, document);
    }
    assert_eq!(objects.findings(), Vec::<String>::new());
}

/// The lint itself: each of these is an error that Tekton's admission lets pass, or a habit of ours.
#[test]
fn the_lint_finds_what_admission_does_not() {
    let task = |step: Value| {
        json!({"kind": "Task", "metadata": {"name": "t"}, "spec": {
            "params": [{"name": "A"}, {"name": "L", "type": "array"}],
            "workspaces": [{"name": "w"}],
            "results": [{"name": "R"}],
            "steps": [{"name": "s", "command": ["c", "$(params.A)"], "args": ["$(params.L[*])"]}, step],
        }})
    };
    let good = json!({"name": "x", "command": ["c"], "args": ["$(workspaces.w.path)/$(results.R.path)"]});
    let findings = |object: Value| {
        let mut objects = Objects::default();
        objects.add("o", object);
        objects.findings()
    };
    assert_eq!(findings(task(good)), Vec::<String>::new());
    for bad in [
        json!({"command": ["c"], "args": ["$(workspaces.typo.path)"]}),
        json!({"command": ["c"], "args": ["$(results.TYPO.path)"]}),
        json!({"command": ["c"], "args": ["$(params.TYPO)"]}),
        json!({"command": ["c"], "args": ["$(steps.nobody.results.R)"]}),
        json!({"command": ["c"], "args": ["--x=$(params.L[*])"]}),
        json!({"command": ["c"], "args": ["$(params.L)"]}),
        json!({"command": ["c"], "env": [{"name": "E", "value": "$(params.L[*])"}]}),
        json!({"args": ["x"]}),
        json!({"script": "echo $(params.A)"}),
        json!({"command": ["c"], "securityContext": {"privileged": true}}),
        json!({"command": ["c"], "workspaces": [{"name": "typo"}]}),
        json!({"command": ["c"], "volumeMounts": [{"name": "typo", "mountPath": "/x"}]}),
    ] {
        assert_eq!(findings(task(bad.clone())).len(), 1, "{bad}");
    }
    let pipeline = |tasks: Value| json!({"kind": "Pipeline", "spec": {"tasks": tasks}});
    let first = json!({"name": "a", "taskSpec": {"results": [{"name": "R"}], "steps": []}});
    for bad in [
        json!({"name": "b", "params": [{"name": "p", "value": "$(tasks.a.results.TYPO)"}]}),
        json!({"name": "b", "params": [{"name": "p", "value": "$(tasks.c.results.R)"}]}),
        json!({"name": "b", "params": [{"name": "p", "value": "$(tasks.a.results.R[*])"}]}),
        json!({"name": "b", "runAfter": ["c"]}),
        json!({"name": "b", "workspaces": [{"name": "x", "workspace": "typo"}]}),
    ] {
        assert_eq!(findings(pipeline(json!([first, bad]))).len(), 1, "{bad}");
    }
}

/// The layout and metadata that Artifact Hub and the resolvers read (TEP-0003).
#[test]
fn objects_are_where_catalogs_look() {
    let mut seen = 0;
    for (place, object) in documents() {
        let parts: Vec<&str> = place.split('/').collect();
        let ["tekton", kind, name, version, file] = parts.as_slice() else { continue };
        seen += 1;
        assert_eq!(object["kind"].as_str().map(str::to_lowercase).as_deref(), Some(*kind), "{place}");
        assert_eq!(*file, format!("{name}.yaml"), "{place}");
        let metadata = &object["metadata"];
        assert_eq!(metadata["name"], *name, "{place}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/version"], *version, "{place}");
        for annotation in ["pipelines.minVersion", "categories", "tags", "displayName", "platforms"] {
            let value = &metadata["annotations"][format!("tekton.dev/{annotation}")];
            assert!(value.as_str().is_some_and(|v| !v.is_empty()), "{place}: no {annotation}");
        }
        assert!(object["spec"]["description"].is_string(), "{place}: no description");
        let directory = repository().join(&place).parent().expect("a directory").to_owned();
        let readme =
            fs::read_to_string(directory.join("README.md")).unwrap_or_else(|e| panic!("{place}: {e}"));
        for param in object["spec"]["params"].as_array().into_iter().flatten() {
            let name = param["name"].as_str().expect("a name");
            assert!(readme.contains(&format!("`{name}`")), "{place}: README.md has no {name}");
        }
        assert!(directory.join("tests/run.yaml").is_file(), "{place}: no tests/run.yaml");
        let root = repository().join("tekton").join(kind).join("artifacthub-repo.yml");
        assert!(root.is_file(), "{}", root.display());
    }
    assert!(seen >= 7, "{seen} objects");
}

/// The three Tasks differ in rights, and in nothing else.
#[test]
fn the_tasks_have_one_interface() {
    let interface = |path: &str| {
        let spec = read_yaml(path)["spec"].clone();
        let steps: Vec<Value> = spec["steps"].as_array().expect("steps").clone();
        let steps: Vec<Value> =
            steps.iter().map(|s| json!([s["name"], s["command"], s["args"], s["workspaces"]])).collect();
        json!([spec["params"], spec["workspaces"], spec["results"], spec["volumes"], steps])
    };
    let task = interface(TASK);
    assert_eq!(interface(USERNS), task);
    assert_eq!(interface(RESTRICTED), task);

    let names = |path: &str, key: &str| -> Vec<String> {
        let list = read_yaml(path)["spec"][key].as_array().cloned().unwrap_or_default();
        list.iter().map(|p| p["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(ACTION, "results"), names(TASK, "results"));
    let missing: Vec<String> =
        names(TASK, "params").into_iter().filter(|n| !names(ACTION, "params").contains(n)).collect();
    assert_eq!(missing, ["WRITER_IMAGE"]);
}

/// Whoever uses the catalog's kaniko Task (0.7) finds the same names here.
#[test]
fn the_task_is_a_drop_in_for_kanikos() {
    let spec = read_yaml(TASK)["spec"].clone();
    let declared = |key: &str| -> BTreeMap<String, Value> {
        let list = spec[key].as_array().expect("a list").iter();
        list.map(|item| (item["name"].as_str().expect("a name").to_owned(), item.clone())).collect()
    };
    let params = declared("params");
    assert!(params["IMAGE"]["default"].is_null());
    assert_eq!(params["DOCKERFILE"]["default"], "./Dockerfile");
    assert_eq!(params["CONTEXT"]["default"], "./");
    assert_eq!(params["EXTRA_ARGS"]["default"], json!([]));
    assert!(params.contains_key("BUILDER_IMAGE") && params.contains_key("WRITER_IMAGE"));
    let workspaces = declared("workspaces");
    assert_eq!(workspaces["dockerconfig"]["mountPath"], "/kaniko/.docker");
    assert_eq!(workspaces["dockerconfig"]["optional"], true);
    assert!(workspaces.contains_key("source"));
    let results = declared("results");
    assert!(results.contains_key("IMAGE_DIGEST") && results.contains_key("IMAGE_URL"));
    let optional = |(name, p): &(&String, &Value)| name.as_str() != "IMAGE" && p["default"].is_null();
    assert_eq!(params.iter().filter(optional).count(), 0, "only IMAGE must be given");
}

/// What the pod security standards ask of a container, for the Tasks that claim to keep to one.
#[test]
fn pod_security_is_what_the_tasks_claim() {
    let baseline_capabilities = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    for (path, restricted) in
        [(TASK, false), (RESTRICTED, true), ("tekton/task/image-index/0.1/image-index.yaml", true)]
    {
        let spec = read_yaml(path)["spec"].clone();
        assert!(spec["sidecars"].is_null());
        for volume in spec["volumes"].as_array().into_iter().flatten() {
            assert!(volume["hostPath"].is_null(), "{path}");
        }
        for step in spec["steps"].as_array().expect("steps") {
            let field = |name: &str| match &step["securityContext"][name] {
                Value::Null => spec["stepTemplate"]["securityContext"][name].clone(),
                value => value.clone(),
            };
            assert_ne!(field("privileged"), true, "{path}");
            for added in field("capabilities")["add"].as_array().into_iter().flatten() {
                assert!(baseline_capabilities.contains(&added.as_str().expect("a name")), "{path}: {added}");
            }
            assert_ne!(field("seccompProfile")["type"], "Unconfined", "{path}");
            assert!(field("procMount").is_null(), "{path}");
            if restricted {
                assert_eq!(field("runAsNonRoot"), true, "{path}");
                assert_eq!(field("allowPrivilegeEscalation"), false, "{path}");
                assert_eq!(field("capabilities")["drop"], json!(["ALL"]), "{path}");
                assert_eq!(field("seccompProfile")["type"], "RuntimeDefault", "{path}");
            }
        }
    }
}
