//! From the cache's flags, and from what the CI platform says of the job, to where results are
//! looked up and kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use yadokari::config::{
    BaseDirectory, CacheConfig, CacheExport, CacheLocation, CacheMode, ContextModes, MountCacheConfig,
};
use yadokari::image::Reference;

use super::flags::{Cache, ContextModesFlag};
use super::places;
use crate::env::Env;
use crate::usage::Usage;
use crate::vocabulary::{binary_size, go_duration};

/// kaniko's directory of base images.
pub(crate) const DEFAULT_DIRECTORY: &str = "/cache";

/// What the flags mean, and remarks for the user.
#[derive(Debug)]
pub(crate) struct Caching {
    /// The cache.
    pub(crate) config: CacheConfig,
    /// What is not as somebody may think.
    pub(crate) remarks: Vec<String>,
}

/// What the flags mean for a build with these destinations.
///
/// # Errors
/// Values that make no sense, alone or together.
pub(crate) fn config(
    flags: &Cache,
    env: &Env,
    destinations: &[Reference],
    push: bool,
) -> Result<Caching, Usage> {
    let mut config = CacheConfig {
        ttl: ttl(&flags.cache_ttl)?,
        copy_layers: flags.cache_copy_layers.unwrap_or(true),
        run_layers: flags.cache_run_layers.unwrap_or(true),
        read: !flags.no_cache,
        no_cache_stages: split(&flags.no_cache_filter),
        scope: flags.cache_scope.clone(),
        explain: flags.cache_explain,
        ..CacheConfig::default()
    };
    let mut remarks = Vec::new();
    if flags.cache {
        config.bases = Some(bases(flags));
        for location in own_locations(flags, destinations, push)? {
            config.from.push(location.clone());
            config.to.push(CacheExport { location, mode: CacheMode::Max });
        }
    } else if !flags.cache_repo.is_empty() {
        remarks.push("--cache-repo does nothing without --cache".to_owned());
    }
    for text in flags.cache_from.iter().filter(|t| !t.is_empty()) {
        match place("--cache-from", text, "src")? {
            Place::At(export) => {
                // What was given may be a repository of records or an image that holds its own.
                if let CacheLocation::Registry(reference) = &export.location {
                    config.from.push(CacheLocation::Image(reference.clone()));
                }
                config.from.push(export.location);
            }
            Place::Inline(Some(image)) => config.from.push(CacheLocation::Image(image)),
            Place::Inline(None) => match destinations.first() {
                Some(image) => config.from.push(CacheLocation::Image(image.clone())),
                None => {
                    return Err(Usage::new("--cache-from type=inline names no image")
                        .help("write type=inline,ref=IMAGE, or give --destination"));
                }
            },
            Place::Other(kind) => remarks.push(other("--cache-from", &kind)),
        }
    }
    for text in flags.cache_to.iter().filter(|t| !t.is_empty()) {
        match place("--cache-to", text, "dest")? {
            Place::At(export) => config.to.push(export),
            Place::Inline(_) => config.inline = true,
            Place::Other(kind) => remarks.push(other("--cache-to", &kind)),
        }
    }
    config.mounts = mounts(flags, &mut remarks)?;
    restrict(flags, env, &mut config, &mut remarks);
    Ok(Caching { config, remarks })
}

/// `--cache-mounts-from`, `--cache-mounts-to` and `--cache-mounts-limit`
fn mounts(flags: &Cache, remarks: &mut Vec<String>) -> Result<MountCacheConfig, Usage> {
    let mut config = MountCacheConfig::default();
    if !flags.cache_mounts_limit.is_empty() {
        config.limit = binary_size(&flags.cache_mounts_limit).ok_or_else(|| {
            Usage::new(format!("'{}' for --cache-mounts-limit is no size", flags.cache_mounts_limit))
                .help("write such as 500MiB or 4GiB")
        })?;
    }
    let sides = [
        ("--cache-mounts-from", "src", &flags.cache_mounts_from, &mut config.from),
        ("--cache-mounts-to", "dest", &flags.cache_mounts_to, &mut config.to),
    ];
    for (flag, directory, given, locations) in sides {
        for text in given.iter().filter(|t| !t.is_empty()) {
            match place(flag, text, directory)? {
                Place::At(export) => locations.push(export.location),
                Place::Inline(_) => {
                    return Err(Usage::new(format!("'{text}' for {flag}: an image holds no cache mounts"))
                        .help("write type=registry,ref=REPOSITORY or oci:DIR"));
                }
                Place::Other(kind) => remarks.push(other(flag, &kind)),
            }
        }
    }
    Ok(config)
}

