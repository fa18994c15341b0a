//! `gs://`

use std::sync::atomic::{AtomicUsize, Ordering};

use yadokari_e2e::{Internet, Near, Reply, Request, ServiceKey, scratch};

use super::{build, object, packed, refusal, right, wrong};

const STORAGE: &str = "storage.googleapis.com";
const OAUTH: &str = "oauth2.googleapis.com";

/// A bucket `b` for who has this token.
fn bucket(internet: &Internet, token: &'static str, key: &'static str, bytes: Vec<u8>) {
    internet.serve(STORAGE, move |request| {
        if request.header("authorization") != Some(&format!("Bearer {token}")) {
            return refusal("AccessDenied");
        }
        match request.decoded_path() {
            path if path == format!("/b/{key}") => object(request, &bytes),
            _ => Reply::new(404, "<Error><Code>NoSuchKey</Code><Message>no such object</Message></Error>"),
        }
    });
}

/// Google's token server, for who signs with a key.
fn oauth(internet: &Internet, key: &std::sync::Arc<ServiceKey>, token: &'static str) {
    let key = key.clone();
    internet.serve(OAUTH, move |request| {
        let statement = request.field("assertion").unwrap_or_default();
        let right = key.claims(&statement).is_some_and(|claims| {
            claims["iss"] == "me@p.iam.gserviceaccount.com"
                && claims["aud"] == "https://oauth2.googleapis.com/token"
                && claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
                && claims["exp"].as_i64() == claims["iat"].as_i64().map(|t| t + 3600)
        });
        if right
            && request.field("grant_type").as_deref() == Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
        {
            Reply::new(
                200,
                format!("{{\"access_token\":\"{token}\",\"expires_in\":3599,\"token_type\":\"Bearer\"}}"),
            )
        } else {
            Reply::new(400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#)
        }
    });
}

#[test]
fn with_a_service_accounts_key() {
    let internet = Internet::with(&[STORAGE, OAUTH]);
    let key = std::sync::Arc::new(ServiceKey::new());
    oauth(&internet, &key, "tok-google");
    bucket(&internet, "tok-google", "context.tar.gz", packed("--gzip"));
    let file = key.file("me@p.iam.gserviceaccount.com").display().to_string();
    let secrets = ["tok-google", "BEGIN PRIVATE KEY"];
    for context in ["gs://b", "gs://b/", "gs://b/context.tar.gz"] {
        let build = internet.seen_by(build(context)).env("GOOGLE_APPLICATION_CREDENTIALS", &file);
        let said = right(&build, &secrets).finished.output();
        assert!(said.contains("GOOGLE_APPLICATION_CREDENTIALS"), "the source is named: {said}");
    }
    // kaniko's hidden flag wins over a context with a scheme.
    let by_flag =
        internet.seen_by(build("gs://other/x")).flag("-b=b").env("GOOGLE_APPLICATION_CREDENTIALS", &file);
    right(&by_flag, &secrets);
    let missing = internet.seen_by(build("gs://b/none")).env("GOOGLE_APPLICATION_CREDENTIALS", &file);
    let said = wrong(&missing, &secrets);
    assert!(said.contains("404: NoSuchKey: no such object") && said.contains("gs://b/none"), "{said}");
    let other = ServiceKey::new();
    let file = other.file("me@p.iam.gserviceaccount.com").display().to_string();
    let foreign = internet.seen_by(build("gs://b")).env("GOOGLE_APPLICATION_CREDENTIALS", &file);
    let said = wrong(&foreign, &secrets);
    assert!(said.contains("Invalid JWT Signature.") && said.contains(&file), "{said}");
    let nowhere = internet.seen_by(build("gs://b")).env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json");
    let said = wrong(&nowhere, &secrets);
    assert!(said.contains("GOOGLE_APPLICATION_CREDENTIALS (/nowhere.json)"), "{said}");
}

#[test]
fn in_every_compression_and_over_a_broken_connection() {
    for how in ["", "--gzip", "--bzip2", "--xz", "--zstd"] {
        let internet = Internet::with(&[STORAGE]);
        let bytes = packed(how);
        let asked = AtomicUsize::new(0);
        internet.serve(STORAGE, move |request| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(503, "<Error><Code>ServiceUnavailable</Code></Error>"),
            1 => object(request, &bytes).cut_after(100),
            _ => {
                assert_eq!(request.header("range"), Some(format!("bytes=100-{}", bytes.len() - 1).as_str()));
                object(request, &bytes)
            }
        });
        let near = metadata("tok-machine");
        right(
            &internet.seen_by(build("gs://b/some/key")).env("GCE_METADATA_HOST", &near.host()),
            &["tok-machine"],
        );
        assert_eq!(internet.asked(STORAGE), ["GET /b/some%2Fkey"; 3], "{how}");
    }
}

