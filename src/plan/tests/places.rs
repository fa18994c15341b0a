//! Where errors point, and what they say was meant.

use super::*;
use crate::dockerfile::Diagnostic;

fn wrong(text: &str, base: ImageConfig) -> Vec<Diagnostic> {
    let dockerfile = parse(&Source::new("Dockerfile", text)).unwrap();
    let inputs = Inputs {
        dockerfile: &dockerfile,
        arguments: &Arguments::new(&[], &"linux/amd64".parse().unwrap()),
        target: None,
        contexts: &BTreeMap::new(),
        platform_given: false,
    };
    match plan(&inputs, &mut Fixed(BTreeMap::from([("base", base)]))) {
        Err(PlanError::Dockerfile(all)) => all,
        other => panic!("{:?}", other.map(|_| ()).map_err(|_| ())),
    }
}

/// The words that the only error of a Dockerfile points at.
fn pointed(text: &str) -> String {
    let all = wrong(text, ImageConfig::default());
    assert_eq!(all.len(), 1, "{text}");
    all[0].source.slice(all[0].span).to_owned()
}

#[test]
fn expansion_errors_point_at_the_variable() {
    for (text, words) in [
        ("FROM scratch\nENV A=1 B=x${Y?no}z\n", "${Y?no}"),
        ("FROM scratch\nENV A=1 \\\n  B=\"x ${Y:?no}\"\n", "${Y:?no}"),
        ("FROM scratch\nCOPY <<E /x\none\n two ${Y?no} three\nE\n", "${Y?no}"),
        ("FROM scratch\nCOPY <<-E /x\n\tone\n\t\u{fc} ${Y?no}\n\tE\n", "${Y?no}"),
        ("FROM scratch\nCOPY <<A <<B /x/\n${Y-1}\nA\none \\\n${Y?no}\nB\n", "${Y?no}"),
    ] {
        assert_eq!(pointed(text), words, "{text}");
    }
}

#[test]
fn errors_in_triggers_name_them_and_the_image() {
    for (trigger, words) in [
        ("ENV A=${Y?no}", "${Y?no}"),
        ("COPY <<E /x\none\n${Y?no}\nE", "${Y?no}"),
        ("RUNN x", "RUNN"),
        ("COPY --from=a$ x /y", "a$"),
    ] {
        let mut base = ImageConfig::default();
        base.config.on_build = vec!["LABEL fine=1".to_owned(), trigger.to_owned()];
        let all = wrong("# one\nFROM base\nENV B=${Z?no}\n", base);
        let first = &all[0];
        assert_eq!(first.source.name(), "ONBUILD trigger of base");
        assert_eq!(first.source.slice(first.span), words, "{trigger}");
        let (file, span) = first.in_file();
        assert_eq!((file.name(), file.slice(span)), ("Dockerfile", "FROM base"));
        // What the file itself says is not the image's.
        assert!(all[1..].iter().all(|error| error.origin.is_none() && error.source.name() == "Dockerfile"));
    }
}

#[test]
fn misspelt_variables_of_a_base_are_named() {
    for (text, help) in [
        ("ARG VERSION=1\nFROM $VERISON\n", Some("did you mean the variable `VERSION`?")),
        ("ARG VERSION=1\nFROM img:$VERISON\n", Some("did you mean the variable `VERSION`?")),
        ("FROM --platform=$BUILDPLATFROM img\n", Some("did you mean the variable `BUILDPLATFORM`?")),
        ("FROM Img AS img\n", None),
    ] {
        let all = wrong(text, ImageConfig::default());
        assert_eq!(all[0].help.as_deref(), help, "{text}: {}", all[0]);
    }
}
