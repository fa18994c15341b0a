use super::*;

#[test]
fn stages() {
    let text = "ARG V=1 W\nFROM a:$V AS Base\nRUN x\nfrom --platform=$P base\nRUN y\nRUN z\n";
    let dockerfile = parsed(text);
    assert_eq!(dockerfile.global_args.len(), 1);
    let [first, second] = dockerfile.stages.as_slice() else { panic!("{dockerfile:?}") };
    assert_eq!((first.base.text.as_str(), first.instructions.len()), ("a:$V", 1));
    let name = first.name.as_ref().unwrap();
    assert_eq!((name.text.as_str(), dockerfile.source.slice(name.span)), ("base", "Base"));
    assert_eq!(dockerfile.source.slice(first.span), "FROM a:$V AS Base");
    let platform = second.platform.as_ref().unwrap();
    assert_eq!((platform.text.as_str(), dockerfile.source.slice(platform.span)), ("$P", "$P"));
    assert_eq!(second.instructions.len(), 2);
}

#[test]
fn directives() {
    let text = "\u{feff}# syntax=docker/dockerfile:1 x\r\n#escape=`\r\n# check=skip=all\r\nFROM a\r\nRUN x `\r\n y\\\r\n";
    let dockerfile = parsed(text);
    assert_eq!(dockerfile.escape, '`');
    assert_eq!(dockerfile.syntax.unwrap().text, "docker/dockerfile:1");
    assert_eq!(dockerfile.check.unwrap().text, "skip=all");
    assert_eq!(dockerfile.stages[0].instructions[0].original, "RUN x  y\\");
    assert_eq!(parsed("# hello\n# escape=`\nFROM a\nRUN x\n").escape, '\\');
    assert_eq!(parsed("\n# escape=`\nFROM a\nRUN x\n").escape, '\\');
}

#[test]
fn comments_belong_to_what_is_below() {
    let dockerfile = parsed("# lost\n#\n# base the base\n\n# more\nFROM a\n# run it\nRUN x\nRUN y\n");
    let stage = &dockerfile.stages[0];
    assert_eq!(texts(&stage.comments), ["base the base", "more"]);
    assert_eq!(texts(&stage.instructions[0].comments), ["run it"]);
    assert!(stage.instructions[1].comments.is_empty());
    assert_eq!(dockerfile.source.slice(stage.comments[1].span), "more");
}

#[test]
fn joined_lines() {
    for (text, original) in [
        ("RUN a \\\n b", "RUN a  b"),
        ("RUN a\\\nb", "RUN ab"),
        ("  RUN a \\  \n# comment\n  # comment \\\n b", "RUN a  b"),
        ("RUN a # b", "RUN a # b"),
        ("RUN a \\", "RUN a"),
        ("RUN a\\\\", "RUN a\\\\"),
        ("\\\nRUN a", "RUN a"),
        ("RUN a \\\n\\\n b", "RUN a  b"),
    ] {
        assert_eq!(instruction(text).original, original, "{text:?}");
    }
}

#[test]
fn commands() {
    for (text, expected) in [
        ("RUN echo \"a\" b", Ok("echo \"a\" b")),
        ("RUN", Ok("")),
        ("run [\"a\", \"b c\"]", Err(&["a", "b c"][..])),
        ("RUN [ \"a\" ] && b", Ok("[ \"a\" ] && b")),
        ("CMD", Ok("")),
        ("CMD []", Err(&[])),
        ("CMD ['a']", Ok("['a']")),
        ("ENTRYPOINT [\"a\"]", Err(&["a"])),
        ("ENTRYPOINT a \\\n  b", Ok("a   b")),
        ("RUN --network=none -- --x", Ok("--x")),
    ] {
        let kind = instruction(text).kind;
        let (InstructionKind::Cmd(command)
        | InstructionKind::Entrypoint(command)
        | InstructionKind::Run(RunInstruction { command, .. })) = kind
        else {
            panic!("{text:?}: {kind:?}")
        };
        match (command, expected) {
            (Command::Shell(word), Ok(expected)) => assert_eq!(word.text, expected, "{text:?}"),
            (Command::Exec(words), Err(expected)) => assert_eq!(words, expected, "{text:?}"),
            (command, _) => panic!("{text:?}: {command:?}"),
        }
    }
}