/// A metadata server as Google's machines and pods have it.
fn metadata(token: &'static str) -> Near {
    Near::serve(move |request: &Request| {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        match (request.path() == path, request.header("metadata-flavor")) {
            (true, Some("Google")) => {
                Reply::new(200, format!("{{\"access_token\":\"{token}\",\"expires_in\":300}}"))
            }
            _ => Reply::new(403, "no flavor"),
        }
    })
}

#[test]
fn with_the_identity_of_the_pod() {
    let internet = Internet::with(&[STORAGE]);
    bucket(&internet, "tok-pod", "d/c.tar.gz", packed("--gzip"));
    let near = metadata("tok-pod");
    let build = internet.seen_by(build("gs://b/d/c.tar.gz")).env("GCE_METADATA_HOST", &near.host());
    // Metadata is never asked through a proxy.
    let said = right(&build.env("HTTP_PROXY", "http://127.0.0.1:9"), &["tok-pod"]).finished.output();
    assert!(said.contains("the Google metadata server"), "{said}");
}

#[test]
fn with_workload_identity_federation() {
    let internet = Internet::with(&[STORAGE, "sts.googleapis.com", "iamcredentials.googleapis.com"]);
    bucket(&internet, "tok-account", "context.tar.gz", packed("--gzip"));
    internet.serve("sts.googleapis.com", |request| {
        let field = |name: &str| request.field(name).unwrap_or_default();
        let right = request.path() == "/v1/token"
            && field("subject_token") == "oidc-token"
            && field("audience") == "//iam.googleapis.com/pool"
            && field("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange";
        if right {
            Reply::new(200, r#"{"access_token":"tok-federated","expires_in":3600}"#)
        } else {
            Reply::new(400, "")
        }
    });
    internet.serve("iamcredentials.googleapis.com", |request| {
        match (request.path(), request.header("authorization")) {
            ("/v1/x:generateAccessToken", Some("Bearer tok-federated")) => {
                Reply::new(200, r#"{"accessToken":"tok-account","expireTime":"2099-01-01T00:00:00Z"}"#)
            }
            _ => Reply::new(403, ""),
        }
    });
    let directory = scratch();
    let token = directory.path().join("token");
    std::fs::write(&token, "{\"id\":\"oidc-token\"}").expect("written");
    let json = serde_json::json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/x:generateAccessToken",
        "credential_source": {"file": token, "format": {"type": "json", "subject_token_field_name": "id"}},
    });
    let file = directory.path().join("config.json");
    std::fs::write(&file, json.to_string()).expect("written");
    let build =
        internet.seen_by(build("gs://b")).env("GOOGLE_APPLICATION_CREDENTIALS", &file.display().to_string());
    right(&build, &["oidc-token", "tok-federated", "tok-account"]);
}

#[test]
fn a_public_bucket_and_a_private_one_without_credentials() {
    let internet = Internet::with(&[STORAGE]);
    let bytes = packed("--gzip");
    internet.serve(STORAGE, move |request| match (request.path(), request.header("authorization")) {
        ("/public/k", None) => object(request, &bytes),
        _ => refusal("AccessDenied"),
    });
    right(&internet.seen_by(build("gs://public/k")), &[]);
    let said = wrong(&internet.seen_by(build("gs://private/k")), &[]);
    for words in [
        "403: AccessDenied: not you",
        "GOOGLE_APPLICATION_CREDENTIALS is not set",
        "metadata server: no answer",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
