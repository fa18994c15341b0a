use super::*;
use crate::dockerfile::parse_all;

/// What the rules of the text find: rule and lines, in order.
fn found(text: &str, given: &str) -> Vec<(&'static str, usize, usize)> {
    let source = Source::new("Dockerfile", text);
    let (dockerfile, _) = parse_all(&source);
    let mut linter = Linter::new(options(&dockerfile, Some(given)).unwrap());
    check_text(&dockerfile, &mut linter);
    linter.findings.iter().map(|f| (f.rule.id, f.line_range().0, f.line_range().1)).collect()
}

/// Each case: a Dockerfile, and what is found in it.
macro_rules! cases {
    ($($name:ident($given:expr): [$($text:expr => [$($finding:expr),*];)*])*) => {$(
        #[test]
        fn $name() {
            $(assert_eq!(found($text, $given), [$($finding),*] as [(&str, usize, usize); _], "{:?}", $text);)*
        }
    )*};
}

cases! {
    an_instruction_that_is_wrong_is_checked_up_to_where_it_fails(""): [
        "FROM a As b c\nRUN x\n" => [("FromAsCasing", 1, 1)];
        "FROM a as 1B\n" => [("StageNameCasing", 1, 1), ("FromAsCasing", 1, 1)];
        "FROM --x a as B\nMAINTAINER y\n" => [("StageNameCasing", 1, 1), ("FromAsCasing", 1, 1)];
        "FROM x\n# check=skip=FromAsCasing\nFROM a as B c\n" => [];
        "FROM a\nMAINTAINER\nFROM b as C\n" => [("MaintainerDeprecated", 2, 2)];
        "MAINTAINER y\nFROM b as C\n" => [("MaintainerDeprecated", 1, 1)];
        "FROM a\nFOO\nRUN \\\n\n x\nMAINTAINER y\n" => [("NoEmptyContinuation", 5, 5)];
        "FROM a as B\nRUN \\\n\n x\nENV a\n" => [];
        "FROM a as B\nCMD [1]\n" => [];
    ]
    names_of_stages_are_in_lower_case(""): [
        "FROM a AS Build\n" => [("StageNameCasing", 1, 1)];
        "FROM a AS build\n" => [];
        "FROM a \\\n  AS \\\n  bUild\n" => [("StageNameCasing", 1, 3)];
        "# check=skip=StageNameCasing\nFROM a AS Build\n" => [("StageNameCasing", 2, 2)];
        "FROM a\n# check=skip=StageNameCasing\nFROM a AS Build\n" => [];
    ]
    as_is_written_like_from(""): [
        "FROM a as b\n" => [("FromAsCasing", 1, 1)];
        "from a AS b\n" => [("FromAsCasing", 1, 1)];
        "FROM a As b\n" => [("FromAsCasing", 1, 1)];
        "from a as b\n" => [];
        "From a as b\n" => [("ConsistentInstructionCasing", 1, 1)];
        "\n\nFROM a \\\n as b\n" => [("FromAsCasing", 3, 4)];
    ]
    instructions_have_one_case(""): [
        "FROM a\nrun b\nRUN c\n" => [("ConsistentInstructionCasing", 2, 2)];
        "from a\nRUN b\nrun c\n" => [("ConsistentInstructionCasing", 2, 2)];
        "FROM a\nRun b\n" => [("ConsistentInstructionCasing", 2, 2)];
        "from a\nRUN b\n" => [("ConsistentInstructionCasing", 1, 1)];
        "arg X\nFROM a\nRUN b\n" => [];
        "from a\nrun b\n" => [];
        "FROM a\nonbuild RUN b\nRUN c\n" => [("ConsistentInstructionCasing", 2, 2)];
        "FROM a\nRUN b\ncopy <<E /x\nrun\nE\n" => [("ConsistentInstructionCasing", 3, 5)];
    ]
    lines_are_whole(""): [
        "FROM a\nRUN \\\n\n b\n" => [("NoEmptyContinuation", 4, 4)];
        "FROM a\nRUN b \\\n\n\n" => [("NoEmptyContinuation", 4, 4)];
        "FROM a\nrun b \\\n\n\n" => [("NoEmptyContinuation", 4, 4), ("ConsistentInstructionCasing", 2, 4)];
        "FROM a\nRUN b \\\n# c\n d\n" => [];
        "FROM a\nRUN <<E \\\n\n x\nbody\nE\n" => [("NoEmptyContinuation", 4, 4)];
        "FROM a\n\\\nrun \\\n# c\n x \\\n# d\n" => [("ConsistentInstructionCasing", 2, 6)];
        "FROM a\nRUN x\n\\\nrun \\\n# c\n x \\\n# d\n" => [("ConsistentInstructionCasing", 3, 7)];
        "FROM é\nrun é" => [("ConsistentInstructionCasing", 2, 2)];
        "FROM a\r\nRUN b\\\r\n\r\n c\r\n" => [("NoEmptyContinuation", 4, 4)];
    ]
    names_of_stages_are_their_own(""): [
        "FROM a AS b\nFROM a AS B\nFROM a AS b\n" =>
            [("StageNameCasing", 2, 2), ("DuplicateStageName", 2, 2), ("DuplicateStageName", 3, 3)];
        "FROM a AS scratch\nFROM a AS context\n" => [("ReservedStageName", 1, 1), ("ReservedStageName", 2, 2)];
        "FROM scratch\nFROM scratch AS b\n" => [];
    ]
    maintainers_are_labels(""): [
        "FROM a\nMAINTAINER me\n" => [("MaintainerDeprecated", 2, 2)];
        "FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER me\nMAINTAINER you\n" => [("MaintainerDeprecated", 4, 4)];
        "FROM a\n# check=skip=all\nMAINTAINER me\n" => [];
    ]
    descriptions_are_off_by_default(""): [
        "# nothing\nFROM a AS b\n# nothing\nARG c\n" => [];
        "FROM a\n# check=experimental=all\nARG c\n" => [("InvalidDefinitionDescription", 3, 3)];
    ]
    descriptions_begin_with_the_name("experimental=all"): [
        "# a is it\nARG a=1\n# b is it\nFROM x AS b\n" => [];
        "# it\nARG a=1\n# B is it\nFROM x AS b\n" =>
            [("InvalidDefinitionDescription", 2, 2), ("InvalidDefinitionDescription", 4, 4)];
        "FROM x AS b\n# c are two\nARG a=1 c=2\n# none\nARG a b\n" => [("InvalidDefinitionDescription", 5, 5)];
        "FROM x\n# a:\nARG a\n# last\n#\nARG b\n# nothing\nRUN c\n" => [("InvalidDefinitionDescription", 3, 3)];
        "# nothing\nFROM x\n" => [];
        "# syntax=a/b\nFROM x AS y\n" => [];
    ]
    nothing_is_found_after_an_error(""): [
        "FROM a AS B\nMAINTAINER me\nBAD\nMAINTAINER you\n" =>
            [("StageNameCasing", 1, 1), ("MaintainerDeprecated", 2, 2)];
        "FROM a as b\nFROM a as 1\nFROM a as c\n" => [("FromAsCasing", 1, 1), ("FromAsCasing", 2, 2)];
    ]
    our_own(""): [
        "FROM a\nCMD ['a', 'b']\n" => [("JSONMisspelt", 2, 2)];
        "FROM a\nSTOPSIGNAL --x 9\n" => [("IgnoredFlags", 2, 2)];
        "FROM a\nCOPY [\"<<E\", \"/x\"]\n" => [("EmptyHeredoc", 2, 2)];
    ]
}

