use serde::Deserialize;

use super::*;

/// A case of `testdata/tag-rules.json`, whose answers the packages that metadata-action is made of gave.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    sha: String,
    #[serde(default)]
    base_ref: String,
    now: String,
    committed: String,
    #[serde(default)]
    default_branch: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    license: String,
    #[serde(default)]
    images: String,
    #[serde(default)]
    tags: String,
    #[serde(default)]
    flavor: String,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    annotations: String,
    short_sha: Option<String>,
    levels: Option<String>,
    /// Absent where the action fails.
    expected: Option<Expected>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Expected {
    version: String,
    tags: Vec<String>,
    tag_names: Vec<String>,
    /// Only where the case is about labels, as the two after it.
    labels: Option<Vec<String>>,
    annotations: Option<Vec<String>>,
    json: Option<serde_json::Value>,
}

fn run(case: &Case) -> Result<Metadata, Usage> {
    let facts = Facts {
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
    };
    let rules = Rules {
        images: &case.images,
        tags: &case.tags,
        flavor: &case.flavor,
        labels: &case.labels,
        annotations: &case.annotations,
        short_sha: case.short_sha.as_deref(),
        levels: case.levels.as_deref(),
    };
    metadata(&rules, &facts)
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
            json: whole.then(|| serde_json::from_str(&m.json()).unwrap()),
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
