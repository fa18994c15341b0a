//! What a plan may hold. A line can repeat a variable that the line before doubled, and a stage hands
//! on all that the stages before it did.

use crate::dockerfile::{Diagnostic, Source, Span};
use crate::image::{History, ImageConfig};

/// Bytes that configs, histories and environments of all steps and stages may have together.
/// BuildKit hands its builder a plan of 16 MiB at most.
const MAX_BYTES: usize = 64 << 20;

/// What is left, until something found too little.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room(Option<usize>);

/// There is no room left.
#[derive(Debug)]
pub(super) struct Full;

impl Room {
    pub(super) fn new() -> Self {
        Room(Some(MAX_BYTES))
    }

    /// Takes up room; once there is too little, there is none.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Full> {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        self.0.map(|_| ()).ok_or(Full)
    }

    /// Whether something found too little.
    pub(super) fn is_full(self) -> bool {
        self.0.is_none()
    }
}

impl Full {
    /// Points at what needs it.
    pub(super) fn at(self, source: &Source, span: Span) -> Diagnostic {
        let message = format!("variables and history up to here take more than {} MiB", MAX_BYTES >> 20);
        Diagnostic::new(source, span, message)
            .with_help("build with fewer instructions, shorter chains of stages and smaller values")
    }
}

/// What a stage takes over with a config.
pub(super) fn of_config(config: &ImageConfig) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let entries = config.history.iter().map(|entry| size_of::<History>() + text(&entry.created_by));
    let strings = config.config.env.iter().chain(&config.config.on_build).map(String::len);
    entries.chain(strings).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_stays_full() {
        let mut room = Room::new();
        assert!(room.take(MAX_BYTES - 1).is_ok());
        assert!(room.take(1).is_ok() && !room.is_full(), "all of it may be used");
        assert!(room.take(2).is_err() && room.is_full());
        assert!(room.take(0).is_err());
    }
}
