//! Limits on what layers and archives may ask for.

/// What a layer may ask for. The defaults are far above any real image.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of one archive, and of all layers of an image.
    pub entries: u64,
    /// Bytes of one archive after decompression, with the holes of sparse files.
    pub layer_size: u64,
    /// Bytes of a path or link target, as Linux's `PATH_MAX`.
    pub path: usize,
    /// Directories above an entry.
    pub depth: usize,
    /// Bytes of the extended headers of one entry, as Go's `archive/tar` allows.
    pub extended_header: u64,
    /// Pieces of a sparse file.
    pub sparse_pieces: usize,
}

/// Larger layers exist, and whoever uses them can say so; a small blob that fills a disk is
/// stopped.
const MAX_LAYER_SIZE: u64 = 64 << 30;

/// Ten times the entries of the largest images. Each costs some hundred bytes of memory.
const MAX_ENTRIES: u64 = 4_000_000;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            entries: MAX_ENTRIES,
            layer_size: MAX_LAYER_SIZE,
            path: 4096,
            depth: 256,
            extended_header: 1 << 20,
            sparse_pieces: 1 << 16,
        }
    }
}
