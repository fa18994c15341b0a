use pretty_assertions::assert_eq;
use yadokari::config::{CredentialLocation, SecretSource};
use yadokari::image::Reference;

use super::dialect::{self, Dialect, Meaning, Read};
use super::*;
use crate::cli::job::Job;
use crate::env::Env;
use crate::session::CommandLine;

const DIALECT: Dialect = Dialect {
    noun: "input",
    spelling: dialect::kebab,
    names: &[
        ("file", Meaning::Is(Key::Dockerfile)),
        ("skip-push", Meaning::Not(Key::Push)),
        ("dotenv", Meaning::Own),
    ],
    defaults: &[(Key::Context, ".")],
};

fn read(pairs: &[(&str, &str)]) -> Result<Read, Usage> {
    DIALECT.variables(&Env::of(pairs), "YADOKARI_")
}

fn job(pairs: &[(&str, &str)]) -> Result<Job, Usage> {
    let image = [("YADOKARI_DESTINATIONS", "r.io/default:1")];
    let given = pairs.iter().any(|(name, _)| {
        ["YADOKARI_IMAGE", "YADOKARI_TAGS", "YADOKARI_DESTINATIONS", "YADOKARI_EXTRA_ARGS"].contains(name)
    });
    let pairs = if given { pairs.to_vec() } else { [&image, pairs].concat() };
    let env = Env::of(&pairs);
    read(&pairs)?.settings.job(&env, &CommandLine::default())
}

fn destinations(pairs: &[(&str, &str)]) -> Vec<String> {
    job(pairs).unwrap().config.destinations.iter().map(Reference::whole).collect()
}

fn error(pairs: &[(&str, &str)]) -> String {
    let error = job(pairs).unwrap_err();
    format!("{} / {}", error.message, error.help.unwrap_or_default())
}

#[test]
fn a_name_has_two_spellings_and_the_first_that_says_something_counts() {
    for name in ["INPUT_BUILD-ARGS", "INPUT_BUILD_ARGS", "INPUT_build_args"] {
        let env = Env::of(&[(name, "A=1\nB=2")]);
        assert_eq!(DIALECT.variables(&env, "INPUT_").unwrap().settings.items(Key::BuildArgs), ["A=1", "B=2"]);
    }
    let env = Env::of(&[
        ("INPUT_NO-CACHE", ""),
        ("INPUT_NO_CACHE", "yes"),
        ("INPUT_TAGS", "a"),
        ("INPUT_tags", "a"),
    ]);
    let settings = DIALECT.variables(&env, "INPUT_").unwrap().settings;
    assert_eq!(
        (settings.boolean(Key::NoCache), settings.items(Key::Tags)),
        (Some(true), vec!["a".to_owned()])
    );
}

#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    let meant = |name: &str| read(&[(name, "x")]).unwrap_err().help.unwrap();
    assert_eq!(meant("YADOKARI_BUILD_ARG"), "did you mean build-args?");
    assert_eq!(meant("YADOKARI_DOTENF"), "did you mean dotenv?");
    assert!(meant("YADOKARI_XYZZY").starts_with("the inputs are file, "));
    // Kubernetes makes these for a service of that name.
    assert!(
        read(&[("YADOKARI_SERVICE_HOST", "1"), ("YADOKARI_PORT", "2"), ("YADOKARI_PORT_80_TCP", "3")])
            .is_ok()
    );
}

