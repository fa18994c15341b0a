//! What changed, as `diff -u` prints it.

use std::fmt::Write as _;
use std::ops::Range;

use similar::DiffOp;
use similar::algorithms::{Capture, Compact, Replace, myers};

/// Lines around a change.
const AROUND: usize = 3;

/// The changes from one text to another, with the names of both above them; empty if there are none.
pub(super) fn unified(old: &str, new: &str, names: (&str, &str)) -> String {
    let (old, new) = (lines(old), lines(new));
    // The library's own printer brings all its algorithms into the program.
    let mut changes = Compact::new(Replace::new(Capture::new()), &old, &new);
    let Ok(()) = myers::diff(&mut changes, &old, 0..old.len(), &new, 0..new.len());
    let hunks = changes.into_inner().into_inner().into_grouped_ops(AROUND);
    let mut text = String::new();
    for (number, hunk) in hunks.iter().enumerate() {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        if number == 0 {
            let _ = writeln!(text, "--- {}\n+++ {}", names.0, names.1);
        }
        let before = first.old_range().start..last.old_range().end;
        let after = first.new_range().start..last.new_range().end;
        let _ = writeln!(text, "@@ -{} +{} @@", place(&before), place(&after));
        for change in hunk {
            let kept = matches!(change, DiffOp::Equal { .. });
            put(&mut text, if kept { ' ' } else { '-' }, &old[change.old_range()]);
            put(&mut text, '+', if kept { &[] } else { &new[change.new_range()] });
        }
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Lines from 1 on, and how many they are, which goes without saying for one; none are after the line
/// before them.
fn place(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        many => format!("{},{many}", lines.start + 1),
    }
}

fn put(text: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        text.push(sign);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn as_diff_prints_it() {
        let numbered = |from: usize, to: usize| (from..=to).map(|n| format!("{n}\n")).collect::<String>();
        let old = numbered(1, 20);
        let new = old.replace("\n2\n", "\ntwo\n").replace("19\n", "").replace("20\n", "20");
        let expected = "--- a\n+++ b\n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n@@ -16,5 +16,4 @@\n 16\n 17\n 18\n-19\n-20\n+20\n\\ No newline at end of file\n";
        assert_eq!(unified(&old, &new, ("a", "b")), expected);
        assert_eq!(unified("", "x\n", ("a", "b")), "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(unified("x\n", "x\n", ("a", "b")), "");
    }
}
