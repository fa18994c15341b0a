use super::*;

#[test]
fn nothing_to_do_is_told_of_the_last_line() {
    for (text, line) in
        [("", 1), ("# a", 1), ("# a\n", 1), ("# a\n# b\n\n", 3), ("# a\r\n# b", 2), ("\n\n", 2)]
    {
        let errors = parse(&Source::new("Dockerfile", text)).unwrap_err();
        assert_eq!(errors[0].positions().0.0, line, "{text:?}");
    }
}

/// Each case: the text, and for every error the underlined words and a part of message or help.
#[test]
fn errors_tell_place_and_way_out() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("", &[("", "has no instructions")]),
        ("# one\n# only a comment\n", &[("# only a comment", "has no instructions")]),
        ("ARG A\n", &[("", "has no stage")]),
        ("RUN a\nRUN b\n", &[("RUN a", "before the first FROM")]),
        ("FROM a\nRUM b", &[("RUM", "did you mean `RUN`?")]),
        ("FROM a\nhello", &[("hello", "no instruction")]),
        ("FROM", &[("FROM", "needs an image")]),
        ("FROM a b", &[("b", "write `FROM image AS name`")]),
        ("FROM a AS 1x", &[("1x", "cannot name a stage")]),
        ("FROM a AS x/y", &[("x/y", "cannot name a stage")]),
        ("FROM a AS b c", &[("AS", "FROM takes")]),
        ("FROM --platfrom=x a", &[("--platfrom=x", "did you mean `--platform`?")]),
        ("FROM a\nCOPY --link=1 a b", &[("--link=1", "true or false")]),
        ("FROM a\nCOPY --link= a b", &[("--link=", "true or false")]),
        ("FROM a\nCOPY --chown a b", &[("--chown", "needs a value")]),
        ("FROM a\nCOPY --chown=1 --chown=2 a b", &[("--chown=2", "twice")]),
        ("FROM a\nCOPY --parent a b", &[("--parent", "did you mean `--parents`?")]),
        ("FROM a\nADD --from=x a b", &[("--from=x", "no flag")]),
        ("FROM a\nCOPY a", &[("COPY a", "a source and a destination")]),
        ("FROM a\nCOPY a <<EOF\nEOF", &[("<<EOF", "cannot be the destination")]),
        ("FROM a\nCOPY [\"a\", 1]", &[("1", "only strings")]),
        ("FROM a\nCMD [\"a\", {\"b\": 1}]", &[("{\"b\": 1}", "only strings")]),
        ("FROM a\nRUN --network=non x", &[("non", "did you mean `none`?")]),
        ("FROM a\nRUN --security=x x", &[("x", "sandbox or insecure")]),
        ("FROM a\nRUN --mount=from=$X,target=/x x", &[("from=$X,target=/x", "cannot have variables")]),
        ("FROM a\nRUN --device=a,b x", &[("a,b", "a device has no option `b`")]),
        ("FROM a\nRUN --mount= x", &[("", "nothing is given")]),
        ("FROM a\nRUN --device= x", &[("", "nothing is given")]),
        ("FROM a\nHEALTHCHECK NONE [1]", &[("1", "only strings")]),
        ("FOO\nFROM a\nENV B", &[("B", "write `ENV B=value`"), ("FOO", "no instruction")]),
        ("FROM a\nHEALTHCHECK NONE [\"a\"]", &[("[\"a\"]", "nothing can follow")]),
        ("FROM a\nHEALTHCHECK CMD\u{a0}x", &[("CMD\u{a0}x", "knows no")]),
        ("FROM a\nRUN <<EOF\na", &[("<<EOF", "only `EOF`")]),
        ("FROM a\nRUN <<EOF\na\n  EOF\n", &[("<<EOF", "in line 4 blanks stand around")]),
        ("FROM a\nENV", &[("ENV", "a name and a value")]),
        ("FROM a\nENV A", &[("A", "write `ENV A=value`")]),
        ("FROM a\nENV A=1 B", &[("B", "has no `=`")]),
        ("FROM a\nENV =1 A=2 =3", &[("=1", "no name"), ("=3", "no name")]),
        ("FROM a\nARG", &[("ARG", "a name")]),
        ("FROM a\nARG =1", &[("=1", "no name")]),
        ("FROM a\nEXPOSE", &[("EXPOSE", "a port")]),
        ("FROM a\nUSER", &[("USER", "a user")]),
        ("FROM a\nWORKDIR  ", &[("WORKDIR", "a path")]),
        ("FROM a\nVOLUME", &[("VOLUME", "a path")]),
        ("FROM a\nVOLUME [\"/a\", \" \"]", &[("\" \"", "cannot be empty")]),
        ("FROM a\nSHELL bash -c", &[("SHELL bash -c", "a JSON array")]),
        ("FROM a\nSHELL []", &[("SHELL []", "a JSON array")]),
        ("FROM a\nHEALTHCHECK", &[("HEALTHCHECK", "or `NONE`")]),
        ("FROM a\nHEALTHCHECK NONE x", &[("x", "nothing can follow")]),
        ("FROM a\nHEALTHCHECK CMD", &[("HEALTHCHECK CMD", "a command")]),
        ("FROM a\nHEALTHCHECK CMD []", &[("HEALTHCHECK CMD []", "a command")]),
        ("FROM a\nHEALTHCHECK HTTP /", &[("HTTP", "knows no")]),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x", &[("5", "no duration")]),
        ("FROM a\nHEALTHCHECK --timeout=1us CMD x", &[("1us", "at least 1ms")]),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", &[("-1", "cannot be")]),
        ("FROM a\nONBUILD", &[("ONBUILD", "an instruction")]),
        ("FROM a\nONBUILD ONBUILD RUN x", &[("ONBUILD", "cannot be a trigger")]),
        ("FROM a\nONBUILD FROM x", &[("FROM", "cannot be a trigger")]),
        ("FROM a\nONBUILD ENV a", &[("a", "write `ENV a=value`")]),
        ("FROM a\nONBUILD CMD [1]", &[("1", "only strings")]),
        ("FROM a\nONBUILD COPY a \\\n --frm=b", &[]),
        ("# escape=x\nFROM a", &[("x", "cannot be the escape")]),
        ("# escape=`\n# escape=`\nFROM a", &[("# escape=`", "only one")]),
        ("FROM a AS !\nRUN --x\nCOPY", &[("!", "stage"), ("--x", "flag"), ("COPY", "destination")]),
    ];
    for (text, expected) in cases {
        let errors = parse(&source(text)).err().unwrap_or_default();
        assert_eq!(errors.len(), expected.len(), "{text:?}: {errors:#?}");
        for (error, (place, told)) in errors.iter().zip(*expected) {
            assert_eq!(error.source.slice(error.span), *place, "{text:?}: {error}");
            let help = error.help.as_deref().unwrap_or_default();
            assert!(!help.is_empty(), "{text:?}: {error}");
            assert!(format!("{error} {help}").contains(told), "{text:?}: {error}: {help}");
        }
    }
}

