use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::config_file::ConfigFile;
use super::*;
use crate::config::{CloudConfig, CredentialLocation, CredentialSource, RegistryConfig};

fn inline(text: &str) -> CredentialSource {
    CredentialSource {
        name: "DOCKER_AUTH_CONFIG".to_owned(),
        location: CredentialLocation::Inline(text.to_owned()),
    }
}

/// No cloud. Its threads are never needed.
fn clouds() -> Clouds {
    let network = crate::transport::Network::new().expect("threads");
    Clouds::new(&CloudConfig::default(), &RegistryConfig::default(), &network, Events::none())
}

fn keychain(sources: Vec<CredentialSource>) -> Result<Keychain, KeychainError> {
    Keychain::new(&KeychainConfig { sources, ..KeychainConfig::default() }, clouds(), Events::none())
}

fn basic(username: &str, password: &str) -> Secret {
    Secret::Basic { username: username.to_owned(), password: password.to_owned() }
}

fn resolve(config: &str, registry: &str, repository: &str) -> Option<Secret> {
    let keychain = keychain(vec![inline(config)]).expect("the config is right");
    keychain.resolve(registry, repository).expect("the entry is right").map(|c| c.secret)
}

#[test]
fn entries_of_auths() {
    // "u:p" in base64, with and without its padding.
    let cases = [
        (r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"r.example":{"auth":"dTpwcQ=="}}}"#, Some(basic("u", "pq"))),
        (r#"{"auths":{"r.example":{"auth":"dTpwcQ"}}}"#, Some(basic("u", "pq"))),
        (r#"{"auths":{"r.example":{"username":"u","password":"p"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"r.example":{"auth":"","username":"u","password":"p"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"r.example":{"auth":""}}}"#, None),
        (r#"{"auths":{"r.example":{}}}"#, None),
        (r#"{"auths":{"r.example":null}}"#, None),
        (r#"{"auths":null}"#, None),
        ("{}", None),
        ("", None),
        (
            r#"{"auths":{"r.example":{"auth":"dTpw","identitytoken":"i"}}}"#,
            Some(Secret::Identity("i".into())),
        ),
        (r#"{"auths":{"r.example":{"registrytoken":"t"}}}"#, Some(Secret::Registry("t".into()))),
        (r#"{"auths":{"https://r.example":{"auth":"dTpw"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"http://r.example/v2/":{"auth":"dTpw"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"R.Example":{"auth":"dTpw"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"r.example/v2/":{"auth":"dTpw"}}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"other.example":{"auth":"dTpw"}}}"#, None),
        (r#"{"auths":{"r.example:5000":{"auth":"dTpw"}}}"#, None),
        // An entry without content does not hide another spelling of the same host.
        (r#"{"auths":{"r.example":{},"https://r.example":{"auth":"dTpw"}}}"#, Some(basic("u", "p"))),
        (
            r#"{"HttpHeaders":{"X":"y"},"auths":{"r.example":{"auth":"dTpw","email":"e"}}}"#,
            Some(basic("u", "p")),
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(resolve(config, "r.example", "a/b"), expected, "{config}");
    }
}

#[test]
fn the_longest_path_wins() {
    let config = r#"{"auths":{
        "r.example":{"username":"host","password":"x"},
        "r.example/a":{"username":"a","password":"x"},
        "r.example/a/b":{"username":"ab","password":"x"}}}"#;
    for (repository, user) in
        [("a/b", "ab"), ("a/b/c", "ab"), ("a/bc", "a"), ("a", "a"), ("ab", "host"), ("z", "host")]
    {
        assert_eq!(resolve(config, "r.example", repository), Some(basic(user, "x")), "{repository}");
    }
}

#[test]
fn docker_hub_has_many_names() {
    for key in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "registry-1.docker.io",
        "https://registry-1.docker.io/v2/",
        "https://docker.io",
        "index.docker.io/v1/",
    ] {
        let config = format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#);
        assert_eq!(resolve(&config, "docker.io", "library/debian"), Some(basic("u", "p")), "{key}");
        assert_eq!(resolve(&config, "quay.io", "library/debian"), None, "{key}");
    }
}

#[test]
fn sources_are_asked_in_order_and_named() {
    let fixed = CredentialSource {
        name: "CI_REGISTRY_PASSWORD".to_owned(),
        location: CredentialLocation::Basic {
            registry: "https://r.example".to_owned(),
            username: "ci".to_owned(),
            password: "s3cret".to_owned(),
        },
    };
    let first = inline(r#"{"auths":{"q.example":{"auth":"dTpw"}}}"#);
    let keychain = keychain(vec![first, fixed]).expect("right");
    let found = keychain.resolve("r.example", "a").expect("right").expect("there");
    assert_eq!((found.source.as_str(), &found.secret), ("CI_REGISTRY_PASSWORD", &basic("ci", "s3cret")));
    let other = keychain.resolve("q.example", "a").expect("right").expect("there");
    assert_eq!(other.source, "DOCKER_AUTH_CONFIG");
    let printed = format!("{found:?} {keychain:?} {other:#?}");
    assert!(printed.contains("CI_REGISTRY_PASSWORD"), "{printed}");
    for secret in ["s3cret", "dTpw", "\"p\""] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn mistakes_are_named_without_secrets() {
    let wrong_json = keychain(vec![inline("{\"auths\":{\"r\":{\"auth\":17, \"x\":\"s3cret\"}}}")]);
    let text = wrong_json.expect_err("wrong type").to_string();
    assert!(text.starts_with("DOCKER_AUTH_CONFIG is not a docker config.json"), "{text}");
    let text = keychain(vec![inline("{\"auths\":\"s3cret\"}")]).expect_err("wrong type").to_string();
    assert!(!text.contains("s3cret"), "{text}");
    for (auth, problem) in [("!!", "not base64"), ("czNjcmV0", "user:password"), ("/////w==", "UTF-8")] {
        let config = format!(r#"{{"auths":{{"r.example":{{"auth":"{auth}"}}}}}}"#);
        let keychain = keychain(vec![inline(&config)]).expect("right JSON");
        let text = keychain.resolve("r.example", "a").expect_err("wrong auth").to_string();
        assert!(text.contains(problem) && text.contains("'r.example'"), "{text}");
        assert!(!text.contains(auth) && !text.contains("s3cret"), "{text}");
        // Another registry's wrong entry harms nobody.
        assert_eq!(keychain.resolve("q.example", "a").expect("not asked"), None);
    }
}

#[test]
fn files_are_remembered_and_missing_ones_skipped() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    std::fs::write(&path, r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#).expect("written");
    let file = |path: PathBuf| CredentialSource {
        name: path.display().to_string(),
        location: CredentialLocation::File(path),
    };
    let keychain = keychain(vec![
        file(directory.path().join("nothing")),
        file(path.join("below-a-file")),
        file(path.clone()),
    ])
    .expect("right");
    assert_eq!(keychain.files(), std::slice::from_ref(&path));
    std::fs::remove_file(&path).expect("removed");
    let found = keychain.resolve("r.example", "a").expect("right").expect("there");
    assert_eq!(found.source, path.display().to_string());
}

/// Writes a helper program; its name for `credHelpers` is the path without the prefix, which a
/// test cannot use: so helpers are asked for by full path here.
fn helper(directory: &std::path::Path, script: &str) -> String {
    let path = directory.join("docker-credential-test");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path.display().to_string()
}

fn ask(script: &str, limit: Duration) -> Result<Option<Secret>, KeychainError> {
    let directory = tempfile::tempdir().expect("a directory");
    let program = helper(directory.path(), script);
    loop {
        // Another test's fork may still hold the script open for writing.
        match program::ask("config.json", &program, "r.example", &[], limit) {
            Err(KeychainError::HelperIo { source, .. })
                if source.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            answer => return answer,
        }
    }
}

#[test]
fn helpers_answer() {
    let limit = Duration::from_secs(30);
    let right = r#"read s; echo "{\"ServerURL\":\"$s\",\"Username\":\"u-$1\",\"Secret\":\"p-$s\"}""#;
    assert_eq!(ask(right, limit).expect("right"), Some(basic("u-get", "p-r.example")));
    let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
    assert_eq!(ask(token, limit).expect("right"), Some(Secret::Identity("t".into())));
    let nothing = "echo 'credentials not found in native keychain'; exit 1";
    assert_eq!(ask(nothing, limit).expect("anonymous"), None);
    assert_eq!(ask(r#"echo '{"Username":"","Secret":""}'"#, limit).expect("anonymous"), None);

    let failed = ask("echo 'no session\\033[31m' >&2; exit 3", limit).expect_err("failed");
    let text = failed.to_string();
    assert!(text.contains("no session") && text.contains("exit status: 3"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let text = ask(r#"echo '{"Secret":"s3cret"}'; exit 1"#, limit).expect_err("failed").to_string();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(matches!(ask("echo s3cret", limit), Err(KeychainError::HelperAnswer { .. })));
}

#[test]
fn a_helper_that_hangs_is_ended() {
    let start = Instant::now();
    let ended = ask("exec sleep 60", Duration::from_millis(200));
    assert!(matches!(ended, Err(KeychainError::HelperTimeout { .. })), "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_missing_helper_is_named() {
    for config in
        [r#"{"credsStore":"yadokari-test-none"}"#, r#"{"credHelpers":{"r.example":"yadokari-test-none"}}"#]
    {
        let keychain = keychain(vec![inline(config)]).expect("right");
        let text = keychain.resolve("r.example", "a").expect_err("missing").to_string();
        assert!(text.contains("'docker-credential-yadokari-test-none'"), "{text}");
        assert!(text.contains("DOCKER_AUTH_CONFIG") && text.contains("r.example"), "{text}");
    }
    let outside = keychain(vec![inline(r#"{"credsStore":"../../bin/sh"}"#)]).expect("right");
    assert!(matches!(outside.resolve("r.example", "a"), Err(KeychainError::HelperName { .. })));
}

#[test]
fn which_place_in_a_file_is_asked() {
    let file = |text: &str| ConfigFile::parse("f", text.as_bytes()).expect("right");
    let both = file(
        r#"{"auths":{"a.example":{"auth":"dTpw"},"b.example":{}},"credsStore":"store",
            "credHelpers":{"c.example":"special","docker.io":"hub"}}"#,
    );
    let asked = |registry: &str| match both.find("f", registry, "x/y").expect("right") {
        Found::Secret(_) => "auths".to_owned(),
        Found::Helper { program, server, specific } => format!("{program} {server} {specific}"),
        Found::Nothing => "nothing".to_owned(),
    };
    assert_eq!(asked("a.example"), "auths");
    assert_eq!(asked("b.example"), "docker-credential-store b.example false");
    assert_eq!(asked("c.example"), "docker-credential-special c.example true");
    assert_eq!(asked("docker.io"), "docker-credential-hub https://index.docker.io/v1/ true");
}

#[test]
fn a_sealed_keychain_runs_no_program() {
    let keychain = keychain(vec![inline(
        r#"{"auths":{"a.example":{"auth":"dTpw"}},"credsStore":"yadokari-test-none"}"#,
    )])
    .expect("right");
    keychain.seal();
    assert!(keychain.resolve("a.example", "x").expect("from memory").is_some());
    assert!(matches!(keychain.resolve("r.example", "x"), Err(KeychainError::Sealed { .. })));
}

#[test]
fn what_was_asked_before_is_known() {
    let keychain = keychain(vec![inline(r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#)]).expect("right");
    assert_eq!(keychain.known("r.example", "a"), None);
    keychain.resolve("r.example", "a").expect("right");
    keychain.resolve("other.example", "a").expect("right");
    let secret = keychain.known("r.example", "a").map(|known| known.map(|c| c.secret));
    assert_eq!(secret, Some(Some(basic("u", "p"))));
    assert_eq!(keychain.known("other.example", "a"), Some(None));
    assert_eq!(keychain.known("r.example", "b"), None);
}
