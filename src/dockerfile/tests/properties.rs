use super::*;
use proptest::prelude::*;

/// Texts made of what the language is made of.
fn dockerfile_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FROM ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "EXPOSE ",
        "VOLUME ",
        "SHELL ",
        "CMD ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "USER ",
        "WORKDIR ",
        "scratch",
        " AS ",
        "--from=",
        "--mount=",
        "--chown=",
        "--link",
        "--",
        "--interval=",
        "<<EOF",
        "<<-'E'",
        "EOF",
        "E",
        "\n",
        "\n",
        "\r\n",
        "\\",
        "`",
        "\\\n",
        "`\n",
        "#",
        "# escape=`\n",
        "# syntax=a\n",
        "\"",
        "'",
        "[",
        "]",
        ",",
        "$",
        "${",
        "}",
        ":-",
        "=",
        " ",
        "\t",
        "a",
        "é",
        "한",
        "1s",
        "\u{feff}",
        "\u{a0}",
        "\0",
        "NONE",
        "{",
        "\\u12",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn pattern_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "*",
        "**",
        "?",
        "[",
        "]",
        "^",
        "-",
        "\\",
        "/",
        "a",
        "b",
        "é",
        "!",
        ".",
        "..",
        "d",
        "1",
        "x",
        "Q",
        "E",
        "p",
        "[:alpha:]",
        "{",
        "}",
        "(",
        "+",
        "$",
        "&&",
        " ",
        "\u{feff}",
        "#",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn check_spans(text: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(text.get(diagnostic.span.range()).is_some(), "{diagnostic:?}");
    }
}

fn check_word(word: &Word, source: &Source) {
    assert!(source.text().get(word.span.range()).is_some(), "{word:?}");
    let _ = word.span_of(source, 0..word.text.len());
}

