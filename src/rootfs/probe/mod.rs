//! Which placements work here, found by trying them.

mod mounted;

use std::path::PathBuf;

use super::chroot::Chroot;
use super::inplace::Inplace;
use super::overlay::Overlay;
use super::{Placement, PlacementKind, RootfsError};
use crate::config::{Isolation, RootfsConfig};
use crate::event::Events;
use crate::run::{self, Hiding, RunError};
use mounted::No;

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
    let overlay = mounted::overlay(config).map(|(probe, _)| probe);
    let chroot = mounted::chroot(config).map(|(probe, _)| probe);
    let found = |kind, outcome| match outcome {
        Ok(probe) | Err(No::Refused(probe)) => probe,
        Err(No::Unexpected(error)) => refused(kind, untried(&error), None),
    };
    let overlay = found(PlacementKind::Overlay, overlay);
    vec![overlay, found(PlacementKind::Chroot, chroot), in_place(config)]
}

/// Opens the placement that is asked for, or the fastest that works; with one sentence that says which
/// and why. `credentials` are files that steps must not see; `threads` is for work on trees.
///
/// # Errors
/// None that may be used works, or the one that is asked for does not: with what is missing. Also
/// if trying a namespace fails in a way that says nothing about namespaces: going on in place, which
/// moves the container's own files, is for where they are known not to work.
pub fn open_placement(
    config: &RootfsConfig,
    credentials: &[PathBuf],
    threads: usize,
    events: &Events,
) -> Result<(Box<dyn Placement>, String), RootfsError> {
    let may = |isolation| match config.isolation {
        Isolation::Auto if config.materialize => isolation == Isolation::Inplace,
        Isolation::Auto => true,
        Isolation::Mounted => isolation != Isolation::Inplace,
        one => one == isolation,
    };
    if config.materialize && !may(Isolation::Inplace) {
        return Err(RootfsError::Refused {
            reason: "--materialize leaves the image's files as this container's own, and only steps that run in place do that".to_owned(),
            help: Some(
                "build in a container with --isolation=inplace, or write --oci-layout-path and unpack it with `yadokari unpack`"
                    .to_owned(),
            ),
        });
    }
    let mut refused = Vec::new();
    if may(Isolation::Overlay)
        && let Some((probe, features)) = tried(mounted::overlay(config), &mut refused)?
    {
        let placement = Overlay::open(&config.work_dir, features)?;
        return Ok((Box::new(placement), sentence(&probe, &refused)));
    }
    if may(Isolation::Chroot)
        && let Some((probe, features)) = tried(mounted::chroot(config), &mut refused)?
    {
        let placement = Chroot::open(&config.work_dir, features, threads)?;
        return Ok((Box::new(placement), sentence(&probe, &refused)));
    }
    if may(Isolation::Inplace) {
        let probe = in_place(config);
        if probe.works {
            let placement = Inplace::open(config, credentials, threads, events.clone())?;
            return Ok((Box::new(placement), sentence(&probe, &refused)));
        }
        refused.push(probe);
    }
    Err(none_works(refused))
}

/// What works; a refusal is kept.
fn tried<T>(outcome: Result<T, No>, refused: &mut Vec<Probe>) -> Result<Option<T>, RootfsError> {
    match outcome {
        Ok(works) => Ok(Some(works)),
        Err(No::Refused(probe)) => {
            refused.push(probe);
            Ok(None)
        }
        Err(No::Unexpected(error)) => {
            let help = "see that nothing limits or ends this program's own processes, and start again";
            Err(RootfsError::Refused { reason: untried(&error), help: Some(help.to_owned()) })
        }
    }
}

fn none_works(refused: Vec<Probe>) -> RootfsError {
    let mut reasons: Vec<String> = Vec::new();
    let mut ways: Vec<String> = Vec::new();
    for probe in refused {
        reasons.push(format!("{}: {}", name(probe.kind), probe.reason));
        // What two of them lack is said once.
        ways.extend(probe.missing.filter(|way| !ways.contains(way)));
    }
    RootfsError::Refused {
        reason: format!("no command can be run here ({})", reasons.join("; ")),
        help: Some(ways.join("; or ")).filter(|ways| !ways.is_empty()),
    }
}

fn sentence(chosen: &Probe, instead_of: &[Probe]) -> String {
    let mut text = format!("steps run {}: {}", name(chosen.kind), chosen.reason);
    if let Some(missing) = &chosen.missing {
        text.push_str(&format!(" ({missing})"));
    }
    for other in instead_of {
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
        PlacementKind::Chroot => "in a chroot",
        PlacementKind::Inplace => "in place",
    }
}

fn untried(error: &RunError) -> String {
    format!("cannot find out whether a mount namespace works here: {error}")
}

fn refused(kind: PlacementKind, reason: String, missing: Option<&str>) -> Probe {
    Probe { kind, works: false, reason, missing: missing.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            materialize: false,
            work_dir: directory.path().join("work"),
            home_dir: directory.path().join("home"),
        };
        // Without root an overlay and in place are both refused before anything is tried.
        let outcome = open_placement(&config, &[], 1, &Events::new(std::sync::Arc::new(Deaf)));
        // This program calls no supervisor_entry().
        let error = outcome.map(|(_, why)| why).expect_err("nobody can supervise");
        let is_root = rustix::process::geteuid().is_root();
        let expected = if is_root { "supervisor_entry" } else { "not root" };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!config.home_dir.exists(), "nothing was prepared in place");
    }
}
