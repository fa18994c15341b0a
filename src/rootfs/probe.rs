//! Which placements work here, found by trying them.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use super::inplace::Inplace;
use super::overlay::{Features, Overlay};
use super::{OverlayMount, Placement, PlacementKind, RootfsError};
use crate::config::{Isolation, RootfsConfig};
use crate::event::Events;
use crate::run::{self, Hiding, RunError, Step, trial};

/// Whether a placement works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The placement.
    pub kind: PlacementKind,
    /// Whether it can be used.
    pub works: bool,
    /// Why it works or not, in one sentence without a full stop.
    pub reason: String,
    /// What would have to be different for it to work, or to work better.
    pub missing: Option<String>,
}

/// Tries each placement, in the order they are preferred in. Nothing of it is left behind.
pub fn probe(config: &RootfsConfig) -> Vec<Probe> {
    let overlay = match overlay(config) {
        Ok((probe, _)) | Err(No::Refused(probe)) => probe,
        Err(No::Unexpected(error)) => refused(PlacementKind::Overlay, untried(&error), None),
    };
    vec![overlay, in_place(config)]
}

/// Opens the placement that is asked for, or the fastest that works; with one sentence that says which
/// and why. `credentials` are files that steps must not see; `threads` is for work on trees.
///
/// # Errors
/// None that may be used works, or the one that is asked for does not: with what is missing. Also
/// if trying an overlay fails in a way that says nothing about overlays: going on in place, which
/// moves the container's own files, is for where an overlay is known not to work.
pub fn open_placement(
    config: &RootfsConfig,
    credentials: &[PathBuf],
    threads: usize,
    events: &Events,
) -> Result<(Box<dyn Placement>, String), RootfsError> {
    let mut refused = Vec::new();
    if config.isolation != Isolation::Inplace {
        match overlay(config) {
            Ok((probe, features)) => {
                return Ok((Box::new(Overlay::open(&config.work_dir, features)?), sentence(&probe, None)));
            }
            Err(No::Refused(probe)) => refused.push(probe),
            Err(No::Unexpected(error)) => {
                let help = "see that nothing limits or ends this program's own processes, and start again";
                return Err(RootfsError::Refused { reason: untried(&error), help: Some(help.to_owned()) });
            }
        }
    }
    if config.isolation != Isolation::Overlay {
        let probe = in_place(config);
        if probe.works {
            let placement = Inplace::open(config, credentials, threads, events.clone())?;
            return Ok((Box::new(placement), sentence(&probe, refused.first())));
        }
        refused.push(probe);
    }
    let reasons: Vec<String> = refused.iter().map(|p| format!("{}: {}", name(p.kind), p.reason)).collect();
    let ways: Vec<String> = refused.into_iter().filter_map(|p| p.missing).collect();
    Err(RootfsError::Refused {
        reason: format!("no command can be run here ({})", reasons.join("; ")),
        help: Some(ways.join("; or ")).filter(|ways| !ways.is_empty()),
    })
}

fn sentence(chosen: &Probe, instead_of: Option<&Probe>) -> String {
    let mut text = format!("steps run {}: {}", name(chosen.kind), chosen.reason);
    if let Some(missing) = &chosen.missing {
        text.push_str(&format!(" ({missing})"));
    }
    if let Some(other) = instead_of {
        text.push_str(&format!("; not {}: {}", name(other.kind), other.reason));
    }
    text
}

fn in_place(config: &RootfsConfig) -> Probe {
    let found = super::inplace::probe(config);
    let mut probe = Probe {
        kind: PlacementKind::Inplace,
        works: found.works,
        reason: found.reason,
        missing: Some(found.missing.join(", ")).filter(|m| !m.is_empty()),
    };
    match run::hiding() {
        Hiding::BoundingSet => {}
        Hiding::Landlock => {
            let note = "without CAP_SETPCAP steps run with no-new-privileges, so that su and sudo do not work in them";
            probe.missing.get_or_insert_with(|| note.to_owned());
        }
        Hiding::Impossible if probe.works => {
            probe.works = false;
            probe.reason = "steps could read the environment of the container's other processes".to_owned();
            probe.missing = Some("CAP_SETPCAP, or Linux 6.12 with Landlock".to_owned());
        }
        Hiding::Impossible => {}
    }
    probe
}

fn name(kind: PlacementKind) -> &'static str {
    match kind {
        PlacementKind::Overlay => "in an overlay",
        PlacementKind::Inplace => "in place",
    }
}

/// Why there is no overlay.
enum No {
    /// It does not work here.
    Refused(Probe),
    /// It is not known whether it works.
    Unexpected(RunError),
}

fn untried(error: &RunError) -> String {
    format!("cannot find out whether an overlay works here: {error}")
}

fn refused(kind: PlacementKind, reason: String, missing: Option<&str>) -> Probe {
    Probe { kind, works: false, reason, missing: missing.map(str::to_owned) }
}

