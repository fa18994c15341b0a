//! What expanding one word may cost, all levels of nesting together.

/// Bytes that variables may add to a word: their values, and what patterns make of them. A file
/// can double a variable line by line; the kernel takes no more than 128 KiB in one anyway.
pub(in crate::dockerfile) const MAX_BYTES: usize = 1 << 20;

/// Bytes that count for a word split off, besides its text: its place, and what it is kept in.
const WORD: usize = 64;

/// Characters that patterns may be compared with. A pattern of 256 characters on a value of 128 KiB
/// needs no more.
const MAX_STEPS: usize = 1 << 25;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    steps: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { bytes: MAX_BYTES, steps: MAX_STEPS }
    }

    /// Pays for text that does not stand in the word itself.
    ///
    /// # Errors
    /// What is wrong, one sentence without a full stop.
    pub(super) fn text(&mut self, length: usize) -> Result<(), String> {
        let left = self.bytes.checked_sub(length);
        self.bytes = left.ok_or_else(|| format!("this expands to more than {} MiB", MAX_BYTES >> 20))?;
        Ok(())
    }

    /// Pays for words that a value was split into.
    ///
    /// # Errors
    /// As [`Budget::text`].
    pub(super) fn words(&mut self, count: usize) -> Result<(), String> {
        self.text(count.saturating_mul(WORD))
    }

    /// Pays for characters compared with a pattern's.
    ///
    /// # Errors
    /// As [`Budget::text`].
    pub(super) fn steps(&mut self, count: usize) -> Result<(), String> {
        let left = self.steps.checked_sub(count);
        self.steps = left.ok_or_else(|| "the patterns take too long to match".to_owned())?;
        Ok(())
    }
}
