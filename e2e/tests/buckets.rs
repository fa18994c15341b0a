//! Build contexts in buckets. The servers check what shows them who asks.

mod azure;
mod google;
mod s3;
mod servers;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Near, Place, Reply, Request};

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

/// Most memory that a process had, in KiB, watched until it ends.
fn peak(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let kilobytes = line.split_whitespace().next().and_then(|number| number.parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[test]
fn a_large_archive_takes_little_memory() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes).expect("appended");
    };
    add("Dockerfile", b"FROM scratch\nCOPY Dockerfile /\n");
    let file: Vec<u8> = (0..64u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    (0..4).for_each(|n| add(&n.to_string(), &file));
    let bytes = archive.into_inner().expect("an archive");
    let near = Near::serve(move |request| object(request, &bytes));
    let build = build("s3://b").env("S3_ENDPOINT", &near.url("")).env("AWS_EC2_METADATA_DISABLED", "true");
    let mut command = build.host_command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let peak = peak(&mut child);
    assert!(child.wait().expect("a child").success());
    assert!((1..=96 << 10).contains(&peak), "{peak} KiB");
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
