//! Where sources come from, as written in `--dockerfile` and `--build-context`.

use std::path::{Path, PathBuf};

use yadokari::config::NamedContext;
use yadokari::fetch::Remote;
use yadokari::image::{Digest, Reference};

use crate::usage::Usage;

/// `--dockerfile`
///
/// # Errors
/// It names a URL.
pub(crate) fn dockerfile(text: &str) -> Result<PathBuf, Usage> {
    Ok(PathBuf::from(if text.is_empty() { "Dockerfile" } else { text }))
}

/// One `--build-context name=where`.
///
/// # Errors
/// No name, or a place this version cannot read.
pub(crate) fn named(text: &str) -> Result<(String, NamedContext), Usage> {
    let (name, place) = crate::vocabulary::key_value("--build-context", text)?;
    if let Some(context) = archive(&place)? {
        return Ok((name, context));
    }
    if Remote::parse(&place).map_err(|e| Usage::new(format!("the build context '{name}': {e}")))?.is_some() {
        return Ok((name, NamedContext::Remote(place)));
    }
    let context = match place.split_once("://") {
        Some(("oci-layout", layout)) => oci_layout(&place, layout)?,
        Some(("docker-image", image)) => NamedContext::Image(reference("--build-context", image)?),
        _ => match directory(&place) {
            Some(path) => NamedContext::Directory(path),
            None => {
                return Err(Usage::new(format!("the build context '{place}' cannot be read"))
                    .help(
                        "give a directory, oci-layout://DIR[:TAG][@DIGEST], docker-image://IMAGE, \
                         docker-archive:FILE[:NAME], oci-archive:FILE[:TAG], or the URL of a repository or archive",
                    ));
            }
        },
    };
    Ok((name, context))
}

/// `docker-archive:file[:name]` and `oci-archive:file[:tag]`, as skopeo writes them.
fn archive(place: &str) -> Result<Option<NamedContext>, Usage> {
    let Some((kind @ ("docker-archive" | "oci-archive"), rest)) = place.split_once(':') else {
        return Ok(None);
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, image) = rest.split_once(':').map_or((rest, None), |(path, image)| (path, Some(image)));
    if path.is_empty() {
        return Err(Usage::new(format!("'{place}' names no file"))
            .help(format!("write {kind}: and the path of the archive, such as {kind}:/tmp/base.tar")));
    }
    let (path, image) = (PathBuf::from(path), image.filter(|i| !i.is_empty()).map(str::to_owned));
    Ok(Some(match kind {
        "docker-archive" => NamedContext::DockerArchive { path, name: image },
        _ => NamedContext::OciArchive { path, tag: image },
    }))
}

