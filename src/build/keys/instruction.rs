//! What an instruction itself puts into its key, and what it reads of other trees.

use crate::cache::Components;
use crate::config::BuildConfig;
use crate::plan::{
    Access, Action, CacheMount, Chmod, CopyFrom, CopySource, CopyStep, FileOwner, RunMount, RunMountKind,
    RunNetwork, RunSecurity, RunStep,
};

use super::super::demands::network;
use super::Input;

/// The keyword of an instruction.
pub(in crate::build) fn keyword(action: &Action) -> &'static str {
    match action {
        Action::Metadata => "",
        Action::Run(_) => "RUN",
        Action::Copy(copy) if copy.add => "ADD",
        Action::Copy(_) => "COPY",
        Action::Workdir(_) => "WORKDIR",
    }
}

/// What a step reads of other trees, in its order.
pub(super) fn reads(action: &Action) -> Vec<Input> {
    let of = |name: String, from: &CopyFrom, path: &str| Input {
        name,
        copy: CopyStep::plain(from.clone(), path.to_owned(), "/"),
    };
    match action {
        Action::Copy(copy) => vec![Input { name: "files".to_owned(), copy: copy.clone() }],
        Action::Run(run) => {
            let read = |mount: &RunMount| {
                let target = mount.target.as_deref().unwrap_or_default();
                match &mount.kind {
                    RunMountKind::Bind { from, source, .. } => {
                        Some(of(format!("mounted files {target}"), from, source))
                    }
                    RunMountKind::Cache(CacheMount { seed: Some((from, source)), .. }) => {
                        Some(of(format!("first files of the cache {target}"), from, source))
                    }
                    _ => None,
                }
            };
            run.mounts.iter().filter_map(read).collect()
        }
        Action::Metadata | Action::Workdir(_) => Vec::new(),
    }
}

pub(super) fn run_components(parts: &mut Components, run: &RunStep, config: &BuildConfig) {
    parts.add_list("command", &run.argv).add("user", &run.user).add("working directory", &run.workdir);
    if let Some(script) = &run.script {
        parts.add_list("script", [&script.name, &script.content]);
    }
    for mount in &run.mounts {
        let target = mount.target.as_deref().unwrap_or_default();
        parts.add_list(format!("mount {target}"), mount_words(mount));
    }
    match network(config, run) {
        RunNetwork::Default => {}
        RunNetwork::None => drop(parts.add("network", "none")),
        RunNetwork::Host => drop(parts.add("network", "host")),
    }
    // The names, as in BuildKit (`solver/llbsolver/ops/exec.go`): an address may be another each time.
    if !config.steps.hosts.is_empty() {
        parts.add_list("hosts", config.steps.hosts.iter().map(|(_, name)| name));
    }
    if let Some(name) = &config.steps.hostname {
        parts.add("host name", name);
    }
    if run.security == RunSecurity::Insecure {
        parts.add("security", "insecure");
    }
    for device in &run.devices {
        parts.add(format!("device {}", device.name), if device.required { "required" } else { "optional" });
    }
    for (name, value) in run.env.iter().filter(|(name, _)| !run.proxies.contains(name)) {
        parts.add(format!("variable {name}"), value);
    }
}

/// A mount without what it holds: a secret counts by name, a cache by id.
fn mount_words(mount: &RunMount) -> Vec<String> {
    let owned = |o: &FileOwner| format!("{:o} {} {}", o.mode, o.uid, o.gid);
    let access = |a: &Access| if a.is_read_only() { "ro" } else { "rw" }.to_owned();
    let required = |r: &bool| if *r { "required" } else { "optional" }.to_owned();
    let words = |kind: &str, rest: Vec<String>| std::iter::once(kind.to_owned()).chain(rest).collect();
    match &mount.kind {
        RunMountKind::Bind { source, access: a, .. } => words("bind", vec![source.clone(), access(a)]),
        RunMountKind::Cache(cache) => {
            let owner = cache.owner.as_ref().map(owned).unwrap_or_default();
            let mut rest = vec![cache.id.clone(), owner, access(&cache.access)];
            rest.extend(Some(cache.part.clone()).filter(|part| part != "/"));
            words("cache", rest)
        }
        RunMountKind::Tmpfs { size, access: a } => {
            let size = size.map(|s| s.to_string()).unwrap_or_default();
            words("tmpfs", vec![size, access(a)])
        }
        RunMountKind::Secret { id, env, required: r, owner } => {
            let env = env.clone().unwrap_or_default();
            words("secret", vec![id.clone(), env, required(r), owned(owner)])
        }
        RunMountKind::Ssh { id, required: r, owner } => {
            words("ssh", vec![id.clone(), required(r), owned(owner)])
        }
    }
}

pub(super) fn copy_components(parts: &mut Components, copy: &CopyStep, compat: bool) {
    parts.add("destination", copy.place());
    parts.add_list(
        "sources",
        copy.sources.iter().map(|source| match source {
            CopySource::Path(path) => format!("path {path}"),
            CopySource::Inline { name, content } => format!("text {name} {content}"),
            CopySource::Url(_) => "file of a web server".to_owned(),
            CopySource::Git(git) => {
                let part = git.subdir.as_deref().unwrap_or_default();
                let (whole, modules) = (git.keep_git_dir == Some(true), git.submodules != Some(false));
                format!("repository {whole} {modules} {:?} {part}", git.history)
            }
        }),
    );
    parts.add("chown", copy.chown.as_ref().map_or("", |c| c.0.as_str()));
    parts.add("chmod", copy.chmod.as_ref().map_or("", Chmod::text));
    parts.add_list("exclude", &copy.excludes);
    let flags = [copy.link, copy.parents, copy.unpack == Some(true), copy.unpack == Some(false), compat];
    parts.add("flags", flags.map(u8::from));
}