fn check_instruction(instruction: &Instruction) {
    let source = &instruction.source;
    assert!(source.text().get(instruction.span.range()).is_some(), "{instruction:?}");
    match &instruction.kind {
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            for pair in pairs {
                check_word(&pair.key, source);
                check_word(&pair.value, source);
            }
        }
        InstructionKind::Expose(words) | InstructionKind::Volume(words) => {
            words.iter().for_each(|word| check_word(word, source));
        }
        InstructionKind::User(word) | InstructionKind::Workdir(word) => check_word(word, source),
        InstructionKind::Run(run) => {
            run.mounts.iter().for_each(|word| check_word(word, source));
            for heredoc in &run.heredocs {
                assert!(source.text().get(heredoc.span.range()).is_some(), "{heredoc:?}");
                assert!(source.text().get(heredoc.body_span.range()).is_some(), "{heredoc:?}");
            }
            if let Command::Shell(word) = &run.command {
                check_word(word, source);
            }
        }
        InstructionKind::Copy(copy) => check_word(&copy.arguments.destination, source),
        InstructionKind::Onbuild(trigger) => trigger.iter().for_each(|trigger| check_instruction(trigger)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_spans_fit(text in dockerfile_text(), any in ".{0,40}") {
        for text in [format!("FROM scratch\n{text}"), text, any] {
            match parse(&source(&text)) {
                Ok(dockerfile) => {
                    prop_assert!(!dockerfile.stages.is_empty());
                    let warnings: Vec<_> = dockerfile.warnings.iter().map(|w| w.diagnostic.clone()).collect();
                    check_spans(&text, &warnings);
                    let stages = dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
                    stages.chain(&dockerfile.global_args).for_each(check_instruction);
                }
                Err(errors) => {
                    prop_assert!(!errors.is_empty());
                    check_spans(&text, &errors);
                    prop_assert!(errors.iter().all(|error| error.help.is_some()), "{errors:?}");
                }
            }
            // The tree can be read wherever the instructions can.
            let (tree, instructions) = (parse_tree(&source(&text)), parse(&source(&text)));
            prop_assert!(tree.is_ok() || instructions.is_err());
            for node in tree.into_iter().flatten() {
                prop_assert!(1 <= node.lines.0 && node.lines.0 <= node.lines.1);
                prop_assert!(node.lines.1 <= text.split('\n').count());
                prop_assert!(!node.to_string().is_empty() || node.keyword.is_empty());
            }
            match parse_trigger(&source(&text), '\\') {
                Ok(instruction) => check_instruction(&instruction),
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }
    }

    /// What an ONBUILD records parses to what it was parsed to.
    #[test]
    fn triggers_read_back(text in dockerfile_text()) {
        let text = format!("FROM scratch\nONBUILD {text}");
        let Ok(dockerfile) = parse(&source(&text)) else { return Ok(()) };
        for instruction in dockerfile.stages.iter().flat_map(|stage| &stage.instructions) {
            if let InstructionKind::Onbuild(Some(trigger)) = &instruction.kind {
                let read = parse_trigger(&source(&instruction.original), dockerfile.escape);
                let read = read.unwrap_or_else(|errors| panic!("{:?}: {}", instruction.original, errors[0]));
                prop_assert_eq!(
                    std::mem::discriminant(&read.kind),
                    std::mem::discriminant(&trigger.kind),
                    "{:?}", instruction.original
                );
            }
        }
    }

    #[test]
    fn expanding_never_panics(text in r#"([$${}:#%/*?'"\\+-]|[aé한0_ \n]|\$\{a|\$\{b:-){0,30}"#) {
        let lookup = |name: &str| (name == "a").then(|| "a/b*é".to_owned());
        for escape in ['\\', '`'] {
            let expander = Expander { escape };
            let errors = [
                expander.word(&text, &lookup).err(),
                expander.words(&text, &lookup).err(),
                expander.raw(&text, &lookup).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!(text.get(error.range.clone()).is_some(), "{error:?}");
            }
        }
    }

    /// A word without anything special expands to itself.
    #[test]
    fn plain_text_stays(text in "[a-z0-9 é,;/:{}.-]{0,30}") {
        prop_assert_eq!(Expander { escape: '\\' }.word(&text, &|_| None).unwrap(), text);
    }

    #[test]
    fn ignore_rules_never_panic(
        patterns in prop::collection::vec(pattern_text(), 0..4),
        path in "[ab1é.]{1,3}(/[ab1é.]{1,3}){0,3}",
    ) {
        let _ = IgnoreMatcher::parse(&patterns.join("\n"));
        if let Ok(matcher) = IgnoreMatcher::new(&patterns) {
            let (at_top, _) = matcher.matches_below(&path, &ParentMatches::default());
            prop_assert_eq!(at_top, matcher.matches(&path));
            prop_assert_eq!(matcher.rule_for(&path).is_some(), matcher.matches(&path));
            let _ = matcher.may_include_below(&path);
        }
        for pattern in &patterns {
            let _ = go_match(pattern.as_bytes(), path.as_bytes());
            let _ = clean(pattern);
        }
    }

    /// Where nothing crosses a slash, ignore rules and `filepath.Match` agree.
    #[test]
    fn simple_patterns_match_alike(pattern in "[ab*?]{1,6}", name in "[ab]{1,6}") {
        let pattern = pattern.replace("**", "*a");
        let matcher = IgnoreMatcher::new(std::slice::from_ref(&pattern)).unwrap();
        prop_assert_eq!(matcher.matches(&name), go_match(pattern.as_bytes(), name.as_bytes()).unwrap());
    }

    /// What the JSON library takes for strings we take too, and nothing else.
    #[test]
    fn arrays_are_json(text in r#"\[?([ \t,"\\a1é\[\]{}:]|"a"|"",|\\n|\\u00e9|null|-1e3){0,12}\]?"#) {
        match (json::strings(&text), serde_json::from_str::<Vec<String>>(&text)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(ours.into_iter().map(|(string, _)| string).collect::<Vec<_>>(), theirs);
            }
            (Err(json::NoStrings::NotAnArray), Err(_)) => {}
            (Err(json::NoStrings::Element(range)), Err(_)) => {
                prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(&text).is_ok());
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text[range]).is_ok());
            }
            (ours, theirs) => prop_assert!(false, "{text:?}: {ours:?} {theirs:?}"),
        }
    }

    #[test]
    fn mounts_and_ports_never_panic(text in r#"([a-z]{1,6}|[=,"$0-9:/. -]|type=|secret|tmpfs|size=|\u{e9}){0,12}"#) {
        let _ = Mount::parse(&text, &|value| Ok(value.to_owned()));
        let _ = expose_ports(&text);
        let _ = go_quote(&text);
    }
}
