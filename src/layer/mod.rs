//! Layers: tree changes to tar to a compressed blob, and back.

mod apply;
mod bare_view;
mod capability;
mod compress;
mod content;
mod decompress;
mod dirs;
mod disk_view;
mod entry;
mod identity;
mod layer_path;
mod limits;
mod listing;
mod located;
mod owner;
mod pack;
mod pax;
mod pipe;
mod recompress;
#[cfg(test)]
mod source_tree;
mod sparse;
mod tar_error;
mod tar_fields;
mod tar_header;
mod tar_reader;
#[cfg(test)]
mod test_tar;
mod tree_writer;
mod unpack;
mod view;
mod write;

pub use bare_view::BareView;
pub use capability::{CAPABILITY, file_capability};
pub use compress::LevelError;
pub use decompress::{LayerError, LayerSource, decoder};
pub use disk_view::DirView;
pub use entry::{Content, Entry, Kind, Timestamp};
pub use identity::{FileRead, IdentityHasher, read_files};
pub use limits::Limits;
pub use listing::Listing;
pub use owner::{expect_records, keep as keep_owner, record_of, set_open_owner, set_owner};
pub use pack::{PackError, PackOptions, PackedContent, PackedLayer, pack, pack_followed};
pub use pipe::Grown;
pub use recompress::compress_tar;
pub use tar_error::TarError;
pub use tar_reader::{Piece, TarEntry, TarReader};
pub use tree_writer::TreeError;
pub use unpack::{ApplyError, UnpackError, Unpacked, unpack, unpack_archive};
pub use view::{LinkId, Node, NodeKind, SourceEntry, View, join, parent, resolve};
pub use write::write_entries;
