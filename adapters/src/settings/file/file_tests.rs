use pretty_assertions::assert_eq;

use super::*;

fn file(text: &str, env: &[(&str, &str)]) -> Result<File, Usage> {
    File::parse(text, "y.yaml", "sub".into(), &Env::of(env))
}

fn select(text: &str, names: &[&str]) -> Result<Vec<Target>, Usage> {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    file(text, &[("TAG", "7"), ("EMPTY", "")])?.select(&names)
}

fn names(text: &str, wanted: &[&str]) -> Vec<String> {
    select(text, wanted).unwrap().into_iter().filter_map(|t| t.name).collect()
}

const SEVERAL: &str = "\
variables:
  REGISTRY: r.io/${EMPTY:-team}
  TAG: dev
labels: { common: yes }
groups:
  default: [app, worker]
  all: [default, extra]
targets:
  _base:
    build-args: { A: 1, B: base }
    secrets:
      - id: npm
        env: TAG
    tags: [x]
  _more:
    build_args: { B: more }
  app:
    inherits: [_base, _more]
    image: ${REGISTRY}/app
    tags: [\"${TAG}\", 1.20]
    build-args:
      C: $HOME costs $${5}
    context: app
  worker: { inherits: _base, image: w, cache-to: [{ type: registry, ref: r }] }
  extra: {}
";

#[test]
fn a_target_has_what_it_inherits_and_its_own() {
    let app = select(SEVERAL, &["app"]).unwrap().remove(0).settings;
    assert_eq!(app.items(Key::BuildArgs), ["A=1", "B=more", "C=$HOME costs ${5}"]);
    assert_eq!(app.items(Key::Image), ["r.io/team/app"]);
    assert_eq!(app.items(Key::Tags), ["7", "1.20"], "the environment wins over the file's value");
    assert_eq!(app.items(Key::Labels), ["common=yes"]);
    assert_eq!(app.items(Key::Secrets), ["id=npm,env=TAG"]);
    assert_eq!(app.text(Key::Context), Some("sub/app"));
    assert_eq!(app.origin(Key::Image).unwrap().to_string(), "y.yaml:19");
    let worker = select(SEVERAL, &["worker"]).unwrap().remove(0).settings;
    assert_eq!(worker.items(Key::BuildArgs), ["A=1", "B=base"]);
    assert_eq!(worker.items(Key::CacheTo), ["type=registry,ref=r"]);
    assert_eq!(worker.text(Key::Context), Some("sub"), "the file's directory");
}

#[test]
fn targets_are_chosen_by_name_group_and_default() {
    assert_eq!(names(SEVERAL, &[]), ["app", "worker"]);
    assert_eq!(names(SEVERAL, &["all"]), ["app", "worker", "extra"]);
    assert_eq!(names(SEVERAL, &["extra", "app", "extra"]), ["extra", "app"]);
    assert_eq!(names("targets: {b: , _c: , a: }", &[]), ["b", "a"]);
    assert_eq!(names("targets: {b: , default: }", &[]), ["default"]);
    assert_eq!(select("image: r.io/a", &[]).unwrap()[0].name, None);
    assert_eq!(select("", &[]).unwrap().len(), 1);
}

#[test]
fn every_form_of_a_list() {
    for (text, expected) in [
        ("build-args: {A: 1, B: }", ["A=1", "B"].as_slice()),
        ("build-args: [A=1, B]", &["A=1", "B"]),
        ("build-args: |\n  A=1\n  B\n", &["A=1", "B"]),
        ("build-args: '[\"A=1\", \"B\"]'", &["A=1", "B"]),
        ("build-args:\n  A: |-\n    two\n    lines\n", &["A=two\nlines"]),
        ("build-args:\n", &[]),
    ] {
        assert_eq!(select(text, &[]).unwrap()[0].settings.items(Key::BuildArgs), expected, "{text}");
    }
    let auths = "registry-auths:\n  - registry: r.io\n    username: u\n    password: ${TAG}\n";
    let settings = &select(auths, &[]).unwrap()[0].settings;
    assert_eq!(
        settings.text(Key::RegistryAuths),
        Some(r#"[{"password":"7","registry":"r.io","username":"u"}]"#)
    );
}

#[test]
fn errors_have_a_place_and_a_way_out() {
    for (text, names, message, help) in [
        ("a: [", [].as_slice(), "y.yaml:1: ", ""),
        ("image: a\nimage: b", &[], "y.yaml:2: image is there twice", ""),
        ("imag: a", &[], "y.yaml:1: there is no key imag", "did you mean image?"),
        (
            "targets:\n  a:\n    inherit: b\n",
            &[],
            "y.yaml:3: there is no key inherit",
            "did you mean inherits?",
        ),
        ("target:\n  a:\n", &[], "y.yaml:2: target is one value", ""),
        (
            "\npush: maybe\n",
            &[],
            "'maybe' for push (y.yaml:2) is neither true nor false",
            "write true or false",
        ),
        ("labels: [a]", &[], "labels (y.yaml:1): 'a' is not of the form", ""),
        ("labels: {a: [b]}", &[], "y.yaml:1: a of labels is no text", ""),
        ("image: ${NOBODY}", &[], "y.yaml:1: the variable NOBODY is not set", ""),
        ("image: ${NO", &[], "y.yaml:1: a ${ is not closed", ""),
        ("image: ${a b}", &[], "y.yaml:1: ${a b} is no variable", ""),
        ("- a", &[], "y.yaml:1: the file is no mapping", "write name: value lines"),
        ("a: b\n---\nc: d", &[], "y.yaml has several documents", ""),
        ("targets: {app: }", &["ap"], "y.yaml: there is no target ap", "did you mean app?"),
        (
            "targets: {app: }\ngroups:\n  default: [ap]",
            &[],
            "y.yaml:3: there is no target ap",
            "did you mean app?",
        ),
        ("targets: {a: {inherits: b}, b: {inherits: a}}", &[], "y.yaml:1: the target a inherits itself", ""),
        ("targets: {a: }\ngroups: {g: h, h: g}", &["g"], "y.yaml: the group g contains itself", ""),
        ("targets: {a: }\ngroups: {a: a}", &[], "y.yaml:2: a is a target already", ""),
        ("targets: {'a b': }", &[], "y.yaml:1: a name has letters", ""),
        ("targets: {_a: }", &[], "y.yaml has no target to build", ""),
        ("image: a", &["x"], "y.yaml has no targets, and x is asked for", ""),
    ] {
        let error = select(text, names).expect_err(text);
        assert!(error.message.starts_with(message), "{text}: {}", error.message);
        assert!(error.help.as_deref().unwrap_or_default().starts_with(help), "{text}: {:?}", error.help);
    }
}