/// `--context-modes`
pub(crate) fn context_modes(flags: &Cache) -> ContextModes {
    match flags.context_modes {
        ContextModesFlag::Disk => ContextModes::Disk,
        ContextModesFlag::Git => ContextModes::Git,
    }
}

/// kaniko's default directory is read if there is one.
fn bases(flags: &Cache) -> BaseDirectory {
    let given = !flags.cache_dir.is_empty();
    let path = if given { &flags.cache_dir } else { DEFAULT_DIRECTORY };
    BaseDirectory { path: PathBuf::from(path), write: given }
}

/// The places of `--cache`: the repository, and the directory if one was given.
fn own_locations(flags: &Cache, destinations: &[Reference], push: bool) -> Result<Vec<CacheLocation>, Usage> {
    let mut locations = Vec::new();
    if !flags.cache_dir.is_empty() {
        locations.push(CacheLocation::Directory(PathBuf::from(&flags.cache_dir)));
    }
    match (flags.cache_repo.as_str(), destinations.first()) {
        ("", _) if !push && !locations.is_empty() => {}
        ("", Some(first)) if push => {
            // kaniko's default
            let text = format!("{}/{}/cache", first.registry(), first.repository());
            locations.push(CacheLocation::Registry(places::reference("--cache-repo", &text)?));
        }
        ("", _) if flags.no_push_cache == Some(true) => {}
        ("", _) => {
            return Err(Usage::new("--cache has nowhere to keep results: nothing is pushed")
                .help("give --cache-repo, --cache-dir, or --no-push-cache"));
        }
        (text, _) => locations.push(location(text)?),
    }
    Ok(locations)
}

/// A repository, or `oci:` and a directory, as kaniko writes it.
pub(crate) fn location(text: &str) -> Result<CacheLocation, Usage> {
    match text.strip_prefix("oci:") {
        Some("") => Err(Usage::new("'oci:' for --cache-repo names no directory").help("write oci:DIR")),
        Some(path) => Ok(CacheLocation::Directory(PathBuf::from(path))),
        None => Ok(CacheLocation::Registry(places::reference("--cache-repo", text)?)),
    }
}

enum Place {
    At(CacheExport),
    /// The image itself, or another one.
    Inline(Option<Reference>),
    /// A kind that only other builders have.
    Other(String),
}

/// A place as `docker buildx build` takes it: `REF`, or `type=…,key=value`.
fn place(flag: &str, text: &str, directory: &str) -> Result<Place, Usage> {
    let wrong = |why: &str| {
        Err(Usage::new(format!("'{text}' for {flag} {why}"))
            .help(format!("write type=registry,ref=REPOSITORY or type=local,{directory}=DIR")))
    };
    if let Some(path) = text.strip_prefix("oci:").filter(|path| !path.is_empty()) {
        let location = CacheLocation::Directory(PathBuf::from(path));
        return Ok(Place::At(CacheExport { location, mode: CacheMode::Min }));
    }
    if !text.contains('=') {
        let location = CacheLocation::Registry(places::reference(flag, text)?);
        return Ok(Place::At(CacheExport { location, mode: CacheMode::Min }));
    }
    let (mut kind, mut reference, mut path) = ("", "", "");
    let mut mode = CacheMode::Min;
    for item in text.split(',') {
        match item.trim().split_once('=') {
            Some(("type", value)) => kind = value,
            Some(("ref", value)) => reference = value,
            Some((key, value)) if key == directory => path = value,
            Some(("mode", "max")) => mode = CacheMode::Max,
            Some(("mode", "min")) => mode = CacheMode::Min,
            Some(("mode", _)) => return wrong("has a mode that is neither min nor max"),
            // What tunes BuildKit's own format makes no difference here.
            Some(_) => {}
            None => return wrong("has a part that is not key=value"),
        }
    }
    let location = match kind {
        "registry" if !reference.is_empty() => CacheLocation::Registry(places::reference(flag, reference)?),
        "local" if !path.is_empty() => CacheLocation::Directory(Path::new(path).to_owned()),
        "registry" => return wrong("names no repository"),
        "local" => return wrong("names no directory"),
        "inline" if reference.is_empty() => return Ok(Place::Inline(None)),
        "inline" => return Ok(Place::Inline(Some(places::reference(flag, reference)?))),
        "gha" | "s3" | "azblob" => return Ok(Place::Other(kind.to_owned())),
        _ => return wrong("has no type that is known"),
    };
    Ok(Place::At(CacheExport { location, mode }))
}

