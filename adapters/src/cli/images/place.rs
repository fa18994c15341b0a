//! Where an image is, as people write it.

use std::path::{Path, PathBuf};

use yadokari::image::Digest;
use yadokari::ship::{ArchiveKind, Place};

use crate::cli::places;
use crate::usage::Usage;

/// An image in a registry, a layout or an archive. With a prefix it is that; without one it is a file
/// or layout if there is such a one or the text can only be a path, and else a reference.
///
/// # Errors
/// It is none of them.
pub(super) fn source(text: &str) -> Result<Place, Usage> {
    if let Some(place) = prefixed(text)? {
        return Ok(place);
    }
    if let Some(place) = local(text)? {
        return Ok(place);
    }
    if text.starts_with(['/', '.']) {
        return Err(Usage::new(format!("there is no OCI layout and no archive at {text}")));
    }
    Ok(Place::Registry(places::reference("the image", text)?))
}

/// As [`source`], but no reference.
///
/// # Errors
/// There is no such layout or archive.
pub(super) fn on_disk(text: &str) -> Result<Place, Usage> {
    let found = prefixed(text)?.or(local(text)?);
    match found {
        Some(Place::Registry(_)) => Err(Usage::new(format!("'{text}' is in a registry"))
            .help("yadokari copy brings an image from registry to registry")),
        Some(place) => Ok(place),
        None => Err(Usage::new(format!("there is no OCI layout and no archive at '{text}'")).help(
            "give what --oci-layout-path or --tar-path wrote; yadokari copy takes images of registries",
        )),
    }
}

/// A place to write to: a reference, or what a prefix says.
///
/// # Errors
/// It is none, or one that cannot be written.
pub(super) fn destination(text: &str) -> Result<Place, Usage> {
    match prefixed(text)?.filter(|_| text != "-") {
        Some(Place::Layout { digest: Some(_), .. }) => {
            Err(Usage::new(format!("'{text}' names a digest, which the image brings along"))
                .help("name a tag"))
        }
        Some(Place::Registry(reference)) => Ok(Place::Registry(places::destination(&reference.whole())?)),
        Some(place) => Ok(place),
        None if text == "-" || text.starts_with(['/', '.']) => {
            Err(Usage::new(format!("what shall '{text}' be?"))
                .help("write oci:DIR, oci-archive:FILE or docker-archive:FILE"))
        }
        None => Ok(Place::Registry(places::destination(text)?)),
    }
}

/// What a prefix says, skopeo's and BuildKit's.
fn prefixed(text: &str) -> Result<Option<Place>, Usage> {
    if text == "-" {
        return Ok(Some(Place::Archive { path: PathBuf::from(text), kind: None, name: None }));
    }
    let Some((prefix, rest)) = text.split_once(':') else { return Ok(None) };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let kind = match prefix {
        "docker" | "docker-image" if text.contains("://") => {
            return Ok(Some(Place::Registry(places::reference("the image", rest)?)));
        }
        "oci" | "oci-layout" => {
            let (path, tag, digest) = parts(rest);
            let digest = digest.map(|digest| parsed(text, &digest)).transpose()?;
            return named(text, path).map(|path| Some(Place::Layout { path, tag, digest }));
        }
        "docker-archive" => ArchiveKind::Docker,
        "oci-archive" => ArchiveKind::Oci,
        _ => return Ok(None),
    };
    // A name may have colons of its own, a path of an archive seldom has.
    let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
    let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
    named(text, path.into()).map(|path| Some(Place::Archive { path, kind: Some(kind), name }))
}

/// What is there on disk.
fn local(text: &str) -> Result<Option<Place>, Usage> {
    let is_layout = |path: &Path| path.join("oci-layout").exists();
    let path = Path::new(text);
    // A directory that was meant gives a better error as a layout that it is not.
    if is_layout(path) || (path.is_dir() && text.starts_with(['/', '.'])) {
        return Ok(Some(Place::Layout { path: path.to_owned(), tag: None, digest: None }));
    }
    if path.exists() && !path.is_dir() {
        return Ok(Some(Place::Archive { path: path.to_owned(), kind: None, name: None }));
    }
    let (directory, tag, digest) = parts(text);
    if is_layout(&directory) {
        let digest = digest.map(|digest| parsed(text, &digest)).transpose()?;
        return Ok(Some(Place::Layout { path: directory, tag, digest }));
    }
    let file = text.match_indices(':').map(|(at, _)| text.split_at(at));
    let file = file.map(|(path, name)| (Path::new(path), &name[1..])).find(|(path, _)| path.is_file());
    Ok(file.map(|(path, name)| Place::Archive {
        path: path.to_owned(),
        kind: None,
        name: Some(name.to_owned()).filter(|name| !name.is_empty()),
    }))
}

