//! `RUN --device`: what a step is given with a device of a CDI spec, and what is refused.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Kind, Place};

const YAML: &str = "cdiVersion: 0.6.0
kind: vendor.com/device
containerEdits:
  env: [KIND=all]
devices:
- name: foo
  containerEdits:
    env: [FOO=injected, PICKED=here]
    deviceNodes:
    - {path: /dev/sink, hostPath: /dev/null}
    mounts:
    - {hostPath: /etc, containerPath: /opt/etc, options: [ro, rbind]}
    additionalGids: [4321]
- name: hooked
  containerEdits:
    hooks:
    - {hookName: createContainer, path: /bin/true}
";

const JSON: &str = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/json",
    "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
    "devices": [{"name": "b", "containerEdits": {"env": ["B=json"]}},
                {"name": "a", "annotations": {"org.mobyproject.buildkit.device.class": "fast"}, "containerEdits": {"env": ["A=json"]}}]}"#;

fn build(steps: &str) -> Build {
    Build::new(&format!("# syntax=docker/dockerfile:1.14-labs\nFROM busybox\n{steps}\n"))
        .file("cdi/vendor.yaml", YAML)
        .file("cdi/other.json", JSON)
        .flag("--cdi-spec-dir={context}/cdi")
}

fn result(built: &Built) -> String {
    let image = built.image();
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry("result").kind else { panic!("/result is no file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

#[test]
fn a_step_gets_what_the_spec_says() {
    let look = "ENV PICKED=image\nRUN --device=vendor.com/device=foo,required --device=other.com/x=none \
        (env | grep -e ^FOO -e ^KIND -e ^PICKED | sort; echo lost > /dev/sink && stat -c %F /dev/sink; \
         test -s /opt/etc/passwd && echo mounted; touch /opt/etc/x 2>/dev/null || echo ro; id -G) > /result";
    for place in [Place::Overlay, Place::Chroot] {
        let built = build(look).flag("--allow=device=vendor.com/device").run(place);
        let text = result(&built);
        assert!(
            text.starts_with("FOO=injected\nKIND=all\nPICKED=here\ncharacter special file\nmounted\nro\n"),
            "{place:?}: {text}"
        );
        assert!(text.contains("4321"), "{place:?}: {text}");
        assert_eq!(built.image().layer(-1).paths(), ["result"], "{place:?}");
        built.said("other.com/x=none is not there");
    }
    // Of a kind the first, all, or those of a class; this spec allows them itself.
    for (name, seen) in [("", "A=json"), ("=*", "A=json\nB=json"), ("=fast", "A=json"), ("=b", "B=json")] {
        let step = format!("RUN --device=vendor.com/json{name} env | grep -e ^A= -e ^B= | sort > /result");
        assert_eq!(result(&build(&step).run(Place::Overlay)).trim(), seen, "{name}");
    }
}

#[test]
fn a_device_that_cannot_be_given_is_refused() {
    let refused = |build: Build, place: Place, said: &[&str]| {
        let built = build.run(place);
        let error = built.failed(1).to_owned();
        for text in said {
            assert!(error.contains(text), "'{text}' is not in:\n{error}");
        }
        assert!(!built.finished.output().contains("EXECUTED"), "{}", built.finished.output());
    };
    let step = |options: &str| build(&format!("RUN echo executed | tr a-z A-Z\nRUN {options} true"));
    let foo = "--device=vendor.com/device=foo";
    refused(
        step(foo),
        Place::Overlay,
        &["is not allowed", "--allow device=vendor.com/device=foo", "Dockerfile:4"],
    );
    refused(step(foo).flag("--allow=device"), Place::InPlace, &["in place", "doctor"]);
    let missing = "--device=vendor.com/device=bar,required";
    refused(
        step(missing).flag("--allow=device"),
        Place::Overlay,
        &["vendor.com/device=bar is not there", "--cdi-spec-dir"],
    );
    refused(step("--device=bar"), Place::Overlay, &["no name of a device", "vendor.com/class=name"]);
    let hooked = "--device=vendor.com/device=hooked";
    refused(step(hooked).flag("--allow=device"), Place::Overlay, &["hooks", "a spec without"]);
    let stable = Build::new("FROM busybox\nRUN --device=vendor.com/device=foo true\n");
    refused(stable, Place::Overlay, &["labs", "# syntax=docker/dockerfile:labs", "Dockerfile:2"]);
    let gone = Build::new("FROM scratch\n").flag("--cdi-spec-dir=/nowhere");
    refused(gone, Place::Overlay, &["--cdi-spec-dir", "/nowhere"]);
}

/// Where none is there, a step that can do without one runs, in place too.
#[test]
fn a_step_can_do_without() {
    for place in [Place::Overlay, Place::InPlace] {
        build("RUN --device=other.com/gpu=all echo plain > /result").run(place).succeeded();
    }
}
