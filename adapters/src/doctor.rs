//! `yadokari doctor`: what a build would find here.

use std::fmt::Write as _;

use yadokari::config::CredentialLocation;
use yadokari::rootfs::{PlacementKind, Probe, probe};
use yadokari::run::identity;

use crate::ci;
use crate::cli::flags::Rootfs;
use crate::cli::{config, credentials};
use crate::env::Env;

/// The report, for people.
pub(crate) fn report(flags: &Rootfs, env: &Env) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<16}{value}"); // writing to a String cannot fail
    };
    let rootfs = config::rootfs(flags, env);
    line("version", env!("CARGO_PKG_VERSION"));
    line("platform", &yadokari::image::Platform::host().to_string());
    line("CI platform", ci::detect(env).map_or("none", ci::Platform::name));
    let user = rustix::process::geteuid().as_raw().to_string();
    line(
        "user id",
        &identity().note().map_or_else(|| user.clone(), |note| format!("{user} in a namespace, {note}")),
    );
    line("work directory", &rootfs.work_dir.display().to_string());
    for path in &env.ca_paths {
        line("CA roots", &path.display().to_string());
    }
    let helpers = credentials::HELPERS.map(|(_, helper)| helper);
    for source in credentials::sources(env, env.get("KANIKO_DIR"), &helpers).sources {
        let found = match &source.location {
            CredentialLocation::File(path) => path.exists(),
            CredentialLocation::Cloud(_) => false,
            _ => true,
        };
        if found {
            line("credentials", &source.name);
        }
    }
    for found in probe(&rootfs) {
        line(name(found.kind), &sentence(&found));
    }
    out
}

fn name(kind: PlacementKind) -> &'static str {
    match kind {
        PlacementKind::Overlay => "overlay",
        PlacementKind::Chroot => "chroot",
        PlacementKind::Inplace => "in place",
    }
}

fn sentence(found: &Probe) -> String {
    let verdict = if found.works { "works" } else { "does not work" };
    let missing = match (&found.missing, found.works) {
        (Some(missing), false) => format!("; missing: {missing}"),
        (Some(missing), true) => format!(" ({missing})"),
        (None, _) => String::new(),
    };
    format!("{verdict}: {}{missing}", found.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_says_whether_it_works_and_what_is_missing() {
        let mut found = Probe {
            kind: PlacementKind::Overlay,
            works: false,
            reason: "mount is not permitted".into(),
            missing: Some("CAP_SYS_ADMIN".into()),
        };
        assert_eq!(sentence(&found), "does not work: mount is not permitted; missing: CAP_SYS_ADMIN");
        found.works = true;
        found.missing = None;
        assert_eq!(sentence(&found), "works: mount is not permitted");
    }
}
