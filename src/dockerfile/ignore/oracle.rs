//! Another way to the same answers: patternmatcher's rules as one expression for each pattern,
//! matched against the path and each of its parents, without the shortcuts of the real one.

use super::*;
use proptest::prelude::*;

/// A pattern of plain letters, stars, question marks and classes as an expression. Built from the
/// parts between slashes, unlike the compiled form, which goes character by character.
fn expression(pattern: &str) -> String {
    let mut out = String::from("^");
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        let (piece, length) = if let Some(after) = rest.strip_prefix("**") {
            match after.strip_prefix('/').unwrap_or(after) {
                "" => (".*".to_owned(), rest.len()),
                left => ("(?:.*/)?".to_owned(), rest.len() - left.len()),
            }
        } else if rest.starts_with('[') {
            let end = rest.find(']').unwrap_or(rest.len() - 1) + 1;
            (rest[..end].to_owned(), end)
        } else {
            match char {
                '*' => ("[^/]*".to_owned(), 1),
                '?' => ("[^/]".to_owned(), 1),
                other => (regex::escape(&other.to_string()), other.len_utf8()),
            }
        };
        out.push_str(&piece);
        rest = &rest[length..];
    }
    out + "$"
}

/// Whether one pattern matches the path or a directory above it.
fn matches_one(pattern: &str, path: &str) -> bool {
    let mut expression = expression(pattern);
    // `**text` with nothing more in it is a suffix, which may begin anywhere.
    let tail = pattern.strip_prefix("**").filter(|tail| !tail.contains(['*', '?', '[']));
    if let Some(tail) = tail {
        expression = match tail.strip_prefix('/') {
            Some(name) => format!("^(?:.*/)?{}$", regex::escape(name)),
            None => format!("{}$", regex::escape(tail)),
        };
    }
    let regex = regex::Regex::new(&expression).unwrap();
    let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
    parents.chain([path]).any(|path| regex.is_match(path))
}

/// The last rule that matches decides.
fn ignored(rules: &[String], path: &str) -> bool {
    rules.iter().fold(false, |ignored, rule| match rule.strip_prefix('!') {
        Some(pattern) => ignored && !matches_one(&super::glob::clean(pattern), path),
        None => ignored || matches_one(&super::glob::clean(rule), path),
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a", "b", "ab", "*", "?", "a*", "*b", "a?", "**", "[ab]", "[^a]", "a.b", ".a", "[a-b]b", "é", "a+",
    ]);
    let path = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let joined = prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**", "?", "/"]), 1..6)
        .prop_map(|pieces| pieces.concat());
    let pattern = prop_oneof![3 => path, 1 => joined];
    (any::<bool>(), pattern, any::<bool>()).prop_map(|(negated, pattern, slash)| {
        format!("{}{pattern}{}", if negated { "!" } else { "" }, if slash { "/" } else { "" })
    })
}

fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "ab", "ba", "aab", "a.b", "axb", ".a", "é", "a+"]);
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

/// Patterns that are more than a name: `!`, `/` and `***` are other cases.
fn is_plain(pattern: &str) -> bool {
    let body = pattern.strip_prefix('!').unwrap_or(pattern);
    !body.starts_with('/') && !body.contains("***") && !body.contains("//") && !body.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rules_agree_with_plain_expressions(rules in prop::collection::vec(pattern(), 1..5), path in path()) {
        let rules: Vec<String> = rules.into_iter().filter(|rule| is_plain(rule)).collect();
        let matcher = IgnoreMatcher::new(&rules).unwrap();
        prop_assert_eq!(matcher.matches(&path), ignored(&rules, &path), "{:?} {}", rules, path);
    }

    /// Without `!` rules a walk finds the same as a look at each path.
    #[test]
    fn a_walk_agrees_where_nothing_is_included_again(
        rules in prop::collection::vec(pattern(), 1..5),
        path in path(),
    ) {
        let plain = |rule: &String| is_plain(rule) && !rule.starts_with('!');
        let rules: Vec<String> = rules.into_iter().filter(plain).collect();
        let matcher = IgnoreMatcher::new(&rules).unwrap();
        let mut parent = ParentMatches::default();
        let mut last = false;
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            (last, parent) = matcher.matches_below(&path[..end], &parent);
        }
        prop_assert_eq!(last, matcher.matches(&path), "{:?} {}", rules, path);
    }

    /// Where nothing below an ignored directory can be included again, nothing is.
    #[test]
    fn what_a_walk_leaves_out_is_ignored(
        rules in prop::collection::vec(pattern(), 1..5),
        path in path(),
        below in path(),
    ) {
        let rules: Vec<String> = rules.into_iter().filter(|rule| is_plain(rule)).collect();
        let matcher = IgnoreMatcher::new(&rules).unwrap();
        let (ignored, matches) = matcher.matches_below(&path, &ParentMatches::default());
        if ignored && !matcher.may_include_below(&path) {
            let mut parent = matches;
            let whole = format!("{path}/{below}");
            for end in whole.match_indices('/').map(|(at, _)| at).chain([whole.len()]) {
                if end > path.len() {
                    let (ignored, next) = matcher.matches_below(&whole[..end], &parent);
                    prop_assert!(ignored, "{:?} {}", rules, &whole[..end]);
                    parent = next;
                }
            }
        }
    }
}
