use super::*;
use pretty_assertions::assert_eq;

/// The tree of a text, one node a line.
fn dump(text: &str) -> String {
    let nodes = parse_tree(&source(text)).unwrap_or_else(|errors| panic!("{text:?}: {}", errors[0]));
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn nodes_are_printed_as_buildkit_does() {
    for (text, expected) in [
        ("FROM a AS b", r#"from "a" "AS" "b""#),
        ("from --platform=\"x y\" a", r#"from ["--platform=x y"] "a""#),
        ("RUN echo  \"a\" # b", r#"run "echo  \"a\" # b""#),
        ("RUN", "run"),
        ("RUN [\"a\", \"b\\u00e9\"]", r#"run "a" "bé""#),
        ("RUN ['a']", r#"run "['a']""#),
        ("CMD []", "cmd"),
        ("COPY a\tb  c", r#"copy "a" "b" "c""#),
        ("VOLUME [\"a b\"]", r#"volume "a b""#),
        ("ARG a b=\"c d\"", r#"arg "a" "b=\"c d\"""#),
        ("ENV a b c", r#"env "a" "b c" """#),
        ("ENV a=b c='d e'", r#"env "a" "b" "=" "c" "'d e'" "=""#),
        ("ENV", "env"),
        ("ENV =b", r#"env "" "b" "=""#),
        ("EXPOSE 2 1", r#"expose "2" "1""#),
        ("HEALTHCHECK --retries=1 cmd  a  b", r#"healthcheck ["--retries=1"] "cmd" "a  b""#),
        ("HEALTHCHECK NONE", r#"healthcheck "NONE""#),
        ("HEALTHCHECK CMD [\"a\"]", r#"healthcheck "CMD" "a""#),
        ("HEALTHCHECK CMD \u{2003}x", r#"healthcheck "CMD" "\u2003x""#),
        ("HEALTHCHECK", "healthcheck"),
        ("ONBUILD run --a b", r#"onbuild (run ["--a"] "b")"#),
        ("ONBUILD ONBUILD COPY a b", r#"onbuild (onbuild (copy "a" "b"))"#),
        ("ONBUILD", "onbuild"),
        ("USER  a b ", r#"user "a b""#),
        ("FLY me", r#"fly """#),
        ("\u{130}", r#"i """#),
        ("\\\n# c", r#""""#),
        ("RUN <<E cat\nx\nE\nRUN b", "run \"<<E cat\"\nrun \"b\""),
        ("# escape=`\nRUN a `\n b", r#"run "a  b""#),
        ("ADD --x -- --y z", r#"add ["--x"] "--y" "z""#),
    ] {
        assert_eq!(dump(text), expected, "{text:?}");
    }
}

#[test]
fn nodes_know_their_place() {
    let text = "# c\n# d\n\nRUN a \\\n\n# e\n  b \nCOPY <<A <<B /x\n1\nA\nB\n\\\nCMD c \\\n# f\n";
    let nodes = parse_tree(&source(text)).unwrap();
    let lines: Vec<_> = nodes.iter().map(|node| node.lines).collect();
    assert_eq!(lines, [(4, 7), (8, 11), (12, 14)]);
    assert_eq!(nodes[0].comments, ["c", "d"]);
    assert_eq!(nodes[0].original, "RUN a   b ");
    let heredocs: Vec<_> = nodes[1].heredocs.iter().map(|h| (h.name.as_str(), h.content.as_str())).collect();
    assert_eq!(heredocs, [("A", "1\n"), ("B", "")]);
    assert!(!nodes[1].is_json);
    assert_eq!(nodes[2].original, "CMD c ");
}

#[test]
fn trees_have_few_errors() {
    for text in [
        "",
        "# a",
        "ENV a",
        "LABEL a=b c",
        "RUN [1]",
        "RUN <<E\n",
        "# escape=`\n# escape=`\nRUN a",
        "# escape=x\nRUN a",
    ] {
        assert_eq!(parse_tree(&source(text)).unwrap_err().len(), 1, "{text:?}");
    }
}
