use super::*;

macro_rules! lists {
    ($($name:ident: $text:expr, $split:ident => [$($item:expr),*];)*) => {
        $(#[test]
        fn $name() {
            let expected: Vec<String> = vec![$($item.to_owned()),*];
            assert_eq!(list("x", $text, Split::$split), Ok(expected));
        })*
    };
}

lists! {
    empty_list: "", Lines => [];
    blank_lines_are_left_out: "\n  \nA=1\n\n", Lines => ["A=1"];
    lines: "A=1\r\nB=two words\n", Lines => ["A=1", "B=two words"];
    commas_belong_to_build_arguments: "A=1,2\nB=3", Lines => ["A=1,2", "B=3"];
    commas_separate_tags: "a,b\nc, d ,", Commas => ["a", "b", "c", "d"];
    quotes_as_in_csv: "\"A={\"\"k\"\":\"\"v\"\"}\"\nB=1", Lines => [r#"A={"k":"v"}"#, "B=1"];
    a_quoted_value_may_span_lines: "\"A=1\n2\"\nB=3", Lines => ["A=1\n2", "B=3"];
    a_quote_inside_is_literal: "A=\"x\"", Lines => ["A=\"x\""];
    what_follows_a_closing_quote_makes_both_literal: "\"A\"b", Lines => ["\"A\"b"];
    a_hash_is_no_comment: "#a\nb", Lines => ["#a", "b"];
    quotes_of_a_field_are_lost_where_commas_join: "A=1,\"B,C\"", Lines => ["A=1,B,C"];
    what_was_quoted_is_split_again_at_commas: "\"a,b\",c\n\"d,e\"", Commas => ["a,b", "c", "d", "e"];
    quotes_of_outputs_are_literal: "type=oci,\"dest=a,b\"", Literal => ["type=oci,\"dest=a,b\""];
    secrets_keep_their_blanks: " A=1 \n\"B=x\n y \"", Untrimmed => [" A=1 ", "B=x\n y "];
    the_first_newline_is_the_kind_of_all: "a\r\nb\nc", Lines => ["a", "b\nc"];
    json: r#" ["A=1,2", "B=\n", ""]"#, Lines => ["A=1,2", "B=\n"];
    a_bracket_alone_is_no_json: "[x]=1\n[2]", Lines => ["[x]=1", "[2]"];
}

#[test]
fn broken_lists_are_placed() {
    let error = list("build-args", "A=1\nB=2,\"C=3\n", Split::Lines).unwrap_err();
    assert_eq!(error.message, "build-args: the quote at line 2, column 5 is not closed");
    for text in ["\"A=1", "[\"a\"", "[\"a\", 1]", "[] x"] {
        assert!(list("x", text, Split::Lines).is_err(), "{text}");
    }
}

#[test]
fn fields_of_an_item() {
    assert_eq!(fields("x", "id=a, \"src=b,c\"").unwrap(), ["id=a", "src=b,c"]);
}

/// What `Util.getInputList` of @docker/actions-toolkit 0.92 made of several hundred texts, some of them random;
/// `null` where it failed. Only items that are empty are left out, which it keeps if they were blank.
#[test]
fn lists_are_those_of_dockers_actions() {
    let golden = include_str!("../../../testdata/lists/actions-toolkit-0.92.json");
    let cases: Vec<(String, String, Option<Vec<String>>)> = serde_json::from_str(golden).unwrap();
    assert!(cases.len() > 500);
    for (mode, text, expected) in cases {
        let split = match mode.as_str() {
            "commas" => Split::Commas,
            "lines" => Split::Lines,
            "literal" => Split::Literal,
            _ => Split::Untrimmed,
        };
        assert_eq!(list("x", &text, split).ok(), expected, "{mode}: {text:?}");
    }
}