#[test]
fn what_is_found_is_underlined() {
    for (text, words) in [
        ("FROM a AS Build\n", "Build"),
        ("FROM a as b\n", "FROM a as b"),
        ("FROM a\nrun b\nRUN c\n", "run"),
        ("FROM a\nRUN \\\n\n b\n", ""),
        ("FROM a AS b\nFROM c AS b\n", "b"),
        ("FROM a\nMAINTAINER me \\\n you\n", "MAINTAINER me \\"),
    ] {
        let (dockerfile, _) = parse_all(&Source::new("Dockerfile", text));
        let mut linter = Linter::new(Options::default());
        check_text(&dockerfile, &mut linter);
        let [finding] = linter.findings.as_slice() else { panic!("{text:?}: {:?}", linter.findings) };
        let diagnostic = &finding.diagnostic;
        assert_eq!(diagnostic.source.slice(diagnostic.span), words, "{text:?}");
        assert_eq!(diagnostic.id, Some(finding.rule.id));
        assert!(diagnostic.help.is_some(), "{text:?}");
    }
}

#[test]
fn options_come_from_the_build_or_the_file() {
    let of = |text: &str, given| {
        let (dockerfile, _) = parse_all(&Source::new("Dockerfile", text));
        options(&dockerfile, given)
    };
    assert!(of("# check=error=true // really\nFROM a\n", None).unwrap().error);
    assert!(!of("# check=error=true\nFROM a\n", Some("")).unwrap().error);
    let error = of("# check=skip=a; error=true\nFROM a\n", None).unwrap_err();
    // Only the first word counts.
    assert_eq!(error.source.slice(error.span), "skip=a;");
    assert!(of("FROM a\n", Some("x")).is_err());
}

#[test]
fn every_rule_has_an_id_and_a_page_of_its_own() {
    let mut ids: Vec<&str> = rule::ALL.iter().map(|r| r.id).collect();
    assert_eq!(rule::ALL.iter().filter(|r| matches!(r.origin, Origin::BuildKit(_))).count(), 22);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rule::ALL.len());
    assert_eq!(rule::ALL.iter().filter(|r| r.url().is_none()).count(), 1);
}

#[test]
fn descriptions_are_read() {
    let source = Source::new("Dockerfile", "# b\n# b  is it\n# b too\nFROM a AS b\n");
    let (dockerfile, _) = parse_all(&source);
    assert_eq!(description(&dockerfile.stages[0].comments, "b").as_deref(), Some(" is it"));
    assert_eq!(description(&dockerfile.stages[0].comments, "c"), None);
}

#[test]
fn the_documentation_has_every_rule() {
    let text = include_str!("../../../docs/checks.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && line.contains("`")).collect();
    for rule in rule::ALL {
        let url = match rule.origin {
            Origin::BuildKit(_) => rule.url(),
            Origin::Own => Some(format!("#{}", rule.id.to_lowercase())),
        };
        let name = url.map_or(format!("`{}`", rule.id), |url| format!("[`{}`]({url})", rule.id));
        let remark = if rule.experimental { ", only where `experimental=` names it" } else { "" };
        let row = format!("| {name} | {}{remark} |", rule.summary);
        assert!(rows.contains(&row.as_str()), "docs/checks.md has no row\n{row}");
        let heading = format!("\n### {}\n", rule.id);
        assert_eq!(text.contains(&heading), rule.origin == Origin::Own, "{heading}");
    }
    // The rules and the forms.
    assert_eq!(rows.len(), rule::ALL.len() + 6);
}
