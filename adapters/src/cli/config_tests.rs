use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use yadokari::config::{ContextSource, NamedContext};

use super::*;
use crate::cli::flags::ProgressFlag;
use crate::cli::log::{Format, Level};
use crate::front;

/// A job in an environment, with what every job needs.
fn job_in(env: &[(&str, &str)], args: &[&str]) -> Result<Job, String> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    let flags = front::flags(&args)?;
    job(&flags, &Env::of(env)).map_err(|e| e.to_string())
}

fn config_of(args: &[&str]) -> BuildConfig {
    let mut all = vec!["--no-push"];
    all.extend(args);
    job_in(&[], &all).unwrap().config
}

fn refused(args: &[&str]) -> String {
    let mut all = vec!["--no-push"];
    all.extend(args);
    job_in(&[], &all).expect_err("accepted")
}

fn strings(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().filter_map(|p| p.to_str()).collect()
}

#[test]
fn defaults_are_kanikos() {
    let config = job_in(&[], &["-d", "h.io/r"]).unwrap().config;
    assert_eq!(config.context, ContextSource::Directory("/workspace/".into()));
    assert_eq!(config.dockerfile, Path::new("Dockerfile"));
    assert_eq!(config.destinations[0].whole(), "h.io/r:latest");
    assert!(config.push);
    assert!(config.build_args.is_empty() && config.labels.is_empty() && config.target.is_none());
    assert_eq!(config.compression, CompressionConfig::default());
    assert_eq!((config.image_format, config.platforms.len(), config.source_date_epoch), (None, 0, None));
    assert_eq!((config.tar_path, config.oci_layout_path, config.jobs), (None, None, None));
    assert_eq!(config.rootfs.isolation, Isolation::Auto);
    assert_eq!(config.rootfs.mount_conflict, MountConflict::Swap);
    assert_eq!(config.rootfs.work_dir, Path::new("/yadokari/work"));
    assert_eq!(config.rootfs.home_dir, Path::new("/yadokari"));
    assert!(!config.rootfs.force && !config.rootfs.require_hidden_credentials);
}

#[test]
fn flags_have_pflags_grammar() {
    for args in [
        ["--destination", "h.io/r:t"].as_slice(),
        &["--destination=h.io/r:t"],
        &["-d", "h.io/r:t"],
        &["-d=h.io/r:t"],
        &["-dh.io/r:t"],
    ] {
        let config = job_in(&[], args).unwrap().config;
        assert_eq!(config.destinations[0].whole(), "h.io/r:t", "{args:?}");
    }
    for (flag, value) in [
        ("--reproducible", true),
        ("--reproducible=true", true),
        ("--reproducible=1", true),
        ("--reproducible=T", true),
        ("--reproducible=false", false),
        ("--reproducible=F", false),
    ] {
        assert_eq!(config_of(&[flag]).reproducible, value, "{flag}");
    }
    assert!(refused(&["--reproducible=yes"]).contains("--reproducible"));
    assert!(refused(&["--reproducible", "true"]).contains("'true'"));
    assert!(!config_of(&["--reproducible", "--reproducible=false"]).reproducible, "the last wins");
    assert_eq!(config_of(&["-f", "a", "-f", "b"]).dockerfile, Path::new("b"), "the last wins");
    assert_eq!(config_of(&["--build-arg", "--x=1"]).build_args, [("--x".to_owned(), "1".to_owned())]);
}

#[test]
fn lists_repeat_and_are_not_split_at_commas() {
    let config = config_of(&["--label=a=1,2", "--label", "b=x", "-d", "h.io/a", "-d", "h.io/b"]);
    assert_eq!(config.labels, [("a".into(), "1,2".into()), ("b".into(), "x".into())]);
    assert_eq!(config.destinations.len(), 2);
    assert!(!config.push);
    assert!(refused(&["-d", "h.io/a,h.io/b"]).contains("h.io/a,h.io/b"));
}

#[test]
fn sources() {
    let config = config_of(&["-c", "dir:///src", "--context-sub-path", "app", "--dockerfile=x/Dockerfile"]);
    assert_eq!(config.context, ContextSource::Directory("/src".into()));
    assert_eq!(config.context_sub_path.as_deref(), Some(Path::new("app")));
    assert_eq!(config.dockerfile, Path::new("x/Dockerfile"));
    let config = config_of(&["--build-context", "base=oci-layout:///l:t"]);
    let layout = NamedContext::OciLayout { path: "/l".into(), tag: Some("t".into()), digest: None };
    assert_eq!(config.build_contexts.get("base"), Some(&layout));
}

