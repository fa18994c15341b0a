//! `outputs`: where the image goes, in buildx's words (`type=oci,dest=image,tar=false`).

use super::list::fields;
use crate::usage::Usage;
use crate::vocabulary::boolean;

/// The flags that say what one output asks for.
///
/// # Errors
/// What cannot be written, or is not understood.
pub(super) fn words(text: &str) -> Result<Vec<String>, Usage> {
    let mut output = Output::default();
    for field in fields("the output", text)? {
        let Some((name, value)) = field.split_once('=') else {
            return Err(Usage::new(format!("the files of an image cannot be written to '{field}'"))
                .help("write type=oci,dest=DIR,tar=false for an OCI layout, or type=docker,dest=FILE"));
        };
        output.field(name.trim(), value.trim())?;
    }
    output.words()
}

#[derive(Default)]
struct Output {
    kind: String,
    dest: String,
    tar: Option<bool>,
    words: Vec<String>,
}

impl Output {
    fn field(&mut self, name: &str, value: &str) -> Result<(), Usage> {
        let shown = || format!("{name} of the output");
        match name {
            "type" => value.clone_into(&mut self.kind),
            "dest" => value.clone_into(&mut self.dest),
            "tar" => self.tar = Some(boolean(&shown(), value)?),
            "name" => {
                let names = value.split(',').filter(|n| !n.is_empty());
                self.words.extend(names.map(|n| format!("--destination={}", n.trim())));
            }
            "push" if boolean(&shown(), value)? => self.words.push("--no-push=false".to_owned()),
            "push" => {}
            "oci-mediatypes" => {
                let format = if boolean(&shown(), value)? { "oci" } else { "docker" };
                self.words.push(format!("--image-format={format}"));
            }
            "compression" => self.words.push(format!("--compression={value}")),
            "compression-level" => self.words.push(format!("--compression-level={value}")),
            // Every time is clamped wherever there is a SOURCE_DATE_EPOCH.
            "rewrite-timestamp" => _ = boolean(&shown(), value)?,
            "registry.insecure" if boolean(&shown(), value)? => self.words.push("--insecure".to_owned()),
            "push-by-digest" if boolean(&shown(), value)? => self.words.push("--push-by-digest".to_owned()),
            // The digest is a name of every image that is pushed.
            "name-canonical" => _ = boolean(&shown(), value)?,
            // What is so anyway.
            "registry.insecure" | "push-by-digest" | "force-compression" | "unpack" | "store"
                if !boolean(&shown(), value)? => {}
            _ => return self.annotation(name, value),
        }
        Ok(())
    }

    fn annotation(&mut self, name: &str, value: &str) -> Result<(), Usage> {
        let key = name.strip_prefix("annotation").and_then(|rest| rest.split_once('.')).and_then(annotated);
        match key {
            Some(key) => self.words.push(format!("--annotation={key}={value}")),
            None => {
                return Err(Usage::new(format!("an output cannot have {name}={value}")).help(
                    "it can have type, dest, tar, name, push, push-by-digest, oci-mediatypes, compression, compression-level, annotation.NAME and annotation-LEVEL[PLATFORM].NAME",
                ));
            }
        }
        Ok(())
    }

    fn words(mut self) -> Result<Vec<String>, Usage> {
        let no_dest = || {
            Usage::new(format!("the output type={} has no dest", self.kind))
                .help("write the path of the file or directory, such as dest=image")
        };
        match self.kind.as_str() {
            "image" => {}
            "registry" => self.words.push("--no-push=false".to_owned()),
            "oci" if self.dest.is_empty() => return Err(no_dest()),
            "oci" if self.tar == Some(false) => self.words.push(format!("--oci-layout-path={}", self.dest)),
            "oci" => self.words.push(format!("--oci-archive-path={}", self.dest)),
            "docker" if self.dest.is_empty() => {
                return Err(Usage::new(
                    "type=docker without dest needs a docker engine, and none is used here",
                )
                .help("add dest=image.tar, and docker load it after the build"));
            }
            "docker" if self.tar == Some(false) => {
                return Err(Usage::new("a docker archive is written as a file, not as a directory")
                    .help("leave tar out, or write type=oci,tar=false"));
            }
            "docker" => self.words.push(format!("--tar-path={}", self.dest)),
            "local" | "tar" => {
                return Err(Usage::new(format!(
                    "the output type={} would be the files of an image, which are not written",
                    self.kind
                ))
                .help("write type=oci,dest=DIR,tar=false and unpack it, for example with umoci or skopeo"));
            }
            "" => {
                return Err(
                    Usage::new("an output has no type").help("write type=image, registry, oci or docker")
                );
            }
            other => {
                return Err(Usage::new(format!("the output type={other} is unknown"))
                    .help("write type=image, registry, oci or docker"));
            }
        }
        Ok(self.words)
    }
}

/// `-LEVEL`, `[PLATFORM]` or both before a name, as `--annotation` has them.
fn annotated((level, key): (&str, &str)) -> Option<String> {
    match (level.strip_prefix('-'), level) {
        (None, "") => Some(key.to_owned()),
        (Some(level), _) => Some(format!("{level}:{key}")),
        (None, platform) => platform.starts_with('[').then(|| format!("manifest{platform}:{key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_become_flags() {
        for (text, expected) in [
            ("type=image", [].as_slice()),
            ("type=image,push=true", &["--no-push=false"]),
            ("type=image,push=false", &[]),
            ("type=registry,name=r.io/a:1", &["--destination=r.io/a:1", "--no-push=false"]),
            ("type=image,\"name=r.io/a:1,r.io/b:2\"", &["--destination=r.io/a:1", "--destination=r.io/b:2"]),
            ("type=oci,dest=out,tar=false", &["--oci-layout-path=out"]),
            ("type=oci,dest=out.tar", &["--oci-archive-path=out.tar"]),
            (
                "type=image,name=r.io/a,push-by-digest=true,name-canonical=true,push=true",
                &["--destination=r.io/a", "--push-by-digest", "--no-push=false"],
            ),
            ("type=image,push-by-digest=false", &[]),
            ("type=docker,dest=/x/y.tar", &["--tar-path=/x/y.tar"]),
            (
                "type=image,oci-mediatypes=true,compression=zstd,compression-level=3",
                &["--image-format=oci", "--compression=zstd", "--compression-level=3"],
            ),
            (
                "type=image,annotation-index.a.b=c,annotation-manifest[linux/amd64].d=e,annotation[linux/arm64].f=g",
                &[
                    "--annotation=index:a.b=c",
                    "--annotation=manifest[linux/amd64]:d=e",
                    "--annotation=manifest[linux/arm64]:f=g",
                ],
            ),
            ("type=image,annotation.a.b=c=d,force-compression=false", &["--annotation=a.b=c=d"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_way_out() {
        for text in [
            "out",
            "-",
            "dest=x",
            "type=local,dest=x",
            "type=tar,dest=x",
            "type=oci",
            "type=docker",
            "type=docker,dest=x,tar=false",
            "type=cacheonly",
            "type=image,force-compression=true",
        ] {
            assert!(words(text).unwrap_err().help.is_some(), "{text}");
        }
        assert!(words("type=image,push=perhaps").is_err());
        assert!(words("type=image,\"name=a").is_err());
    }
}
