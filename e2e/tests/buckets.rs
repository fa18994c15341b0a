//! Build contexts in buckets. The servers check what shows them who asks.

mod azure;
mod google;
mod s3;

use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Place, Reply, Request};

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

/// What is left of the context in the image.
const EXPECTED: &str = "f 0644 0:0 Dockerfile \"FROM scratch\\nCOPY . /\\n\"\nf 0644 0:0 a \"a\"\n";

/// A build that reads its context elsewhere.
fn build(context: &str) -> Build {
    Build::new(DOCKERFILE)
        .flag(&format!("--context={context}"))
        .flag("--dockerfile=Dockerfile")
        .flag("-v=trace")
}

/// The context as `tar` packs it with these options.
fn packed(how: &str) -> Vec<u8> {
    let build = Build::new(DOCKERFILE).file("a", "a");
    let script = format!("tar {how} -c .");
    let output =
        Command::new("sh").args(["-euc", &script]).current_dir(build.context()).output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// An object as buckets answer with it, from where the request wants it.
fn object(request: &Request, bytes: &[u8]) -> Reply {
    let common = |reply: Reply| {
        reply
            .header("ETag: \"e\"")
            .header("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")
            .header("x-ms-version: 2020")
    };
    let range = request.header("range").and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let last = to.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
        Some((from.parse::<usize>().ok()?, last))
    });
    match range {
        None => common(Reply::new(200, bytes)),
        Some((from, last)) => {
            let header = format!("Content-Range: bytes {from}-{last}/{}", bytes.len());
            common(Reply::new(206, &bytes[from..=last]).header(&header))
        }
    }
}

fn refusal(code: &str) -> Reply {
    Reply::new(
        403,
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>not you</Message></Error>"),
    )
}

/// Runs a build, which succeeds, shows no secret, and has the context's files.
fn right(build: &Build, secrets: &[&str]) -> Built {
    let built = build.run(Place::Overlay);
    assert_eq!(built.image().layer(-1).listing(), EXPECTED);
    hidden(&built, secrets);
    built
}

fn hidden(built: &Built, secrets: &[&str]) {
    for secret in secrets {
        assert!(!built.finished.output().contains(secret), "{secret} in {}", built.finished.output());
    }
}

/// Runs a build that fails; its report.
fn wrong(build: &Build, secrets: &[&str]) -> String {
    let built = build.run(Place::Overlay);
    hidden(&built, secrets);
    built.failed(1).to_owned()
}

#[test]
fn a_context_of_a_volume_with_kubernetes_links() {
    let script = "rm Dockerfile; mkdir ..2026_11_21; echo 'FROM scratch' > ..2026_11_21/Dockerfile\n\
                  echo 'COPY Dockerfile a /' >> ..2026_11_21/Dockerfile; printf a > ..2026_11_21/a\n\
                  ln -s ..2026_11_21 ..data; ln -s ..data/Dockerfile Dockerfile; ln -s ..data/a a";
    let built = Build::new(DOCKERFILE).prepare(script).run(Place::Overlay);
    let expected = "f 0644 0:0 Dockerfile \"FROM scratch\\nCOPY Dockerfile a /\\n\"\nf 0644 0:0 a \"a\"\n";
    assert_eq!(built.image().layer(-1).listing(), expected);
}