#[test]
fn build_args() {
    let env = [("FROM_ENV", "e"), ("EMPTY", "")];
    let args = [
        "--no-push",
        "--build-arg=A=1",
        "--build-arg=B=x=y",
        "--build-arg=C=",
        "--build-arg=FROM_ENV",
        "--build-arg=EMPTY",
        "--build-arg=UNSET",
        "--build-arg=",
    ];
    let config = job_in(&env, &args).unwrap().config;
    let expected = [("A", "1"), ("B", "x=y"), ("C", ""), ("FROM_ENV", "e"), ("EMPTY", ""), ("UNSET", "")];
    assert_eq!(config.build_args, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert!(refused(&["--build-arg=A=1", "--build-arg==1"]).contains("no name"));
}

#[test]
fn target_is_the_one_list_split_at_commas() {
    assert_eq!(config_of(&["--target", "a"]).target.as_deref(), Some("a"));
    assert_eq!(config_of(&["--target="]).target, None);
    assert!(refused(&["--target=a,b"]).contains("a, b"));
    assert!(refused(&["--target=a", "--target=b"]).contains("a, b"));
}

#[test]
fn platform() {
    for flag in ["--custom-platform=linux/arm64", "--customPlatform=linux/arm64"] {
        assert_eq!(
            config_of(&[flag]).platforms.first().map(ToString::to_string).as_deref(),
            Some("linux/arm64")
        );
    }
    assert!(refused(&["--custom-platform=a b"]).contains("a b"));
}

#[test]
fn platforms() {
    let names = |flags: &[&str]| -> Vec<String> {
        config_of(flags).platforms.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&["--platform=linux/arm64,amd64"]), ["linux/arm64", "linux/amd64"]);
    let repeated = ["--platform=linux/arm64", "--platform=linux/amd64, aarch64", "--custom-platform="];
    assert_eq!(names(&repeated), ["linux/arm64", "linux/amd64"]);
    assert_eq!(names(&["--platform=linux/arm64", "--custom-platform=arm64"]), ["linux/arm64"]);
    assert!(names(&["--platform="]).is_empty());
    assert!(refused(&["--platform=amd64", "--custom-platform=arm64"]).contains("contradict"));
    for wrong in ["--platform=amd64,toaster", "--platform=windows/amd64"] {
        assert!(refused(&[wrong]).contains(wrong.rsplit(['=', ',']).next().unwrap()));
    }
}

#[test]
fn by_digest_there_is_no_tag() {
    let names = |flags: &[&str]| -> Vec<String> {
        config_of(flags).destinations.iter().map(yadokari::image::Reference::whole).collect()
    };
    let flags = ["--push-by-digest", "-d=h:5000/r", "-d=h:5000/r:latest"];
    assert!(
        names(&flags).ends_with(&["h:5000/r".to_owned(), "h:5000/r:latest".to_owned()]),
        "{:?}",
        names(&flags)
    );
}

#[test]
fn labels_and_annotations_need_a_key_and_a_value() {
    let annotation = &config_of(&["--annotation", "a=b=c"]).annotations[0];
    assert_eq!((annotation.full_key().as_str(), annotation.value.as_str()), ("manifest:a", "b=c"));
    assert!(refused(&["--label", "a"]).contains("key=value"));
    assert!(refused(&["--annotation", "a"]).contains("key=value"));
}

#[test]
fn pushing() {
    assert!(job_in(&[], &[]).unwrap_err().contains("nowhere to push"));
    assert!(job_in(&[("KANIKO_NO_PUSH", "true")], &[]).is_ok());
    let pushes = |env: &str, flag: &str| {
        job_in(&[("KANIKO_NO_PUSH", env)], &["-d", "h.io/r", flag]).unwrap().config.push
    };
    assert!(!pushes("1", "--no-push=false"));
    assert!(pushes("false", "--no-push"));
    assert!(
        job_in(&[("KANIKO_NO_PUSH", "maybe")], &["-d", "h.io/r"]).unwrap_err().contains("KANIKO_NO_PUSH")
    );
    assert!(refused(&["-d", "https://h.io/r"]).contains("https://h.io/r"));
}

#[test]
fn outputs() {
    for flag in ["--tar-path=/t.tar", "--tarPath=/t.tar"] {
        assert_eq!(config_of(&[flag]).tar_path.as_deref(), Some(Path::new("/t.tar")));
    }
    assert_eq!(config_of(&["--oci-layout-path", "/l"]).oci_layout_path.as_deref(), Some(Path::new("/l")));
    let args = [
        "--no-push",
        "--digest-file=/d",
        "--image-name-with-digest-file=/n",
        "--image-name-tag-with-digest-file=/t",
    ];
    let files = job_in(&[], &args).unwrap().files;
    assert_eq!(
        files,
        ResultFiles {
            digest: Some("/d".into()),
            name: Some("/n".into()),
            name_tag: Some("/t".into()),
            ..ResultFiles::default()
        }
    );
    assert_eq!(job_in(&[], &["--no-push", "--digest-file="]).unwrap().files, ResultFiles::default());
}