fn other(flag: &str, kind: &str) -> String {
    format!("{flag} type={kind} is not there yet and is left out; type=registry and type=local are")
}

/// Builds of somebody else's code read and do not write, unless the user says so.
fn restrict(flags: &Cache, env: &Env, config: &mut CacheConfig, remarks: &mut Vec<String>) {
    match (flags.no_push_cache, untrusted(env)) {
        (Some(true), _) => {
            config.to.clear();
            config.mounts.to.clear();
        }
        (None, Some(why)) if !(config.to.is_empty() && config.mounts.to.is_empty()) => {
            config.to.clear();
            config.mounts.to.clear();
            remarks.push(format!(
                "{why}: the cache is read and not written (--no-push-cache=false writes it all the same)"
            ));
        }
        _ => {}
    }
}

/// Why a job's results must not reach other jobs, if they must not.
fn untrusted(env: &Env) -> Option<&'static str> {
    if env.get("GITLAB_CI").is_some() {
        if env.get("CI_MERGE_REQUEST_IID").is_some() {
            return Some("this is the job of a merge request");
        }
        if env.get("CI_COMMIT_REF_PROTECTED") == Some("false") {
            return Some("the branch or tag is not protected");
        }
    }
    if env.get("GITHUB_ACTIONS").is_some() {
        if matches!(env.get("GITHUB_EVENT_NAME"), Some("pull_request" | "pull_request_target")) {
            return Some("this is the job of a pull request");
        }
        if env.get("GITHUB_REF_PROTECTED") == Some("false") {
            return Some("the branch or tag is not protected");
        }
    }
    None
}

fn ttl(text: &str) -> Result<Duration, Usage> {
    if text.is_empty() {
        return Ok(CacheConfig::default().ttl);
    }
    go_duration(text).ok_or_else(|| {
        Usage::new(format!("'{text}' for --cache-ttl is no duration")).help("write such as 336h or 30m")
    })
}