/// `dir[:tag][@digest]`
fn parts(text: &str) -> (PathBuf, Option<String>, Option<String>) {
    let (rest, digest) = match text.rsplit_once('@') {
        Some((rest, digest)) if digest.starts_with("sha256:") => (rest, Some(digest.to_owned())),
        _ => (text, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned()).filter(|t| !t.is_empty())),
        _ => (rest, None),
    };
    (PathBuf::from(path), tag, digest)
}

fn parsed(text: &str, digest: &str) -> Result<Digest, Usage> {
    digest.parse().map_err(|e| Usage::new(format!("in '{text}': {e}")))
}

fn named(text: &str, path: PathBuf) -> Result<PathBuf, Usage> {
    if path.as_os_str().is_empty() {
        return Err(Usage::new(format!("'{text}' names no file and no directory")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(path: &str, tag: Option<&str>) -> Place {
        Place::Layout { path: path.into(), tag: tag.map(str::to_owned), digest: None }
    }

    fn archive(path: &str, kind: Option<ArchiveKind>, name: Option<&str>) -> Place {
        Place::Archive { path: path.into(), kind, name: name.map(str::to_owned) }
    }

    #[test]
    fn prefixes_say_what_it_is() {
        for (text, expected) in [
            ("oci:/a/b", layout("/a/b", None)),
            ("oci:/a/b:1.0", layout("/a/b", Some("1.0"))),
            ("oci-layout:///a/b:x", layout("/a/b", Some("x"))),
            ("oci:a:b/c", layout("a:b/c", None)),
            ("oci-archive:/a.tar:x", archive("/a.tar", Some(ArchiveKind::Oci), Some("x"))),
            ("docker-archive:a.tar", archive("a.tar", Some(ArchiveKind::Docker), None)),
            (
                "docker-archive:a.tar:h:5000/r:t",
                archive("a.tar", Some(ArchiveKind::Docker), Some("h:5000/r:t")),
            ),
            ("docker://h/r:t", Place::Registry("h/r:t".parse().unwrap())),
            ("-", archive("-", None, None)),
        ] {
            assert_eq!(source(text).unwrap(), expected, "{text}");
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        let Place::Layout { tag, digest: found, .. } = source(&format!("oci:/a:t@{digest}")).unwrap() else {
            panic!("no layout")
        };
        assert_eq!((tag.as_deref(), found.map(|d| d.to_string())), (Some("t"), Some(digest)));
        assert!(source("oci:").is_err() && source("oci:/a@sha256:1").is_err());
    }

    #[test]
    fn what_is_on_disk_is_no_reference() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::create_dir(at("layout")).unwrap();
        std::fs::write(at("layout/oci-layout"), "").unwrap();
        std::fs::write(at("image.tar"), "").unwrap();
        assert_eq!(source(&at("layout")).unwrap(), layout(&at("layout"), None));
        assert_eq!(source(&at("layout:1")).unwrap(), layout(&at("layout"), Some("1")));
        assert_eq!(source(&at("image.tar")).unwrap(), archive(&at("image.tar"), None, None));
        let named = format!("{}:h:5000/r:t", at("image.tar"));
        assert_eq!(source(&named).unwrap(), archive(&at("image.tar"), None, Some("h:5000/r:t")));
        assert!(source(&at("nothing")).is_err());
        assert_eq!(source("busybox").unwrap(), Place::Registry("busybox".parse().unwrap()));
        assert!(on_disk("busybox").is_err() && on_disk("docker://busybox").is_err());
    }

    #[test]
    fn destinations_say_how_they_are_written() {
        assert_eq!(destination("h/r:t").unwrap(), Place::Registry("h/r:t".parse().unwrap()));
        assert_eq!(destination("oci:/d:t").unwrap(), layout("/d", Some("t")));
        let oci = archive("/f", Some(ArchiveKind::Oci), Some("t"));
        assert_eq!(destination("oci-archive:/f:t").unwrap(), oci);
        for text in ["/d", "./d", "-", "oci-archive:", "h/r@sha256:1"] {
            assert!(destination(text).is_err(), "{text}");
        }
    }
}