#[test]
fn format_and_compression() {
    assert_eq!(config_of(&["--image-format=oci"]).image_format, Some(ImageFormat::Oci));
    assert_eq!(config_of(&["--image-format=docker"]).image_format, Some(ImageFormat::Docker));
    assert!(refused(&["--image-format=x"]).contains("--image-format"));
    let level = |args: &[&str]| config_of(args).compression.level;
    assert_eq!(level(&["--compression-level", "-1"]), None);
    assert_eq!(level(&["--compression-level=0"]), None);
    assert_eq!(level(&["--compression-level=9"]), Some(9));
    assert_eq!(level(&["--compression=zstd", "--compression-level=19"]), Some(19));
    assert!(refused(&["--compression-level=10"]).contains("10"));
    assert!(refused(&["--compression-level=x"]).contains("--compression-level"));
    assert!(refused(&["--compression=xz"]).contains("xz"));
    assert_eq!(config_of(&["--compression=zstd"]).compression.algorithm, Compression::Zstd);
    assert!(config_of(&["--single-member-gzip"]).compression.single_member);
    assert!(refused(&["--compression=zstd", "--image-format=docker"]).contains("no zstd"));
    assert!(refused(&["--compression=zstd", "--tar-path=/t"]).contains("--tar-path"));
}

#[test]
fn layers() {
    let config = config_of(&["--single-snapshot", "--ignore-path=/a", "--ignore-path", "/b", "--jobs=3"]);
    assert!(config.single_snapshot && !config.compat);
    assert!(config_of(&["--compat"]).compat);
    assert_eq!(strings(&config.ignore_paths), ["/a", "/b"]);
    assert_eq!(config.jobs, Some(3));
    assert!(refused(&["--ignore-path=a"]).contains("not absolute"));
    assert_eq!(
        strings(&config_of(&["--ignore-var-run", "--ignore-path=/a"]).ignore_paths),
        ["/a", "/var/run"]
    );
    assert!(config_of(&["--ignore-var-run=false"]).ignore_paths.is_empty());
    let limits = config_of(&["--max-layer-size=200g", "--max-image-entries=10"]);
    assert_eq!((limits.max_layer_size, limits.max_image_entries), (Some(200 << 30), Some(10)));
    assert_eq!((config.max_layer_size, config.max_image_entries), (None, None));
    for wrong in ["--max-layer-size=0", "--max-layer-size=much", "--max-image-entries=-1"] {
        assert!(refused(&[wrong]).contains("limits anything"), "{wrong}");
    }
}

#[test]
fn times() {
    let epoch = |env: &[(&str, &str)], args: &[&str]| {
        let mut all = vec!["--no-push"];
        all.extend(args);
        job_in(env, &all).map(|j| j.config.source_date_epoch)
    };
    assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "12")], &[]), Ok(Some(12)));
    assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "12")], &["--build-arg=SOURCE_DATE_EPOCH=13"]), Ok(Some(13)));
    assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "")], &[]), Ok(None));
    assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "context")], &[]), Ok(None));
    for bad in ["x", "-1", "1.5"] {
        assert!(epoch(&[("SOURCE_DATE_EPOCH", bad)], &[]).is_err(), "{bad}");
    }
}

#[test]
fn registries() {
    let registry = config_of(&[
        "--insecure",
        "--insecure-pull",
        "--insecure-registry=a:5000",
        "--insecure-registry=b:5000",
        "--skip-tls-verify-registry=c",
        "--push-retry=3",
        "--image-download-retry=2",
        "--skip-push-permission-check",
    ])
    .registry;
    assert!(registry.insecure && registry.insecure_pull && registry.skip_push_permission_check);
    assert_eq!(registry.insecure_registries, ["a:5000", "b:5000"]);
    assert_eq!(registry.skip_tls_verify_registries, ["c"]);
    assert_eq!((registry.push_retry, registry.download_retry), (3, 2));
    assert!(!registry.skip_tls_verify && !registry.skip_tls_verify_pull);
    let pull = config_of(&["--skip-tls-verify-pull"]).registry;
    assert!(pull.skip_tls_verify_pull && !pull.skip_tls_verify);
    let both = config_of(&["--skip-tls-verify"]).registry;
    assert!(both.skip_tls_verify && both.skip_tls_verify_pull);
    assert_eq!(config_of(&["--push-retry=-1"]).registry.push_retry, 0);
}

