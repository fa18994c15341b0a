use serde::Deserialize;

use super::*;

/// A case of `testdata/tag-rules.json`, whose answers the packages that metadata-action is made of gave.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Case {
    name: String,
    event: String,
    reference: String,
    sha: String,
    base_ref: String,
    now: String,
    committed: String,
    default_branch: String,
    description: String,
    license: String,
    images: String,
    tags: String,
    flavor: String,
    labels: String,
    annotations: String,
    short_sha: Option<String>,
    levels: Option<String>,
    /// Absent where the action fails.
    expected: Option<Expected>,
}

impl Default for Case {
    /// What cases do not say.
    fn default() -> Self {
        let text = str::to_owned;
        Case {
            name: String::new(),
            event: text("push"),
            reference: String::new(),
            sha: text("860c1904a1ce19322e91ac35af1ab07466440c37"),
            base_ref: String::new(),
            now: text("2023-12-31T23:05:09.123Z"),
            committed: text("2022-01-02T03:04:05Z"),
            default_branch: text("master"),
            description: String::new(),
            license: String::new(),
            images: text("user/app"),
            tags: String::new(),
            flavor: String::new(),
            labels: String::new(),
            annotations: String::new(),
            short_sha: None,
            levels: None,
            expected: None,
        }
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Expected {
    version: String,
    tags: Vec<String>,
    tag_names: Vec<String>,
    /// Only where the case is about labels, as the two after it.
    labels: Option<Vec<String>>,
    annotations: Option<Vec<String>>,
    json: Option<String>,
}

fn facts(case: &Case) -> Facts {
    Facts {
        event: case.event.clone(),
        reference: case.reference.clone(),
        sha: case.sha.clone(),
        base_ref: case.base_ref.clone(),
        now: case.now.parse().unwrap(),
        created: case.now.parse().unwrap(),
        committed: case.committed.parse().unwrap(),
        repository: Repository {
            name: "Hello-World".into(),
            description: case.description.clone(),
            url: "https://github.com/octocat/Hello-World".into(),
            license: case.license.clone(),
            default_branch: case.default_branch.clone(),
        },
    }
}

fn run(case: &Case) -> Result<Metadata, Usage> {
    let rules = Rules {
        images: &case.images,
        tags: &case.tags,
        flavor: &case.flavor,
        labels: &case.labels,
        annotations: &case.annotations,
        short_sha: case.short_sha.as_deref(),
        levels: case.levels.as_deref(),
    };
    metadata(&rules, &facts(case))
}

#[test]
fn rules_give_what_the_action_gives() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../testdata/tag-rules.json")).expect("a table of cases");
    assert!(cases.len() > 300);
    let mut wrong = Vec::new();
    for case in cases {
        let whole = case.expected.as_ref().is_some_and(|e| e.json.is_some());
        let given = run(&case).map(|m| Expected {
            json: whole.then(|| m.json()),
            version: m.version.clone(),
            labels: whole.then(|| m.labels.iter().map(|(k, v)| format!("{k}={v}")).collect()),
            annotations: whole.then(|| m.leveled_annotations()),
            tags: m.tags,
            tag_names: m.tag_names,
        });
        let right = match (&case.expected, &given) {
            (Some(expected), Ok(given)) => given == expected,
            (None, Err(_)) => true,
            _ => false,
        };
        if !right {
            wrong
                .push(format!("{}: {:?}\n{given:?}\nrather than\n{:?}", case.name, case.tags, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn items_of_a_list_keep_the_quotes_of_their_fields() {
    let case = Case { reference: "refs/tags/2024.12.1".into(), ..Case::default() };
    let rules = [r#"type=match,"pattern=\d{4,}.\d{1,2}""#, "# nothing", "type=raw,value=x"];
    let rules = TagRules { rules: rules.map(str::to_owned).into(), ..TagRules::default() };
    assert_eq!(names(&rules, &facts(&case)), Ok(["2024.12", "x", "latest"].map(str::to_owned).into()));
}

#[test]
fn hostile_patterns_come_to_an_end() {
    for pattern in [r"^(a+)+$", r"^(?:(?:a|aa)+)+$", r"^(?:a|(b))*c"] {
        let tags = format!("type=match,pattern={pattern},value={}!", "a".repeat(20_000));
        let case = Case { reference: "refs/heads/dev".into(), tags, ..Case::default() };
        let error = run(&case).expect_err("no end").message;
        assert!(error.ends_with("it takes too many steps"), "{error}");
    }
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_so() {
    let rows = [
        // Its text would be the source of the action.
        ("type=raw,value={{{lookup . 'branch'}}}", "branch is a function: it has no text"),
        (r"type=match,pattern=/[\w--a]/v,value=a", "what the flag v adds to classes is not known here"),
        (r"type=match,pattern=/\p{Nothing}/u,value=a", "it names a property that is not known here"),
        ("type=raw,value={{> p}}", "the partial p could not be found"),
        ("type=raw,value={{#*inline 'p'}}{{> p}}{{/inline}}{{> p}}", "its blocks are nested too deeply"),
        (
            "type=raw,value={{#each .}}{{#each @root}}{{#each @root}}{{#each @root}}{{#each @root}}{{#each @root}}x{{/each}}{{/each}}{{/each}}{{/each}}{{/each}}{{/each}}",
            "it takes too many steps",
        ),
    ];
    for (tags, wanted) in rows {
        let case = Case { reference: "refs/heads/dev".into(), tags: tags.into(), ..Case::default() };
        let error = run(&case).expect_err("an error").message;
        assert!(error.contains(wanted), "{error}");
    }
}
