//! Whose contents a tree in memory keeps.

use super::Listing;
use crate::layer::layer_path::{follow, split_last};
use crate::layer::view::resolve;

/// Most paths that links add: layers cannot make looking at each entry slow.
const MAX_LED: usize = 64;

/// Paths at and below which contents are kept; all of them by default.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    paths: Option<Vec<Vec<u8>>>,
    /// How many of the paths links added.
    led: usize,
}

impl Wanted {
    pub(super) fn only(paths: &[Vec<u8>]) -> Self {
        Wanted { paths: Some(paths.to_vec()), led: 0 }
    }

    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let Some(paths) = &self.paths else { return true };
        paths.iter().any(|wanted| below(path, wanted).is_some())
    }

    /// Where a link leads that stands on the way to wanted paths.
    fn led_by(&self, link: &[u8], target: &[u8]) -> Vec<Vec<u8>> {
        let directory = split_last(link).0;
        let after = self.paths.iter().flatten().filter_map(|wanted| below(wanted, link));
        after.map(|after| follow(directory, target, after)).collect()
    }

    fn add(&mut self, path: Vec<u8>) {
        if self.led < MAX_LED && !self.covers(&path) {
            self.paths.get_or_insert_default().push(path);
            self.led += 1;
        }
    }
}

impl Listing {
    /// Wants what a link leads to, where it stands on the way to what is wanted.
    pub(super) fn follow_wanted(&mut self, link: &[u8], target: &[u8]) {
        for path in self.wanted.led_by(link, target) {
            // Links that came before are not seen again.
            let path = resolve(self, &path, true).unwrap_or(path);
            self.wanted.add(path);
        }
    }
}

/// What follows `top` in a path that is it or below it.
fn below<'p>(path: &'p [u8], top: &[u8]) -> Option<&'p [u8]> {
    match path.strip_prefix(top)? {
        rest if top.is_empty() || rest.is_empty() => Some(rest),
        rest => rest.strip_prefix(b"/"),
    }
}
