//! How layers are compressed.

use crate::image::Compression;

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
