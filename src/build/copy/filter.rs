//! What below a source is copied: `--parents` patterns and `--exclude`.

use super::CopyError;
use crate::dockerfile::{IgnoreMatcher, ParentMatches};

/// Patterns relative to the source.
#[derive(Default)]
pub(super) struct Filter {
    include: Option<Include>,
    exclude: Option<IgnoreMatcher>,
}

/// The pattern of a `--parents`.
struct Include {
    matcher: IgnoreMatcher,
    /// Its leading parts without wildcards: nothing elsewhere can match.
    literal: Vec<Vec<u8>>,
}

/// What the patterns said of a directory, to be handed down to what is in it.
#[derive(Default)]
pub(super) struct Verdicts {
    include: ParentMatches,
    exclude: ParentMatches,
}

/// What the patterns say of a path.
pub(super) struct Verdict {
    /// It is copied.
    pub(super) copied: bool,
    /// If it is a directory: something in it may be.
    pub(super) entered: bool,
    pub(super) below: Verdicts,
}

impl Filter {
    /// Reads `--exclude` patterns, and the pattern that `--parents` makes of a source.
    pub(super) fn new(include: Option<&str>, excludes: &[String]) -> Result<Filter, CopyError> {
        let matcher = |patterns: &[String]| {
            IgnoreMatcher::new(patterns)
                .map_err(|e| CopyError::Pattern { pattern: patterns.join(", "), reason: e.message })
        };
        let include = match include {
            None => None,
            Some(pattern) => {
                let wild = |part: &&str| !part.contains(['*', '?', '[', '\\', '!']);
                let literal = pattern.split('/').take_while(wild).map(|p| p.as_bytes().to_vec()).collect();
                Some(Include { matcher: matcher(&[pattern.to_owned()])?, literal })
            }
        };
        let exclude = (!excludes.is_empty()).then(|| matcher(excludes)).transpose()?;
        Ok(Filter { include, exclude })
    }

    /// What is said of a path; `above` is what was handed down to it (fsutil, `copier.copy`).
    pub(super) fn look(&self, path: &[u8], above: &Verdicts) -> Verdict {
        let (mut copied, mut below) = (true, Verdicts::default());
        if let Some(include) = &self.include {
            (copied, below.include) = include.matcher.matches_below(path, &above.include);
        }
        let mut excluded = false;
        let mut exceptions = false;
        if let Some(exclude) = &self.exclude {
            (excluded, below.exclude) = exclude.matches_below(path, &above.exclude);
            exceptions = exclude.has_negations();
        }
        let reachable = copied || self.include.as_ref().is_none_or(|include| include.may_match_below(path));
        Verdict { copied: copied && !excluded, entered: reachable && (!excluded || exceptions), below }
    }
}

impl Include {
    fn may_match_below(&self, directory: &[u8]) -> bool {
        directory.split(|b| *b == b'/').zip(&self.literal).all(|(part, literal)| part == literal)
    }
}
