//! `s3://`

use yadokari_e2e::{Internet, Near, Reply, Request, Signed, scratch, sigv4_is_right};

use super::{build, object, packed, refusal, right, wrong};

const REGION: &str = "eu-central-1";
const BUCKET: &str = "b.s3.eu-central-1.amazonaws.com";

/// A bucket's server for who signs with these keys.
fn bucket(
    path: &'static str,
    region: &'static str,
    keys: Signed,
) -> impl Fn(&Request) -> Reply + Send + Sync {
    let bytes = packed("--gzip");
    move |request: &Request| match request.path() {
        _ if !sigv4_is_right(request, &keys, region, "s3") => refusal("SignatureDoesNotMatch"),
        found if found == path => object(request, &bytes),
        _ => Reply::new(404, "<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"),
    }
}

fn keys() -> Signed {
    Signed::with("AKIDEXAMPLE", "wJalrXUtnFEMI", None)
}

#[test]
fn with_keys_of_the_environment() {
    let internet = Internet::with(&[BUCKET]);
    internet.serve(BUCKET, bucket("/dir/c.tar.gz", REGION, keys()));
    let with = |context: &str, secret: &str| {
        internet
            .seen_by(build(context))
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", secret)
    };
    right(&with("s3://b/dir/c.tar.gz", "wJalrXUtnFEMI"), &["wJalrXUtnFEMI"]);
    let said = wrong(&with("s3://b/dir/none", "wJalrXUtnFEMI"), &["wJalrXUtnFEMI"]);
    assert!(said.contains("404: NoSuchKey") && said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    let said = wrong(&with("s3://b/dir/c.tar.gz", "another-secret"), &["another-secret"]);
    assert!(
        said.contains("403: SignatureDoesNotMatch: not you") && said.contains("AWS_ACCESS_KEY_ID"),
        "{said}"
    );
}

#[test]
fn with_an_endpoint_and_path_style() {
    let session = Signed::with("AKIDEXAMPLE", "wJalrXUtnFEMI", Some("session-token"));
    let near = Near::serve(bucket("/b/context.tar.gz", "us-east-1", session));
    for path_style in ["true", "false"] {
        let build = build("s3://b")
            .env("S3_ENDPOINT", &near.url(""))
            .env("S3_FORCE_PATH_STYLE", path_style)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
            .env("AWS_SESSION_TOKEN", "session-token");
        right(&build, &["wJalrXUtnFEMI", "session-token"]);
    }
}

#[test]
fn with_a_profile() {
    let internet = Internet::with(&[BUCKET, "sts.eu-central-1.amazonaws.com"]);
    let role = Signed::with("ASIAROLE", "role-secret", Some("role-session"));
    internet.serve(BUCKET, bucket("/k", REGION, role));
    internet.serve("sts.eu-central-1.amazonaws.com", |request| {
        let right = sigv4_is_right(request, &keys(), REGION, "sts")
            && request.field("RoleArn").as_deref() == Some("arn:aws:iam::1:role/ci")
            && request.field("Action").as_deref() == Some("AssumeRole");
        if right { issued("AssumeRole") } else { refusal("AccessDenied") }
    });
    let directory = scratch();
    let (config, credentials) = (directory.path().join("config"), directory.path().join("credentials"));
    std::fs::write(
        &credentials,
        "[base]\naws_access_key_id=AKIDEXAMPLE\naws_secret_access_key=wJalrXUtnFEMI\n",
    )
    .expect("written");
    let text = "[profile ci]\nregion=eu-central-1\nrole_arn=arn:aws:iam::1:role/ci\nsource_profile=base\n";
    std::fs::write(&config, text).expect("written");
    let build = internet
        .seen_by(build("s3://b/k"))
        .env("AWS_PROFILE", "ci")
        .env("AWS_CONFIG_FILE", &config.display().to_string())
        .env("AWS_SHARED_CREDENTIALS_FILE", &credentials.display().to_string());
    let said = right(&build, &["wJalrXUtnFEMI", "role-secret", "role-session"]).finished.output();
    assert!(said.contains("the AWS profile 'ci'"), "{said}");
    let said = wrong(&build.env("AWS_PROFILE", "none"), &[]);
    assert!(said.contains("'none'") && said.contains("there is no such profile"), "{said}");
}

/// What the Security Token Service answers.
fn issued(action: &str) -> Reply {
    Reply::new(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>\
             <SessionToken>role-session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             </{action}Result></{action}Response>"
        ),
    )
}

