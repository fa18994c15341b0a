//! Files that were copied up by one of their names, and lost that name in the same step: the kernel
//! keeps them in its index (`index=on`), where other names of lower layers still lead to them.

use rustix::fs::FileType;

use super::changes::{add_name, names_below};
use super::handle::Handle;
use super::layer::Layer;
use super::stack::Stack;
use super::{Features, RootfsError, failed, shown, xattr};

/// Gives each file of the index those of its names in the upper directory about which that says
/// nothing: to the command they were changed with the file.
pub(super) fn adopt(
    lower: &Stack,
    upper: &Layer,
    index: &Layer,
    features: Features,
) -> Result<(), RootfsError> {
    let all = index.names(b"").map_err(failed("read", &index.name))?;
    for indexed in all {
        let names = || {
            let stat = index.stat(&indexed)?;
            // Whiteouts are there too, for what has lost all its names.
            if stat.is_none_or(|s| s.file_type() != FileType::RegularFile) {
                return Ok(Vec::new());
            }
            match Handle::of_origin(index, &indexed, xattr::origin(features))? {
                Some(origin) => names_below(lower, upper, features, &origin),
                None => Ok(Vec::new()),
            }
        };
        for name in names().map_err(failed("read the hard links of", shown(&indexed)))? {
            add_name(lower, upper, (index, &indexed), &name)?;
        }
    }
    Ok(())
}
