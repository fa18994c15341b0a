//! "Did you mean …?"

/// Edits up to which a word counts as a slip of another.
const MAX_EDITS: usize = 2;

/// The candidate a word was most likely meant to be, compared without case: at most two
/// characters inserted, removed or changed. `None` if one is equal.
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let mut best = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        if letters.len().abs_diff(word.len()) > MAX_EDITS {
            continue;
        }
        let edits = distance(&word, &letters);
        if edits == 0 {
            return None;
        }
        if edits <= MAX_EDITS && best.is_none_or(|(fewest, _)| edits < fewest) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest() {
        let candidates = ["RUN", "USER", "COPY", "ENTRYPOINT"];
        for (word, expected) in [
            ("RN", Some("RUN")),
            ("entrypiont", Some("ENTRYPOINT")),
            ("COPPY", Some("COPY")),
            ("copy", None),
            ("FLY", None),
            ("", None),
            ("Ü", None),
        ] {
            assert_eq!(suggest(word, candidates), expected, "{word}");
        }
    }
}