#[test]
fn environment() {
    for (text, expected) in [
        ("ENV A=1", &[("A", "1")][..]),
        ("ENV A=1 B=\"x y\" C=x\\ y", &[("A", "1"), ("B", "\"x y\""), ("C", "x\\ y")]),
        ("ENV A=", &[("A", "")]),
        ("ENV A=b=c", &[("A", "b=c")]),
        ("ENV A b  c=d ", &[("A", "b  c=d")]),
        ("LABEL \"a b\"=c d='e f'", &[("\"a b\"", "c"), ("d", "'e f'")]),
        ("LABEL a \"b c\"", &[("a", "\"b c\"")]),
        ("ENV A=1 \\\n  B=2 \\", &[("A", "1"), ("B", "2")]),
    ] {
        let instruction = instruction(text);
        let (InstructionKind::Env(pairs) | InstructionKind::Label(pairs)) = &instruction.kind else {
            panic!("{text:?}: {instruction:?}")
        };
        let found: Vec<_> =
            pairs.iter().map(|pair| (pair.key.text.as_str(), pair.value.text.as_str())).collect();
        assert_eq!(found, expected, "{text:?}");
        for pair in pairs {
            assert_eq!(instruction.source.slice(pair.value.span), pair.value.text, "{text:?}");
        }
    }
    let InstructionKind::Arg(args) = instruction("ARG a b=\"c d\" e=").kind else { panic!() };
    let found: Vec<_> = args
        .iter()
        .map(|arg| (arg.name.text.as_str(), arg.default.as_ref().map(|word| word.text.as_str())))
        .collect();
    assert_eq!(found, [("a", None), ("b", Some("\"c d\"")), ("e", Some(""))]);
}

#[test]
fn words_broken_by_continuations_have_whole_spans() {
    let text = "FROM a\nENV A=x\\\n# comment\ny$Z B=2\n";
    let dockerfile = parsed(text);
    let InstructionKind::Env(pairs) = &dockerfile.stages[0].instructions[0].kind else { panic!() };
    let value = &pairs[0].value;
    assert_eq!(value.text, "xy$Z");
    assert_eq!(dockerfile.source.slice(value.span), "x\\\n# comment\ny$Z");
    assert_eq!(dockerfile.source.slice(value.span_of(&dockerfile.source, 2..4)), "$Z");
    assert_eq!(dockerfile.source.slice(pairs[1].key.span), "B");
}

#[test]
fn copies() {
    let InstructionKind::Copy(copy) = instruction(
        "COPY --from=b --chown=\"u:g\" --chmod=0755 --link --parents=true --exclude=a --exclude=b x y /z/",
    )
    .kind
    else {
        panic!()
    };
    assert_eq!(copy.from.unwrap().text, "b");
    assert_eq!(copy.arguments.chown.unwrap().text, "u:g");
    assert_eq!(copy.arguments.chmod.unwrap().text, "0755");
    assert_eq!(texts(&copy.arguments.excludes), ["a", "b"]);
    assert!(copy.arguments.link && copy.parents);
    assert_eq!(copy.arguments.sources.len(), 2);
    assert_eq!(copy.arguments.destination.text, "/z/");

    let InstructionKind::Copy(copy) = instruction("COPY --link=False [\"a b\", \"\\u0063\", \"/d e\"]").kind
    else {
        panic!()
    };
    let CopySource::Path(second) = &copy.arguments.sources[1] else { panic!() };
    assert_eq!((second.text.as_str(), copy.arguments.link), ("c", false));

    let InstructionKind::Add(add) =
        instruction("ADD --checksum=sha256:0 --keep-git-dir --unpack=false http://x /y").kind
    else {
        panic!()
    };
    assert_eq!(add.checksum.unwrap().text, "sha256:0");
    assert_eq!((add.keep_git_dir, add.unpack), (Some(true), Some(false)));
}