fn split(lists: &[String]) -> Vec<String> {
    lists.iter().flat_map(|l| l.split(',')).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Cache {
        Cache { cache: true, cache_ttl: "1h".into(), ..Cache::default() }
    }

    fn destinations() -> Vec<Reference> {
        vec!["example.com/team/app:1".parse().unwrap()]
    }

    fn shown(locations: &[CacheLocation]) -> Vec<String> {
        locations.iter().map(ToString::to_string).collect()
    }

    fn of(flags: &Cache, env: &[(&str, &str)], push: bool) -> Result<Caching, Usage> {
        config(flags, &Env::of(env), &destinations(), push)
    }

    #[test]
    fn where_results_are() {
        let caching = of(&flags(), &[], true).unwrap();
        assert_eq!(shown(&caching.config.from), ["example.com/team/app/cache"]);
        assert_eq!(caching.config.to.len(), 1);
        assert_eq!(caching.config.to[0].mode, CacheMode::Max);
        assert_eq!(caching.config.ttl, Duration::from_secs(3600));

        let named = Cache { cache_repo: "other.io/c".into(), cache_dir: "/c".into(), ..flags() };
        assert_eq!(shown(&of(&named, &[], true).unwrap().config.from), ["/c", "other.io/c"]);
        let layout = Cache { cache_repo: "oci:/l".into(), ..flags() };
        assert_eq!(shown(&of(&layout, &[], false).unwrap().config.from), ["/l"]);
        let off = Cache { cache: false, cache_repo: "other.io/c".into(), ..flags() };
        let off = of(&off, &[], true).unwrap();
        assert!(off.config.from.is_empty() && off.config.to.is_empty());
        assert_eq!(off.remarks.len(), 1);
    }

    #[test]
    fn a_cache_without_a_place_is_an_error_as_in_kaniko() {
        assert!(of(&flags(), &[], false).is_err());
        let reads = Cache { no_push_cache: Some(true), ..flags() };
        assert!(of(&reads, &[], false).unwrap().config.from.is_empty());
        let local = Cache { cache_dir: "/c".into(), ..flags() };
        assert_eq!(shown(&of(&local, &[], false).unwrap().config.from), ["/c"]);
    }

    #[test]
    fn places_as_buildx_writes_them() {
        let flags = Cache {
            cache: false,
            cache_from: vec!["h.io/a".into(), "type=local,src=/b".into(), "type=gha".into()],
            cache_to: vec!["type=registry,ref=h.io/c:t,mode=max,oci-mediatypes=true".into()],
            ..flags()
        };
        let caching = of(&flags, &[], true).unwrap();
        assert_eq!(shown(&caching.config.from), ["of the image h.io/a:latest", "h.io/a", "/b"]);
        let to = &caching.config.to[0];
        assert_eq!((to.location.to_string().as_str(), to.mode), ("h.io/c", CacheMode::Max));
        assert_eq!(caching.remarks.len(), 1, "{:?}", caching.remarks);
        for wrong in
            ["type=registry", "type=local,dest=/x", "type=what", "mode=max,x", "type=local,src=/b,mode=all"]
        {
            let flags = Cache { cache_from: vec![wrong.into()], ..flags.clone() };
            assert!(of(&flags, &[], true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_image_may_be_its_own_cache() {
        let inline = |from: &str, to: &str| {
            let flags =
                Cache { cache: false, cache_from: vec![from.into()], cache_to: vec![to.into()], ..flags() };
            of(&flags, &[], true).unwrap().config
        };
        let config = inline("type=inline", "type=inline");
        assert_eq!(shown(&config.from), ["of the image example.com/team/app:1"]);
        assert!(config.inline && config.to.is_empty());
        let other = inline("type=inline,ref=h.io/a:2", "h.io/c");
        assert_eq!((shown(&other.from), other.inline), (vec!["of the image h.io/a:2".to_owned()], false));
    }

    #[test]
    fn jobs_of_others_read_and_do_not_write() {
        let gitlab = |more: &[(&'static str, &'static str)]| [&[("GITLAB_CI", "true")], more].concat();
        let protected = gitlab(&[("CI_COMMIT_REF_PROTECTED", "true")]);
        assert_eq!(of(&flags(), &protected, true).unwrap().config.to.len(), 1);
        for env in [
            gitlab(&[("CI_COMMIT_REF_PROTECTED", "false")]),
            gitlab(&[("CI_COMMIT_REF_PROTECTED", "true"), ("CI_MERGE_REQUEST_IID", "7")]),
            vec![("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "pull_request")],
            vec![("GITHUB_ACTIONS", "true"), ("GITHUB_REF_PROTECTED", "false")],
        ] {
            let caching = of(&flags(), &env, true).unwrap();
            assert!(caching.config.to.is_empty(), "{env:?}");
            assert_eq!((caching.config.from.len(), caching.remarks.len()), (1, 1));
            let mounts = Cache {
                cache: false,
                cache_mounts_from: vec!["h.io/m".into()],
                cache_mounts_to: vec!["oci:/m".into()],
                ..flags()
            };
            let mounts = of(&mounts, &env, true).unwrap();
            assert!(mounts.config.mounts.to.is_empty() && mounts.remarks.len() == 1, "{env:?}");
            assert_eq!(shown(&mounts.config.mounts.from), ["h.io/m"]);
            let told = Cache { no_push_cache: Some(false), ..flags() };
            assert_eq!(of(&told, &env, true).unwrap().config.to.len(), 1);
        }
    }
}
