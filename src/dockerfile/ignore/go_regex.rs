//! Go's regular expressions, as far as ignore patterns make them, in the regex crate's syntax:
//! classes and escapes differ.

use regex::{Regex, RegexBuilder};
use std::fmt::Write as _;

/// Compiled size in bytes above which a pattern is refused. Bounds memory on hostile input.
const MAX_SIZE: usize = 4 << 20;

/// Go's Perl classes, which know only ASCII.
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\x0c\r ";
const WORD: &str = "0-9A-Za-z_";

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Compiles an expression; `None` if Go would refuse it.
pub(super) fn compile(expression: &str) -> Option<Regex> {
    let mut reader = Reader { rest: expression, out: String::new(), repeats: false };
    while !reader.rest.is_empty() {
        let before = reader.out.len();
        reader.item()?;
        reader.repeats = matches!(&reader.out.as_bytes()[before..], [b'*' | b'?'] | [b'{', ..]);
    }
    RegexBuilder::new(&reader.out).size_limit(MAX_SIZE).build().ok()
}

struct Reader<'t> {
    rest: &'t str,
    out: String,
    /// Whether the last item was a repetition, which cannot be repeated.
    repeats: bool,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        Some(char)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn item(&mut self) -> Option<()> {
        match self.next()? {
            '[' => self.class(),
            '\\' => self.escape(),
            char @ ('(' | ')' | '?' | '*' | '.' | '^' | '$' | '|') => {
                self.out.push(char);
                Some(())
            }
            '{' => self.braces(),
            char => {
                self.literal(char);
                Some(())
            }
        }
    }

    fn literal(&mut self, char: char) {
        self.out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
    }

    /// An escape outside of brackets, its backslash taken.
    fn escape(&mut self) -> Option<()> {
        if let Some(set) = self.set() {
            self.out.push_str(&format!("[{set}]"));
            return Some(());
        }
        let assertions = [("A", r"\A"), ("z", r"\z"), ("b", r"(?-u:\b)"), ("B", r"(?-u:\B)")];
        for (name, assertion) in assertions {
            if self.take(name) {
                self.out.push_str(assertion);
                return Some(());
            }
        }
        if self.take("Q") {
            let (literal, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
            self.out.push_str(&regex::escape(literal));
            self.rest = rest;
            return Some(());
        }
        let char = self.escaped_char()?;
        self.literal(char);
        Some(())
    }

    /// `d`, `s`, `w`, `pL` and their opposites, as what stands in brackets.
    fn set(&mut self) -> Option<String> {
        let named = [("d", DIGIT), ("s", SPACE), ("w", WORD)];
        for (name, set) in named {
            if self.take(name) {
                return Some(set.to_owned());
            }
            if self.take(&name.to_uppercase()) {
                return Some(format!("[^{set}]"));
            }
        }
        let negated = self.rest.starts_with('P');
        let category = self.rest.strip_prefix(['p', 'P'])?.chars().next()?;
        if !"CLMNPSZ".contains(category) {
            return None;
        }
        self.rest = &self.rest[2..];
        Some(format!(r"\{}{{{category}}}", if negated { 'P' } else { 'p' }))
    }

    /// A character written as an escape, its backslash taken.
    fn escaped_char(&mut self) -> Option<char> {
        match self.next()? {
            first @ '0'..='7' => {
                // A lone digit other than 0 would be a reference to a group.
                if first != '0' && !self.rest.starts_with(|next: char| next.is_digit(8)) {
                    return None;
                }
                let more = self.rest.chars().take(2).take_while(|next| next.is_digit(8)).count();
                let digits = format!("{first}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                char::from_u32(u32::from_str_radix(&digits, 8).ok()?)
            }
            'x' => {
                let high = self.next()?.to_digit(16)?;
                let low = self.next()?.to_digit(16)?;
                char::from_u32(high * 16 + low)
            }
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            char if char.is_ascii() && !char.is_ascii_alphanumeric() => Some(char),
            _ => None,
        }
    }

    /// `{2}`, `{2,}` or `{2,3}` repeats what is before it; any other brace is a brace.
    fn braces(&mut self) -> Option<()> {
        let counts = self.rest.split_once('}').and_then(|(counts, rest)| Some((repetition(counts)?, rest)));
        let Some(((least, most), rest)) = counts else {
            self.literal('{');
            return Some(());
        };
        let is_nothing = self.out.is_empty() || self.out.ends_with(['|', '(']);
        let too_many = least > MAX_REPEATS || most.is_some_and(|most| most > MAX_REPEATS || most < least);
        if self.repeats || is_nothing || too_many {
            return None;
        }
        let _ = write!(self.out, "{{{least},{}}}", most.map_or_else(String::new, |most| most.to_string()));
        self.rest = rest;
        Some(())
    }

    /// A class, its opening bracket taken.
    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut is_first = true;
        while is_first || !self.take("]") {
            is_first = false;
            if self.rest.starts_with("[:") && self.posix_class()? {
                continue;
            }
            if let Some(escape) = self.rest.strip_prefix('\\') {
                let before = std::mem::replace(&mut self.rest, escape);
                if let Some(set) = self.set() {
                    self.out.push_str(&set);
                    continue;
                }
                self.rest = before;
            }
            let low = self.class_char()?;
            let is_range = self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let high = if is_range && self.take("-") { self.class_char()? } else { low };
            if high < low {
                return None;
            }
            let _ = write!(self.out, r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high));
        }
        self.out.push(']');
        Some(())
    }

    fn class_char(&mut self) -> Option<char> {
        if self.take("\\") { self.escaped_char() } else { self.next() }
    }

    /// `[:name:]`; false if there is no end to it, and then it is ordinary characters.
    fn posix_class(&mut self) -> Option<bool> {
        let Some((name, rest)) = self.rest[2..].split_once(":]") else { return Some(false) };
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return None;
        }
        let _ = write!(self.out, "[:{name}:]");
        self.rest = rest;
        Some(true)
    }
}

