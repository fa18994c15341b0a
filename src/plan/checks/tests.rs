use std::collections::BTreeMap;

use super::*;
use crate::dockerfile::checks::Options;
use crate::dockerfile::parse;
use crate::plan::{Arguments, BaseImage, Bases, faults};

/// A check to run.
#[derive(Clone, Copy)]
struct Given<'a> {
    text: &'a str,
    args: &'a [(&'a str, &'a str)],
    target: Option<&'a str>,
    all_stages: bool,
    ignore: &'a str,
    /// The name of a build context that is the image `java`.
    context: &'a str,
}

fn given(text: &str) -> Given<'_> {
    Given { text, args: &[], target: None, all_stages: true, ignore: "", context: "none" }
}

/// The images there are: `java` with a variable, `shell` with a SHELL, `arm` for another
/// platform, `trigger` with triggers; of `unknown` nothing is known.
fn base(image: &FromImage, platform: &Platform) -> Option<ImageConfig> {
    let name = image.to_string();
    let mut config = ImageConfig::default();
    config.set_platform(platform);
    config.rootfs.diff_ids = vec![format!("sha256:{}", "0".repeat(64)).parse().unwrap()];
    let parts = &mut config.config;
    if name.contains("unknown") {
        return None;
    } else if name.contains("java") {
        parts.env = vec!["JAVA_HOME=/java".to_owned(), "PATH=/bin".to_owned()];
    } else if name.contains("shell") {
        parts.shell = Some(vec!["/bin/bash".to_owned()]);
    } else if name.contains("trigger") {
        parts.on_build =
            vec!["ARG FROM_TRIGGER".to_owned(), "COPY $missing /x".to_owned(), "CMD x".to_owned()];
    } else if name.contains("arm") {
        config.architecture = "arm64".to_owned();
    }
    Some(config)
}

struct Images;

impl Bases for Images {
    type Error = std::convert::Infallible;

    fn image(&mut self, image: &FromImage, platform: &Platform) -> Result<BaseImage, Self::Error> {
        Ok(BaseImage { config: base(image, platform).unwrap_or_default() })
    }
}

fn run(given: Given<'_>) -> (Linter, Limits) {
    let dockerfile = parse(&Source::new("Dockerfile", given.text)).unwrap_or_else(|e| panic!("{}", e[0]));
    let args: Vec<_> = given.args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let platform: Platform = "linux/amd64".parse().unwrap();
    let java = NamedContext::Image("java".parse().unwrap());
    let inputs = Inputs {
        dockerfile: &dockerfile,
        arguments: &Arguments::new(&args, &platform),
        target: given.target,
        contexts: &BTreeMap::from([(given.context.to_owned(), java)]),
        platform_given: false,
    };
    let matcher = IgnoreMatcher::parse(given.ignore).unwrap();
    let ignore = Some(Ignore { file: Path::new(".dockerignore"), matcher: &matcher });
    let mut linter = Linter::new(Options::default());
    let survey = Survey { inputs: &inputs, all_stages: given.all_stages, ignore };
    let wrong = faults(&inputs, &mut Images);
    let wrong = wrong.first().filter(|_| given.all_stages);
    let limits = survey.run(&mut base, wrong, &mut linter);
    (linter, limits)
}

/// What is found: rule and lines, in order; and where it ended.
fn found(given: Given<'_>) -> Vec<(&'static str, usize, usize)> {
    let (linter, limits) = run(given);
    let mut found: Vec<_> =
        linter.findings.iter().map(|f| (f.rule.id, f.line_range().0, f.line_range().1)).collect();
    if let Some(error) = limits.error {
        let (source, span) = error.in_file();
        let line = source.line(span.start);
        found.push(("error", line, line));
    }
    found
}

/// Each case: a Dockerfile, and what is found in it.
macro_rules! cases {
    ($($name:ident: [$($given:expr => [$($finding:expr),*];)*])*) => {$(
        #[test]
        fn $name() {
            $(assert_eq!(
                found($given),
                [$($finding),*] as [(&str, usize, usize); _],
                "{:?}", $given.text
            );)*
        }
    )*};
}

const NO_ARGS: &[(&str, &str)] = &[];

