//! How SSH writes numbers and strings (RFC 4251, section 5), and bytes that are wiped.

/// Bytes that are overwritten when they go.
pub(super) struct Wiped(pub(super) Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // Somebody may look: so they are written.
        std::hint::black_box(&self.0);
    }
}

/// Takes a number off the front.
pub(super) fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

/// Takes a string off the front.
pub(super) fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

/// Takes a whole number off the front that is not negative, without leading zeros.
pub(super) fn integer<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    string(rest).map(without_zeros)
}

/// A number without the zeros before it.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Strings one after the other.
pub(super) fn strings<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        put(&mut all, part);
    }
    all
}

/// Appends a string.
pub(super) fn put(all: &mut Vec<u8>, string: &[u8]) {
    all.extend((string.len() as u32).to_be_bytes());
    all.extend(string);
}

/// What a whole number that is not negative is as a string.
pub(super) fn integer_string(number: &[u8]) -> Vec<u8> {
    let number = without_zeros(number);
    let mut string = Vec::with_capacity(number.len() + 1);
    if number.first().is_some_and(|first| first & 0x80 != 0) {
        string.push(0);
    }
    string.extend(number);
    string
}