/// `dir[:tag][@digest]`
fn oci_layout(place: &str, text: &str) -> Result<NamedContext, Usage> {
    let (rest, digest) = match text.rsplit_once('@') {
        Some((rest, digest)) => {
            let digest: Digest = digest.parse().map_err(|e| Usage::new(format!("in '{place}': {e}")))?;
            (rest, Some(digest))
        }
        None => (text, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
        _ => (rest, None),
    };
    if path.is_empty() {
        return Err(Usage::new(format!("'{place}' names no directory"))
            .help("write oci-layout:// and the path of the layout, such as oci-layout:///tmp/base:latest"));
    }
    Ok(NamedContext::OciLayout { path: PathBuf::from(path), tag: tag.filter(|t| !t.is_empty()), digest })
}

/// The path of a directory; none for the URL of anything else.
pub(super) fn directory(text: &str) -> Option<PathBuf> {
    match text.split_once("://") {
        Some(("dir", path)) if !path.is_empty() => Some(PathBuf::from(path)),
        // A scheme has letters only; `./a://b` is a path.
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => None,
        _ => Some(Path::new(text).to_owned()),
    }
}

/// An image reference.
///
/// # Errors
/// It is none.
pub(crate) fn reference(flag: &str, text: &str) -> Result<Reference, Usage> {
    let wrong = |why: &str| {
        Usage::new(format!("'{text}' for {flag} is no image reference: {why}"))
            .help("write [host/]repository[:tag], the repository in lower case, without https://")
    };
    let reference: Reference =
        text.parse().map_err(|e: <Reference as std::str::FromStr>::Err| wrong(&e.to_string()))?;
    // The grammar takes the first word of `Acme/app` for a host, which nobody means.
    let host = reference.registry();
    if host.contains(|c: char| c.is_ascii_uppercase()) && !host.contains(['.', ':']) {
        return Err(wrong("the repository has upper case letters"));
    }
    Ok(reference)
}

/// A reference that can be pushed to.
///
/// # Errors
/// It is none, or names a digest.
pub(crate) fn destination(text: &str) -> Result<Reference, Usage> {
    let reference = reference("--destination", text)?;
    if reference.digest().is_some() {
        return Err(Usage::new(format!(
            "the destination '{text}' names a digest, which only the build knows"
        ))
        .help("name a tag"));
    }
    Ok(reference)
}

/// An image's destinations: itself if it has a tag of its own or there are no others, and its
/// repository with each tag. An item that is a whole reference is taken as it is.
///
/// # Errors
/// No reference, or a tag that is none.
pub(crate) fn with_tags(image: &str, tags: &[String]) -> Result<Vec<String>, Usage> {
    destination(image)?;
    let name_start = image.rfind('/').map_or(0, |slash| slash + 1);
    let colon = image[name_start..].find(':').map(|c| name_start + c);
    let repository = colon.map_or(image, |c| &image[..c]);
    let mut all: Vec<String> = Vec::new();
    if colon.is_some() || tags.is_empty() {
        all.push(image.to_owned());
    }
    for tag in tags {
        let whole = if tag.contains(['/', ':']) { tag.clone() } else { format!("{repository}:{tag}") };
        destination(&whole)?;
        if !all.contains(&whole) {
            all.push(whole);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_contexts() {
        let digest = Digest::of(b"x");
        let layout = |path: &str, tag: Option<&str>, digest| NamedContext::OciLayout {
            path: path.into(),
            tag: tag.map(str::to_owned),
            digest,
        };
        for (text, expected) in [
            ("base=oci-layout:///l".to_owned(), layout("/l", None, None)),
            ("base=oci-layout://l:v1".to_owned(), layout("l", Some("v1"), None)),
            ("base=oci-layout://a:b/l".to_owned(), layout("a:b/l", None, None)),
            (format!("base=oci-layout://l@{digest}"), layout("l", None, Some(digest))),
            (format!("base=oci-layout://l:v1@{digest}"), layout("l", Some("v1"), Some(digest))),
            (
                "base=docker-archive:/a.tar".to_owned(),
                NamedContext::DockerArchive { path: "/a.tar".into(), name: None },
            ),
            (
                "base=docker-archive:a.tar:h:5000/r:t".to_owned(),
                NamedContext::DockerArchive { path: "a.tar".into(), name: Some("h:5000/r:t".to_owned()) },
            ),
            (
                "base=oci-archive:///a.tar:v1".to_owned(),
                NamedContext::OciArchive { path: "/a.tar".into(), tag: Some("v1".to_owned()) },
            ),
            ("base=https://h/x.tgz".to_owned(), NamedContext::Remote("https://h/x.tgz".to_owned())),
            ("base=git@h:r".to_owned(), NamedContext::Remote("git@h:r".to_owned())),
            ("base=./dir".to_owned(), NamedContext::Directory("./dir".into())),
            ("base=docker-image://h/r:t".to_owned(), NamedContext::Image("h/r:t".parse().unwrap())),
        ] {
            assert_eq!(named(&text), Ok(("base".to_owned(), expected)), "{text}");
        }
        for text in [
            "base",
            "=x",
            "base=oci-layout://",
            "base=oci-layout://l@sha256:1",
            "base=docker-archive:",
            "base=oci-archive:",
            "base=x://y",
            "base=https://h/r.git?depth=1",
        ] {
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dockerfiles() {
        assert_eq!(dockerfile(""), Ok("Dockerfile".into()));
        assert_eq!(dockerfile("x/Dockerfile"), Ok("x/Dockerfile".into()));
        assert_eq!(dockerfile("https://x/Dockerfile"), Ok("https://x/Dockerfile".into()));
    }

    #[test]
    fn destinations() {
        assert_eq!(destination("h:5000/r").unwrap().whole(), "h:5000/r:latest");
        assert_eq!(destination("r:t").unwrap().whole(), "docker.io/library/r:t");
        for text in ["https://h/r", "H/R", "h/R:t", "", &format!("h/r@{}", Digest::of(b"x"))] {
            assert!(destination(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tags_of_an_image() {
        let tags = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        for (image, given, expected) in [
            ("h:5000/r", tags(&[]), tags(&["h:5000/r"])),
            ("h:5000/r", tags(&["a", "b", "a"]), tags(&["h:5000/r:a", "h:5000/r:b"])),
            ("h/r:v1", tags(&["latest", "v1"]), tags(&["h/r:v1", "h/r:latest"])),
            ("h/r", tags(&["other/r:x"]), tags(&["other/r:x"])),
        ] {
            assert_eq!(with_tags(image, &given), Ok(expected), "{image}");
        }
        assert!(with_tags("h/r", &tags(&["a b"])).is_err());
        assert!(with_tags("H/r", &tags(&[])).is_err());
    }
}
