//! Text that others wrote, made safe to show: no control characters, no secrets.

use std::fmt::Write as _;

/// Bytes as one line to show: escape sequences (colours, titles, cursor moves) left out, what a
/// carriage return overwrote left out, every other control character and every character that
/// reorders text written as `\x07` or `\u{202e}`.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    let visible = text.rsplit('\r').next().unwrap_or_default();
    let mut out = String::with_capacity(visible.len());
    let mut chars = visible.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\t' => out.push('\t'),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32); // writing to a String cannot fail
            }
            c if c.is_control() || reorders(c) => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// Several lines, each made safe.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

/// Skips the rest of an escape sequence (ECMA-48 5.4 and 5.6): CSI up to its final byte, OSC and
/// the like up to BEL or ST, two-character sequences whole.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while let Some(c) = chars.peek().copied() {
                if !(' '..='~').contains(&c) {
                    return; // broken off: what follows is text, or escaped on its own
                }
                chars.next();
                if ('@'..='~').contains(&c) {
                    return;
                }
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            while let Some(c) = chars.next() {
                let terminated = c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some());
                if terminated {
                    return;
                }
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            chars.next();
            chars.next_if(|c| !c.is_control());
        }
        Some(c) if !c.is_control() => {
            chars.next();
        }
        _ => {}
    }
}

/// Unicode's line and paragraph separators and the bidirectional controls of "Trojan Source".
fn reorders(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Replaces known secrets by `***`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    /// The longest first: one secret may hold another.
    secrets: Vec<String>,
}

/// Shorter values are words of every log, and no secrets.
const SHORTEST_SECRET: usize = 4;

impl Redactor {
    /// Of these values; lines of several are replaced one by one, for logs have lines.
    pub(crate) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        for value in values {
            for line in value.lines().map(str::trim) {
                if line.len() >= SHORTEST_SECRET && !secrets.iter().any(|s| s == line) {
                    secrets.push(line.to_owned());
                }
            }
        }
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Redactor { secrets }
    }

    /// The text without secrets.
    pub(crate) fn redact(&self, text: String) -> String {
        let mut text = text;
        for secret in &self.secrets {
            if text.contains(secret) {
                text = text.replace(secret, "***");
            }
        }
        without_url_credentials(text)
    }

    /// The secrets, for a platform that masks them itself.
    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

/// Hides the credentials in URLs of web servers: a password, or a token that stands alone.
fn without_url_credentials(text: String) -> String {
    if !text.contains("://") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'`".contains(c)).unwrap_or(after.len());
        let is_web = before.ends_with("http://") || before.ends_with("https://");
        out.push_str(before);
        rest = after;
        if let Some(host) = after[..end].rfind('@').filter(|_| is_web) {
            if let Some(colon) = after[..host].find(':') {
                out.push_str(&after[..=colon]);
            }
            out.push_str("***");
            rest = &after[host..];
        }
    }
    out + rest
}

/// Bytes for people, in powers of ten as registries show them.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A time span for people.
pub(crate) fn seconds(duration: std::time::Duration) -> String {
    let tenths = duration.as_secs_f64();
    if tenths < 60.0 {
        return format!("{tenths:.1}s");
    }
    let whole = duration.as_secs();
    match whole / 3600 {
        0 => format!("{}m{:02}s", whole / 60, whole % 60),
        hours => format!("{hours}h{:02}m{:02}s", whole / 60 % 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    macro_rules! cleaned {
        ($($name:ident: $bytes:expr => $text:expr;)*) => {
            $(#[test]
            fn $name() {
                assert_eq!(clean($bytes), $text);
            })*
        };
    }

    cleaned! {
        plain: b"hello\tworld" => "hello\tworld";
        unicode: "grüße ✓".as_bytes() => "grüße ✓";
        colours: b"\x1b[31mred\x1b[0m" => "red";
        cursor_moves: b"\x1b[2J\x1b[Hx" => "x";
        title: b"\x1b]0;owned\x07x" => "x";
        title_with_st: b"\x1b]0;owned\x1b\\x" => "x";
        unterminated_title: b"a\x1b]0;owned" => "a";
        broken_sequence: "\x1b[31ü".as_bytes() => "ü";
        charset: b"\x1b(Bx" => "x";
        lone_escape: b"a\x1b" => "a";
        escape_before_control: b"\x1b\x07x" => "\\x07x";
        bell: b"\x07" => "\\x07";
        nul: b"a\0b" => "a\\x00b";
        newline_inside: b"a\n::error::b" => "a\\x0a::error::b";
        progress_bar: b"10%\r50%\r100%" => "100%";
        windows_line: b"a\r" => "a";
        c1: "a\u{9b}31mb".as_bytes() => "a\\u{9b}31mb";
        raw_c1: b"a\x9b31m" => "a\u{fffd}31m";
        bidi: "a\u{202e}b".as_bytes() => "a\\u{202e}b";
    }

    #[test]
    fn secrets_are_replaced_the_longest_first() {
        let redactor = Redactor::new(["abcd".to_owned(), "abcdefgh".to_owned(), "x".to_owned()]);
        assert_eq!(redactor.redact("abcdefgh abcd x".to_owned()), "*** *** x");
    }

    #[test]
    fn a_secret_of_several_lines_is_replaced_line_by_line() {
        let redactor = Redactor::new(["-----BEGIN KEY-----\nMIIabc\n-----END KEY-----\n".to_owned()]);
        assert_eq!(redactor.redact("key: MIIabc".to_owned()), "key: ***");
    }

    #[test]
    fn sizes_and_times() {
        for (n, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_950, "1.0 MB"), (1_234_567_890, "1.2 GB")]
        {
            assert_eq!(bytes(n), text);
        }
        for (millis, text) in [(0, "0.0s"), (1250, "1.2s"), (61_000, "1m01s"), (3_661_000, "1h01m01s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn credentials_of_urls_are_hidden() {
        let redactor = Redactor::default();
        for (text, shown) in [
            ("ADD https://me:pa55@h/x /y", "ADD https://me:***@h/x /y"),
            ("https://token@h", "https://***@h"),
            ("a http://u:p@q@h:80/ b https://v:w@i", "a http://u:***@h:80/ b https://v:***@i"),
            ("https://h/a@b https://h?c@d ssh://git@h/r", "https://h/a@b https://h?c@d ssh://git@h/r"),
            ("https://", "https://"),
        ] {
            assert_eq!(redactor.redact(text.to_owned()), shown);
        }
    }
}
