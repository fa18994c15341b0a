//! What grows faster than the file.

use super::*;

#[test]
fn what_grows_faster_than_the_file_is_bounded() {
    let doubled = "ENV A=aaaaaaaa\n".to_owned() + &"ENV A=$A$A\n".repeat(14);
    let values: String = (0..600).map(|number| format!("ENV B{number}=$A\n")).collect();
    let chain: String = (0..1500).map(|n| format!("FROM s{n} AS s{}\nENV A=1\n", n + 1)).collect();
    for text in [
        format!("FROM scratch\n{doubled}{values}"),
        format!("FROM scratch\n{}{}", "ENV A=$A.........\n".repeat(1000), "RUN a\n".repeat(8000)),
        format!("FROM scratch\n{}", "WORKDIR aaaaaaaaaa\n".repeat(4000)),
        format!("FROM scratch AS s0\n{chain}"),
    ] {
        let errors = given(&text).try_plan().unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains("64 MiB"), "{errors:?}");
    }
}

/// A trigger that copies from the end of a chain needs all of it.
#[test]
fn long_chains_behind_a_trigger_take_no_stack() {
    let chain: String = (0..3000).map(|n| format!("FROM s{n} AS s{}\n", n + 1)).collect();
    let text =
        format!("FROM scratch AS s0\n{chain}FROM scratch AS a\nONBUILD COPY --from=s3000 / /\nFROM a\n");
    assert_eq!(given(&text).try_plan().unwrap().stages.len(), 3003);
}