#[test]
fn every_key_lands() {
    let job = job(&[
        ("YADOKARI_CONTEXT", "app"),
        ("YADOKARI_FILE", "app/Dockerfile"),
        ("YADOKARI_TARGET", "release"),
        ("YADOKARI_PLATFORMS", "linux/arm64"),
        ("YADOKARI_BUILD_ARGS", "A=1,2\nB=two words\nC=--x"),
        ("YADOKARI_LABELS", r#"["a=b"]"#),
        ("YADOKARI_ANNOTATIONS", "c=d"),
        ("YADOKARI_BUILD_CONTEXTS", "base=oci-layout:///l"),
        ("YADOKARI_FORMAT", "oci"),
        ("YADOKARI_COMPRESSION", "zstd"),
        ("YADOKARI_INSECURE_REGISTRIES", "a:5000,b:5000"),
        ("YADOKARI_TLS_VERIFY", "No"),
        ("YADOKARI_SOURCE_DATE_EPOCH", "2026-01-31T12:00:00Z"),
        ("YADOKARI_OUTPUTS", "type=oci,dest=layout,tar=false"),
        ("YADOKARI_OCI_ARCHIVE_PATH", "image.tar"),
        ("YADOKARI_PUSH_BY_DIGEST", "true"),
        ("YADOKARI_ADD_HOSTS", "db:10.0.0.7,web:10.0.0.8"),
        ("YADOKARI_JOBS", "3"),
        ("YADOKARI_SBOM", "false"),
        ("YADOKARI_CA_FILE", "/ca.pem"),
        ("YADOKARI_OUTPUT_FILES", "digest=/d\nIMAGE_REF=/r"),
    ])
    .unwrap();
    let config = &job.config;
    assert_eq!(config.context, yadokari::config::ContextSource::Directory("app".into()));
    assert_eq!(config.dockerfile, std::path::Path::new("app/Dockerfile"));
    assert_eq!(config.target.as_deref(), Some("release"));
    assert_eq!(config.platforms.first().map(ToString::to_string).as_deref(), Some("linux/arm64"));
    let args: Vec<String> = config.build_args.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(args, ["SOURCE_DATE_EPOCH=1769860800", "A=1,2", "B=two words", "C=--x"]);
    assert_eq!(config.source_date_epoch, Some(1_769_860_800));
    assert_eq!(config.labels, [("a".into(), "b".into())]);
    assert_eq!(config.annotations[0].full_key(), "manifest:c");
    assert!(config.build_contexts.contains_key("base"));
    assert_eq!(config.image_format, Some(yadokari::image::ImageFormat::Oci));
    assert_eq!(config.registry.insecure_registries, ["a:5000", "b:5000"]);
    assert!(config.registry.skip_tls_verify);
    assert_eq!(config.registry.ca_paths, [std::path::PathBuf::from("/ca.pem")]);
    assert_eq!(config.oci_layout_path.as_deref(), Some(std::path::Path::new("layout")));
    assert_eq!(config.oci_archive_path.as_deref(), Some(std::path::Path::new("image.tar")));
    assert!(config.push_by_digest);
    assert_eq!(config.steps.hosts.len(), 2);
    assert_eq!(config.jobs, Some(3));
    assert_eq!(job.files.outputs.len(), 2);
}

#[test]
fn an_image_and_its_tags() {
    assert_eq!(
        destinations(&[("YADOKARI_IMAGE", "r.io/a"), ("YADOKARI_TAGS", "1,2")]),
        ["r.io/a:1", "r.io/a:2"]
    );
    assert_eq!(
        destinations(&[("YADOKARI_IMAGE", "r.io/a,s.io/b"), ("YADOKARI_TAGS", "1")]),
        ["r.io/a:1", "s.io/b:1"]
    );
    assert_eq!(destinations(&[("YADOKARI_TAGS", "r.io/a:1")]), ["r.io/a:1"]);
    assert!(error(&[("YADOKARI_TAGS", "latest")]).contains("without an image"));
    assert!(
        error(&[("YADOKARI_IMAGE", "r.io/a"), ("YADOKARI_TAG_RULES", "type=sha")]).contains("CI platform")
    );
}

#[test]
fn errors_name_who_gave_the_value() {
    for (name, value, expected) in [
        (
            "YADOKARI_PUSH",
            "maybe",
            "'maybe' for input push (variable YADOKARI_PUSH) is neither true nor false",
        ),
        ("YADOKARI_JOBS", "many", "'many' of input jobs (variable YADOKARI_JOBS) is no whole number"),
        (
            "YADOKARI_LABELS",
            "x",
            "input labels (variable YADOKARI_LABELS): 'x' is not of the form NAME=VALUE",
        ),
        ("YADOKARI_FORMAT", "zip", "(--image-format is from input format (variable YADOKARI_FORMAT))"),
        ("YADOKARI_ISOLATION", "vm", "(--isolation is from input isolation (variable YADOKARI_ISOLATION))"),
        ("YADOKARI_DESTINATIONS", "R/x", "(--destination is from input destinations"),
        ("YADOKARI_OUTPUTS", "type=tar", "input outputs (variable YADOKARI_OUTPUTS): the output type=tar"),
        (
            "YADOKARI_PROVENANCE",
            "mode=max",
            "input provenance (variable YADOKARI_PROVENANCE) is not supported yet",
        ),
        ("YADOKARI_LOAD", "true", "load needs a docker engine"),
        ("YADOKARI_EXTRA_ARGS", "--no-such", "in the extra arguments"),
        ("YADOKARI_USERNAME", "u", "only one is given"),
    ] {
        assert!(error(&[(name, value)]).contains(expected), "{}", error(&[(name, value)]));
    }
    let twice = read(&[("YADOKARI_FILE", "a"), ("YADOKARI_DOCKERFILE", "b")]).unwrap_err();
    assert!(twice.message.starts_with("dockerfile is given twice"), "{}", twice.message);
    let both = read(&[("YADOKARI_SKIP_PUSH", "true"), ("YADOKARI_PUSH", "true")]).unwrap_err();
    assert!(both.message.starts_with("push is given twice"), "{}", both.message);
}

#[test]
fn secrets_are_files_variables_and_values() {
    let all = job(&[
        ("TOKEN", "t0ken"),
        ("YADOKARI_SECRETS", "a=env:TOKEN\nb=file:/x,y\nid=c,src=/z"),
        ("YADOKARI_SECRET_ENVS", "d=TOKEN"),
        ("YADOKARI_SECRET_FILES", "e=/f"),
        ("YADOKARI_SECRET_VALUES", "g= two\n\"h=1\n2\""),
    ])
    .unwrap();
    let shown: Vec<String> = all
        .config
        .steps
        .secrets
        .iter()
        .map(|s| match &s.source {
            SecretSource::File(path) => format!("{} file {}", s.id, path.display()),
            SecretSource::Value(value) => format!("{} {:?}", s.id, String::from_utf8_lossy(&value.0)),
        })
        .collect();
    let expected =
        ["a \"t0ken\"", "b file /x,y", "c file /z", "d \"t0ken\"", "e file /f", "g \" two\"", "h \"1\\n2\""];
    assert_eq!(shown, expected);
    for (name, value) in [("YADOKARI_SECRETS", "a=hunter2"), ("YADOKARI_SECRET_VALUES", "hunter2")] {
        let error = error(&[(name, value)]);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

fn accounts(text: &str) -> Vec<String> {
    let job = job(&[("YADOKARI_REGISTRY_AUTHS", text)]).unwrap_or_else(|e| panic!("{text}: {e}"));
    let shown = job.config.keychain.sources.iter().filter_map(|source| match &source.location {
        CredentialLocation::Basic { registry, username, password } => {
            Some(format!("{registry} {username} {password}"))
        }
        CredentialLocation::Inline(json) => Some(json.clone()),
        _ => None,
    });
    shown.collect()
}

#[test]
fn accounts_in_every_form() {
    for text in [
        "- registry: a.io\n  username: u\n  password: \"p,1\"\n- username: v\n  password: q",
        r#"[{"registry":"a.io","username":"u","password":"p,1"},{"username":"v","password":"q"}]"#,
        "registry=a.io,username=u,\"password=p,1\"\nusername=v,password=q\n",
        "\n  - registry: https://a.io/\n    username: u\n    password: p,1\n    logout: false\n  - registry: docker.io\n    username: v\n    password: q\n",
    ] {
        assert_eq!(accounts(text), ["a.io u p,1", "docker.io v q"], "{text}");
    }
    assert_eq!(accounts("registry: a.io\nusername: u\npassword: p"), ["a.io u p"]);
    assert_eq!(accounts(r#"{"auths":{}}"#), [r#"{"auths":{}}"#]);
}

#[test]
fn broken_accounts_are_refused_without_a_word_of_them() {
    for text in [
        "hunter2",
        "- registry: a.io\n  username: hunter2",
        "- registry: a.io\n  username: u\n  password: p\n  hunter2: x",
        "registry=a.io,username=hunter2",
        "registry=a.io,username=u,password=p,hunter2",
        "[{\"hunter2\":1}]",
    ] {
        let error = error(&[("YADOKARI_REGISTRY_AUTHS", text)]);
        assert!(error.contains("registry-auths") && !error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn stronger_origins_win() {
    let mut settings = Settings::default();
    let mut put = |key, text: &str, origin: Origin| settings.put(key, text, origin).unwrap();
    let platform = || Origin::platform("the platform");
    let file = |rank| Origin::file(rank, "yadokari.yaml", u64::from(rank) + 1);
    let input = || Origin::input("the input");
    put(Key::Context, "input", input());
    put(Key::Context, "platform", platform());
    put(Key::Context, "file", file(0));
    put(Key::BuildArgs, "A=1\nB=1", file(0));
    put(Key::BuildArgs, "B=2\nC=2", file(1));
    put(Key::BuildArgs, "C=3\nD=3", input());
    put(Key::Tags, "x,y", file(0));
    put(Key::Tags, "z", input());
    put(Key::Image, "r.io/a", platform());
    put(Key::Destinations, "r.io/b:1", file(0));
    put(Key::ExtraArgs, "-v", input());
    put(Key::ExtraArgs, "--force", file(0));
    assert_eq!(settings.text(Key::Context), Some("input"));
    assert_eq!(settings.items(Key::BuildArgs), ["A=1", "B=2", "C=3", "D=3"]);
    assert_eq!(settings.items(Key::Tags), ["z"]);
    assert_eq!(settings.items(Key::Image), Vec::<String>::new());
    assert_eq!(settings.items(Key::Destinations), ["r.io/b:1"]);
    assert_eq!(settings.items(Key::ExtraArgs), ["--force", "-v"]);
    assert_eq!(settings.origin(Key::Tags).unwrap().to_string(), "the input");
    assert!(settings.chosen(Key::Context) && !settings.chosen(Key::Image));
}

#[test]
fn what_a_platform_knows_of_the_commit_gives_way_to_the_environment() {
    let epoch = |env: &[(&str, &str)], chosen: bool| {
        let mut settings = Settings::default();
        settings.put(Key::Push, "false", Origin::input("x")).unwrap();
        let origin = if chosen { Origin::input("x") } else { Origin::platform("CI_COMMIT_TIMESTAMP") };
        settings.put(Key::SourceDateEpoch, "7", origin).unwrap();
        settings.job(&Env::of(env), &CommandLine::default()).unwrap().config.source_date_epoch
    };
    assert_eq!(epoch(&[], false), Some(7));
    assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "9")], false), Some(9));
    assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "9")], true), Some(7));
}

#[test]
fn an_input_left_at_its_default_was_not_chosen() {
    let chosen =
        |context: &str| read(&[("YADOKARI_CONTEXT", context)]).unwrap().settings.chosen(Key::Context);
    assert!(!chosen(".") && chosen("app"));
}