#[test]
fn with_the_role_of_a_service_account() {
    let internet = Internet::with(&[BUCKET, "sts.eu-central-1.amazonaws.com"]);
    let role = Signed::with("ASIAROLE", "role-secret", Some("role-session"));
    internet.serve(BUCKET, bucket("/k", REGION, role));
    internet.serve("sts.eu-central-1.amazonaws.com", |request| {
        let field = |name: &str| request.field(name).unwrap_or_default();
        if field("WebIdentityToken") == "eks-token" && field("RoleArn") == "arn:aws:iam::1:role/pod" {
            issued("AssumeRoleWithWebIdentity")
        } else {
            Reply::new(400, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>")
        }
    });
    let directory = scratch();
    let token = directory.path().join("token");
    std::fs::write(&token, "eks-token\n").expect("written");
    let build = internet
        .seen_by(build("s3://b/k"))
        .env("AWS_REGION", REGION)
        .env("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token.display().to_string());
    right(&build, &["eks-token", "role-secret", "role-session"]);
    std::fs::write(&token, "other-token").expect("written");
    let said = wrong(&build, &["other-token"]);
    assert!(said.contains("the web identity in") && said.contains("400: InvalidIdentityToken: no"), "{said}");
}

const ISSUED: &str = r#"{"Code":"Success","AccessKeyId":"ASIAROLE","SecretAccessKey":"role-secret",
    "Token":"role-session","Expiration":"2099-01-01T00:00:00Z"}"#;

#[test]
fn with_the_identity_of_the_pod_and_of_the_machine() {
    let internet = Internet::with(&[BUCKET]);
    let role = Signed::with("ASIAROLE", "role-secret", Some("role-session"));
    internet.serve(BUCKET, bucket("/k", REGION, role));
    let secrets = ["role-secret", "role-session", "pod-token", "imds-token"];
    let directory = scratch();
    let token = directory.path().join("token");
    std::fs::write(&token, "pod-token").expect("written");
    let pod = Near::serve(|request| match request.header("authorization") {
        Some("pod-token") => Reply::new(200, ISSUED),
        _ => Reply::new(401, ""),
    });
    let in_pod = internet
        .seen_by(build("s3://b/k"))
        .env("AWS_REGION", REGION)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &pod.url("/v1/credentials"))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token.display().to_string());
    right(&in_pod, &secrets);
    let machine = Near::serve(|request| {
        let session = request.header("x-aws-ec2-metadata-token") == Some("imds-token");
        match (request.method.as_str(), request.path()) {
            ("PUT", "/latest/api/token")
                if request.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() =>
            {
                Reply::new(200, "imds-token")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/") if session => Reply::new(200, "node-role"),
            ("GET", "/latest/meta-data/iam/security-credentials/node-role") if session => {
                Reply::new(200, ISSUED)
            }
            _ => Reply::new(401, ""),
        }
    });
    let on_machine = internet
        .seen_by(build("s3://b/k"))
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url(""));
    let said = right(&on_machine, &secrets).finished.output();
    assert!(said.contains("the EC2 instance's role node-role"), "{said}");
}

#[test]
fn without_a_region_and_without_credentials() {
    let internet = Internet::with(&[BUCKET, "s3.amazonaws.com"]);
    internet.serve("s3.amazonaws.com", |request| match request.path() {
        "/b" => Reply::new(403, "").header("x-amz-bucket-region: eu-central-1"),
        _ => Reply::new(404, ""),
    });
    let bytes = packed("--zstd");
    internet.serve(BUCKET, move |request| match (request.path(), request.header("authorization")) {
        ("/public", None) => object(request, &bytes),
        _ => refusal("AccessDenied"),
    });
    right(&internet.seen_by(build("s3://b/public")), &[]);
    let said = wrong(&internet.seen_by(build("s3://b/private")), &[]);
    for words in [
        "403: AccessDenied",
        "AWS_ACCESS_KEY_ID is not set",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "the AWS profile 'default'",
        "the EC2 instance's role: no answer",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
