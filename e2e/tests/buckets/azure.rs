//! Blobs of Azure, in its four clouds.

use yadokari_e2e::{Internet, Near, Reply, Request, scratch, shared_key_is_right};

use super::{build, object, packed, refusal, right, wrong};

const HOST: &str = "acc.blob.core.windows.net";
const URL: &str = "https://acc.blob.core.windows.net/ctx/dir/c.tar.gz";
const PATH: &str = "/ctx/dir/c.tar.gz";
/// A key as Azure makes them: base64.
const KEY: &str = "c2VjcmV0LWtleS1vZi10aGUtYWNjb3VudA==";

/// A blob for who is let in.
fn blob(is_let_in: impl Fn(&Request) -> bool + Send + Sync) -> impl Fn(&Request) -> Reply + Send + Sync {
    let bytes = packed("--gzip");
    move |request: &Request| match request.path() {
        _ if !is_let_in(request) => refusal("AuthenticationFailed"),
        PATH => object(request, &bytes),
        _ => Reply::new(404, "<Error><Code>BlobNotFound</Code><Message>no such blob</Message></Error>"),
    }
}

#[test]
fn with_an_accounts_key() {
    for end in ["windows.net", "chinacloudapi.cn", "cloudapi.de", "usgovcloudapi.net"] {
        let host = format!("acc.blob.core.{end}");
        let internet = Internet::with(&[&host]);
        internet.serve(&host, blob(|request| shared_key_is_right(request, "acc", KEY)));
        let build = internet.seen_by(build(&format!("https://{host}{PATH}")));
        let said = right(&build.env("AZURE_STORAGE_ACCESS_KEY", KEY), &[KEY]).finished.output();
        assert!(said.contains("AZURE_STORAGE_ACCESS_KEY"), "{said}");
    }
    let internet = Internet::with(&[HOST]);
    internet.serve(HOST, blob(|request| shared_key_is_right(request, "acc", KEY)));
    let other = "b3RoZXI=";
    let said = wrong(&internet.seen_by(build(URL)).env("AZURE_STORAGE_ACCESS_KEY", other), &[other]);
    assert!(
        said.contains("403: AuthenticationFailed") && said.contains("AZURE_STORAGE_ACCESS_KEY"),
        "{said}"
    );
    let said = wrong(&internet.seen_by(build(URL)).env("AZURE_STORAGE_ACCESS_KEY", "!no base64"), &[]);
    assert!(said.contains("AZURE_STORAGE_ACCESS_KEY cannot be used: it is not base64"), "{said}");
}

#[test]
fn with_a_shared_access_signature() {
    let internet = Internet::with(&[HOST]);
    internet.serve(
        HOST,
        blob(|request| {
            request.field("sig").as_deref() == Some("s1g+nature=")
                && request.field("sv").as_deref() == Some("2024-01-01")
        }),
    );
    let signature = "sv=2024-01-01&sp=r&sig=s1g%2Bnature%3D";
    let secrets = ["s1g%2Bnature", "s1g+nature"];
    right(&internet.seen_by(build(&format!("{URL}?{signature}"))), &secrets);
    right(&internet.seen_by(build(URL)).env("AZURE_STORAGE_SAS_TOKEN", &format!("?{signature}")), &secrets);
    let gone = format!("https://{HOST}/ctx/none?{signature}");
    let said = wrong(&internet.seen_by(build(&gone)), &secrets);
    assert!(
        said.contains("404: BlobNotFound: no such blob") && said.contains("the signature in the URL"),
        "{said}"
    );
}

#[test]
fn with_identities_of_the_directory() {
    let login = "login.microsoftonline.com";
    let internet = Internet::with(&[HOST, login]);
    internet.serve(HOST, blob(|request| request.header("authorization") == Some("Bearer storage-token")));
    internet.serve(login, |request| {
        let field = |name: &str| request.field(name).unwrap_or_default();
        let proof = field("client_secret") == "sp-secret"
            || field("client_assertion") == "federated-token"
                && field("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let right = request.path() == "/tenant/oauth2/v2.0/token"
            && field("client_id") == "client"
            && field("scope") == "https://storage.azure.com/.default"
            && proof;
        if right {
            Reply::new(200, r#"{"token_type":"Bearer","expires_in":3599,"access_token":"storage-token"}"#)
        } else {
            Reply::new(401, r#"{"error":"invalid_client","error_description":"AADSTS7000215: wrong"}"#)
        }
    });
    let secrets = ["sp-secret", "federated-token", "storage-token"];
    let with =
        || internet.seen_by(build(URL)).env("AZURE_TENANT_ID", "tenant").env("AZURE_CLIENT_ID", "client");
    right(&with().env("AZURE_CLIENT_SECRET", "sp-secret"), &secrets);
    let directory = scratch();
    let token = directory.path().join("token");
    std::fs::write(&token, "federated-token\n").expect("written");
    let file = token.display().to_string();
    let said = right(&with().env("AZURE_FEDERATED_TOKEN_FILE", &file), &secrets).finished.output();
    assert!(said.contains(&format!("the workload identity in {file}")), "{said}");
    let said = wrong(&with().env("AZURE_CLIENT_SECRET", "other-secret"), &["other-secret"]);
    assert!(said.contains("AADSTS7000215: wrong") && said.contains("AZURE_CLIENT_ID"), "{said}");
}

#[test]
fn with_the_managed_identity_and_without_any() {
    let internet = Internet::with(&[HOST]);
    internet.serve(HOST, blob(|request| request.header("authorization") == Some("Bearer managed-token")));
    let near = Near::serve(|request| {
        let right = request.path() == "/metadata/identity/oauth2/token"
            && request.header("metadata") == Some("true")
            && request.field("resource").as_deref() == Some("https://storage.azure.com/");
        if right {
            Reply::new(200, r#"{"access_token":"managed-token","expires_in":"3600"}"#)
        } else {
            Reply::new(400, "")
        }
    });
    right(
        &internet.seen_by(build(URL)).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &near.url("")),
        &["managed-token"],
    );
    let said = wrong(&internet.seen_by(build(URL)), &[]);
    for words in
        ["403: AuthenticationFailed", "AZURE_STORAGE_ACCESS_KEY", "the Azure managed identity: no answer"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}
