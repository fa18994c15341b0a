//! Whether building in place works here, before anything is touched.

use std::fs::File;
use std::path::Path;

use rustix::fd::OwnedFd;

use super::directory::{dress, look, remove, rename};
use crate::config::RootfsConfig;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Whether building in place works here and may be done.
    pub works: bool,
    /// Why, or why not, in one sentence without a full stop.
    pub reason: String,
    /// What is missing, each in a few words.
    pub missing: Vec<String>,
}

/// Capabilities needed, by their number in `linux/capability.h`. Docker's default set has them. Without
/// MKNOD an image's devices stand as empty files, and are devices in the layers.
const CAPABILITIES: [(u32, &str); 6] =
    [(0, "CHOWN"), (1, "DAC_OVERRIDE"), (3, "FOWNER"), (4, "FSETID"), (6, "SETGID"), (7, "SETUID")];

/// Probes. Makes the home directory and renames an empty directory of its own there and back.
pub fn probe(config: &RootfsConfig) -> Probed {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut missing = lacking(&status);
    if !rustix::process::geteuid().is_root() {
        missing.insert(0, "root".to_owned());
    }
    // After a kill what tells a container may be set aside.
    let unfinished = config.home_dir.join("journal").exists().then_some("a build to be put back");
    let found = in_container(Path::new("/"), &|name| std::env::var_os(name).is_some());
    let place = unfinished.or(found.ok());
    if let (None, Err(lacks)) = (place, found)
        && !config.force
    {
        missing.push(lacks.to_owned());
    }
    if missing.is_empty() {
        missing.extend(try_rename(Path::new("/"), &config.home_dir).err());
    }
    if !missing.is_empty() {
        let reason = format!("building in the container's own root needs {}", missing.join(", "));
        return Probed { works: false, reason, missing };
    }
    let place = place.unwrap_or("forced by --force");
    Probed {
        works: true,
        reason: format!("root in a container whose root can be renamed ({place})"),
        missing,
    }
}

/// Names of the capabilities that are not effective, from `/proc/self/status`.
fn lacking(status: &str) -> Vec<String> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let lacks = |(number, _): &&(u32, &str)| effective & (1 << number) == 0;
    CAPABILITIES.iter().filter(lacks).map(|(_, name)| format!("CAP_{name}")).collect()
}

/// What tells that this is a container; or what is missing for that.
fn in_container(root: &Path, has_variable: &dyn Fn(&str) -> bool) -> Result<&'static str, &'static str> {
    if is_machine(root) {
        return Err("a container (or --force): these are the machine's own namespaces");
    }
    signs(root, has_variable).ok_or("a container (or --force)")
}

/// Whether this process is in namespaces that the kernel made when the machine started. A container
/// has others of its own; files and variables that speak of one may be left over, or inherited.
fn is_machine(root: &Path) -> bool {
    let initial = |(name, inode): &(&str, u32)| {
        std::fs::read_link(root.join("proc/self/ns").join(name))
            .is_ok_and(|link| link.as_os_str() == format!("{name}:[{inode}]").as_str())
    };
    initial(&INITIAL_MOUNTS) || INITIAL.iter().all(initial)
}

/// Inodes of the first namespaces: `PROC_PID_INIT_INO` and so on in `linux/proc_ns.h`. A container
/// may be given one or another of these.
const INITIAL: [(&str, u32); 3] = [("pid", 0xEFFF_FFFC), ("ipc", 0xEFFF_FFFF), ("uts", 0xEFFF_FFFE)];
/// `MNT_NS_INIT_INO` in `linux/nsfs.h`: only newer kernels have a fixed one. No container has it.
const INITIAL_MOUNTS: (&str, u32) = ("mnt", 0xEFFF_FFF8);

/// Files and variables that tell of a container.
fn signs(root: &Path, has_variable: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    let files = [(".dockerenv", "/.dockerenv"), ("run/.containerenv", "/run/.containerenv")];
    if let Some((_, name)) = files.iter().find(|(file, _)| root.join(file).exists()) {
        return Some(name);
    }
    let variables = [("KUBERNETES_SERVICE_HOST", "Kubernetes"), ("container", "$container")];
    if let Some((_, name)) = variables.iter().find(|(variable, _)| has_variable(variable)) {
        return Some(name);
    }
    let cgroup = std::fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
    if ["/docker", "/kubepods", "/lxc", "libpod"].iter().any(|part| cgroup.contains(part)) {
        return Some("/proc/1/cgroup");
    }
    let mounts = std::fs::read_to_string(root.join("proc/self/mounts")).unwrap_or_default();
    let overlay = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some("/") && fields.next() == Some("overlay")
    };
    mounts.lines().any(overlay).then_some("/ is an overlay")
}

