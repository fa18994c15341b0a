//! Media types of manifests, configs and layers, and what makes the choice among them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Family of media types of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// `application/vnd.oci.image.*`
    Oci,
    /// `application/vnd.docker.*` schema 2
    Docker,
}

/// Compression of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Gzip, one member for each MiB of tar.
    Gzip,
    /// Zstandard; OCI media types only.
    Zstd,
}

/// A media type as it stands in descriptors and `Content-Type` headers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(pub String);

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image config.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, plain tar.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker schema 2 manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, plain tar.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer that other registries must not distribute.
    pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

    /// The manifest type of a format.
    pub fn manifest(format: ImageFormat) -> MediaType {
        MediaType::from(match format {
            ImageFormat::Oci => Self::OCI_MANIFEST,
            ImageFormat::Docker => Self::DOCKER_MANIFEST,
        })
    }

    /// The config type of a format.
    pub fn config(format: ImageFormat) -> MediaType {
        MediaType::from(match format {
            ImageFormat::Oci => Self::OCI_CONFIG,
            ImageFormat::Docker => Self::DOCKER_CONFIG,
        })
    }

    /// The layer type of a format and a compression. Docker has none for zstd: its clients
    /// refuse such images, so callers check before they build.
    pub fn layer(format: ImageFormat, compression: Compression) -> MediaType {
        MediaType::from(match (format, compression) {
            (ImageFormat::Oci, Compression::Gzip) => Self::OCI_LAYER_GZIP,
            (_, Compression::Zstd) => Self::OCI_LAYER_ZSTD,
            (ImageFormat::Docker, Compression::Gzip) => Self::DOCKER_LAYER_GZIP,
        })
    }

    /// The format's counterpart of a base layer's type, for an image whose format is forced.
    pub fn layer_as(&self, format: ImageFormat) -> MediaType {
        MediaType::from(match (self.0.as_str(), format) {
            (Self::DOCKER_LAYER_GZIP, ImageFormat::Oci) => Self::OCI_LAYER_GZIP,
            (Self::DOCKER_LAYER, ImageFormat::Oci) => Self::OCI_LAYER,
            (Self::OCI_LAYER_GZIP, ImageFormat::Docker) => Self::DOCKER_LAYER_GZIP,
            (Self::OCI_LAYER, ImageFormat::Docker) => Self::DOCKER_LAYER,
            (other, _) => other,
        })
    }

    /// Whether this names an index or a manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self.0.as_str(), Self::OCI_INDEX | Self::DOCKER_LIST)
    }

    /// Whether this names an image manifest.
    pub fn is_manifest(&self) -> bool {
        matches!(self.0.as_str(), Self::OCI_MANIFEST | Self::DOCKER_MANIFEST)
    }

    /// The type of a layer's blob by its first four bytes; fewer, where it has no more.
    pub fn of_layer(start: &[u8]) -> Self {
        MediaType::from(match start {
            [0x1f, 0x8b, ..] => Self::OCI_LAYER_GZIP,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::OCI_LAYER_ZSTD,
            _ => Self::OCI_LAYER,
        })
    }

    /// Whether this names a layer compressed with zstd.
    pub fn is_zstd(&self) -> bool {
        self.0.ends_with("+zstd") || self.0.ends_with(".zstd")
    }

    /// The format the type belongs to.
    pub fn format(&self) -> ImageFormat {
        if self.0.starts_with("application/vnd.docker.") { ImageFormat::Docker } else { ImageFormat::Oci }
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        MediaType(text.to_owned())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