#[test]
fn errors_are_found_across_continuations() {
    let text = "FROM a\nCOPY \\\n# comment\n  --chwon=\\\nme \\\n a b\n";
    let errors = parse(&source(text)).unwrap_err();
    assert_eq!(errors[0].source.slice(errors[0].span), "--chwon=\\\nme");
    assert_eq!(errors[0].to_string(), "Dockerfile:4: COPY has no flag `--chwon`");
}

#[test]
fn long_lines_are_refused() {
    let fits = format!("FROM a\nRUN {}\n", "x".repeat(65_531));
    assert!(parse(&source(&fits)).is_ok());
    let errors = parse(&source(&format!("FROM a\nRUN {}\n", "x".repeat(65_532)))).unwrap_err();
    assert!(errors[0].to_string().starts_with("Dockerfile:2: this line has 65536 bytes"), "{}", errors[0]);
    let body = format!("FROM a\nRUN <<E\n{}\nE\n", "x".repeat(65_536));
    assert!(parse(&source(&body)).unwrap_err()[0].to_string().contains("Dockerfile:3: "));
}

#[test]
fn bytes_that_are_no_text_matter_where_they_reach_a_step() {
    let errors = |bytes: &[u8]| {
        let source = Source::from_bytes("Dockerfile", bytes);
        parse(&source).err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for bytes in [
        &b"# caf\xe9\nFROM a\nRUN b \\\n# \xff\n c\nMAINTAINER Jos\xe9\nLABEL a=\xe2\x82\nCMD \xff"[..],
        b"FROM a\nRUN caf\xc3\xa9",
    ] {
        assert_eq!(errors(bytes), [""; 0]);
    }
    assert_eq!(errors(b"FROM a\nRUN \\\n caf\xe9"), ["Dockerfile:3: this command is not UTF-8"]);
    assert_eq!(errors(b"FROM a\nCOPY <<E /x\n# \xff\nE\n"), ["Dockerfile:2: the heredoc `E` is not UTF-8"]);
    let source = Source::from_bytes("Dockerfile", b"FROM a\nLABEL a=\xe2\x82!");
    let dockerfile = parse(&source).unwrap();
    let InstructionKind::Label(pairs) = &dockerfile.stages[0].instructions[0].kind else { panic!() };
    assert_eq!(pairs[0].value.text, "\u{fffd}\u{fffd}!");
}

#[test]
fn warns_of_what_is_questionable() {
    for (text, place, told) in [
        ("FROM a\nRUN a \\\n\n b", "", "empty line"),
        ("FROM a\nCMD ['a', 'b']", "['a', 'b']", "not a JSON array"),
        ("FROM a\nARG --x A", "--x", "takes no flags"),
        ("FROM a\nSTOPSIGNAL --x 9", "--x", "takes no flags"),
        ("FROM a\nHEALTHCHECK --interval=1s NONE", "--interval=1s", "takes no flags"),
        ("FROM a\nCOPY [\"<<EOF\", \"/x\"]", "\"<<EOF\"", "will be empty"),
        ("FROM a\nCOPY << EOF /x\nEOF", "<<", "a blank stands between"),
        ("FROM a\nONBUILD RUN --x y", "--x", "fails in images built on this one: RUN has no flag `--x`"),
        ("FROM a\nONBUILD FLY", "FLY", "there is no instruction `FLY`"),
    ] {
        let warnings = parsed(text).warnings;
        let [warning] = warnings.as_slice() else { panic!("{text:?}: {warnings:?}") };
        let warning = &warning.diagnostic;
        assert_eq!(warning.source.slice(warning.span), place, "{text:?}");
        assert!(warning.message.contains(told), "{text:?}: {warning}");
    }
    for text in ["FROM a\nRUN [ -f /x ]", "FROM a\nRUN [ \"a\" = b ] && c", "FROM a\nRUN [[ a ]]"] {
        assert!(parsed(text).warnings.is_empty(), "{text:?}");
    }
}

/// One body counts for every word that names it.
#[test]
fn a_copy_holds_so_much_and_no_more() {
    let line = format!("COPY {}/x\n", "<<A \\\n".repeat(300));
    let text = format!("FROM a\n{line}{}{}A\n", "A\n".repeat(299), "x\n".repeat(30_000));
    let errors = parse(&Source::new("Dockerfile", text)).unwrap_err();
    assert!(errors.len() == 1 && errors[0].message.contains("16 MiB"), "{errors:?}");
}
