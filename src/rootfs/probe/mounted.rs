//! Trying a root in a mount namespace: an overlay or a plain tree, as steps get them.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use super::{Probe, refused};
use crate::config::RootfsConfig;
use crate::rootfs::{PlacementKind, chroot, overlay};
use crate::run::{self, Identity, Mounted, MountedTree, RunError, Step, identity, trial};

/// Why there is no such placement.
pub(super) enum No {
    /// It does not work here.
    Refused(Probe),
    /// It is not known whether it works.
    Unexpected(RunError),
}

/// What makes mount namespaces possible in a container.
const ALLOW: &str = "allow unshare and mount: --privileged, or --security-opt seccomp=unconfined \
                     (and apparmor=unconfined) with user namespaces enabled";

/// What a plain user lacks.
const ROOT: &str = "run as root, or where this user may make user namespaces: in a container \
                    --security-opt seccomp=unconfined, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0";

/// Tries overlays until one works; the best first.
pub(super) fn overlay(config: &RootfsConfig) -> Result<(Probe, overlay::Features), No> {
    let kind = PlacementKind::Overlay;
    let no = |reason: String, missing: &str| No::Refused(refused(kind, reason, Some(missing)));
    let work = config.work_dir.display();
    let volume = format!("mount a volume or a tmpfs and name it with --work-dir (now {work})");
    let directory = ready(config, kind, &volume)?;
    if is_overlay(directory.path()) {
        let reason =
            format!("the work directory {work} is on an overlay, which cannot hold an upper directory");
        return Err(no(reason, &volume));
    }
    let features = namespaces(|user_namespace, pid_namespace| {
        let features = |index| overlay::Features { user_namespace, pid_namespace, index };
        let with_index = features(true);
        match attempt_overlay(directory.path(), with_index) {
            Err(Refusal::Here { step, .. }) if !is_futile(step) => {
                attempt_overlay(directory.path(), features(false)).map(|()| features(false))
            }
            outcome => outcome.map(|()| with_index),
        }
    });
    let features = features.map_err(|refusal| refusal.for_placement(kind))?;
    Ok((working(kind, features.user_namespace, features.pid_namespace), features))
}

/// Tries plain trees until one works; the best first.
pub(super) fn chroot(config: &RootfsConfig) -> Result<(Probe, chroot::Features), No> {
    let kind = PlacementKind::Chroot;
    let volume = "a work directory that can be written to, named with --work-dir";
    let directory = ready(config, kind, volume)?;
    let features = namespaces(|user_namespace, pid_namespace| {
        let features = chroot::Features { user_namespace, pid_namespace };
        attempt_chroot(directory.path(), features).map(|()| features)
    });
    let features = features.map_err(|refusal| refusal.for_placement(kind))?;
    Ok((working(kind, features.user_namespace, features.pid_namespace), features))
}

/// A directory for the trial, with the work directory made if it is missing.
fn ready(config: &RootfsConfig, kind: PlacementKind, volume: &str) -> Result<tempfile::TempDir, No> {
    let no = |reason: String, missing: &str| No::Refused(refused(kind, reason, Some(missing)));
    if let Identity::Plain(why) = identity() {
        return Err(no(why.clone(), ROOT));
    }
    let work = &config.work_dir;
    let directory =
        fs::create_dir_all(work).and_then(|()| tempfile::Builder::new().prefix("probe-").tempdir_in(work));
    directory
        .map_err(|error| no(format!("the work directory {} cannot be used: {error}", work.display()), volume))
}

/// Without a user namespace, then in one; with a PID namespace, then without. Says why nothing
/// works: what the user namespace failed on, for it needs least.
fn namespaces<T>(attempt: impl Fn(bool, bool) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let mut last = None;
    // In a namespace of our own an overlay wants what goes with another.
    let inside = matches!(identity(), Identity::Namespace { .. });
    for user_namespace in [false, true].into_iter().skip(usize::from(inside)) {
        for pid_namespace in [true, false] {
            let refusal = match attempt(user_namespace, pid_namespace) {
                Err(refusal @ Refusal::Here { .. }) => refusal,
                outcome => return outcome,
            };
            let futile = matches!(refusal, Refusal::Here { step, .. } if is_futile(step));
            last = Some(refusal);
            if futile {
                break;
            }
        }
    }
    Err(last.unwrap_or_else(|| Refusal::here("nothing was tried")))
}

/// Whether nothing else about the root would make a difference.
fn is_futile(step: Option<Step>) -> bool {
    matches!(step, Some(Step::Namespaces | Step::IdMap))
}

fn working(kind: PlacementKind, user_namespace: bool, pid_namespace: bool) -> Probe {
    let place = if user_namespace {
        "a mount namespace inside a user namespace works here"
    } else {
        "this process may make mount namespaces"
    };
    let mut notes: Vec<String> = identity().note().into_iter().collect();
    if !pid_namespace {
        notes.push("no PID namespace: a fresh /proc cannot be mounted here".to_owned());
    }
    let missing = Some(notes.join("; ")).filter(|notes| !notes.is_empty());
    Probe { kind, works: true, reason: place.to_owned(), missing }
}

