//! Files with credentials, in every place where one is looked for.

use std::path::Path;

use yadokari_e2e::{Registry, scratch};

use super::{build, pushed, refused};

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(path, text).expect("written");
}

#[test]
fn each_file_is_found_and_the_first_one_wins() {
    let registry = Registry::with_password();
    let secret = "correct horse battery staple";
    let (right, wrong) = (registry.docker_config(), registry.docker_config_for("builder:wrong-password"));
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    // In their order.
    let places = [
        ("DOCKER_CONFIG", at("docker"), at("docker/config.json")),
        ("REGISTRY_AUTH_FILE", at("file.json"), at("file.json")),
        ("XDG_RUNTIME_DIR", at("run"), at("run/containers/auth.json")),
        ("XDG_CONFIG_HOME", at("config"), at("config/containers/auth.json")),
    ];
    let plain = || build(&registry.host()).flag(&format!("--insecure-registry={}", registry.host()));
    for (place, (variable, value, file)) in places.iter().enumerate() {
        write(file, &right);
        let mut with = plain().env(variable, &value.display().to_string());
        // Those after it are not asked.
        for (variable, value, file) in &places[place + 1..] {
            write(file, &wrong);
            with = with.env(variable, &value.display().to_string());
        }
        let said = pushed(&with, &registry, &[secret, "wrong-password"]);
        assert!(said.contains(&file.display().to_string()), "{variable}: {said}");
    }
    // What is in a variable itself wins over all files.
    let file = at("file.json").display().to_string();
    write(&at("file.json"), &wrong);
    let with = plain().env("REGISTRY_AUTH_FILE", &file);
    let said = refused(&with, &["wrong-password"]);
    assert!(said.contains(&format!("credentials from {file}")), "{said}");
    pushed(&with.env("DOCKER_AUTH_CONFIG", &right), &registry, &[secret, "wrong-password"]);
}