#[test]
fn heredocs_of_copies() {
    let text = "COPY <<a.txt b <<-'c.txt' /d/\n$X\n\nb\na.txt\n\tone\n\t two\n\tc.txt\n";
    let instruction = instruction(text);
    let InstructionKind::Copy(copy) = &instruction.kind else { panic!() };
    let [CopySource::Heredoc(a), CopySource::Path(b), CopySource::Heredoc(c)] =
        copy.arguments.sources.as_slice()
    else {
        panic!("{copy:?}")
    };
    assert_eq!((a.name.as_str(), a.content.as_str(), a.expand), ("a.txt", "$X\n\nb\n", true));
    assert_eq!(b.text, "b");
    assert_eq!((c.name.as_str(), c.content.as_str(), c.expand), ("c.txt", "one\n two\n", false));
    assert_eq!(instruction.source.slice(c.span), "<<-'c.txt'");
    assert_eq!(instruction.source.slice(c.body_span), "\tone\n\t two\n");
    assert_eq!(instruction.source.slice(instruction.span), text.trim_end());
    assert_eq!(instruction.original, "COPY <<a.txt b <<-'c.txt' /d/");
}

#[test]
fn heredocs_of_runs() {
    let dockerfile =
        parsed("FROM a\nRUN <<EOF cat >x && \\\n 3<<\"B\" y\n# not a comment\\\nEOF\n\r\nB\r\nRUN z\n");
    let [run, after] = dockerfile.stages[0].instructions.as_slice() else { panic!("{dockerfile:?}") };
    let InstructionKind::Run(run) = &run.kind else { panic!() };
    assert_eq!(run.heredocs.len(), 2);
    assert_eq!(run.heredocs[0].content, "# not a comment\\\n");
    assert_eq!((run.heredocs[1].content.as_str(), run.heredocs[1].file_descriptor), ("\r\n", Some(3)));
    assert_eq!(dockerfile.source.slice(run.heredocs[1].span), "3<<\"B\"");
    let Command::Shell(word) = &run.command else { panic!() };
    assert_eq!(word.text, "<<EOF cat >x &&  3<<\"B\" y");
    assert_eq!(after.original, "RUN z");
}

#[test]
fn no_heredocs_where_there_are_none() {
    for text in [
        "RUN echo it's <<EOF",
        "RUN cat <<- EOF",
        "CMD cat <<EOF",
        "RUN [\"cat\", \"<<EOF\"]",
        "RUN cat <<<EOF",
    ] {
        let instruction = instruction(text);
        assert_eq!(instruction.original, text);
        if let InstructionKind::Run(run) = instruction.kind {
            assert!(run.heredocs.is_empty(), "{text}");
        }
    }
}

#[test]
fn what_a_run_gives_the_shell() {
    for (text, expected) in [
        ("RUN a b", RunForm::Shell("a b".to_owned())),
        ("RUN [\"a\", \"b\"]", RunForm::Exec(&["a".to_owned(), "b".to_owned()])),
        ("RUN <<-E\n\ta $x\n\tE", RunForm::Shell("a $x\n".to_owned())),
        ("RUN << 'E'\na\nE", RunForm::Shell("a\n".to_owned())),
        ("RUN <<E\n#!/bin/sh\na\nE", RunForm::Script { name: "E", content: "#!/bin/sh\na\n" }),
        ("RUN <<-E\n\t#!/bin/sh\nE", RunForm::Script { name: "E", content: "#!/bin/sh\n" }),
        ("RUN cat <<-'E' <<F\n\ta\nE\nb\nF", RunForm::Shell("cat <<-'E' <<F\n\ta\nE\nb\nF".to_owned())),
        ("RUN cat <<E\n#!\nE", RunForm::Shell("cat <<E\n#!\nE".to_owned())),
    ] {
        let instruction = instruction(text);
        let InstructionKind::Run(run) = &instruction.kind else { panic!("{text:?}") };
        assert_eq!(run.form(&instruction.source), expected, "{text:?}");
    }
}