/// Tries overlays until one works; the best first.
fn overlay(config: &RootfsConfig) -> Result<(Probe, Features), No> {
    let no =
        |reason: String, missing: &str| No::Refused(refused(PlacementKind::Overlay, reason, Some(missing)));
    let work = config.work_dir.display();
    let volume = format!("mount a volume or a tmpfs and name it with --work-dir (now {work})");
    if !rustix::process::geteuid().is_root() {
        let reason =
            "only root can give files their owners: a user namespace would have a single id".to_owned();
        return Err(no(
            reason,
            "run as root, in a container or in a user namespace that maps a range of ids",
        ));
    }
    let directory = match workspace(&config.work_dir) {
        Ok(directory) => directory,
        Err(error) => return Err(no(format!("the work directory {work} cannot be used: {error}"), &volume)),
    };
    if is_overlay(directory.path()) {
        let reason =
            format!("the work directory {work} is on an overlay, which cannot hold an upper directory");
        return Err(no(reason, &volume));
    }
    as_root(directory.path()).map_err(|refusal| match refusal {
        Refusal::Unexpected(error) => No::Unexpected(error),
        Refusal::Here { reason, .. } => {
            let way = "allow unshare and mount: --privileged, or --security-opt seccomp=unconfined \
                       (and apparmor=unconfined) with user namespaces enabled";
            no(reason, way)
        }
    })
}

/// Without a user namespace, then in one; with a PID namespace, then without; with an index, then
/// without. Says why nothing works: what the user namespace failed on, for it needs least.
fn as_root(directory: &Path) -> Result<(Probe, Features), Refusal> {
    let mut last = None;
    for user_namespace in [false, true] {
        for (pid_namespace, index) in [(true, true), (true, false), (false, true), (false, false)] {
            let features = Features { user_namespace, pid_namespace, index };
            let refusal = match attempt(directory, features) {
                Ok(()) => return Ok((working(features), features)),
                Err(refusal @ Refusal::Unexpected(_)) => return Err(refusal),
                Err(refusal) => refusal,
            };
            // Nothing else about the overlay would make a difference.
            let futile = matches!(refusal, Refusal::Here { step: Some(Step::Namespaces | Step::IdMap), .. });
            last = Some(refusal);
            if futile {
                break;
            }
        }
    }
    Err(last.unwrap_or_else(|| Refusal::here("no overlay was tried")))
}

fn working(features: Features) -> Probe {
    let place = if features.user_namespace {
        "a mount namespace inside a user namespace works here"
    } else {
        "this process may make mount namespaces"
    };
    let missing = (!features.pid_namespace)
        .then(|| "no PID namespace: a fresh /proc cannot be mounted here".to_owned());
    Probe { kind: PlacementKind::Overlay, works: true, reason: place.to_owned(), missing }
}

/// Why an overlay was not possible.
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
fn attempt(directory: &Path, features: Features) -> Result<(), Refusal> {
    let trial_directory = tempfile::Builder::new().prefix("try-").tempdir_in(directory)?;
    let at = trial_directory.path();
    for name in ["lower", "upper", "work", "mount"] {
        fs::create_dir(at.join(name))?;
    }
    let lower = at.join("lower");
    for name in ["proc", "sys", "dev", trial::REPLACED] {
        fs::create_dir(lower.join(name))?;
    }
    fs::write(lower.join(trial::REPLACED).join("file"), "")?;
    fs::write(lower.join(trial::DELETED), "")?;
    fs::write(lower.join(trial::LINKED[0]), "-")?;
    fs::hard_link(lower.join(trial::LINKED[0]), lower.join(trial::LINKED[1]))?;
    let links_kept = run::probe(&OverlayMount {
        directory: fs::canonicalize(at)?,
        lower: vec!["lower".into()],
        upper: "upper".into(),
        work: "work".into(),
        mount_point: "mount".into(),
        user_namespace: features.user_namespace,
        index: features.index,
        pid_namespace: features.pid_namespace,
        files: Vec::new(),
    })?;
    if features.index && !links_kept {
        return Err(Refusal::here("the work directory's file system has no file handles for an index"));
    }
    let whiteout = fs::symlink_metadata(at.join("upper").join(trial::DELETED))?;
    let opaque = super::overlay::is_opaque(&at.join("upper").join(trial::REPLACED), features)?;
    if !whiteout.file_type().is_char_device() || !opaque {
        return Err(Refusal::here("deletions in an overlay on the work directory leave no trace"));
    }
    Ok(())
}

/// A directory for the trial, with the work directory made if it is missing.
fn workspace(work_dir: &Path) -> std::io::Result<tempfile::TempDir> {
    fs::create_dir_all(work_dir)?;
    tempfile::Builder::new().prefix("probe-").tempdir_in(work_dir)
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
            (setup(Step::Overlay), true),
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

    struct Deaf;

    impl crate::event::EventSink for Deaf {
        fn event(&self, _: crate::event::Event) {}
    }

    #[test]
    fn a_missing_supervisor_is_no_reason_to_build_in_place() {
        // In memory: a container's own file system is an overlay, which is refused first as well.
        let directory = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
        let config = RootfsConfig {
            isolation: Isolation::Auto,
            mount_conflict: crate::config::MountConflict::Error,
            require_hidden_credentials: false,
            force: false,
            work_dir: directory.path().join("work"),
            home_dir: directory.path().join("home"),
        };
        // Without root an overlay and in place are both refused before anything is tried.
        let outcome = open_placement(&config, &[], 1, &Events::new(std::sync::Arc::new(Deaf)));
        // This program calls no supervisor_entry().
        let error = outcome.map(|(_, why)| why).expect_err("nobody can supervise");
        let is_root = rustix::process::geteuid().is_root();
        let expected = if is_root { "supervisor_entry" } else { "only root" };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!config.home_dir.exists(), "nothing was prepared in place");
    }
}