/// Why a root was not possible.
enum Refusal {
    /// Something about this machine is against it.
    Here {
        reason: String,
        /// What failed, if it was in the namespace.
        step: Option<Step>,
    },
    /// The trial itself came to no end.
    Unexpected(RunError),
}

impl Refusal {
    fn here(reason: &str) -> Self {
        Refusal::Here { reason: reason.to_owned(), step: None }
    }

    fn for_placement(self, kind: PlacementKind) -> No {
        match self {
            Refusal::Unexpected(error) => No::Unexpected(error),
            Refusal::Here { reason, .. } => No::Refused(refused(kind, reason, Some(ALLOW))),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Refusal::Here { reason: format!("the work directory cannot be used: {error}"), step: None }
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        match &error {
            RunError::Setup { step: Step::Process, .. } => Refusal::Unexpected(error),
            RunError::Setup { step, .. } => Refusal::Here { reason: error.to_string(), step: Some(*step) },
            // A seccomp profile may kill whoever makes a call that it forbids.
            RunError::Lost { status } if status.signal() == Some(libc::SIGSYS) => {
                let reason = "a seccomp profile ends whoever makes a mount namespace".to_owned();
                Refusal::Here { reason, step: Some(Step::Namespaces) }
            }
            _ => Refusal::Unexpected(error),
        }
    }
}

/// Mounts an overlay as a step does, changes files in it, and looks at what that left in the upper
/// directory.
fn attempt_overlay(directory: &Path, features: overlay::Features) -> Result<(), Refusal> {
    let trial_directory = tempfile::Builder::new().prefix("try-").tempdir_in(directory)?;
    let at = trial_directory.path();
    for name in ["lower", "upper", "work", "mount"] {
        fs::create_dir(at.join(name))?;
    }
    fill(&at.join("lower"))?;
    let lower = vec!["lower".into()];
    let links_kept = run::probe(&Mounted {
        directory: fs::canonicalize(at)?,
        tree: MountedTree::Overlay {
            lower,
            upper: "upper".into(),
            work: "work".into(),
            index: features.index,
        },
        mount_point: "mount".into(),
        user_namespace: features.user_namespace,
        pid_namespace: features.pid_namespace,
        files: Vec::new(),
        mounts: Vec::new(),
        scratch: std::path::PathBuf::new(),
    })?;
    if features.index && !links_kept {
        return Err(Refusal::here("the work directory's file system has no file handles for an index"));
    }
    let whiteout = fs::symlink_metadata(at.join("upper").join(trial::DELETED))?;
    let opaque = overlay::is_opaque(&at.join("upper").join(trial::REPLACED), features)?;
    if !whiteout.file_type().is_char_device() || !opaque {
        return Err(Refusal::here("deletions in an overlay on the work directory leave no trace"));
    }
    Ok(())
}

/// Makes a plain tree the root as a step does, and changes files in it.
fn attempt_chroot(directory: &Path, features: chroot::Features) -> Result<(), Refusal> {
    let trial_directory = tempfile::Builder::new().prefix("try-").tempdir_in(directory)?;
    let at = trial_directory.path();
    fs::create_dir(at.join("tree"))?;
    fill(&at.join("tree"))?;
    run::probe(&Mounted {
        directory: fs::canonicalize(at)?,
        tree: MountedTree::Plain,
        mount_point: "tree".into(),
        user_namespace: features.user_namespace,
        pid_namespace: features.pid_namespace,
        files: Vec::new(),
        mounts: Vec::new(),
        scratch: std::path::PathBuf::new(),
    })?;
    Ok(())
}

/// What a trial changes.
fn fill(tree: &Path) -> std::io::Result<()> {
    for name in ["proc", "sys", "dev", trial::REPLACED] {
        fs::create_dir(tree.join(name))?;
    }
    fs::write(tree.join(trial::REPLACED).join("file"), "")?;
    fs::write(tree.join(trial::DELETED), "")?;
    fs::write(tree.join(trial::LINKED[0]), "-")?;
    fs::hard_link(tree.join(trial::LINKED[0]), tree.join(trial::LINKED[1]))
}

/// `OVERLAYFS_SUPER_MAGIC`
const OVERLAY_MAGIC: u64 = 0x794c_7630;

fn is_overlay(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|s| s.f_type as u64 == OVERLAY_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn only_what_the_machine_refuses_is_a_refusal() {
        let setup = |step| {
            let source = std::io::Error::from_raw_os_error(libc::EPERM);
            RunError::Setup { step, action: "x".to_owned(), source }
        };
        let lost = |signal| RunError::Lost { status: ExitStatus::from_raw(signal) };
        let cases = [
            (setup(Step::Namespaces), true),
            (setup(Step::Tree), true),
            (setup(Step::Trial), true),
            (lost(libc::SIGSYS), true),
            (lost(libc::SIGKILL), false),
            (lost(0), false),
            (setup(Step::Process), false),
            (RunError::NoSupervisor, false),
        ];
        for (error, expected) in cases {
            let text = error.to_string();
            let is_refusal = matches!(Refusal::from(error), Refusal::Here { .. });
            assert_eq!(is_refusal, expected, "{text}");
        }
    }
}
