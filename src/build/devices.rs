//! `RUN --device`: which of the machine's devices a step gets (BuildKit, `cdidevices.Manager`).

use crate::config::{DevicesConfig, StepDevice};
use crate::plan::RunStep;
use crate::run::{Fate, Mount, MountSource};

use super::Error;

/// The devices that a step gets, each once; one that is not there and that it can do without is left
/// out.
///
/// # Errors
/// One is required and not there, may not be given, or has a name that no device can have.
pub(super) fn of<'a>(devices: &'a DevicesConfig, run: &RunStep) -> Result<Vec<&'a StepDevice>, Error> {
    let mut given: Vec<&StepDevice> = Vec::new();
    for asked in &run.devices {
        if !is_name(&asked.name) {
            let help = "write --device=vendor.com/class=name".to_owned();
            return Err(refusal(format!("`{}` is no name of a device", asked.name), help));
        }
        let found = named(devices, &asked.name);
        if found.is_empty() && asked.required {
            let faults = devices.faults.iter().map(|fault| format!("\n{fault}")).collect::<String>();
            let help = "put its CDI spec into /etc/cdi, or name a directory with --cdi-spec-dir".to_owned();
            return Err(refusal(format!("the device {} is not there{faults}", asked.name), help));
        }
        given.extend(found.into_iter().filter(|one| !given.contains(one)).collect::<Vec<_>>());
    }
    match given.iter().find_map(|device| fault(devices, device)) {
        Some(error) => Err(error),
        None => Ok(given),
    }
}

/// What a step asks for that is not there.
pub(super) fn missing<'a>(devices: &DevicesConfig, run: &'a RunStep) -> impl Iterator<Item = &'a str> {
    run.devices.iter().map(|asked| asked.name.as_str()).filter(|name| named(devices, name).is_empty())
}

/// What is mounted for devices.
pub(super) fn mounts(devices: &[&StepDevice]) -> Result<Vec<Mount>, Error> {
    let mut mounts: Vec<Mount> = Vec::new();
    for file in devices.iter().flat_map(|device| &device.files) {
        let meta = std::fs::metadata(&file.source).map_err(|e| {
            let help = "write the spec anew: it does not fit this machine".to_owned();
            refusal(format!("a device's {} cannot be had: {e}", file.source.display()), help)
        })?;
        if mounts.iter().any(|mount| mount.target == file.target) {
            continue;
        }
        let source = match meta.is_dir() {
            true => MountSource::Directory(file.source.clone(), Fate::Kept),
            false => MountSource::File(file.source.clone(), Fate::Kept),
        };
        mounts.push(Mount { target: file.target.clone(), source, read_only: file.read_only });
    }
    Ok(mounts)
}

/// Devices by what a step calls them: one by its name; the first of a kind; all of a kind, with `*`;
/// or those of a class.
fn named<'a>(devices: &'a DevicesConfig, name: &str) -> Vec<&'a StepDevice> {
    let (kind, part) = name.split_once('=').unwrap_or((name, ""));
    let is_of_kind = |device: &&StepDevice| device.name.split_once('=').is_some_and(|(k, _)| k == kind);
    let mut of_kind = devices.known.iter().filter(is_of_kind);
    match part {
        "" => of_kind.next().into_iter().collect(),
        "*" => of_kind.collect(),
        _ => match of_kind.clone().find(|device| device.name == name) {
            Some(device) => vec![device],
            None => of_kind.filter(|device| device.class.as_deref() == Some(part)).collect(),
        },
    }
}

fn fault(devices: &DevicesConfig, device: &StepDevice) -> Option<Error> {
    let name = &device.name;
    let is_allowed = || devices.allow.iter().any(|allowed| named(devices, allowed).contains(&device));
    if !devices.allow_all && !device.allowed && !is_allowed() {
        let help = format!("leave it out, or allow it with --allow device={name}");
        return Some(refusal(format!("the device {name} is not allowed"), help));
    }
    let beyond = device.beyond.as_ref()?;
    let help =
        format!("give a spec without {beyond} with --cdi-spec-dir, and do in the step what they would");
    Some(refusal(format!("the device {name} has {beyond}, which are not carried out here"), help))
}

/// `vendor/class` and what may follow it (CDI, `parser.ParseQualifier`).
fn is_name(name: &str) -> bool {
    let kind = name.split_once('=').map_or(name, |(kind, _)| kind);
    let fits = |text: &str, inner: &[u8]| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || inner.contains(b))
    };
    kind.split_once('/').is_some_and(|(vendor, class)| fits(vendor, b"_-.") && fits(class, b"_-."))
}

fn refusal(message: String, help: String) -> Error {
    Error::Other { message, help: Some(help) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_as_buildkit_finds_them() {
        let device = |name: &str, class: Option<&str>| StepDevice {
            name: name.to_owned(),
            class: class.map(str::to_owned),
            ..StepDevice::default()
        };
        let known = vec![
            device("a.com/multi=bar", None),
            device("a.com/multi=baz", Some("one")),
            device("a.com/multi=foo", Some("one")),
            device("a.com/multiple=one", None),
        ];
        let devices = DevicesConfig { known, ..DevicesConfig::default() };
        for (name, expected) in [
            ("a.com/multi", vec!["bar"]),
            ("a.com/multi=", vec!["bar"]),
            ("a.com/multi=*", vec!["bar", "baz", "foo"]),
            ("a.com/multi=foo", vec!["foo"]),
            ("a.com/multi=one", vec!["baz", "foo"]),
            ("a.com/multi=two", vec![]),
            ("a.com/mult", vec![]),
            ("one", vec![]),
        ] {
            let found: Vec<_> =
                named(&devices, name).iter().map(|d| &d.name["a.com/multi=".len()..]).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn names_have_a_vendor_and_a_class() {
        for (name, fits) in [
            ("vendor.com/gpu=all", true),
            ("nvidia.com/gpu", true),
            ("a/b", true),
            ("gpu", false),
            ("", false),
            ("/gpu=0", false),
            ("a.com/=0", false),
            ("1a/b", false),
            ("a./b", false),
            ("a b/c", false),
            ("a/b/c=1", false),
        ] {
            assert_eq!(is_name(name), fits, "{name}");
        }
    }
}
