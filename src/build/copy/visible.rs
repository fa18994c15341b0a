//! What of a source `.dockerignore` leaves to see: BuildKit's walk of a context
//! (`fsutil/filter.go`), which hands down what each rule said of the directory above.

use crate::dockerfile::ParentMatches;
use crate::layer::{NodeKind, View, join};

use super::select::read_error;
use super::{CopyError, SourceTree};

/// What the rules say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is there.
    Seen,
    /// It is not; but if it is a directory, something below it may be, and it then is too.
    BelowOnly,
    /// Neither it nor anything below it is there.
    Unseen,
}

impl SourceTree<'_> {
    /// What the rules say of a path, and what to hand down to the paths below it. `above` is what
    /// was handed down to it; the default at the top.
    pub(super) fn look(&self, path: &[u8], above: &ParentMatches) -> (Sight, ParentMatches) {
        let Some(rules) = self.ignore.filter(|_| !path.is_empty()) else {
            return (Sight::Seen, ParentMatches::default());
        };
        let (ignored, matches) = rules.matches_below(path, above);
        let sight = match ignored {
            false => Sight::Seen,
            true if rules.may_include_below(path) => Sight::BelowOnly,
            true => Sight::Unseen,
        };
        (sight, matches)
    }

    /// As [`SourceTree::look`], for a path that no walk led to.
    pub(super) fn look_from_top(&self, path: &[u8]) -> (Sight, ParentMatches) {
        let mut matches = ParentMatches::default();
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        for end in ends {
            let (sight, below) = self.look(&path[..end], &matches);
            if sight == Sight::Unseen {
                return (sight, below);
            }
            matches = below;
        }
        self.look(path, &matches)
    }

    /// Whether a path is there: it is not ignored, or something below it is not.
    pub(super) fn is_visible(&self, path: &[u8]) -> Result<bool, CopyError> {
        match self.look_from_top(path) {
            (Sight::Seen, _) => Ok(true),
            (Sight::BelowOnly, matches) => self.holds_visible(path, &matches),
            (Sight::Unseen, _) => Ok(false),
        }
    }

    /// Whether anything below an ignored directory is there; not below anything else.
    pub(super) fn holds_visible(&self, path: &[u8], matches: &ParentMatches) -> Result<bool, CopyError> {
        let view: &dyn View = self.view;
        let node = view.node(path).map_err(|e| read_error(path, e))?;
        if node.is_none_or(|n| n.kind != NodeKind::Directory) {
            return Ok(false);
        }
        for name in view.names(path).map_err(|e| read_error(path, e))? {
            let below = join(path, &name);
            let found = match self.look(&below, matches) {
                (Sight::Seen, _) => true,
                (Sight::BelowOnly, matches) => self.holds_visible(&below, &matches)?,
                (Sight::Unseen, _) => false,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