/// Renames a directory from the home directory to the root and back.
fn try_rename(root: &Path, home: &Path) -> Result<(), String> {
    let refused = |what: String| move |error: std::io::Error| format!("{what} ({error})");
    std::fs::create_dir_all(home).map_err(refused(format!("a writable {}", home.display())))?;
    let open = |path: &Path| {
        File::open(path).map(OwnedFd::from).map_err(refused(format!("a readable {}", path.display())))
    };
    let (root_fd, home_fd) = (open(root)?, open(home)?);
    let looked = look(&root_fd);
    let name = format!(".yadokari-probe-{}", std::process::id());
    let name = name.as_bytes();
    rustix::fs::mkdirat(&home_fd, name, rustix::fs::Mode::from(0o700))
        .map_err(|error| refused(format!("a writable {}", home.display()))(error.into()))?;
    let moved = rename(&home_fd, &root_fd, name).and_then(|()| rename(&root_fd, &home_fd, name));
    let cleared = remove(&home_fd, name).and_then(|()| remove(&root_fd, name));
    // The root is the user's: not even its time changes.
    let dressed = looked.and_then(|look| dress(&root_fd, &look));
    match moved.and(cleared).and(dressed) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::XDEV) => {
            Err(format!("{} on the same mount as {}", home.display(), root.display()))
        }
        Err(error) => Err(refused(format!("a writable {}", root.display()))(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named() {
        // What docker gives by default.
        assert!(lacking("Name:\tx\nCapEff:\t00000000a80425fb\n").is_empty());
        assert_eq!(lacking("CapEff:\t00000000a80425fa\n"), ["CAP_CHOWN"]);
        assert_eq!(lacking("nothing").len(), CAPABILITIES.len());
    }

    #[test]
    fn containers_are_recognised() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let none = |_: &str| false;
        in_container(root.path(), &none).expect_err("nothing says so");
        assert_eq!(in_container(root.path(), &|name| name == "KUBERNETES_SERVICE_HOST"), Ok("Kubernetes"));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("parents");
            std::fs::write(path, text).expect("a file");
        };
        write("proc/self/mounts", "proc /proc proc rw 0 0\noverlay / overlay rw 0 0\n");
        assert_eq!(in_container(root.path(), &none), Ok("/ is an overlay"));
        write("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n");
        assert_eq!(in_container(root.path(), &none), Ok("/proc/1/cgroup"));
        write("run/.containerenv", "");
        assert_eq!(in_container(root.path(), &none), Ok("/run/.containerenv"));
        write(".dockerenv", "");
        assert_eq!(in_container(root.path(), &none), Ok("/.dockerenv"));
    }

    #[test]
    fn a_machine_is_no_container_whatever_files_say() {
        let first = [("pid", 4_026_531_836_u32), ("ipc", 4_026_531_839), ("uts", 4_026_531_838)];
        let own = |names: &[&str]| {
            first.map(|(name, inode)| (name, if names.contains(&name) { 4_026_532_700 } else { inode }))
        };
        let cases: [(&str, _, u32, bool); 6] = [
            ("the machine, newer kernel", own(&[]), 4_026_531_832, true),
            ("the machine, older kernel", own(&[]), 4_026_531_840, true),
            ("the machine's mounts alone", own(&["pid", "ipc", "uts"]), 4_026_531_832, true),
            ("a container", own(&["pid", "ipc", "uts"]), 4_026_532_699, false),
            ("a container with --pid=host --ipc=host", own(&["uts"]), 4_026_532_699, false),
            ("a container with --uts=host", own(&["pid", "ipc"]), 4_026_532_699, false),
        ];
        for (what, namespaces, mounts, machine) in cases {
            let root = tempfile::tempdir().expect("a temporary directory");
            std::fs::write(root.path().join(".dockerenv"), "").expect("a file");
            let at = root.path().join("proc/self/ns");
            std::fs::create_dir_all(&at).expect("a directory");
            for (name, inode) in namespaces.into_iter().chain([("mnt", mounts)]) {
                std::os::unix::fs::symlink(format!("{name}:[{inode}]"), at.join(name)).expect("a link");
            }
            let found = in_container(root.path(), &|_| true);
            assert_eq!(found.is_err(), machine, "{what}: {found:?}");
            if let Err(lacks) = found {
                assert!(lacks.contains("machine's own namespaces"), "{what}: {lacks}");
            }
        }
    }

    #[test]
    fn renaming_is_tried_and_leaves_nothing() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let home = root.path().join("yadokari");
        try_rename(root.path(), &home).expect("a directory can be renamed here");
        assert_eq!(std::fs::read_dir(&home).expect("home").count(), 0);
        assert_eq!(std::fs::read_dir(root.path()).expect("root").count(), 1);
        let missing = try_rename(&root.path().join("missing"), &home).expect_err("no root");
        assert!(missing.contains("readable"), "{missing}");
    }
}
