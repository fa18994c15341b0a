//! What the documents of an image say beside the image itself (OCI image spec, annotations.md).

use crate::image::Platform;

/// What an annotation is put on, in buildx's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationLevel {
    /// The manifest of each image.
    Manifest,
    /// What names a manifest: its entry in the index, or in the OCI layout of one image.
    ManifestDescriptor,
    /// The index of several images.
    Index,
    /// What names the index: its entry in an OCI layout.
    IndexDescriptor,
}

impl AnnotationLevel {
    /// All of them.
    pub const ALL: [AnnotationLevel; 4] =
        [Self::Manifest, Self::ManifestDescriptor, Self::Index, Self::IndexDescriptor];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            AnnotationLevel::Manifest => "manifest",
            AnnotationLevel::ManifestDescriptor => "manifest-descriptor",
            AnnotationLevel::Index => "index",
            AnnotationLevel::IndexDescriptor => "index-descriptor",
        }
    }

    /// Whether it is only there where there is an index.
    pub fn of_index(self) -> bool {
        matches!(self, AnnotationLevel::Index | AnnotationLevel::IndexDescriptor)
    }
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// What it is put on; where that is not said, the manifest of a build, and the index where
    /// images are only joined.
    pub level: Option<AnnotationLevel>,
    /// The image that it is for; all where absent.
    pub platform: Option<Platform>,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Annotation {
    /// What it is put on in a build.
    pub fn level(&self) -> AnnotationLevel {
        self.level.unwrap_or(AnnotationLevel::Manifest)
    }

    /// What it is put on and its name, as buildx has them: `manifest[linux/amd64]:KEY`.
    pub fn full_key(&self) -> String {
        let level = self.level().name();
        match &self.platform {
            Some(platform) => format!("{level}[{platform}]:{}", self.key),
            None => format!("{level}:{}", self.key),
        }
    }
}
