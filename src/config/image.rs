//! The form of the image.

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

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressionConfig {
    /// The format.
    pub algorithm: Compression,
    /// The format's level; its fastest sensible one if absent.
    pub level: Option<u32>,
    /// One gzip member a layer, for readers that stop after the first.
    pub single_member: bool,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        CompressionConfig { algorithm: Compression::Gzip, level: None, single_member: false }
    }
}