cases! {
    from_uses_declared_arguments: [
        given("ARG base=scratch\nFROM $base\n") => [];
        given("FROM --platform=$BUILDPLATFORM scratch\n") => [];
        given("ARG D\nFROM scratch${D}\nFROM scra${D:-tch}\nFROM scratch${D-}\n") => [];
        given("FROM --platform=$BULIDPLATFORM scratch\n") => [("UndefinedArgInFrom", 1, 1), ("error", 1, 1)];
        given("FROM b:\nFROM a$x\nENV A=$B\n") =>
            [("InvalidDefaultArgInFrom", 1, 1), ("UndefinedArgInFrom", 2, 2), ("error", 1, 1)];
        given("ARG tag=1\nFROM b:${tag}${version} AS c\n") => [("UndefinedArgInFrom", 2, 2)];
        given("FROM a${x}${x}$y\nARG x=1\n") => [("UndefinedArgInFrom", 1, 1), ("UndefinedArgInFrom", 1, 1)];
        given("FROM a\n# check=skip=UndefinedArgInFrom\nFROM a$x\n") => [];
        given("FROM $x\n") =>
            [("InvalidDefaultArgInFrom", 1, 1), ("UndefinedArgInFrom", 1, 1), ("error", 1, 1)];
    ]
    nothing_is_found_after_what_is_wrong: [
        given("FROM a\nSTOPSIGNAL $S\nWORKDIR x\n") => [("UndefinedVar", 2, 2), ("error", 2, 2)];
        given("FROM a\nCOPY --chmod=99 x$Y /\nWORKDIR x\n") => [("UndefinedVar", 2, 2), ("error", 2, 2)];
        given("FROM a\nEXPOSE 1:1 a\"\nWORKDIR x\n") => [("error", 2, 2)];
        given("FROM a AS b\nVOLUME $V\nFROM c\nWORKDIR x\n") => [("UndefinedVar", 2, 2), ("error", 2, 2)];
        given("FROM a\nWORKDIR x\nCOPY --from=1 a b\n") => [("error", 3, 3)];
        given("FROM a AS b\nCOPY --from=c /x /y\nFROM b AS c\nCOPY --from=b /x /y\nWORKDIR x\n") => [("error", 2, 2)];
        given("FROM a\nWORKDIR x\nFROM --platform=x/y/z/v a\n") => [("error", 3, 3)];
        given("FROM a AS b\nONBUILD STOPSIGNAL x\nONBUILD WORKDIR x\nFROM b\nENV a=$B\n") => [("error", 4, 4)];
        given("FROM a AS b\nONBUILD COPY x\nWORKDIR x\nFROM b\n") => [("error", 4, 4)];
        given("FROM a AS b\nONBUILD COPY x\nFROM b AS c\nFROM a\nWORKDIR x\n") => [("WorkdirRelativePath", 5, 5)];
    ]
    defaults_name_images: [
        Given { args: &[("V", "1")], ..given("ARG V\nFROM a:$V\n") } => [("InvalidDefaultArgInFrom", 2, 2)];
        Given { args: &[("I", "a:1")], ..given("ARG I\nFROM $I\nFROM a\n") } => [("InvalidDefaultArgInFrom", 2, 2)];
        Given { args: &[("S", "b:1")], ..given("ARG S=\"b:\"\nFROM a${S}\n") } => [("InvalidDefaultArgInFrom", 2, 2)];
        Given { args: &[("V", "1")], ..given("ARG V=latest\nFROM a:$V\n") } => [];
        Given { args: &[("V", "-x")], ..given("ARG V\nFROM a:stable$V\n") } => [];
    ]
    platforms_vary: [
        given("FROM --platform=$TARGETPLATFORM a\n") => [("RedundantTargetPlatform", 1, 1)];
        given("FROM --platform=${TARGETPLATFORM} a\n") => [("RedundantTargetPlatform", 1, 1)];
        given("FROM --platform=${TARGETPLATFORM}/v2 a\n") => [];
        given("FROM --platform=${TARGETPLATFORM:-x} a\n") => [("RedundantTargetPlatform", 1, 1)];
        given("FROM --platform=linux/amd64 scratch\n") => [("FromPlatformFlagConstDisallowed", 1, 1)];
        given("FROM --platform=linux/amd64 a AS my_amd64_stage\n") => [];
        given("FROM --platform=linux/amd64 a AS linux\n") => [];
        given("ARG P=linux/amd64\nFROM --platform=$P a\n") => [];
    ]
    bases_have_their_platform: [
        given("FROM arm\n") => [("InvalidBaseImagePlatform", 1, 1)];
        given("FROM a\n") => [];
        Given { all_stages: false, ..given("FROM arm AS x\nFROM a\n") } => [];
        given("FROM arm AS x\nFROM a\n") => [("InvalidBaseImagePlatform", 1, 1)];
        given("FROM --platform=linux/arm64 arm AS arm64\n") => [];
        given("FROM a\nCOPY --from=arm \\\n /x /y\nRUN --mount=from=arm,target=/x y\n") =>
            [("InvalidBaseImagePlatform", 2, 3), ("InvalidBaseImagePlatform", 4, 4)];
        given("FROM a AS arm\nFROM a\nCOPY --from=arm /x /y\nCOPY --from=a /x /y\nCOPY --from=unknown /x /y\n") => [];
        given("FROM a AS b\nONBUILD COPY --from=arm /x /y\nFROM b\n") => [("InvalidBaseImagePlatform", 3, 3)];
    ]
    variables_are_defined: [
        given("FROM a\nARG foo\nCOPY x${foo} .\n") => [];
        given("FROM a AS b\nARG foo=x\nFROM b\nCOPY $foo .\n") => [];
        given("FROM a\nRUN echo $foo\n") => [];
        given("FROM a\nCOPY $foo .\nARG foo=bar\n") => [("UndefinedVar", 2, 2)];
        given("FROM a\nENV PATH=$PAHT:/bin\n") => [("UndefinedVar", 2, 2)];
        given("FROM a\nENV A=1 B=$A\n") => [("UndefinedVar", 2, 2)];
        given("FROM a\nARG A=1 B=$A C=$D\n") => [("UndefinedVar", 2, 2)];
        Given { args: &[("C", "1")], ..given("FROM a\nARG C=$D\n") } => [];
        given("FROM a\nLABEL $a=${b:-c}\n") => [("UndefinedVar", 2, 2), ("UndefinedVar", 2, 2)];
        given("FROM a\nCOPY $x$x $x /y\n") => [("UndefinedVar", 2, 2), ("UndefinedVar", 2, 2)];
        given("FROM a\nCOPY --chown=$u --chmod=$m \\\n a b\n") => [("UndefinedVar", 2, 3), ("UndefinedVar", 2, 3)];
        given("FROM a\nCOPY <<E /x\n$a\nE\nCOPY <<'E' /x\n$b\nE\n") => [("UndefinedVar", 2, 4)];
        given("FROM a\nRUN --mount=type=secret,id=x$a,env=$b true\n") => [("UndefinedVar", 2, 2), ("UndefinedVar", 2, 2)];
        given("FROM a\nUSER $a\nWORKDIR /$b\nVOLUME /$c\nSTOPSIGNAL 9$d\n") =>
            [("UndefinedVar", 2, 2), ("UndefinedVar", 3, 3), ("UndefinedVar", 4, 4), ("UndefinedVar", 5, 5)];
        given("FROM a\nEXPOSE 80$a\nCMD [\"$b\"]\nHEALTHCHECK CMD $c\n") => [];
        given("FROM java\nENV X=$JAVA_HOME\n") => [];
        Given { context: "java", ..given("FROM arm AS java\nENV X=$JAVA_HOME Y=$Z\n") } => [("UndefinedVar", 2, 2)];
        Given { context: "java", all_stages: false, ..given("FROM arm AS java\nENV X=$Y\n") } => [];
        Given { context: "java", all_stages: false, ..given("FROM arm AS java\nENV X=$Y\nFROM a\nCOPY --from=0 /x /y\n") } => [];
        given("FROM a\nENV X=$JAVA_HOME Y=$PATH\n") => [("UndefinedVar", 2, 2)];
        given("FROM unknown AS u\nENV X=$JAVA_HOME\nFROM u\nENV X=$Y\nFROM scratch\nENV X=$Y\n") => [("UndefinedVar", 6, 6)];
        given("ARG G=1\nFROM a\nENV X=$G\n") => [("UndefinedVar", 3, 3)];
        given("FROM a\nENV X=$TARGETARCH\nARG TARGETARCH\nENV X=$TARGETARCH\n") => [("UndefinedVar", 2, 2)];
        given("FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE\nLABEL a=$BUILDKIT_SBOM_SCAN_CONTEXT\n") => [];
        given("FROM a\nENV X=${Y?no}\nENV Z=$Z\n") => [("UndefinedVar", 2, 2), ("error", 2, 2)];
        given("FROM a AS one\nCOPY $foo .\nFROM a\nCOPY $bar .\n") => [("UndefinedVar", 2, 2), ("UndefinedVar", 4, 4)];
        Given { all_stages: false, ..given("FROM a AS one\nCOPY $foo .\nFROM a\nCOPY $bar .\n") } => [("UndefinedVar", 4, 4)];
        Given { target: Some("one"), all_stages: false, ..given("FROM a AS one\nCOPY $foo .\nFROM a\nCOPY $bar .\n") } =>
            [("UndefinedVar", 2, 2)];
    ]
    only_the_last_counts: [
        given("FROM a\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\nCMD [\"a\"]\nCMD [\"b\"]\nHEALTHCHECK CMD a\nHEALTHCHECK NONE\n") =>
            [("MultipleInstructionsDisallowed", 2, 2), ("MultipleInstructionsDisallowed", 4, 4),
             ("MultipleInstructionsDisallowed", 6, 6)];
        given("FROM a\nCMD [\"a\"]\nRUN x\nCMD [\"b\"]\nCMD [\"c\"]\n") =>
            [("MultipleInstructionsDisallowed", 2, 2), ("MultipleInstructionsDisallowed", 4, 4)];
        given("FROM a AS b\nCMD [\"a\"]\nFROM b\nCMD [\"b\"]\n") => [];
        given("FROM a\nCMD [\"a\"]\n# check=skip=MultipleInstructionsDisallowed\nCMD [\"b\"]\n") => [];
        given("FROM a\nCMD [\"a\",\\\n\"b\"]\nCMD [\"b\"]\n") => [("MultipleInstructionsDisallowed", 2, 3)];
    ]
    commands_are_arrays: [
        given("FROM a\nCMD x y\n") => [("JSONArgsRecommended", 2, 2)];
        given("FROM a\nENTRYPOINT x\n") => [("JSONArgsRecommended", 2, 2)];
        given("FROM a\nCMD [\"x\"]\nENTRYPOINT []\n") => [];
        given("FROM a\nSHELL [\"/b\"]\nCMD x\n") => [];
        given("FROM a AS b\nSHELL [\"/b\"]\nFROM b\nENTRYPOINT x\n") => [];
        given("FROM shell\nCMD x\n") => [];
        given("FROM a\nHEALTHCHECK CMD x\n") => [];
    ]
    working_directories_are_absolute: [
        given("FROM a\nWORKDIR app/\nWORKDIR x\n") => [("WorkdirRelativePath", 2, 2)];
        given("FROM a AS b\nWORKDIR /a\nFROM b\nWORKDIR x\n") => [];
        given("FROM a\nENV W=/w\nWORKDIR $W/x\n") => [];
        given("FROM a AS b\nWORKDIR x\nFROM b\nWORKDIR y\n") => [("WorkdirRelativePath", 2, 2)];
    ]
    pairs_have_an_equals_sign: [
        given("FROM a\nENV k v w\nLABEL k v\nENV a=b\n") => [("LegacyKeyValueFormat", 2, 2), ("LegacyKeyValueFormat", 3, 3)];
        Given { all_stages: false, ..given("FROM a AS b\nENV k v\nFROM a\n") } => [];
    ]
    secrets_are_no_variables: [
        given("FROM a\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar secret=baz\n") =>
            [("SecretsUsedInArgOrEnv", 2, 2), ("SecretsUsedInArgOrEnv", 3, 3),
             ("SecretsUsedInArgOrEnv", 4, 4), ("SecretsUsedInArgOrEnv", 4, 4)];
        given("FROM a\nARG super_duper_secret_token=foo auth=bar\nENV apikey=bar sunflower=foo\nENV git_key=\n") =>
            [("SecretsUsedInArgOrEnv", 2, 2), ("SecretsUsedInArgOrEnv", 2, 2),
             ("SecretsUsedInArgOrEnv", 3, 3), ("SecretsUsedInArgOrEnv", 4, 4)];
        given("FROM a\nENV PUBLIC_KEY= KEY_FILE=x TOKEN_VERSION=1 MONKEY=x\nARG public_token tokens\n") => [];
        given("ARG TOKEN\nFROM a\n") => [];
        given("FROM a\nENV TOKEN x\n") => [("LegacyKeyValueFormat", 2, 2), ("SecretsUsedInArgOrEnv", 2, 2)];
        given("FROM a\n# check=skip=SecretsUsedInArgOrEnv\nARG TOKEN\n") => [];
    ]
    ports_are_plain: [
        given("FROM a\nEXPOSE 80/TCP 81/udp 82/Udp\n") => [("ExposeProtoCasing", 2, 2), ("ExposeProtoCasing", 2, 2)];
        given("FROM a\nEXPOSE 80:80\nEXPOSE 127.0.0.1::81\nEXPOSE [::1]:8080:80/TCP\n") =>
            [("ExposeInvalidFormat", 2, 2), ("ExposeInvalidFormat", 3, 3),
             ("ExposeProtoCasing", 4, 4), ("ExposeInvalidFormat", 4, 4)];
        given("FROM a\nEXPOSE 80/TCPX\nEXPOSE 80/TCP\n") => [("error", 2, 2)];
        given("FROM a\nEXPOSE x:80\n") => [("ExposeInvalidFormat", 2, 2), ("error", 2, 2)];
        given("FROM a\nARG P=\"80/TCP 81\"\nEXPOSE $P\n") => [("ExposeProtoCasing", 3, 3)];
    ]
    ignored_files_are_not_copied: [
        Given { ignore: "Dockerfile\n", ..given("FROM a AS b\nCOPY Dockerfile .\nADD ./Dockerfile /x\nFROM a\nCOPY --from=b Dockerfile /\n") } =>
            [("CopyIgnoredFile", 2, 2), ("CopyIgnoredFile", 3, 3)];
        Given { ignore: "# c\n*/tmp/*\n", ..given("FROM a\nCOPY ./a/tmp/b c/d /x/\n") } => [("CopyIgnoredFile", 2, 2)];
        Given { ignore: "a\n!b\n", ..given("FROM a\nCOPY a /x\n") } => [];
        Given { ignore: "dir\n", ..given("FROM a\nCOPY dir/deep/file /x\nCOPY /dir /x\n") } => [("CopyIgnoredFile", 2, 2)];
        Given { ignore: ".*\n", ..given("FROM a\nCOPY . /x\nCOPY / /x\n") } => [];
        Given { ignore: "*\n", ..given("FROM a\nCOPY . /x\nCOPY / /x\nCOPY ./ /x\n") } =>
            [("CopyIgnoredFile", 2, 2), ("CopyIgnoredFile", 3, 3), ("CopyIgnoredFile", 4, 4)];
        Given { ignore: "x*\n", ..given("FROM a\nADD https://x/x /x\nADD git@x:x.git /x\nCOPY <<x /y\nx\n") } => [];
    ]
    triggers_are_looked_at_where_they_run: [
        given("FROM a AS b\nONBUILD ENV k v\nFROM b\nFROM b\n") => [("LegacyKeyValueFormat", 4, 4)];
        given("FROM a AS b\nONBUILD COPY --from=c $x /\nFROM a AS c\nENV k v\nFROM \\\n b\n") =>
            [("LegacyKeyValueFormat", 4, 4), ("UndefinedVar", 5, 6)];
        given("FROM trigger\nCMD [\"y\"]\n") =>
            [("UndefinedVar", 1, 1), ("JSONArgsRecommended", 1, 1), ("MultipleInstructionsDisallowed", 1, 1)];
        Given { args: &[("FROM_TRIGGER", "1")], ..given("FROM trigger\n# check=skip=all\nCMD [\"y\"]\n") } =>
            [("UndefinedVar", 1, 1), ("JSONArgsRecommended", 1, 1)];
    ]
    stages_are_spelt: [
        given("FROM a AS build\nFROM a\nCOPY --from=biuld /x /y\n") => [("MisspeltStage", 3, 3)];
        given("FROM a AS build\nFROM a\nRUN --mount=from=buidl,target=/x y\n") => [("MisspeltStage", 3, 3)];
        given("FROM a AS build\nFROM a\nCOPY --from=build /x /y\nCOPY --from=BUILD /x /y\nCOPY --from=0 /x /y\n") => [];
        given("FROM a AS nginx1\nFROM a\nCOPY --from=nginx /x /y\nCOPY --from=ngnix:1 /x /y\n") => [];
    ]
    build_arguments_are_used: [
        Given { args: &[("A", "1"), ("A", "2"), ("HTTP_PROXY", "x"), ("TARGETARCH", "x"), ("BUILDKIT_SYNTAX", "x")],
            ..given("FROM a\nRUN x\n") } => [("UnusedBuildArg", 1, 1)];
        Given { args: &[("A", "1")], ..given("FROM a\nARG A\n") } => [];
        Given { args: &[("A", "1")], ..given("ARG A\nFROM b:x$A\n") } => [];
        Given { args: &[("A", "1")], ..given("ARG A\nARG B=$A\nARG C=$B\nFROM b:x$C\n") } => [];
        Given { args: &[("A", "1")], ..given("\nARG A=2\nFROM b\nRUN echo $A\n") } => [("UnusedBuildArg", 2, 2)];
        Given { args: &[("A", "1")], all_stages: false, ..given("FROM a AS b\nARG A\nFROM a\nRUN x\n") } =>
            [("UnusedBuildArg", 1, 1)];
        Given { args: &[("A", "1")], ..given("FROM a AS b\nARG A\nFROM a\nRUN x\n") } => [];
        Given { args: NO_ARGS, ..given("FROM a\n") } => [];
    ]
}

