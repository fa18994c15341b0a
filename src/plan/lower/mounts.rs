//! `RUN --mount`: defaults and paths of BuildKit's `convert_runmount.go`, `convert_secrets.go` and
//! `convert_ssh.go`.

use crate::dockerfile::{Diagnostic, Instruction, Mount, MountType, RunInstruction, Sharing, Word};

use super::super::mount::{Access, CacheMount, FileOwner, RunMount, RunMountKind};
use super::super::step::CopyFrom;
use super::{Lowering, ResolveFrom, absolute};

/// Where a secret without a target is found.
const SECRETS: &str = "/run/secrets/";
/// Where sockets without a target are found; a number follows.
const SOCKETS: &str = "/run/buildkit/ssh_agent.";

impl Lowering<'_> {
    /// The mounts of a `RUN`, in the order written.
    pub(super) fn mounts(
        &self,
        at: &Instruction,
        run: &RunInstruction,
        resolve: &mut ResolveFrom<'_>,
    ) -> Result<Vec<RunMount>, Box<Diagnostic>> {
        let mut sockets = 0;
        run.mounts.iter().map(|word| self.mount(at, word, resolve, &mut sockets)).collect()
    }

    fn mount(
        &self,
        at: &Instruction,
        word: &Word,
        resolve: &mut ResolveFrom<'_>,
        sockets: &mut usize,
    ) -> Result<RunMount, Box<Diagnostic>> {
        let wrong = |message: String, help: &str| {
            Box::new(Diagnostic::new(&at.source, word.span, message).with_help(help))
        };
        let expand = |text: &str| self.expander.word(text, &|name| self.scope.get(name));
        let mount = Mount::parse(&word.text, &expand).map_err(|e| wrong(e.to_string(), &e.help))?;
        let mut files = |from: &str| match from {
            "" => Ok(CopyFrom::Context),
            from => resolve(from).map_err(|m| wrong(m, "name a stage, a build context or an image")),
        };
        let kind = match mount.kind {
            MountType::Bind => RunMountKind::Bind {
                from: files(&mount.from)?,
                source: absolute("/", &mount.source),
                access: access(&mount),
            },
            MountType::Cache => {
                let seed = if mount.from.is_empty() { None } else { Some(files(&mount.from)?) };
                RunMountKind::Cache(self.cache(&mount, seed))
            }
            MountType::Tmpfs => RunMountKind::Tmpfs {
                size: u64::try_from(mount.size).ok().filter(|size| *size > 0),
                access: access(&mount),
            },
            MountType::Secret => return self.secret(mount).map_err(|m| wrong(m, "name a path below /")),
            MountType::Ssh if !mount.source.is_empty() => {
                let message = "an ssh mount has no option `source`".to_owned();
                return Err(wrong(message, "name the agent with `id`, as in --ssh id=path"));
            }
            MountType::Ssh => {
                let id = Some(mount.id.clone()).filter(|id| !id.is_empty());
                RunMountKind::Ssh {
                    id: id.unwrap_or_else(|| "default".to_owned()),
                    required: mount.required,
                    owner: owner(&mount, 0o600),
                }
            }
        };
        let mut written = mount.target;
        if matches!(kind, RunMountKind::Ssh { .. }) {
            if written.is_empty() {
                written = format!("{SOCKETS}{sockets}");
            }
            *sockets += 1;
        }
        let target = self.target(&written).map_err(|m| wrong(m, "name a path below /"))?;
        Ok(RunMount { target: Some(target), kind })
    }

    fn cache(&self, mount: &Mount, seed: Option<CopyFrom>) -> CacheMount {
        // Of the target as written, so that relative ones of several directories are one cache.
        let id = if mount.id.is_empty() { cleaned(&mount.target) } else { mount.id.clone() };
        let namespace = self.arguments.given("BUILDKIT_CACHE_MOUNT_NS").unwrap_or_default();
        let source = absolute("/", &mount.source);
        let given = mount.mode.is_some() || mount.uid.is_some() || mount.gid.is_some();
        CacheMount {
            id: format!("{namespace}/{id}"),
            sharing: mount.sharing.unwrap_or(Sharing::Shared),
            owner: (given && source == "/").then(|| owner(mount, 0o755)),
            part: if seed.is_none() { source.clone() } else { "/".to_owned() },
            seed: seed.map(|from| (from, source)),
            access: access(mount),
        }
    }

    /// A secret is a file, a variable, or both.
    fn secret(&self, mount: Mount) -> Result<RunMount, String> {
        let owner = owner(&mount, 0o400);
        let Mount { source, id, target, env, required, .. } = mount;
        let named = [source, id].into_iter().find(|name| !name.is_empty());
        let id = named.unwrap_or_else(|| last_part(&target).to_owned());
        let written = match (target.as_str(), &env) {
            ("", Some(_)) => None,
            ("", None) => Some(format!("{SECRETS}{}", last_part(&id))),
            _ => Some(target),
        };
        let target = written.map(|written| self.target(&written)).transpose()?;
        let env = env.map(|name| if name.is_empty() { id.clone() } else { name });
        Ok(RunMount { target, kind: RunMountKind::Secret { id, env, required, owner } })
    }

    /// Relative to the working directory.
    fn target(&self, written: &str) -> Result<String, String> {
        match absolute(&self.config.config.working_dir, written).as_str() {
            "/" => Err(format!("'{written}' cannot be mounted on: it is the root")),
            target => Ok(target.to_owned()),
        }
    }
}

fn access(mount: &Mount) -> Access {
    match (mount.read_only, mount.access_given) {
        (false, _) => Access::Writable,
        (true, false) => Access::ReadOnly,
        (true, true) => Access::WrittenReadOnly,
    }
}

/// Of a mode only the permissions count, not the three bits above them.
fn owner(mount: &Mount, mode: u32) -> FileOwner {
    FileOwner {
        mode: mount.mode.unwrap_or(mode) & 0o777,
        uid: mount.uid.unwrap_or_default(),
        gid: mount.gid.unwrap_or_default(),
    }
}

/// The last part of a path, as Go's `path.Base`.
fn last_part(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

/// The shortest path that means the same, as Go's `path.Clean`.
fn cleaned(path: &str) -> String {
    if path.starts_with('/') {
        return absolute("/", path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, clean, base) in [
            ("", ".", "."),
            ("/", "/", "/"),
            ("a/../b/", "b", "b"),
            ("../../x", "../../x", "x"),
            ("./a//b", "a/b", "b"),
            ("/root/.cache/", "/root/.cache", ".cache"),
        ] {
            assert_eq!((cleaned(path).as_str(), last_part(path)), (clean, base), "{path}");
        }
    }
}
