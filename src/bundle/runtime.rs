//! What a runtime reads (OCI runtime spec, config.md; image spec, conversion.md).

use serde_json::{Value, json};

use super::ROOTFS;
use crate::image::ImageConfig;
use crate::layer::DirView;
use crate::run::user::lookup;

/// What containers may do that runtimes start without a word (as docker's and umoci's).
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Files of /proc and /sys that say or change too much.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/firmware",
];

/// The document for an image that is unpacked. A user whose name the image does not know is root, as
/// long as nobody changes the document.
pub(super) fn of(config: &ImageConfig, view: &DirView) -> Value {
    let run = &config.config;
    let user = lookup(view, if run.user.is_empty() { "0" } else { &run.user }).ok();
    let (uid, gid, groups) = user.map(|user| (user.uid, user.gid, user.groups)).unwrap_or_default();
    let words = run.entrypoint.iter().chain(&run.cmd).flatten().collect::<Vec<_>>();
    let args: Value = if words.is_empty() { json!(["sh"]) } else { json!(words) };
    let mut env = run.env.clone();
    if !env.iter().any(|item| item.starts_with("PATH=")) {
        env.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    }
    let cwd = if run.working_dir.is_empty() { "/" } else { &run.working_dir };
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": uid, "gid": gid, "additionalGids": groups },
            "args": args,
            "env": env,
            "cwd": cwd,
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": ROOTFS },
        "hostname": crate::run::HOSTNAME,
        "mounts": mounts(),
        "annotations": annotations(config),
        "linux": linux(),
    })
}

/// The image's labels, and what it says of itself (conversion.md, "Annotation Fields").
fn annotations(config: &ImageConfig) -> Value {
    let mut all = config.config.labels.clone();
    let known = [
        ("os", config.os.clone()),
        ("architecture", config.architecture.clone()),
        ("variant", config.variant.clone().unwrap_or_default()),
        ("author", config.author.clone().unwrap_or_default()),
        ("created", config.created.clone().unwrap_or_default()),
        ("stopSignal", config.config.stop_signal.clone()),
        ("exposedPorts", config.config.exposed_ports.keys().cloned().collect::<Vec<_>>().join(",")),
    ];
    for (name, value) in known.into_iter().filter(|(_, value)| !value.is_empty()) {
        all.entry(format!("org.opencontainers.image.{name}")).or_insert(value);
    }
    json!(all)
}

fn mounts() -> Value {
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let sys = match is_plain_user() {
        // A namespace that has no network of its own cannot mount it anew.
        true => mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]),
        false => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    };
    let terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    json!([
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &terminals),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        sys,
    ])
}

fn linux() -> Value {
    let mut namespaces = vec![json!({ "type": "pid" }), json!({ "type": "ipc" })];
    namespaces.extend([json!({ "type": "uts" }), json!({ "type": "mount" })]);
    let mut linux = json!({
        "maskedPaths": MASKED,
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if is_plain_user() {
        namespaces.push(json!({ "type": "user" }));
        for (name, file) in [("uidMappings", "uid_map"), ("gidMappings", "gid_map")] {
            linux[name] =
                mappings(&std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default());
        }
    } else {
        namespaces.push(json!({ "type": "network" }));
    }
    linux["namespaces"] = namespaces.into();
    linux
}

/// The lines of a map: what the runtime, started by the same user, has to map as well.
fn mappings(map: &str) -> Value {
    let lines = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (inside, outside, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(json!({ "containerID": inside, "hostID": outside, "size": size }))
    });
    lines.collect()
}

/// Whether we are root of a namespace of our own only.
fn is_plain_user() -> bool {
    crate::run::identity().note().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_becomes_mappings() {
        assert_eq!(
            mappings("         0       1000          1\n         1     100000      65536\n"),
            json!([
                {"containerID": 0, "hostID": 1000, "size": 1},
                {"containerID": 1, "hostID": 100_000, "size": 65536},
            ])
        );
    }
}
