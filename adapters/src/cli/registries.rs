//! How registries are spoken to: `--insecure*`, `--skip-tls-verify*`, mirrors, retries.

use yadokari::config::{Mirror, RegistryConfig};
use yadokari::image::registry_and_prefix;

use super::flags::Registry;
use crate::env::Env;
use crate::usage::Usage;

/// The registry that `--registry-mirror` is for.
const HUB: &str = "docker.io";

/// How registries are spoken to.
///
/// # Errors
/// A mirror that is no place for images.
pub(crate) fn config(typed: &Registry, env: &Env) -> Result<RegistryConfig, Usage> {
    let retries = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
    let mut insecure_registries = typed.insecure_registry.clone();
    let mirrors = mirrors(typed, env, &mut insecure_registries)?;
    Ok(RegistryConfig {
        insecure: typed.insecure,
        insecure_pull: typed.insecure_pull,
        insecure_registries,
        skip_tls_verify: typed.skip_tls_verify,
        // kaniko's --skip-tls-verify has always covered pulls (pkg/util/transport_util.go).
        skip_tls_verify_pull: typed.skip_tls_verify_pull || typed.skip_tls_verify,
        skip_tls_verify_registries: typed.skip_tls_verify_registry.clone(),
        ca_paths: env.ca_paths.clone(),
        push_retry: retries(typed.push_retry),
        download_retry: retries(typed.image_download_retry),
        extract_retry: retries(typed.image_fs_extract_retry),
        skip_push_permission_check: typed.skip_push_permission_check,
        mirrors,
        mirrors_only: typed.skip_default_registry_fallback,
        ..RegistryConfig::default()
    })
}

/// All mirrors in kaniko's order: maps before mirrors, and of both the flags before the variable.
/// One that is written as an `http://` URL is added to `plain`.
fn mirrors(typed: &Registry, env: &Env, plain: &mut Vec<String>) -> Result<Vec<Mirror>, Usage> {
    let mut mirrors = Vec::new();
    let of_variable = |name: &'static str| env.get(name).map(|text| (name, text));
    let flags = typed.registry_map.iter().map(|text| ("--registry-map", text.as_str()));
    for (name, text) in flags.chain(of_variable("KANIKO_REGISTRY_MAP")) {
        for entry in entries(text, &[';']) {
            let Some((of, mirror)) = entry.split_once('=') else {
                return Err(Usage::new(format!("{name}: '{entry}' names no mirror"))
                    .help("write REGISTRY=MIRROR, such as index.docker.io=mirror.example.com/hub"));
            };
            mirrors.push(self::mirror(name, of.trim(), mirror.trim(), plain)?);
        }
    }
    let flags = typed.registry_mirror.iter().map(|text| ("--registry-mirror", text.as_str()));
    for (name, text) in flags.chain(of_variable("KANIKO_REGISTRY_MIRROR")) {
        for entry in entries(text, &[';', ',']) {
            mirrors.push(mirror(name, HUB, entry, plain)?);
        }
    }
    Ok(mirrors)
}

fn entries<'a>(text: &'a str, separators: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(separators).map(str::trim).filter(|entry| !entry.is_empty())
}

fn mirror(name: &str, of: &str, text: &str, plain: &mut Vec<String>) -> Result<Mirror, Usage> {
    let refuse = |place: &str, problem: &dyn std::fmt::Display| {
        Usage::new(format!("{name}: '{place}' is no registry: {problem}"))
            .help("write HOST[:PORT], and for the mirror perhaps /PREFIX after it")
    };
    let (of, below) = registry_and_prefix(bare(of)).map_err(|e| refuse(of, &e))?;
    if !below.is_empty() {
        return Err(refuse(of, &"only whole registries have mirrors"));
    }
    let (host, prefix) = registry_and_prefix(bare(text)).map_err(|e| refuse(text, &e))?;
    if text.starts_with("http://") {
        plain.push(host.to_owned());
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok(Mirror { of: of.to_owned(), host: host.to_owned(), prefix })
}

/// A URL's host and path, which is how docker's own settings name mirrors.
fn bare(text: &str) -> &str {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.unwrap_or(text).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(maps: &[&str], mirrors: &[&str], env: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let typed =
            Registry { registry_map: owned(maps), registry_mirror: owned(mirrors), ..Registry::default() };
        let config = config(&typed, &Env::of(env)).map_err(|e| e.to_string())?;
        let one = |m: &Mirror| format!("{}={}/{}", m.of, m.host, m.prefix);
        let plain = config.insecure_registries.iter().map(|host| format!("plain {host}"));
        Ok(config.mirrors.iter().map(one).chain(plain).collect())
    }

    #[test]
    fn mirrors_as_kaniko_takes_them() {
        let is = |list: &[&str]| Ok(list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            of(&["index.docker.io=m.example;gcr.io=127.0.0.1:5000/a/b/", "quay.io=q"], &[], &[]),
            is(&["index.docker.io=m.example/", "gcr.io=127.0.0.1:5000/a/b/", "quay.io=q/"])
        );
        assert_eq!(
            of(
                &["gcr.io=a"],
                &["mirror.gcr.io", "h.example/proxy", ""],
                &[
                    ("KANIKO_REGISTRY_MIRROR", "last"),
                    ("KANIKO_REGISTRY_MAP", "docker.io=b;\n\tdocker.io=[::1]:5000 ;"),
                ]
            ),
            is(&[
                "gcr.io=a/",
                "docker.io=b/",
                "docker.io=[::1]:5000/",
                "docker.io=mirror.gcr.io/",
                "docker.io=h.example/proxy/",
                "docker.io=last/",
            ])
        );
        assert_eq!(
            of(&[], &["https://m.example/", "http://plain:5000/p"], &[]),
            is(&["docker.io=m.example/", "docker.io=plain:5000/p/", "plain plain:5000"])
        );
    }

    #[test]
    fn what_is_no_mirror() {
        for wrong in
            ["docker.io", "docker.io=", "=m.example", "docker.io/library=m", "docker.io=m/UP", "a b=c"]
        {
            let error = of(&[wrong], &[], &[]).expect_err(wrong);
            assert!(error.contains("--registry-map"), "{error}");
        }
        assert!(of(&[], &["ftp://m.example"], &[]).expect_err("ftp").contains("ftp://m.example"));
        assert!(of(&[], &[], &[("KANIKO_REGISTRY_MIRROR", "a b")]).expect_err("no host").contains("KANIKO_"));
    }
}
