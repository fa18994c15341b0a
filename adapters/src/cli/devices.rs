//! CDI specs: files that say what a step is given with a device (Container Device Interface,
//! `SPEC.md`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use yadokari::config::{DeviceFile, DevicesConfig, StepDevice};

use crate::usage::Usage;
use crate::yaml::{self, Node};

/// Where specs are looked for (BuildKit, `docs/cdi.md`); of two devices with one name the one of the
/// later directory counts.
const DIRECTORIES: [&str; 3] = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"];

/// Most bytes of a spec.
const LONGEST: u64 = 4 << 20;

/// The devices of all specs. What cannot be used is told only to those who miss a device.
///
/// # Errors
/// A directory that was named is not there.
pub(super) fn read(named: &[String]) -> Result<DevicesConfig, Usage> {
    let mut known: BTreeMap<String, (usize, Vec<StepDevice>)> = BTreeMap::new();
    let mut config = DevicesConfig::default();
    let defaults = DIRECTORIES.iter().filter(|_| named.is_empty()).map(|path| (Path::new(path), false));
    let all = defaults.chain(named.iter().map(|path| (Path::new(path.as_str()), true)));
    for (rank, (directory, required)) in all.enumerate() {
        let listed = match fs::read_dir(directory) {
            Ok(listed) => listed,
            Err(_) if !required => continue,
            Err(e) => return Err(Usage::new(format!("--cdi-spec-dir {}: {e}", directory.display()))),
        };
        let mut files: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "json" || e == "yaml"));
        files.sort();
        for path in files {
            match file(&path) {
                Ok(devices) => devices.into_iter().for_each(|device| {
                    let slot = known.entry(device.name.clone()).or_default();
                    if slot.0 != rank {
                        *slot = (rank, Vec::new());
                    }
                    slot.1.push(device);
                }),
                Err(fault) => config.faults.push(format!("{}: {fault}", path.display())),
            }
        }
    }
    // Two of one directory are none.
    config.known =
        known.into_values().filter(|(_, twins)| twins.len() == 1).flat_map(|(_, one)| one).collect();
    Ok(config)
}

fn file(path: &Path) -> Result<Vec<StepDevice>, String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    let read = file.take(LONGEST + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if read as u64 > LONGEST {
        return Err("is too large".to_owned());
    }
    spec(&text)
}

