//! Maps of sparse files: where their data lies (GNU tar manual, "Storing Sparse Files").

use std::io::BufRead;

use super::pax::decimal;
use super::tar_error::TarError;
use super::tar_fields::number;
use super::tar_header::TAR_BLOCK;
use super::tar_reader::fill;

/// A part of a sparse file that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it lies in the file.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) length: u64,
}

/// The real size and the map of GNU's own format: four pieces in the header, more in blocks
/// after it.
pub(super) fn old_gnu(
    header: &[u8; TAR_BLOCK],
    input: &mut impl BufRead,
    limit: usize,
) -> Result<(u64, Vec<Segment>), TarError> {
    let size = unsigned(&header[483..495])?;
    let mut pieces = Vec::new();
    let mut more = pairs(&header[386..482], header[482], &mut pieces)?;
    while more {
        if pieces.len() > limit {
            return Err(too_many(pieces.len(), limit));
        }
        let mut block = [0; TAR_BLOCK];
        read_exact(input, &mut block)?;
        more = pairs(&block[..504], block[504], &mut pieces)?;
    }
    Ok((size, pieces))
}

fn pairs(fields: &[u8], more: u8, pieces: &mut Vec<Segment>) -> Result<bool, TarError> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            return Ok(more != 0);
        }
        pieces.push(Segment { offset: unsigned(&pair[..12])?, length: unsigned(&pair[12..])? });
    }
    Ok(more != 0)
}

fn unsigned(field: &[u8]) -> Result<u64, TarError> {
    u64::try_from(number(field, "sparse map")?)
        .map_err(|_| TarError::invalid("a sparse map has a negative number"))
}

/// The map of PAX versions 0.0 and 0.1: offset and length in turn.
pub(super) fn pax_0(numbers: &[u64], limit: usize) -> Result<Vec<Segment>, TarError> {
    if numbers.len() / 2 > limit {
        return Err(too_many(numbers.len() / 2, limit));
    }
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TarError::invalid("a sparse map ends with an offset"));
    }
    Ok(pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect())
}

/// The map of PAX version 1.0, which stands before the content in lines of decimals, filled up
/// to a whole block. `left` is what is stored of the entry, and shrinks by what the map takes.
pub(super) fn pax_1_0(
    input: &mut impl BufRead,
    left: &mut u64,
    limit: usize,
) -> Result<Vec<Segment>, TarError> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut digits: Vec<u8> = Vec::new();
    loop {
        if *left < TAR_BLOCK as u64 {
            return Err(TarError::invalid("a sparse map does not end"));
        }
        let mut block = [0; TAR_BLOCK];
        read_exact(input, &mut block)?;
        *left -= TAR_BLOCK as u64;
        for byte in block {
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return Err(TarError::invalid("a sparse map is malformed"));
                }
                continue;
            }
            numbers.push(decimal(&digits, "sparse map")?);
            digits.clear();
            let pieces = numbers[0];
            if pieces > limit as u64 {
                return Err(too_many(usize::try_from(pieces).unwrap_or(usize::MAX), limit));
            }
            if numbers.len() as u64 == 1 + 2 * pieces {
                return pax_0(&numbers[1..], limit);
            }
        }
    }
}

/// The pieces must follow each other within the file and be what is stored.
pub(super) fn check(pieces: &[Segment], size: u64, stored: u64) -> Result<(), TarError> {
    let wrong = || TarError::invalid("the map of a sparse file contradicts its size");
    let (mut at, mut sum) = (0, 0u64);
    for piece in pieces {
        let end = piece.offset.checked_add(piece.length).ok_or_else(wrong)?;
        if piece.offset < at || end > size {
            return Err(wrong());
        }
        at = end;
        sum += piece.length;
    }
    if sum == stored { Ok(()) } else { Err(wrong()) }
}

fn too_many(pieces: usize, limit: usize) -> TarError {
    TarError::Limit { what: format!("a sparse file in {pieces} pieces"), limit: limit as u64 }
}

fn read_exact(input: &mut impl BufRead, block: &mut [u8; TAR_BLOCK]) -> Result<(), TarError> {
    let mut filled = 0;
    while filled < TAR_BLOCK {
        let bytes = fill(input)?;
        if bytes.is_empty() {
            return Err(TarError::Truncated { place: "a sparse map".to_owned() });
        }
        let n = bytes.len().min(TAR_BLOCK - filled);
        block[filled..filled + n].copy_from_slice(&bytes[..n]);
        input.consume(n);
        filled += n;
    }
    Ok(())
}
