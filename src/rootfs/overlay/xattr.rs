//! The extended attributes by which overlayfs marks its directories,
//! Documentation/filesystems/overlayfs.rst.

use super::Features;

/// Marks a directory that hides the lower ones of its name, with the value `y`.
pub(super) fn opaque(features: Features) -> &'static str {
    if features.user_namespace { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// Holds the file handle of the lower file that an upper file was copied from.
pub(super) fn origin(features: Features) -> &'static str {
    if features.user_namespace { "user.overlay.origin" } else { "trusted.overlay.origin" }
}
