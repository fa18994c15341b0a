//! How registries are spoken to: `--insecure*`, `--skip-tls-verify*`, mirrors, retries.

use std::path::PathBuf;

use yadokari::config::{ClientCertificate, Mirror, RegistryConfig};
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
    let hosts = |list: &[String]| list.iter().map(|host| bare(host).to_owned()).collect::<Vec<_>>();
    let mut insecure_registries = hosts(&typed.insecure_registry);
    let mirrors = mirrors(typed, env, &mut insecure_registries)?;
    Ok(RegistryConfig {
        insecure: typed.insecure,
        insecure_pull: typed.insecure_pull,
        insecure_registries,
        skip_tls_verify: typed.skip_tls_verify,
        // kaniko's --skip-tls-verify has always covered pulls (pkg/util/transport_util.go).
        skip_tls_verify_pull: typed.skip_tls_verify_pull || typed.skip_tls_verify,
        skip_tls_verify_registries: hosts(&typed.skip_tls_verify_registry),
        ca_paths: env.ca_paths.clone(),
        certificates: certificates(&typed.registry_certificate)?,
        client_certificates: client_certificates(&typed.registry_client_cert)?,
        push_retry: retries(typed.push_retry),
        download_retry: retries(typed.image_download_retry),
        extract_retry: retries(typed.image_fs_extract_retry),
        skip_push_permission_check: typed.skip_push_permission_check,
        ignore_immutable_tags: typed.push_ignore_immutable_tag_errors,
        mirrors,
        mirrors_only: typed.skip_default_registry_fallback,
        ..RegistryConfig::default()
    })
}

/// `HOST=FILE`
fn certificates(typed: &[String]) -> Result<Vec<(String, PathBuf)>, Usage> {
    let all = typed.iter().filter(|text| !text.is_empty());
    all.map(|text| match text.split_once('=') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            Ok((bare(host).to_owned(), PathBuf::from(path)))
        }
        _ => Err(Usage::new(format!("--registry-certificate '{text}' names no registry or no file"))
            .help("write HOST=FILE, such as registry.example.com:5000=/kaniko/ssl/ca.pem")),
    })
    .collect()
}

/// `HOST=CERTIFICATE,KEY`
fn client_certificates(typed: &[String]) -> Result<Vec<ClientCertificate>, Usage> {
    let all = typed.iter().filter(|text| !text.is_empty());
    all.map(|text| {
        let parts = text.split_once('=').and_then(|(host, files)| Some((host, files.split_once(',')?)));
        match parts {
            Some((host, (certificate, key)))
                if ![host, certificate, key].contains(&"") && !key.contains(',') =>
            {
                Ok(ClientCertificate {
                    registry: bare(host).to_owned(),
                    certificate: PathBuf::from(certificate),
                    key: PathBuf::from(key),
                })
            }
            _ => Err(Usage::new(format!(
                "--registry-client-cert '{text}' does not name a registry and two files"
            ))
            .help("write HOST=CERTIFICATE,KEY, such as registry.example.com=/tls/tls.crt,/tls/tls.key")),
        }
    })
    .collect()
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
    fn certificates_of_registries() {
        let found = certificates(&["r.example:5000=/ca=1.pem".to_owned(), String::new()]).expect("right");
        assert_eq!(found, [("r.example:5000".to_owned(), PathBuf::from("/ca=1.pem"))]);
        let found = client_certificates(&["https://r.example=/c,/k".to_owned()]).expect("right");
        let shown = &found[0];
        assert_eq!((shown.registry.as_str(), shown.key.to_str()), ("r.example", Some("/k")));
        for wrong in ["/ca.pem", "=/ca.pem", "r.example="] {
            certificates(&[wrong.to_owned()]).expect_err(wrong);
        }
        for wrong in ["r.example", "r.example=/c", "r.example=/c,", "r.example=,/k", "=/c,/k", "r=/a,/b,/c"] {
            client_certificates(&[wrong.to_owned()]).expect_err(wrong);
        }
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
