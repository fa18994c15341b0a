//! Commands in real roots: namespaces, mounts, users, signals, and what they changed. Needs root, as
//! a build does, and a static `busybox` in `PATH`.
//!
//! Supervisors are this program executed again, so that it has a main function of its own; it takes
//! the arguments by which test runners list and choose tests.

#![allow(clippy::print_stdout, clippy::print_stderr)] // the runner's interface

mod changes;
mod commands;
mod fixture;
mod hiding;
mod random;

type Test = (&'static str, fn());

fn main() -> std::process::ExitCode {
    yadokari::run::supervisor_entry();
    let all: Vec<Test> = [changes::TESTS, commands::TESTS, hiding::TESTS, random::TESTS].concat();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == "--attribute" => return random::attribute(rest),
        Some((first, rest)) if first == "--in-place" => {
            random::in_place(rest);
            return std::process::ExitCode::SUCCESS;
        }
        _ => {}
    }
    let has = |name: &str| args.iter().any(|a| a == name);
    if has("--list") {
        for (name, _) in all.iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return std::process::ExitCode::SUCCESS;
    }
    let names: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |test: &str| {
        names.is_empty()
            || names.iter().any(|n| if has("--exact") { test == *n } else { test.contains(n.as_str()) })
    };
    let mut failed = 0;
    for (name, test) in all.iter().filter(|(name, _)| wanted(name)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    std::process::ExitCode::from(failed.min(1))
}
