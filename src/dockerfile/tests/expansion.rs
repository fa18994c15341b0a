use super::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "A" => "alpha",
        "EMPTY" => "",
        "PATHS" => "/usr/local/bin:/usr/bin",
        "BLANKS" => " x  y ",
        "한" => "han",
        _ => return None,
    };
    Some(value.to_owned())
}

fn word(text: &str) -> Result<String, ExpandError> {
    Expander { escape: '\\' }.word(text, &lookup)
}

#[test]
fn words() {
    for (text, expected) in [
        ("plain", "plain"),
        ("$A", "alpha"),
        ("${A}b", "alphab"),
        ("$Ab", ""),
        ("$A.b", "alpha.b"),
        ("$한!", "han!"),
        ("$한z", ""),
        ("$1A", "A"),
        ("$12", ""),
        ("$@A", "A"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("\\$A", "$A"),
        ("\\\\$A", "\\alpha"),
        ("a\\", "a"),
        ("'$A'", "$A"),
        ("'a\\'b", "a\\b"),
        ("\"$A\"", "alpha"),
        ("\"\\$A \\\" \\\\ \\n '\"", "$A \" \\ \\n '"),
        ("a\"\"b''c", "abc"),
        ("$BLANKS", " x  y "),
        ("${X-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${EMPTY:-d}", "d"),
        ("${A:-d}", "alpha"),
        ("${X+d}", ""),
        ("${EMPTY+d}", "d"),
        ("${EMPTY:+d}", ""),
        ("${A:+d}", "d"),
        ("${A?m}", "alpha"),
        ("${EMPTY?m}", ""),
        ("${X:-${Y:-$A}}", "alpha"),
        ("${X:-a}}", "a}"),
        ("${X:-\\}}", "}"),
        ("${X:-\"a}b\"}", "a}b"),
        ("${PATHS#*/}", "usr/local/bin:/usr/bin"),
        ("${PATHS##*/}", "bin"),
        ("${PATHS%:*}", "/usr/local/bin"),
        ("${PATHS%%/*}", ""),
        ("${PATHS#\\*}", "/usr/local/bin:/usr/bin"),
        ("${PATHS/usr/opt}", "/opt/local/bin:/usr/bin"),
        ("${PATHS//usr/opt}", "/opt/local/bin:/opt/bin"),
        ("${PATHS//\\//-}", "-usr-local-bin:-usr-bin"),
        ("${A//l/$0$0}", "apha"),
        ("${A//l/\\$0}", "a\\lpha"),
        ("${X#a}", ""),
        ("\u{feff}a", "a"),
    ] {
        assert_eq!(word(text).unwrap(), expected, "{text}");
    }
}

/// Cases of BuildKit's own tests (`shell/lex_test.go`): patterns, and what is escaped in them.
#[test]
fn patterns_are_buildkits() {
    for (text, foo, expected) in [
        ("${FOO#()[]{\\}^$.\\*\\?|\\\\}", "()[]{}^$.*?|\\x", "x"),
        ("${FOO%%\\**}", "xx**", "xx"),
        ("${FOO#*x*y}", "xxyy", "y"),
        ("${FOO#*}", "xxyy", "xxyy"),
        ("${FOO#$A}", "alphabet", "bet"),
        ("${FOO#$EMPTY}", "xxyy", "xxyy"),
        ("${FOO#}", "xxyy", "xxyy"),
        ("${FOO##}", "xxyy", "xxyy"),
        ("${FOO%}", "xxyy", "xxyy"),
        ("${FOO%%$EMPTY}", "xxyy", "xxyy"),
        ("${FOO##*x}", "xxyy", "yy"),
        ("${FOO#?\\?}", "???y", "?y"),
        ("${ABC:-.}${FOO%x}${ABC:-.}", "xxyy", ".xxyy."),
        ("${FOO%%\\**\\*}", "a***yy*", "a"),
        ("${FOO/\\*\\//.} ${FOO//\\*\\//.}", "/foo*/*/*.txt", "/foo.*/*.txt /foo..*.txt"),
        ("${FOO/$EMPTY/ww}", "xxyy", "wwxxyy"),
        ("${FOO//\\//\\/}", "/tmp/foo.txt", "\\/tmp\\/foo.txt"),
        ("${FOO///}", "xxyy", "xxyy"),
        ("${ABC///}", "", ""),
        ("${FOO%x*}", "👽x🚀x🖖", "👽x🚀"),
        ("${FOO%%x*}", "👽x🚀x🖖", "👽"),
    ] {
        let lookup = |name: &str| if name == "FOO" { Some(foo.to_owned()) } else { lookup(name) };
        let expanded = Expander { escape: '\\' }.word(text, &lookup);
        assert_eq!(expanded.as_deref(), Ok(expected), "{text}");
    }
    for text in ["${A=b}", "${A=:b}", "${X=}", "${A//l}", "${A//}", "${A#\\}", "${A#\\x}", "${X:?}"] {
        assert!(word(text).is_err(), "{text}");
    }
}

#[test]
fn errors_point_at_the_place() {
    for (text, place) in [
        ("a'b", "'b"),
        ("a\"b", "\"b"),
        ("a${", "${"),
        ("a${b", "${b"),
        ("a${}c", "${}"),
        ("a${:-b}c", "${:"),
        ("a${A!}c", "${A!"),
        ("a${A:=b}c", "${A:=b}"),
        ("a${A:#b}c", "${A:#"),
        ("a${X?}c", "${X?}"),
        ("a${X?too ${A}}c", "${X?too ${A}}"),
        ("a${EMPTY:?}c", "${EMPTY:?}"),
        ("a${A/b}c", "${A/b}c"),
        ("a${A#\\q}c", "${A#\\q}"),
        ("a${X:-'b}c", "'b}c"),
    ] {
        let error = word(text).unwrap_err();
        assert_eq!(&text[error.range.clone()], place, "{text}: {error}");
    }
    assert_eq!(word("${X?too ${A}}").unwrap_err().message, "X: too alpha");
}

#[test]
fn splits_words_after_expansion() {
    for (text, expected) in [
        ("a b", &["a", "b"][..]),
        ("a<< b", &["a<< b"]),
        ("a<<\nb", &["a<<", "b"]),
        ("a$BLANKS-", &["a", "x", "y", "-"]),
        ("\"a$BLANKS\"b c", &["a x  y b", "c"]),
        ("a\\ b", &["a b"]),
        ("''", &[]),
        ("a '' b", &["a", "b"]),
        ("80${X:-81}", &["81"]),
        ("80${A}", &["80alpha"]),
    ] {
        let words = Expander { escape: '\\' }.words(text, &lookup).unwrap();
        assert_eq!(words, expected, "{text}");
    }
}

#[test]
fn other_escape_character() {
    let expander = Expander { escape: '`' };
    for (text, expected) in [("c:\\$A", "c:\\alpha"), ("`$A", "$A"), ("\"`$A\\\"", "$A\\")] {
        assert_eq!(expander.word(text, &lookup).unwrap(), expected, "{text}");
    }
}

#[test]
fn heredoc_bodies_keep_quotes() {
    let expander = Expander { escape: '`' };
    for (text, expected) in [
        ("a='$A' \"${A}\"\n", "a='alpha' \"alpha\"\n"),
        ("\\$A \\\\ \\n it's", "$A \\ n it's"),
        ("${X:-\"d\"}", "\"d\""),
        ("`$A", "`alpha"),
    ] {
        assert_eq!(expander.raw(text, &lookup).unwrap(), expected, "{text}");
    }
    assert!(expander.raw("${A", &lookup).is_err());
}

#[test]
fn nesting_and_growth_are_bounded() {
    let deep = "${X:-".repeat(10_000);
    assert!(word(&deep).unwrap_err().message.contains("levels deep"));
    let big = |_: &str| Some("x".repeat(1 << 20));
    let error = Expander { escape: '\\' }.word(&"$A".repeat(20), &big).unwrap_err();
    assert!(error.message.contains("1 MiB"), "{error}");
    let error = Expander { escape: '\\' }.word("${A//?/${B}}", &big).unwrap_err();
    assert!(error.message.contains("1 MiB"), "{error}");
}
