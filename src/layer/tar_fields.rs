//! The fields of a tar header, of all writers there have been.

use super::tar_error::TarError;
use super::tar_header::TAR_BLOCK;

/// What stands before the NUL that ends a short text.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}

/// The name of a header, with the prefix that USTAR and star know and GNU does not.
pub(super) fn header_name(block: &[u8; TAR_BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = match &block[257..265] {
        b"ustar\x0000" if &block[508..512] == b"tar\0" => until_nul(&block[345..476]),
        b"ustar\x0000" => until_nul(&block[345..500]),
        _ => b"",
    };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// A number in octal digits, or in GNU's base 256.
pub(super) fn number(field: &[u8], what: &str) -> Result<i64, TarError> {
    let wrong = || TarError::invalid(format!("a {what} is no number"));
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let mut value: i64 = if negative { -1 } else { 0 };
        for (n, byte) in field.iter().enumerate() {
            let byte = match (n, negative) {
                (0, true) => byte | 0x80,
                (0, false) => byte & 0x7f,
                _ => *byte,
            };
            value = value.checked_mul(256).ok_or_else(wrong)? | i64::from(byte);
        }
        return Ok(value);
    }
    let digits = until_nul(field);
    let digits = digits.trim_ascii();
    if digits.is_empty() {
        return Ok(0);
    }
    let text = std::str::from_utf8(digits).map_err(|_| wrong())?;
    i64::from_str_radix(text, 8).map_err(|_| wrong())
}

/// A number of 32 bits without a sign. The largest means "leave it" to chown(2), so it is no id.
pub(super) fn id(field: &[u8], what: &str) -> Result<u32, TarError> {
    narrow(number(field, what)?, what)
}

/// The same, of a number already read.
pub(super) fn narrow(number: impl TryInto<u32>, what: &str) -> Result<u32, TarError> {
    let id = number.try_into().ok().filter(|id| *id != u32::MAX);
    id.ok_or_else(|| TarError::invalid(format!("a {what} is out of range")))
}

/// Some writers put the file type above the permissions.
pub(super) fn mode(field: &[u8]) -> Result<u32, TarError> {
    Ok((number(field, "mode")? & 0o7777) as u32)
}

/// Whether the header's checksum is right.
pub(super) fn check_sum(block: &[u8; TAR_BLOCK]) -> Result<(), TarError> {
    let said = number(&block[148..156], "checksum")?;
    let with = |byte: fn(u8) -> i64| -> i64 {
        let outside = block[..148].iter().chain(&block[156..]);
        outside.map(|b| byte(*b)).sum::<i64>() + 8 * i64::from(b' ')
    };
    // Historic writers summed signed bytes.
    if said == with(i64::from) || said == with(|b| i64::from(b as i8)) {
        return Ok(());
    }
    Err(TarError::invalid("the checksum of a header is wrong"))
}
