//! Unicode categories: what names of variables are made of, what Go prints.

use regex::Regex;
use std::sync::LazyLock;

static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}").ok());
static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Nd}").ok());

// unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space.
static PRINTABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]").ok());

/// Lower case letter by letter, as Go's `strings.ToLower`: a letter never becomes two.
pub(super) fn lower(text: &str) -> String {
    let lower = |char: char| {
        let mut letters = char.to_lowercase();
        // Only the capital I with a dot becomes two, an i and a mark.
        letters.next().unwrap_or(char)
    };
    text.chars().map(lower).collect()
}

/// Whether a text is an ASCII word in any case, the Kelvin sign and the long s included.
pub(super) fn is_same_word(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
        || (!text.is_ascii() && lower(text).replace('\u{17f}', "s").eq_ignore_ascii_case(word))
}

/// Whether Go prints the character as it is.
pub(super) fn is_printable(char: char) -> bool {
    if char.is_ascii() { matches!(char, ' '..='~') } else { is(&PRINTABLE, char) }
}

/// Whether the category is a letter's (L).
pub(super) fn is_letter(char: char) -> bool {
    is(&LETTER, char)
}

/// Whether the category is a decimal digit's (Nd).
pub(super) fn is_decimal_digit(char: char) -> bool {
    is(&DIGIT, char)
}

fn is(class: &LazyLock<Option<Regex>>, char: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(char.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        assert_eq!(lower("AÉ\u{130}\u{212a}ß"), "aéikß");
        assert!(
            is_same_word("as", "AS")
                && is_same_word("a\u{17f}", "AS")
                && is_same_word("WOR\u{212a}DIR", "WORKDIR")
        );
        assert!(!is_same_word("às", "AS"));
    }

    #[test]
    fn categories() {
        for char in ['a', 'é', '한', 'ß', 'ʰ'] {
            assert!(is_letter(char), "{char}");
        }
        // A combining mark and a letter number are alphabetic, but no letters.
        for char in ['\u{0345}', 'Ⅷ', '1', '_', '€'] {
            assert!(!is_letter(char), "{char}");
        }
        assert!(is_decimal_digit('٣'));
        assert!(!is_decimal_digit('²'));
    }
}
