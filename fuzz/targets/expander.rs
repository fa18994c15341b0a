//! A variable's value, a NUL, and any text to expand: no panic, no hang, bounded results, and
//! errors that point into the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yadokari::dockerfile::Expander;

/// What variables may add to a text.
const BOUND: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(data) = std::str::from_utf8(data) else { return };
    let (value, text) = data.split_once('\0').unwrap_or(("a/b*é.tar.gz", data));
    // Some names are set, some empty, some not there.
    let lookup = |name: &str| match name.len() % 3 {
        0 => None,
        1 => Some(value.to_owned()),
        _ => Some(String::new()),
    };
    for escape in ['\\', '`'] {
        let expander = Expander { escape };
        let word = expander.word(text, &lookup);
        let raw = expander.raw(text, &lookup);
        for result in [&word, &raw] {
            match result {
                Ok(expanded) => assert!(expanded.len() <= text.len() + BOUND),
                Err(error) => assert!(text.get(error.range.clone()).is_some(), "{error:?}"),
            }
        }
        // Words split off cost more: what is too long for them need not be too long for one.
        assert!(word.is_ok() || expander.words(text, &lookup).is_err());
    }
});
