//! A `.dockerignore`, a NUL, and a path: no panic, no hang, and the ways to ask agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yadokari::dockerfile::{IgnoreMatcher, ParentMatches, clean, go_match};

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, path) = (&data[..at], data.get(at + 1..).unwrap_or(b"a/b"));
    let _ = go_match(text, path);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let _ = clean(text);
    let Ok(matcher) = IgnoreMatcher::parse(text) else { return };
    let matches = matcher.matches(path);
    assert_eq!(matches, matcher.rule_for(path).is_some());
    if path.first() != Some(&b'/') {
        let (at_top, _) = matcher.matches_below(path, &ParentMatches::default());
        assert_eq!(at_top, matches);
    }
    let mut parent = ParentMatches::default();
    for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        (_, parent) = matcher.matches_below(&path[..end], &parent);
        let _ = matcher.may_include_below(&path[..end]);
    }
    let _ = matcher.matches_below(path, &parent);
});