#[test]
fn healthchecks() {
    assert!(matches!(
        instruction("healthcheck none").kind,
        InstructionKind::Healthcheck(HealthcheckInstruction::None)
    ));
    let text = "HEALTHCHECK --interval=1m30s --timeout=0 --start-period=1.5s --start-interval=1ms --retries=3 CMD a b";
    let InstructionKind::Healthcheck(HealthcheckInstruction::Cmd {
        command: Command::Shell(command),
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    }) = instruction(text).kind
    else {
        panic!()
    };
    assert_eq!(command.text, "a b");
    assert_eq!((interval, timeout, start_period), (90_000_000_000, 0, 1_500_000_000));
    assert_eq!((start_interval, retries), (1_000_000, 3));
    let InstructionKind::Healthcheck(HealthcheckInstruction::Cmd { command, .. }) =
        instruction("HEALTHCHECK CMD [\"a\"]").kind
    else {
        panic!()
    };
    assert_eq!(command, Command::Exec(vec!["a".to_owned()]));
}

#[test]
fn settings() {
    let InstructionKind::Expose(ports) = instruction("EXPOSE 90 80/udp 8000-8010 $P").kind else { panic!() };
    assert_eq!(texts(&ports), ["$P", "80/udp", "8000-8010", "90"]);
    let InstructionKind::Volume(volumes) = instruction("VOLUME [\" /a \", \"/b c\"]").kind else { panic!() };
    assert_eq!(texts(&volumes), ["/a", "/b c"]);
    let InstructionKind::Volume(volumes) = instruction("VOLUME /a\t/b").kind else { panic!() };
    assert_eq!(texts(&volumes), ["/a", "/b"]);
    let InstructionKind::Workdir(path) = instruction("WORKDIR  /a b ").kind else { panic!() };
    assert_eq!(path.text, "/a b");
    let InstructionKind::User(user) = instruction("USER ${U}:g").kind else { panic!() };
    assert_eq!(user.text, "${U}:g");
    let InstructionKind::Shell(shell) = instruction("SHELL [\"/bin/bash\", \"-c\"]").kind else { panic!() };
    assert_eq!(shell, ["/bin/bash", "-c"]);
    assert!(
        matches!(instruction("STOPSIGNAL 9").kind, InstructionKind::Stopsignal(word) if word.text == "9")
    );
    assert!(
        matches!(instruction("MAINTAINER a b").kind, InstructionKind::Maintainer(word) if word.text == "a b")
    );
}

#[test]
fn triggers() {
    for (text, stored) in [
        ("ONBUILD RUN a  b", "RUN a  b"),
        ("onbuild   copy a \\\n b ", "copy a  b "),
        ("ONBUILD COPY <<-EOF /x\n\ta\n\tEOF\n", "COPY <<-EOF /x\n\ta\nEOF"),
        ("ONBUILD CMD [\"a\"]", "CMD [\"a\"]"),
    ] {
        let instruction = instruction(text);
        assert_eq!(instruction.original, stored, "{text:?}");
        let InstructionKind::Onbuild(trigger) = instruction.kind else { panic!("{text:?}") };
        let read = parse_trigger(&Source::new("trigger", stored), '\\').unwrap();
        assert_eq!(read.original, trigger.unwrap().original, "{text:?}");
    }
    for text in ["", "RUN a\nRUN b", "FROM a", "RUM a"] {
        assert!(!parse_trigger(&Source::new("trigger", text), '\\').unwrap_err().is_empty(), "{text:?}");
    }
}