#[test]
fn isolation() {
    assert_eq!(config_of(&["--isolation=overlay"]).rootfs.isolation, Isolation::Overlay);
    assert_eq!(config_of(&["--isolation", "inplace"]).rootfs.isolation, Isolation::Inplace);
    assert_eq!(config_of(&["--isolation=chroot"]).rootfs.isolation, Isolation::Chroot);
    assert!(refused(&["--isolation=rootless"]).contains("overlay"));
    assert_eq!(config_of(&["--mount-conflict=error"]).rootfs.mount_conflict, MountConflict::Error);
    let rootfs = config_of(&["--force", "--require-hidden-credentials", "--work-dir=/w"]).rootfs;
    assert!(rootfs.force && rootfs.require_hidden_credentials);
    assert_eq!(rootfs.work_dir, Path::new("/w"));
}

#[test]
fn kanikos_directory_holds_the_work() {
    let work_dir = |env: &[(&str, &str)], args: &[&str]| {
        let mut all = vec!["--no-push"];
        all.extend(args);
        job_in(env, &all).unwrap().config.rootfs.work_dir
    };
    assert_eq!(work_dir(&[("KANIKO_DIR", "/k")], &[]), Path::new("/k/work"));
    assert_eq!(work_dir(&[("KANIKO_DIR", "/k")], &["--kaniko-dir=/l"]), Path::new("/l/work"));
    assert_eq!(work_dir(&[("KANIKO_DIR", "/k")], &["--work-dir=/w"]), Path::new("/w"));
}

#[test]
fn log() {
    let options = |args: &[&str]| job_in(&[], &[&["--no-push"], args].concat()).map(|j| j.log);
    let defaults = options(&[]).unwrap();
    assert_eq!((defaults.level, defaults.format, defaults.timestamp), (Level::Info, Format::Auto, false));
    for (text, level) in [
        ("trace", Level::Debug),
        ("debug", Level::Debug),
        ("warn", Level::Warning),
        ("error", Level::Error),
        ("fatal", Level::Error),
        ("panic", Level::Error),
    ] {
        assert_eq!(options(&["-v", text]).unwrap().level, level);
    }
    assert_eq!(options(&["--log-format=json"]).unwrap().format, Format::Json);
    assert_eq!(options(&["--log-format=color", "--log-timestamp"]).unwrap().format, Format::Color);
    assert_eq!(options(&["--progress=plain"]).unwrap().progress, ProgressFlag::Plain);
    assert!(options(&["-v", "loud"]).is_err() && options(&["--log-format=xml"]).is_err());
}

#[test]
fn what_tunes_kanikos_insides_is_accepted() {
    for flag in [
        "--snapshot-mode=redo",
        "--snapshotMode=time",
        "--image-fs-extract-retry=3",
        "--compressed-caching=false",
        "--materialize",
        "--pre-cleanup",
        "--cleanup",
        "--preserve-context",
        "--ignore-var-run=false",
        "--whitelist-var-run",
        "--use-new-run",
        "--force-build-metadata",
        "--skip-unused-stages",
        "--skip-default-registry-fallback",
        "--cache=false",
        "--cache-run-layers",
        "--no-push-cache",
        "--credential-helpers=",
        "--credential-helpers=gitlab",
    ] {
        let job = job_in(&[("FF_KANIKO_COPY_AS_ROOT", "1")], &["--no-push", flag]).expect(flag);
        assert_eq!(job.warnings, Vec::<String>::new(), "{flag}");
    }
}

#[test]
fn what_would_change_the_result_is_refused_with_a_way_out() {
    for flag in [
        "--git=branch=main",
        "--git=nonsense=1",
        "--dryrun",
        "--credential-helpers=nobody",
        "--digest-file=https://h/d",
    ] {
        let flags = front::flags(&["--no-push".to_owned(), flag.to_owned()]).expect(flag);
        let error = job(&flags, &Env::of(&[])).expect_err(flag);
        assert!(error.help.is_some(), "{flag}");
    }
    for flag in [
        "--push-ignore-immutable-tag-errors=false",
        "--registry-mirror=",
        "--bucket=b",
        "-b=b",
        "--credential-helpers=ecr",
        "--context=gs://b/k",
        "--context=s3://b/k",
        "--dockerfile=https://h/Dockerfile",
    ] {
        assert!(job_in(&[], &["--no-push", flag]).is_ok(), "{flag}");
    }
}

#[test]
fn gitlab_is_a_source_of_credentials_unless_it_is_not_wanted() {
    let env = [("CI_REGISTRY", "r.io"), ("CI_REGISTRY_USER", "u"), ("CI_REGISTRY_PASSWORD", "p")];
    let has = |args: &[&str]| {
        let job = job_in(&env, &[&["--no-push"], args].concat()).unwrap();
        job.config.keychain.sources.iter().any(|s| s.name == "CI_REGISTRY_USER")
    };
    assert!(has(&[]) && has(&["--credential-helpers=gitlab"]));
    assert!(!has(&["--credential-helpers="]));
}
