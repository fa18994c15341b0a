//! Credentials of registries that are in no file: variables, and identities of clouds, each checked
//! by a server that acts as the cloud does.

mod files;
mod login;
mod places;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use yadokari_e2e::{
    Build, Built, Internet, Near, Place, Registry, Reply, Request, ServiceKey, Signed, scratch,
    sigv4_is_right,
};

const DOCKERFILE: &str = "FROM scratch\nCOPY a /\n";

/// A build that pushes to `host/app:1` and says everything.
fn build(host: &str) -> Build {
    Build::new(DOCKERFILE).file("a", "a").push_securely_to(&format!("{host}/app:1")).flag("-v=trace")
}

fn pushed(build: &Build, registry: &Registry, secrets: &[&str]) -> String {
    let built = build.run(Place::Overlay);
    built.succeeded();
    assert!(registry.has_tag("app", "1"), "{}", built.finished.output());
    without(&built, secrets)
}

fn refused(build: &Build, secrets: &[&str]) -> String {
    let built = build.run(Place::Overlay);
    built.failed(1);
    without(&built, secrets)
}

fn without(built: &Built, secrets: &[&str]) -> String {
    let said = built.finished.output();
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    said
}

/// A registry that lets in who shows this `Authorization` header, and keeps what it is sent.
fn door(
    registry: &Registry,
    challenge: &'static str,
    right: String,
) -> impl Fn(&Request) -> Reply + Send + Sync + use<> {
    let port = registry.port();
    move |request: &Request| match request.header("authorization") {
        Some(shown) if shown == right => Reply::Forward(port),
        _ => Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#)
            .header(&format!("WWW-Authenticate: {challenge}")),
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const ECR_API: &str = "api.ecr.eu-west-1.amazonaws.com";

/// Amazon's registry, with a service that gives passwords to who signs with these keys.
fn ecr(registry: &Registry, keys: Signed) -> Internet {
    let internet = Internet::with(&[ECR, ECR_API]);
    internet.serve(ECR, door(registry, "Basic realm=\"ecr\"", basic("AWS", "ecr-password")));
    internet.serve(ECR_API, move |request| {
        let target = request.header("x-amz-target")
            == Some("AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
        if !target || request.body != br#"{"registryIds":["123456789012"]}"# {
            return Reply::new(400, r#"{"__type":"InvalidParameterException","message":"what"}"#);
        }
        if !sigv4_is_right(request, &keys, "eu-west-1", "ecr") {
            return Reply::new(
                400,
                r#"{"__type":"UnrecognizedClientException","message":"The security token is invalid"}"#,
            );
        }
        use base64::Engine as _;
        let token = base64::engine::general_purpose::STANDARD.encode("AWS:ecr-password");
        Reply::new(
            200,
            format!("{{\"authorizationData\":[{{\"authorizationToken\":\"{token}\",\"expiresAt\":4.1e9}}]}}"),
        )
    });
    internet
}

#[test]
fn amazons_registry_by_its_name() {
    let registry = Registry::open();
    let internet = ecr(&registry, Signed::with("AKID", "aws-secret", None));
    let with = |build: Build| {
        internet.seen_by(build).env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "aws-secret")
    };
    let secrets = ["aws-secret", "ecr-password"];
    let said = pushed(&with(build(ECR)), &registry, &secrets);
    assert!(said.contains("ECR by AWS_ACCESS_KEY_ID"), "the source is named: {said}");
    assert_eq!(internet.asked(ECR_API).len(), 1, "one password for the whole build");
    // Files come first, and `--credential-helpers` says who is asked.
    let file = format!("{{\"auths\":{{\"{ECR}\":{{\"username\":\"AWS\",\"password\":\"of-the-file\"}}}}}}");
    refused(&with(build(ECR)).docker_config(&file), &["of-the-file"]);
    let none = refused(&with(build(ECR)).flag("--credential-helpers="), &secrets);
    assert!(none.contains("no credentials"), "{none}");
    refused(&with(build(ECR)).flag("--credential-helpers=google").flag("--credential-helpers=env"), &secrets);
    let wrong =
        internet.seen_by(build(ECR)).env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "other");
    let said = refused(&wrong, &[]);
    assert!(
        said.contains("ECR by AWS_ACCESS_KEY_ID") && said.contains("The security token is invalid"),
        "{said}"
    );
}

#[test]
fn amazons_registry_by_the_name_of_a_helper() {
    let registry = Registry::open();
    let internet = ecr(&registry, Signed::with("AKID", "aws-secret", Some("session")));
    let with = |build: Build| {
        let build = internet.seen_by(build).env("AWS_ACCESS_KEY_ID", "AKID");
        build
            .env("AWS_SECRET_ACCESS_KEY", "aws-secret")
            .env("AWS_SESSION_TOKEN", "session")
            .flag("--credential-helpers=")
    };
    for config in [
        format!("{{\"credHelpers\":{{\"{ECR}\":\"ecr-login\"}}}}"),
        format!("{{\"credHelpers\":{{\"{ECR}\":\"ecr\"}}}}"),
        "{\"credsStore\":\"ecr-login\"}".to_owned(),
    ] {
        let said =
            pushed(&with(build(ECR)).docker_config(&config), &registry, &["aws-secret", "ecr-password"]);
        assert!(
            said.contains("docker-credential-ecr-login") || said.contains("docker-credential-ecr"),
            "{said}"
        );
    }
    // A program of that name on PATH is asked in our place.
    let directory = scratch();
    let program = directory.path().join("docker-credential-ecr-login");
    std::fs::write(&program, "#!/bin/sh\necho '{\"Username\":\"AWS\",\"Secret\":\"ecr-password\"}'\n")
        .expect("written");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("executable");
    let before = internet.asked(ECR_API).len();
    let config = format!("{{\"credHelpers\":{{\"{ECR}\":\"ecr-login\"}}}}");
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    pushed(&with(build(ECR)).docker_config(&config).env("PATH", &path), &registry, &["ecr-password"]);
    assert_eq!(internet.asked(ECR_API).len(), before);
    // What plays a helper's part says which.
    let config = format!("{{\"credHelpers\":{{\"{ECR}\":\"ecr-login\"}}}}");
    let said = refused(&internet.seen_by(build(ECR)).docker_config(&config), &[]);
    assert!(
        said.contains("docker-credential-ecr-login") && said.contains("there are no AWS credentials"),
        "{said}"
    );
    let config = format!("{{\"credHelpers\":{{\"{ECR}\":\"nobodys\"}}}}");
    let said = refused(&internet.seen_by(build(ECR)).docker_config(&config), &[]);
    assert!(said.contains("'docker-credential-nobodys'") && said.contains("is not in PATH"), "{said}");
}

const GAR: &str = "europe-west1-docker.pkg.dev";

#[test]
fn googles_registries() {
    let key = Arc::new(ServiceKey::new());
    let file = key.file("me@p.iam.gserviceaccount.com").display().to_string();
    for host in ["gcr.io", GAR] {
        let registry = Registry::open();
        let internet = Internet::with(&[host, "oauth2.googleapis.com"]);
        internet
            .serve(host, door(&registry, "Basic realm=\"gcr\"", basic("oauth2accesstoken", "google-token")));
        let checker = key.clone();
        internet.serve("oauth2.googleapis.com", move |request| {
            match checker.claims(&request.field("assertion").unwrap_or_default()) {
                Some(_) => Reply::new(200, r#"{"access_token":"google-token","expires_in":3599}"#),
                None => Reply::new(400, r#"{"error":"invalid_grant"}"#),
            }
        });
        let named = internet.seen_by(build(host)).env("GOOGLE_APPLICATION_CREDENTIALS", &file);
        let said = pushed(&named, &registry, &["google-token", "BEGIN PRIVATE"]);
        assert!(said.contains("Google by GOOGLE_APPLICATION_CREDENTIALS"), "{said}");
        let by_helper = internet.seen_by(build(host)).env("GOOGLE_APPLICATION_CREDENTIALS", &file);
        let config = format!("{{\"credHelpers\":{{\"{host}\":\"gcr\"}}}}");
        pushed(&by_helper.docker_config(&config).flag("--credential-helpers="), &registry, &["google-token"]);
    }
}

#[test]
fn a_passing_identity_is_renewed() {
    let registry = Registry::open();
    let internet = Internet::with(&[GAR]);
    let issued = Arc::new(AtomicUsize::new(0));
    let (count, port) = (issued.clone(), registry.port());
    internet.serve(GAR, move |request| {
        // Only the newest token is good.
        let right = basic("oauth2accesstoken", &format!("token-{}", count.load(Ordering::SeqCst)));
        match request.header("authorization") {
            Some(shown) if shown == right => Reply::Forward(port),
            _ => Reply::new(401, "").header("WWW-Authenticate: Basic realm=\"gar\""),
        }
    });
    let near = Near::serve(move |_| {
        let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
        // Good for three quarters of a second.
        Reply::new(200, format!("{{\"access_token\":\"token-{number}\",\"expires_in\":1}}"))
    });
    let build = Build::new("FROM busybox\nRUN sleep 1.5; echo x > /x\n")
        .push_securely_to(&format!("{GAR}/app:1"))
        .without_layout();
    pushed(&internet.seen_by(build).env("GCE_METADATA_HOST", &near.host()), &registry, &[]);
}

const ACR: &str = "team.azurecr.io";

/// Azure's registry: an exchange, a token server, and a door.
fn acr(registry: &Registry, hosts: &[&str]) -> Internet {
    let mut all = vec![ACR];
    all.extend(hosts);
    let internet = Internet::with(&all);
    let port = registry.port();
    internet.serve(ACR, move |request| {
        let field = |name: &str| request.field(name).unwrap_or_default();
        match request.path() {
            "/oauth2/exchange" => {
                let right = field("grant_type") == "access_token" && field("service") == ACR;
                match (right, field("access_token").as_str()) {
                    (true, "entra-token") => Reply::new(200, r#"{"refresh_token":"acr-refresh"}"#),
                    _ => Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"no such identity"}]}"#),
                }
            }
            "/oauth2/token" if field("refresh_token") == "acr-refresh" && field("grant_type") == "refresh_token" => {
                Reply::new(200, r#"{"access_token":"acr-access"}"#)
            }
            "/oauth2/token" => Reply::new(401, ""),
            _ if request.header("authorization") == Some("Bearer acr-access") => Reply::Forward(port),
            _ => Reply::new(401, "").header(
                "WWW-Authenticate: Bearer realm=\"https://team.azurecr.io/oauth2/token\",service=\"team.azurecr.io\"",
            ),
        }
    });
    internet
}

const SECRETS: [&str; 5] = ["sp-secret", "federated", "entra-token", "acr-refresh", "acr-access"];

#[test]
fn azures_registry_with_identities_of_the_directory() {
    let registry = Registry::open();
    let login = "login.microsoftonline.com";
    let internet = acr(&registry, &[login]);
    internet.serve(login, |request| {
        let field = |name: &str| request.field(name).unwrap_or_default();
        let right = request.path() == "/tenant/oauth2/v2.0/token"
            && field("scope") == "https://management.azure.com/.default"
            && (field("client_secret") == "sp-secret" || field("client_assertion") == "federated");
        if right {
            Reply::new(200, r#"{"access_token":"entra-token","expires_in":3599}"#)
        } else {
            Reply::new(401, "{}")
        }
    });
    let with =
        || internet.seen_by(build(ACR)).env("AZURE_TENANT_ID", "tenant").env("AZURE_CLIENT_ID", "client");
    let said = pushed(&with().env("AZURE_CLIENT_SECRET", "sp-secret"), &registry, &SECRETS);
    assert!(said.contains("ACR by the service principal in AZURE_CLIENT_ID"), "{said}");
    let directory = scratch();
    let token = directory.path().join("token");
    std::fs::write(&token, "federated").expect("written");
    let federated = with().env("AZURE_FEDERATED_TOKEN_FILE", &token.display().to_string());
    pushed(&federated, &registry, &SECRETS);
    let config = format!("{{\"credHelpers\":{{\"{ACR}\":\"acr-env\"}}}}");
    let by_helper =
        with().env("AZURE_CLIENT_SECRET", "sp-secret").docker_config(&config).flag("--credential-helpers=");
    pushed(&by_helper, &registry, &SECRETS);
}

#[test]
fn azures_registry_with_a_managed_identity() {
    let registry = Registry::open();
    let internet = acr(&registry, &[]);
    let near = Near::serve(|request| {
        let right = request.field("resource").as_deref() == Some("https://management.azure.com/")
            && request.header("metadata") == Some("true");
        if right {
            Reply::new(200, r#"{"access_token":"entra-token","expires_in":"3599"}"#)
        } else {
            Reply::new(400, "")
        }
    });
    let build = internet.seen_by(build(ACR)).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &near.url(""));
    let said = pushed(&build, &registry, &SECRETS);
    assert!(said.contains("ACR by the Azure managed identity"), "{said}");
}

#[test]
fn a_public_image_of_a_cloud_needs_no_identity() {
    let registry = Registry::open();
    let internet = Internet::with(&["gcr.io"]);
    let port = registry.port();
    internet.serve("gcr.io", move |_| Reply::Forward(port));
    registry.put(&yadokari_e2e::Base::Busybox.layout(), "public/busybox:1");
    let build = Build::new("FROM gcr.io/public/busybox:1\nCOPY a /\n").file("a", "a");
    internet.seen_by(build).run(Place::Overlay).succeeded();
}
