//! Arrows between the modules point one way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, each above all that it may use.
const ORDER: [&str; 18] = [
    "bundle",
    "build",
    "ship",
    "plan",
    "context",
    "cache",
    "fetch",
    "registry",
    "keychain",
    "cloud",
    "rootfs",
    "run",
    "transport",
    "layer",
    "dockerfile",
    "event",
    "config",
    "image",
];

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// Every file with the module that it belongs to.
fn files(directory: &Path, module: Option<&str>, found: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = module.unwrap_or(name);
        if path.is_dir() {
            files(&path, Some(module), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((module.to_owned(), path.clone()));
        }
    }
}

/// The modules that a line names, its comment left out.
fn named(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let after = code.split("crate::").skip(1);
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()).collect()
}

#[test]
fn a_module_uses_what_stands_below_it() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut all);
    all.retain(|(module, _)| !["lib", "tests"].contains(&module.as_str()));
    let modules: BTreeSet<&str> = all.iter().map(|(module, _)| module.as_str()).collect();
    assert_eq!(modules, BTreeSet::from(ORDER));
    let mut arrows = BTreeSet::new();
    for (module, path) in &all {
        for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            for used in named(line).into_iter().filter(|used| *used != module.as_str()) {
                let Some(below) = place(used) else { continue };
                assert!(place(module) < Some(below), "{}:{}: {line}", path.display(), number + 1);
                arrows.insert((place(module), below));
            }
        }
    }
    assert!(arrows.len() > ORDER.len(), "{arrows:?}");
}