/// The devices of a spec; JSON is YAML too.
fn spec(text: &str) -> Result<Vec<StepDevice>, String> {
    let documents = yaml::parse(text).map_err(|e| format!("line {}: {e}", e.line))?;
    let spec = documents.first().ok_or("is empty")?;
    let kind = field(spec, "kind").ok_or("has no kind")?;
    let mut devices = Vec::new();
    for node in spec.get("devices").map(Node::items).unwrap_or_default() {
        let name = field(node, "name").ok_or("has a device without a name")?;
        let annotation = |key: &str| {
            let of = |node: &'_ Node| Some(field(node.get("annotations")?, key)?.to_owned());
            of(node).or_else(|| of(spec))
        };
        let mut device = StepDevice {
            name: format!("{kind}={name}"),
            class: annotation("org.mobyproject.buildkit.device.class"),
            allowed: annotation("org.mobyproject.buildkit.device.autoallow")
                .is_some_and(|text| matches!(text.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True")),
            ..StepDevice::default()
        };
        for edits in [spec, node].iter().filter_map(|of| of.get("containerEdits")) {
            for (key, value) in edits.entries() {
                edit(&mut device, key.text().unwrap_or_default(), value)?;
            }
        }
        devices.push(device);
    }
    Ok(devices)
}

fn edit(device: &mut StepDevice, key: &str, value: &Node) -> Result<(), String> {
    for item in value.items() {
        match key {
            "env" => {
                let pair =
                    item.text().and_then(|text| text.split_once('=')).ok_or("a variable has no `=`")?;
                device.env.push((pair.0.to_owned(), pair.1.to_owned()));
            }
            "deviceNodes" => {
                let target = field(item, "path").ok_or("a device node has no path")?;
                let source = field(item, "hostPath").unwrap_or(target);
                device.files.push(shown(source, target, false)?);
            }
            "mounts" if matches!(field(item, "type"), None | Some("bind")) => {
                let target = field(item, "containerPath").ok_or("a mount has no containerPath")?;
                let source = field(item, "hostPath").ok_or("a mount has no hostPath")?;
                let options = item.get("options").map(Node::items).unwrap_or_default();
                let read_only = options.iter().any(|option| option.text() == Some("ro"));
                device.files.push(shown(source, target, read_only)?);
            }
            "additionalGids" => {
                let group =
                    item.text().and_then(|text| text.parse::<u32>().ok()).ok_or("a group is no number")?;
                device.groups.extend(Some(group).filter(|group| *group != 0));
            }
            other => device.beyond = Some(other.to_owned()),
        }
    }
    if !value.entries().is_empty() {
        device.beyond = Some(key.to_owned());
    }
    Ok(())
}

fn shown(source: &str, target: &str, read_only: bool) -> Result<DeviceFile, String> {
    let wrong = || format!("`{target}` is no place for a mount");
    let inner = Path::new(target).strip_prefix("/").map_err(|_| wrong())?;
    // As if every part were read anew: no `.` and no doubled slash is left.
    let target: PathBuf = inner.components().collect();
    let plain = target.components().all(|part| matches!(part, Component::Normal(_)));
    match plain && !target.as_os_str().is_empty() && source.starts_with('/') {
        true => Ok(DeviceFile { source: PathBuf::from(source), target, read_only }),
        false => Err(wrong()),
    }
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name).and_then(Node::text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_say_what_devices_give() {
        let devices = spec(
            "kind: a.com/b\ncontainerEdits: {env: [X=1]}\ndevices:\n- name: one\n  containerEdits:\n    \
             deviceNodes: [{path: /dev/./x, hostPath: /dev/y}, {path: /dev/z}]\n    \
             mounts: [{hostPath: /h, containerPath: //c/d, options: [ro]}]\n    additionalGids: [0, 7]\n\
             - name: 2\n  containerEdits: {hooks: [{path: /x}]}\n\
             - name: three\n  containerEdits: {intelRdt: {closID: x}, netDevices: []}\n",
        )
        .unwrap();
        let of = |source: &str, target: &str, read_only| DeviceFile {
            source: source.into(),
            target: target.into(),
            read_only,
        };
        let files = [of("/dev/y", "dev/x", false), of("/dev/z", "dev/z", false), of("/h", "c/d", true)];
        assert_eq!(
            (devices[0].files.as_slice(), devices[0].groups.as_slice()),
            (files.as_slice(), [7].as_slice())
        );
        let rest: Vec<_> =
            devices.iter().map(|d| (d.name.as_str(), d.env.len(), d.beyond.as_deref())).collect();
        let expected = [
            ("a.com/b=one", 1, None),
            ("a.com/b=2", 1, Some("hooks")),
            ("a.com/b=three", 1, Some("intelRdt")),
        ];
        assert_eq!(rest, expected);
    }

    #[test]
    fn wrong_specs_are_told() {
        let device = |edits: &str| format!("kind: a/b\ndevices:\n- name: x\n  containerEdits: {edits}\n");
        for text in [
            String::new(),
            "kind: [".to_owned(),
            "devices: []".to_owned(),
            "kind: a/b\ndevices: [{}]".to_owned(),
            device("{env: [X]}"),
            device("{deviceNodes: [{hostPath: /x}]}"),
            device("{deviceNodes: [{path: x}]}"),
            device("{deviceNodes: [{path: /}]}"),
            device("{mounts: [{hostPath: /x, containerPath: /a/../b}]}"),
            device("{mounts: [{hostPath: x, containerPath: /a}]}"),
            device("{additionalGids: [x]}"),
        ] {
            assert!(spec(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_later_directory_counts_and_twins_are_none() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, kind: &str, value: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = format!(
                "{{kind: a.com/{kind}, devices: [{{name: x, containerEdits: {{env: [V={value}]}}}}]}}"
            );
            fs::write(path, text).unwrap();
        };
        put("1/a.yaml", "over", "early");
        put("2/a.json", "over", "late");
        put("2/b.yaml", "twin", "one");
        put("2/c.yaml", "twin", "two");
        put("2/d.txt", "text", "no");
        fs::write(root.path().join("1/broken.json"), "{").unwrap();
        let named = ["1", "2"].map(|name| root.path().join(name).display().to_string());
        let config = read(&named).unwrap();
        let seen: Vec<_> = config.known.iter().map(|d| (d.name.as_str(), d.env[0].1.as_str())).collect();
        assert_eq!(seen, [("a.com/over=x", "late")]);
        assert_eq!(config.faults.len(), 1);
    }
}