#[test]
fn what_is_found_is_underlined_and_has_a_way_out() {
    for (given, words, help) in [
        (given("FROM a\nENV PATH=${PAHT}:x\n"), "${PAHT}", "did you mean `PATH`?"),
        (given("FROM a\nARG Name=1\nLABEL a=$nam$NAME\n"), "$nam", "did you mean `Name`?"),
        (given("ARG G=1\nFROM a\nENV X=a$G\n"), "$G", "write `ARG G` above, in this stage"),
        (given("FROM a\nLABEL x=\"a $b c\"\n"), "$b", "define it above"),
        (given("ARG VERSION=1\nFROM a:x$VERISON\n"), "$VERISON", "did you mean `VERSION`?"),
        (given("FROM a\nCMD x \"y\"\n"), "CMD x \"y\"", "write a JSON array"),
        (given("FROM a\nCMD x y\n"), "CMD x y", "write `CMD [\"x\", \"y\"]`"),
        (given("FROM a\nENV a b c\n"), "ENV a b c", "write `ENV a=\"b c\"`"),
        (given("FROM a\nEXPOSE 80/TCP\n"), "80/TCP", "write `80/tcp`"),
        (given("FROM a\nARG MY_TOKEN\n"), "MY_TOKEN", "--mount=type=secret"),
        (Given { ignore: "\n/x\n", ..given("FROM a\nCOPY x /\n") }, "x", "add `!x` below it"),
    ] {
        let (linter, _) = run(given);
        let diagnostic = &linter.findings[0].diagnostic;
        assert_eq!(diagnostic.source.slice(diagnostic.span), words, "{:?}", given.text);
        assert!(diagnostic.help.as_ref().unwrap().contains(help), "{diagnostic:?}");
    }
    let (linter, _) = run(Given { ignore: "\n/x\n", ..given("FROM a\nCOPY x /\n") });
    assert!(linter.findings[0].diagnostic.message.contains("line 2 of .dockerignore, `x`"));
    let (linter, _) = run(given("FROM trigger\n"));
    assert!(linter.findings[0].diagnostic.message.contains("`ONBUILD COPY $missing /x` of trigger"));
}

#[test]
fn what_is_not_known_is_told() {
    let (linter, limits) = run(given("FROM unknown\nENV A=$B\nFROM unknown\nFROM a\nENV A=$B\n"));
    assert_eq!(limits.unknown, ["docker.io/library/unknown:latest"]);
    assert_eq!(linter.findings.len(), 1);
}

#[test]
fn errors_of_the_file_make_findings_fail() {
    let (mut linter, _) = run(given("FROM a\n"));
    assert!(!linter.fails());
    linter = Linter::new(Options::parse("error=true").unwrap());
    assert!(!linter.fails());
    let source = Source::new("Dockerfile", "FROM a\n");
    let rule = &crate::dockerfile::checks::rule::FROM_AS_CASING;
    linter.report(Finding::new(rule, &source, Span::default(), Span::default(), "x"));
    assert!(linter.fails());
}
