//! Sizes in bytes with units.

/// Bytes of a size with a unit of 1024 (`units.RAMInBytes`): `64m`, `1.5 GiB`, `512`.
pub(super) fn size(text: &str) -> Option<i64> {
    let end = text.rfind(|char: char| char.is_ascii_digit() || matches!(char, '.' | ' '))? + 1;
    let number = text[..end].strip_suffix(' ').unwrap_or(&text[..end]);
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-' | b'e' | b'E');
    let is_plain = number.bytes().all(is_part);
    let value = number.parse::<f64>().ok().filter(|value| is_plain && value.is_finite() && *value >= 0.0)?;
    let unit = text[end..].to_lowercase();
    let factor = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return None,
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0_f64.powi(2),
        "g" => 1024.0_f64.powi(3),
        "t" => 1024.0_f64.powi(4),
        "p" => 1024.0_f64.powi(5),
        _ => return None,
    };
    Some((value * factor) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("512", Some(512)),
            ("64m", Some(64 << 20)),
            ("1.5 GiB", Some(3 << 29)),
            ("1kb", Some(1024)),
            ("2B", Some(2)),
            ("1E3k", Some(1_024_000)),
            ("5e-1k", Some(512)),
            ("-0", Some(0)),
            ("-0.5", None),
            ("1ib", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1mbb", None),
            ("", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
