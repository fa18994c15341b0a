//! The ways of real registries (docs/registries.md), each with an image pushed, copied, pulled and
//! removed.

use std::io::Write as _;

use pretty_assertions::assert_eq;

use super::fake::{Door, Reply, Request, reply};
use super::*;

/// What one registry does otherwise than others, and what comes of it.
struct Ways {
    name: &'static str,
    door: Door,
    /// Its entry in config.json.
    entry: &'static str,
    /// Sets its manners; blobs may lie at the second server.
    set: fn(&Fake, &Fake),
    /// Whether it mounts.
    mounts: bool,
    /// Whether it says that a blob is there.
    looks: bool,
    /// Whether it takes a body of unknown length.
    streams: bool,
    /// Whether it removes manifests.
    removes: bool,
}

const PASSWORD: &str = r#"{"username":"u","password":"p"}"#;
const BASIC: &str = "Basic dTpw";

fn tokens() -> Door {
    Door::Token(Some(BASIC.to_owned()))
}

fn basic() -> Door {
    Door::Basic("u:p".to_owned())
}

/// Blobs are read from another server, by an address that is signed: whoever shows a password too
/// is refused, as Amazon's and Microsoft's storage does.
fn blobs_elsewhere(fake: &Fake, storage: &Fake, status: u16) {
    let address = storage.address;
    fake.manner(move |request, state| {
        let (repository, digest) = request.path().strip_prefix("/v2/")?.split_once("/blobs/")?;
        let key = (repository.to_owned(), digest.to_owned());
        let signed = format!("http://{address}/v2/s/blobs/{digest}?X-Amz-Signature=s3cret");
        let is_there = request.method == "GET" && state.blobs.contains_key(&key);
        is_there.then(|| reply(status).with("Location", signed))
    });
    let origin = fake.clone();
    storage.manner(move |request, state| {
        if request.header("authorization").is_some() {
            return Some(reply(400).body("<Error><Code>InvalidArgument</Code></Error>"));
        }
        // The two have one store.
        let digest = request.path().rsplit_once('/')?.1.to_owned();
        let blobs = &origin.state().blobs;
        let bytes = blobs.iter().find(|((_, d), _)| *d == digest).map(|(_, bytes)| bytes.clone())?;
        state.blobs.insert(("s".to_owned(), digest), bytes);
        None
    });
}

/// Answers what matches always so.
fn always(fake: &Fake, matches: fn(&Request) -> bool, answer: fn() -> Reply) {
    fake.manner(move |request, _| matches(request).then(answer));
}

