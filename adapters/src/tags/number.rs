//! Numbers as JavaScript reads them in text.

/// What `Number(text)` is; `NaN` where it is none.
pub(super) fn number(text: &str) -> f64 {
    let text = text.trim();
    let radix = |digits: &str, base| u64::from_str_radix(digits, base).map_or(f64::NAN, |n| n as f64);
    if text.is_empty() {
        return 0.0;
    }
    match text.get(..2) {
        Some("0x" | "0X") => radix(&text[2..], 16),
        Some("0o" | "0O") => radix(&text[2..], 8),
        Some("0b" | "0B") => radix(&text[2..], 2),
        _ if text.trim_start_matches(['+', '-']) == "Infinity" => {
            if text.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }
        }
        // Rust knows words that JavaScript does not.
        _ if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => f64::NAN,
        _ => text.parse().unwrap_or(f64::NAN),
    }
}
