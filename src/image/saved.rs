//! The list of images in what `docker save` writes (docker's image specification, "Combined Image
//! JSON + Filesystem Changeset Format").

use std::path::Path;

use serde::Deserialize;

use super::Reference;

/// Names that an error shows.
const SHOWN: usize = 20;

/// An image in `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedImage {
    /// The member that is the config.
    pub config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl SavedImage {
    /// The members that are the layers, from the bottom.
    pub fn layers(&self) -> &[String] {
        self.layers.as_deref().unwrap_or_default()
    }

    fn names(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }
}

/// The document `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct SavedImages(Vec<SavedImage>);

/// An archive that does not have the image, or has several and nobody said which.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotChosen {
    message: String,
    /// What could be named.
    pub help: String,
}

impl SavedImages {
    /// Most bytes of the document that are read.
    pub const LIMIT: u64 = 4 << 20;

    /// The image of this name, or the only one. `archive` is where the list is from.
    ///
    /// # Errors
    /// [`NotChosen`]
    pub fn choose(&self, archive: &Path, name: Option<&str>) -> Result<&SavedImage, NotChosen> {
        let path = archive.display();
        match (name, self.0.as_slice()) {
            (None, [one]) => Ok(one),
            (None, all) => Err(self.refuse(archive, format!("{path} has {} images", all.len()))),
            (Some(name), all) => {
                let wanted: Option<Reference> = name.parse().ok();
                let is = |tag: &String| tag == name || (wanted.is_some() && tag.parse().ok() == wanted);
                let found = all.iter().find(|image| image.names().iter().any(is));
                found.ok_or_else(|| self.refuse(archive, format!("{path} has no image {name}")))
            }
        }
    }

    fn refuse(&self, archive: &Path, message: String) -> NotChosen {
        let names = self.0.iter().flat_map(SavedImage::names).take(SHOWN);
        let names: Vec<_> = names.map(|name| name.escape_debug().to_string()).collect();
        let names = if names.is_empty() { "no names".to_owned() } else { names.join(", ") };
        let path = archive.display();
        NotChosen { message, help: format!("name one of them: docker-archive:{path}:NAME; it has {names}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_chosen_by_name() {
        let list = |text: &str| serde_json::from_str::<SavedImages>(text).unwrap();
        let two = list(
            r#"[{"Config":"a","RepoTags":["busybox:1"],"Layers":["x"]},{"Config":"b","RepoTags":["h:5000/r:\u001b"]}]"#,
        );
        let one = list(r#"[{"Config":"a","RepoTags":null,"Layers":null}]"#);
        let chosen = |list: &SavedImages, name| {
            list.choose(Path::new("f.tar"), name)
                .map(|i| i.config.clone())
                .map_err(|e| (e.to_string(), e.help))
        };
        assert_eq!(chosen(&one, None), Ok("a".to_owned()));
        assert!(one.choose(Path::new("f.tar"), None).unwrap().layers().is_empty());
        for name in ["busybox:1", "docker.io/library/busybox:1"] {
            assert_eq!(chosen(&two, Some(name)), Ok("a".to_owned()), "{name}");
        }
        for (list, name, message, help) in [
            (&two, None, "f.tar has 2 images", "busybox:1, h:5000/r:\\u{1b}"),
            (&two, Some("busybox:2"), "f.tar has no image busybox:2", "busybox:1"),
            (&one, Some("a:1"), "f.tar has no image a:1", "no names"),
        ] {
            let (said, way_out) = chosen(list, name).unwrap_err();
            assert_eq!(said, message);
            assert!(way_out.contains(help) && way_out.contains("docker-archive:f.tar:NAME"), "{way_out}");
        }
    }
}
