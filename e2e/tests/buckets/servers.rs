//! Servers of objects that others wrote.

use yadokari_e2e::{Build, ObjectServer};

use super::{build, packed, right, wrong};

fn signed(server: &ObjectServer, context: &str, account: &str) -> Build {
    build(context)
        .env("S3_ENDPOINT", &server.url())
        .env("S3_FORCE_PATH_STYLE", "true")
        .env("AWS_ACCESS_KEY_ID", account)
        .env("AWS_SECRET_ACCESS_KEY", "another-secret")
}

#[test]
fn a_server_that_speaks_like_s3() {
    let server = ObjectServer::s3();
    for (key, how) in [("context.tar.gz", "--gzip"), ("a%20dir/c%2Bd.tar", ""), ("caf%C3%A9.zst", "--zstd")] {
        server.put(key, &packed(how));
    }
    for key in ["", "/a dir/c+d.tar", "/café.zst"] {
        right(&signed(&server, &format!("s3://bucket{key}"), "S3RVER"), &["another-secret"]);
    }
    right(&signed(&server, "s3://bucket", "S3RVER").env("AWS_REGION", "eu-central-1"), &["another-secret"]);
    let said = wrong(&signed(&server, "s3://bucket", "NOBODY"), &["another-secret"]);
    assert!(said.contains("403: InvalidAccessKeyId") && said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    let said = wrong(&signed(&server, "s3://bucket/none", "S3RVER"), &["another-secret"]);
    assert!(said.contains("404: NoSuchKey") && said.contains("s3://bucket/none"), "{said}");
    let said = wrong(&signed(&server, "s3://other", "S3RVER"), &["another-secret"]);
    assert!(said.contains("404: NoSuchBucket"), "{said}");
}

#[test]
fn googles_emulator() {
    let server = ObjectServer::google();
    server.put("context.tar.gz", &packed("--gzip"));
    server.put("dir/c.tar.xz", &packed("--xz"));
    let with = |context: &str, host: &str| build(context).env("STORAGE_EMULATOR_HOST", host);
    for context in ["gs://bucket", "gs://bucket/dir/c.tar.xz"] {
        right(&with(context, &server.url()), &[]);
        right(&with(context, server.url().trim_start_matches("http://")), &[]);
    }
    let said = wrong(&with("gs://bucket/none", &server.url()), &[]);
    assert!(said.contains("404") && said.contains("gs://bucket/none"), "{said}");
}