/// Times that Go repeats something at most.
const MAX_REPEATS: u64 = 1000;

/// The least and most times of `2`, `2,` or `2,3`; none if it is something else.
fn repetition(text: &str) -> Option<(u64, Option<u64>)> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Go wants no leading zeros, and does not care how much too large a number is.
        let is_plain = is_number && (text == "0" || !text.starts_with('0'));
        is_plain.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match text.split_once(',') {
        None => number(text).map(|times| (times, Some(times))),
        Some((least, "")) => Some((number(least)?, None)),
        Some((least, most)) => Some((number(least)?, Some(number(most)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go() {
        for (expression, text, expected) in [
            (r"^a\.b$", "a.b", true),
            (r"^[]a]$", "]", true),
            (r"^[a-]$", "-", true),
            (r"^[^a]$", "\n", true),
            (r"^[[^/]*]$", "[^]", true),
            (r"^[[^/]*]$", "]", true),
            (r"^[[^/]*]$", "*]", false),
            (r"^[a&&b]$", "&", true),
            (r"^[+--z]$", ",", true),
            (r"^[[:alpha:]1]$", "b", true),
            (r"^[[:^alpha:]]$", "b", false),
            (r"^[\d_]\d$", "_7", true),
            (r"^\D$", "x", true),
            (r"^[\W]$", "x", false),
            (r"^\pL\PL$", "é1", true),
            (r"^\101\x42$", "AB", true),
            (r"^\Qa.b\Ec$", "a.bc", true),
            (r"^\Qa$", "a$", true),
            (r"^a\b$", "a", true),
            (r"^\<a\>$", "<a>", true),
            (r"^a-b#c~d e$", "a-b#c~d e", true),
            (r"^]$", "]", true),
            (r"^a^b$", "a^b", false),
            (r"^a|b[^/]*$", "ax/y", true),
            (r"^a|b[^/]*$", "xb", true),
            (r"^a|b[^/]*$", "xbc/", false),
            (r"^a{2}b$", "aab", true),
            (r"^a{2,}$", "a", false),
            (r"^a{0,1}b$", "b", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^a{02}$", "a{02}", true),
            (r"^{a,b}[^/]*$", "{a,b}c", true),
            (r"^a{b}$", "a{b}", true),
            (r"^a{$", "a{", true),
            (r"^a}$", "a}", true),
            (r"^[{2}]{2}$", "{}", true),
        ] {
            assert_eq!(compile(expression).unwrap().is_match(text), expected, "{expression} {text}");
        }
    }

    #[test]
    fn refuses_as_go() {
        for expression in [
            r"^\q$",
            r"^\1$",
            r"^\8$",
            r"^\é$",
            r"^\x4$",
            r"^[b-a]$",
            r"^[a$",
            r"^[[:foo:]]$",
            r"^\C$",
            r"^\pX$",
            r"^[^/]*{2}$",
            r"^a{2}{3}$",
            r"^a{1001}$",
            r"^a{3,2}$",
            r"^a|{2}$",
            r"^a{99999999999999999999}$",
        ] {
            assert!(compile(expression).is_none(), "{expression}");
        }
    }
}