fn unsupported(status: u16) -> Reply {
    reply(status).body(r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#)
}

fn is_cancel(request: &Request) -> bool {
    request.method == "DELETE" && !request.path().contains("/manifests/")
}

fn is_removal(request: &Request) -> bool {
    request.method == "DELETE" && request.path().contains("/manifests/")
}

fn is_patch(request: &Request) -> bool {
    request.method == "PATCH"
}

fn registries() -> Vec<Ways> {
    let ordinary = Ways {
        name: "",
        door: tokens(),
        entry: PASSWORD,
        set: |_, _| {},
        mounts: true,
        looks: true,
        streams: true,
        removes: true,
    };
    vec![
        Ways {
            name: "Docker Hub",
            door: tokens(),
            set: |fake, storage| {
                fake.state().realm = Some("/token");
                blobs_elsewhere(fake, storage, 307);
                always(fake, is_removal, || unsupported(405));
            },
            removes: false,
            ..ordinary
        },
        Ways {
            name: "Google Artifact Registry",
            door: tokens(),
            set: |fake, storage| {
                let location = |_: &str, repository: &str, session: &str| {
                    format!("/artifacts-uploads/{repository}/blobs/uploads/{session}")
                };
                fake.state().location = location;
                blobs_elsewhere(fake, storage, 302);
                always(fake, is_patch, || unsupported(405));
                always(fake, is_cancel, || unsupported(405));
            },
            streams: false,
            ..ordinary
        },
        Ways {
            name: "Amazon ECR",
            door: basic(),
            set: |fake, storage| {
                fake.state().basic = "Basic realm=\"https://1.dkr.ecr.eu-west-1.amazonaws.com/\",service=\"ecr.amazonaws.com\"";
                fake.state().no_content_digest = true;
                fake.state().mounting = false;
                blobs_elsewhere(fake, storage, 307);
                always(fake, is_cancel, || unsupported(405));
                always(fake, is_removal, || unsupported(405));
            },
            mounts: false,
            removes: false,
            ..ordinary
        },
        Ways {
            name: "Azure Container Registry",
            door: Door::Token(Some("refresh".to_owned())),
            entry: r#"{"username":"00000000-0000-0000-0000-000000000000","identitytoken":"refresh"}"#,
            set: |fake, storage| {
                fake.state().realm = Some("/oauth2/token");
                blobs_elsewhere(fake, storage, 307);
            },
            ..ordinary
        },
        Ways {
            name: "GitHub Container Registry",
            door: tokens(),
            set: |fake, storage| {
                fake.state().mounting = false;
                fake.state().location =
                    |_, repository, session| format!("/v2/{repository}/blobs/upload/{session}");
                blobs_elsewhere(fake, storage, 307);
                let text = r#"{"errors":[{"code":"REQUESTED_RANGE_NOT_SATISFIABLE","message":"the request body is too large"}]}"#;
                fake.manner(move |request, _| is_patch(request).then(|| reply(416).body(text)));
                always(fake, is_removal, || unsupported(405));
            },
            mounts: false,
            streams: false,
            removes: false,
            ..ordinary
        },
        Ways {
            name: "GitLab",
            door: tokens(),
            set: |fake, storage| {
                fake.state().realm = Some("/jwt/auth");
                blobs_elsewhere(fake, storage, 307);
                always(fake, is_removal, || unsupported(405));
            },
            removes: false,
            ..ordinary
        },
        Ways {
            name: "Quay",
            door: tokens(),
            set: |fake, storage| {
                fake.state().realm = Some("/v2/auth");
                fake.state().mounting = false;
                fake.state().location = absolute;
                blobs_elsewhere(fake, storage, 302);
            },
            mounts: false,
            ..ordinary
        },
        Ways {
            name: "Harbor",
            door: tokens(),
            set: |fake, _| fake.state().realm = Some("/service/token"),
            ..ordinary
        },
        Ways {
            name: "Artifactory",
            door: basic(),
            set: |fake, _| {
                fake.state().basic = "Basic realm=\"Artifactory Realm\"";
                fake.state().no_content_digest = true;
                fake.state().mounting = false;
                fake.state().location = absolute;
                always(fake, |r| r.method == "HEAD", || reply(403));
                always(fake, is_cancel, || reply(404));
                always(fake, is_removal, || reply(403));
            },
            mounts: false,
            looks: false,
            removes: false,
            ..ordinary
        },
        Ways {
            name: "Nexus",
            door: basic(),
            set: |fake, _| {
                fake.state().basic = "BASIC realm=\"Sonatype Nexus Repository Manager\"";
                let is_mount = |r: &Request| r.method == "POST" && r.target.contains("mount=");
                always(fake, is_mount, || {
                    reply(404)
                        .body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#)
                });
                always(fake, is_cancel, || reply(404));
            },
            mounts: false,
            ..ordinary
        },
        Ways {
            name: "zot",
            door: basic(),
            set: |fake, _| {
                fake.state().basic = "Basic realm=\"Authorization Required\"";
                fake.state().mounting = false;
            },
            mounts: false,
            ..ordinary
        },
        Ways {
            name: "distribution",
            door: basic(),
            set: |fake, _| {
                fake.state().location = absolute;
                always(fake, is_removal, || unsupported(405));
            },
            removes: false,
            ..ordinary
        },
    ]
}

fn absolute(host: &str, repository: &str, session: &str) -> String {
    format!("http://{host}/v2/{repository}/blobs/uploads/{session}")
}

/// A server with these ways, where its blobs lie, and a client with its credentials.
fn start(ways: &Ways) -> (Fake, Fake, Bench) {
    let (fake, storage) = (Fake::start(), Fake::start());
    (ways.set)(&fake, &storage);
    fake.state().door = ways.door.clone();
    let bench = Bench::with_entry(&fake.address.to_string(), ways.entry);
    (fake, storage, bench)
}

#[test]
fn an_image_is_pushed_and_pulled() {
    for ways in registries() {
        let name = ways.name;
        let (fake, storage, bench) = start(&ways);
        let (bytes, to) = (noise(300_000), reference(&fake, "team/app:1"));
        let put = |bytes: &[u8]| bench.run(bench.registry.put_blob(&to, &in_memory(bytes), &[]));
        bench.run(bench.registry.check_push(&to)).expect(name);
        assert_eq!(put(&bytes).expect(name), PushOutcome::Uploaded, "{name}");
        let again = if ways.looks { PushOutcome::Existed } else { PushOutcome::Uploaded };
        assert_eq!(put(&bytes).expect(name), again, "{name}");
        assert!(fake.blob("team/app", Digest::of(&bytes)) == Some(bytes.clone()), "{name}");

        let document = br#"{"schemaVersion":2}"#.as_slice();
        let kind = MediaType::from(MediaType::OCI_MANIFEST);
        let digest = bench.run(bench.registry.put_manifest(&to, document, &kind)).expect(name);
        let by_digest = to.clone_with_digest(digest.to_string());
        bench.run(bench.registry.put_manifest(&by_digest, document, &kind)).expect(name);
        for image in [&to, &by_digest] {
            let found = bench.run(bench.registry.manifest(image, Direction::Pull)).expect(name);
            assert_eq!((found.bytes.as_slice(), found.digest), (document, digest), "{name}");
        }
        assert!(bench.pull(&to, &descriptor(&bytes)).expect(name) == bytes, "{name}");
        let removed = bench.run(bench.registry.remove_manifest(&to, &digest)).expect(name);
        assert_eq!(removed, ways.removes, "{name}");

        // Passwords and tokens are the registry's alone.
        let leaked = storage.state().log.iter().filter(|r| r.header("authorization").is_some()).count();
        assert_eq!(leaked, 0, "{name}");
        let refused = fake
            .state()
            .log
            .iter()
            .filter(|r| r.method == "PUT")
            .filter(|r| r.header("authorization").is_none())
            .count();
        assert_eq!(refused, 0, "{name}: once it has asked, nothing is sent twice");
    }
}

#[test]
fn blobs_are_mounted_or_streamed() {
    for ways in registries() {
        let name = ways.name;
        let (fake, _storage, bench) = start(&ways);
        let bytes = noise(200_000);
        fake.add_blob("bases/debian", &bytes);
        let (from, to) = (reference(&fake, "bases/debian:12"), reference(&fake, "team/app:1"));
        let copied = bench.run(bench.registry.copy_blob(&from, &to, &descriptor(&bytes))).expect(name);
        let expected = if ways.mounts { PushOutcome::Mounted } else { PushOutcome::Uploaded };
        assert_eq!(copied, expected, "{name}");
        assert!(fake.blob("team/app", Digest::of(&bytes)) == Some(bytes), "{name}");
        if matches!(ways.door, Door::Token(_)) {
            let path = fake.state().realm.unwrap_or("/token");
            let asked = fake.state().log.clone();
            let both = asked.iter().filter(|r| r.path() == path).any(|r| {
                let text = format!("{} {}", r.target, String::from_utf8_lossy(&r.body))
                    .replace("%3A", ":")
                    .replace("%2F", "/")
                    .replace("%2C", ",");
                text.contains("repository:team/app:pull,push")
                    && text.contains("repository:bases/debian:pull")
            });
            assert!(both, "{name}: a mount needs both in one token");
        }
    }
}

#[test]
fn layers_are_sent_while_they_grow_or_after() {
    for ways in registries() {
        let name = ways.name;
        let (fake, _storage, bench) = start(&ways);
        let bytes = noise(400_000);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("layer");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
        let growing = GrowingFile::new(file.try_clone().expect("a descriptor"));
        let to = reference(&fake, "team/app:1");
        let upload = bench.registry.begin_upload(&to, &growing);
        for piece in bytes.chunks(100_000) {
            file.write_all(piece).expect("written");
            growing.grow(file.metadata().expect("a size").len());
        }
        fake.wait_for("POST /v2/team/app/blobs/uploads/");
        growing.complete();
        let blob = Blob { descriptor: descriptor(&bytes), content: BlobContent::Path(path) };
        let outcome = bench.run(bench.registry.end_upload(upload, &blob, &[])).expect(name);
        assert_eq!(outcome, PushOutcome::Uploaded, "{name}");
        assert!(fake.blob("team/app", Digest::of(&bytes)) == Some(bytes), "{name}");
        let again = bench.said().contains("sending the layer again");
        assert_eq!(again, !ways.streams, "{name}: {}", bench.said());
    }
}

/// What a push says where the registry refuses it in its own words.
#[test]
fn refusals_say_what_to_do() {
    let refusals = [
        (
            "Amazon ECR makes no repositories",
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'team/app' does not exist in the registry with id '1'"}]}"#,
            ["does not exist in the registry", "create the repository"],
        ),
        (
            "Harbor knows projects",
            404,
            r#"{"errors":[{"code":"NOT_FOUND","message":"project team not found"}]}"#,
            ["project team not found", "or the project it lies in"],
        ),
        (
            "Google names the permission",
            403,
            r#"{"errors":[{"code":"DENIED","message":"Permission \"artifactregistry.repositories.uploadArtifacts\" denied on resource \"r\" (or it may not exist)"}]}"#,
            [
                "artifactregistry.repositories.uploadArtifacts",
                "check that the credentials from the test's file",
            ],
        ),
        (
            "GitHub names the scope",
            403,
            r#"{"errors":[{"code":"DENIED","message":"permission_denied: write_package"}]}"#,
            ["write_package", "allow this"],
        ),
        (
            "Microsoft's firewall",
            403,
            r#"{"errors":[{"code":"DENIED","message":"client with IP '10.0.0.1' is not allowed access."}]}"#,
            ["client with IP '10.0.0.1'", "allow this"],
        ),
        (
            "Harbor's quota",
            412,
            r#"{"errors":[{"code":"PRECONDITION","message":"adding 1.0 GiB of storage resource, which when updated to current usage of 9.5 GiB will exceed the configured upper limit of 10.0 GiB."}]}"#,
            ["upper limit of 10.0 GiB", ""],
        ),
        ("a proxy's limit", 413, "<html>413 Request Entity Too Large</html>", ["413", "request bodies"]),
    ];
    for (name, status, body, parts) in refusals {
        let fake = Fake::start();
        fake.state().door = basic();
        fake.manner(move |r, _| (r.method == "POST").then(|| reply(status).body(body)));
        let bench = Bench::with_entry(&fake.address.to_string(), PASSWORD);
        let to = reference(&fake, "team/app:1");
        let error = bench.run(bench.registry.check_push(&to)).expect_err(name);
        let text = format!("{error}\n{}", error.help().unwrap_or_default());
        for part in parts {
            assert!(text.contains(part), "{name}: '{part}' is not in: {text}");
        }
        assert_eq!(fake.count("POST"), 1, "{name}: that does not pass by itself");
    }
}
