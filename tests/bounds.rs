//! How much memory expanding a word takes, at its most. A program of its own: it counts what is
//! allocated.
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use yadokari::dockerfile::{ExpandError, Expander};

/// Bytes that expanding one word may take, whatever it says.
const MOST: usize = 16 << 20;

/// The system's allocator, and what it has given out.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is the system allocator's; the default `realloc` goes through these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most that is allocated while `work` runs.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed) - before)
}

/// One way of expanding, ready to be carried out.
type Run<'a> = &'a dyn Fn() -> Result<(), ExpandError>;

/// One test, so that nothing else allocates.
#[test]
fn expansion_is_bounded() {
    let questions = "${a//?/????????????????????????????????}";
    let letters = "${a//?/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy}";
    let stars = "${a//?/*?*?*?*?*?*?*?*?*?*?*?*?*?*?*?*?}";
    let nested = format!("{}{}", format!("{letters}${{b:-").repeat(150), "}".repeat(150));
    let name = |text: &str, length: usize| (text.chars().take(60).collect::<String>(), length);
    for (text, length, fails) in [
        ("${a}${a}".to_owned(), 250_000, false),
        ("$a".repeat(10_000), 1000, true),
        ("$a".repeat(10_000), 1 << 20, true),
        ("${a//?/$a}".to_owned(), 4000, true),
        (format!("${{a#{questions}}}"), 16_000, false),
        (format!("${{a##{letters}}}"), 16_000, false),
        (format!("${{a%{questions}}}"), 16_000, false),
        (format!("${{a%%{stars}}}"), 16_000, false),
        (format!("${{a//{questions}/{letters}}}"), 4000, false),
        (format!("${{a#{}}}", "?".repeat(1 << 20)), 1000, false),
        (nested, 4000, true),
        ("${b:-".repeat(199) + &"}".repeat(199), 0, false),
        ("${b:-".repeat(100_000), 0, true),
    ] {
        for value in ["x".repeat(length), "x ".repeat(length / 2)] {
            // What a lookup hands out counts too.
            let lookup = |name: &str| (name == "a").then(|| value.clone());
            let expander = Expander { escape: '\\' };
            let runs: [(&str, Run<'_>); 3] = [
                ("word", &|| expander.word(&text, &lookup).map(drop)),
                ("words", &|| expander.words(&text, &lookup).map(drop)),
                ("raw", &|| expander.raw(&text, &lookup).map(drop)),
            ];
            let runs = runs.into_iter().filter(|(way, _)| *way == "words" || !value.contains(' '));
            for (way, run) in runs {
                let (result, peak) = peak(run);
                assert!(peak <= MOST, "{:?} as {way} takes {} KiB", name(&text, length), peak >> 10);
                let blanks = way == "words" && value.contains(' ');
                assert!(blanks || result.is_err() == fails, "{:?} as {way}: {result:?}", name(&text, length));
            }
        }
    }
}
