//! Debian's `docker-registry` on a loopback port of its own, empty at the start.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::command::{run, run_ok};
use crate::http::request;
use crate::image::Image;
use crate::machine::scratch;
use crate::token::TokenServer;
use crate::tools::{skopeo_pull, skopeo_push};

/// The one account of registries that ask who one is.
pub(crate) const USER: &str = "builder";
/// Its password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Its identity token, for OAuth2.
pub(crate) const IDENTITY: &str = "identity-token-of-the-builder";

/// A registry that runs until this goes.
pub struct Registry {
    directory: TempDir,
    address: &'static str,
    port: u16,
    process: Child,
    credentials: Option<String>,
    tokens: Option<TokenServer>,
}

/// What differs between registries.
#[derive(Default)]
struct Settings {
    /// The `auth` section of the configuration.
    auth: String,
    /// What follows in the `http` section.
    tls: String,
    ipv6: bool,
    credentials: Option<String>,
    tokens: Option<TokenServer>,
}

impl Registry {
    /// Open to everybody.
    pub fn open() -> Registry {
        Registry::start(scratch(), Settings::default())
    }

    /// Open to everybody, at the loopback address of IPv6.
    pub fn on_ipv6() -> Registry {
        Registry::start(scratch(), Settings { ipv6: true, ..Settings::default() })
    }

    /// Speaks TLS with a certificate of a private CA.
    pub fn with_tls(authority: &Authority) -> Registry {
        let (certificate, key) = authority.server();
        let tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
        Registry::start(scratch(), Settings { tls, ..Settings::default() })
    }

    /// The same, without HTTP/2.
    pub fn with_old_tls(authority: &Authority) -> Registry {
        let (certificate, key) = authority.server();
        let tls = format!(
            ", tls: {{certificate: {}, key: {}}}, http2: {{disabled: true}}",
            certificate.display(),
            key.display()
        );
        Registry::start(scratch(), Settings { tls, ..Settings::default() })
    }

    /// Speaks TLS, and only to who shows a certificate of the same CA.
    pub fn with_mutual_tls(authority: &Authority) -> Registry {
        let (certificate, key) = authority.server();
        let tls = format!(
            ", tls: {{certificate: {}, key: {}, clientcas: [{}]}}",
            certificate.display(),
            key.display(),
            authority.certificate().display()
        );
        Registry::start(scratch(), Settings { tls, ..Settings::default() })
    }

    /// Asks for a name and a password (Basic).
    pub fn with_password() -> Registry {
        let directory = scratch();
        let users = run_ok(Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]));
        let file = directory.path().join("htpasswd");
        fs::write(&file, users).expect("written");
        let auth = format!("auth:\n  htpasswd: {{realm: e2e, path: {}}}\n", file.display());
        let credentials = Some(format!("{USER}:{PASSWORD}"));
        Registry::start(directory, Settings { auth, credentials, ..Settings::default() })
    }

    /// Asks for a token, which [`TokenServer`] gives to who knows the password (Bearer).
    pub fn with_tokens() -> Registry {
        Self::with_tokens_of(TokenServer::start())
    }

    /// The same with tokens of this server.
    pub fn with_tokens_of(tokens: TokenServer) -> Registry {
        let directory = scratch();
        let auth = format!(
            "auth:\n  token: {{realm: \"{}\", service: e2e, issuer: e2e, rootcertbundle: {}}}\n",
            tokens.realm(),
            tokens.certificate().display(),
        );
        let credentials = Some(format!("{USER}:{PASSWORD}"));
        Registry::start(
            directory,
            Settings { auth, credentials, tokens: Some(tokens), ..Settings::default() },
        )
    }

    fn start(directory: TempDir, settings: Settings) -> Registry {
        let Settings { auth, tls, ipv6, credentials, tokens } = settings;
        let address = if ipv6 { "[::1]" } else { "127.0.0.1" };
        let port = free_port();
        let root = directory.path();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: false}}}}\n\
             storage:\n  filesystem: {{rootdirectory: {root}/data}}\n  delete: {{enabled: true}}\n\
             http: {{addr: \"{address}:{port}\", secret: e2e{tls}}}\n{auth}",
            root = root.display(),
        );
        fs::write(root.join("config.yml"), configuration).expect("written");
        let log = fs::File::create(root.join("log")).expect("a log can be made");
        // The registry must not outlive a test that is killed.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
            .arg(root.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("docker-registry starts");
        let registry = Registry { directory, address, port, process, credentials, tokens };
        registry.wait_until_it_listens();
        registry
    }

    fn wait_until_it_listens(&self) {
        let start = Instant::now();
        while TcpStream::connect(self.host()).is_err() {
            let patience = Duration::from_secs(20);
            assert!(start.elapsed() < patience, "no registry within {patience:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `host:port`
    pub fn host(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// `host:port/name`
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// docker's `config.json` with the account of this registry.
    pub fn docker_config(&self) -> String {
        self.docker_config_for(self.credentials.as_ref().expect("the registry has an account"))
    }

    /// docker's `config.json` with the identity token of this registry's account.
    pub fn identity_config(&self) -> String {
        format!("{{\"auths\":{{\"{}\":{{\"identitytoken\":\"{IDENTITY}\"}}}}}}", self.host())
    }

    /// docker's `config.json` with the account of this registry, if it has one.
    pub fn account_config(&self) -> Option<String> {
        self.credentials.as_ref().map(|account| self.docker_config_for(account))
    }

    /// docker's `config.json` with some account, `name:password`, at this registry.
    pub fn docker_config_for(&self, account: &str) -> String {
        let auth = STANDARD.encode(account);
        format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", self.host())
    }

    /// Copies an image from an OCI layout into the registry with skopeo.
    pub fn put(&self, layout: &std::path::Path, name: &str) {
        skopeo_push(layout, &self.reference(name), self.credentials.as_deref());
    }

    /// Pulls an image with skopeo and reads it.
    pub fn image(&self, name: &str) -> Image {
        let directory = Arc::new(scratch());
        skopeo_pull(&self.reference(name), directory.path(), self.credentials.as_deref());
        Image::from_dir(directory.path()).keeping(directory)
    }

    /// The bytes of a manifest or an index.
    pub fn raw(&self, name: &str) -> String {
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--raw", "--tls-verify=false"]);
        if let Some(credentials) = &self.credentials {
            command.args(["--creds", credentials]);
        }
        run_ok(command.arg(format!("docker://{}", self.reference(name))))
    }

    /// Puts a manifest or an index as it is.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, body: &str) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let headers = [("Content-Type", media_type)];
        let (status, answer) = request(self.port, "PUT", &path, &headers, body.as_bytes());
        assert_eq!(status, 201, "PUT {path}: {}", String::from_utf8_lossy(&answer));
    }

    /// Whether the registry's own files have this tag; what a push that failed must not leave.
    pub fn has_tag(&self, repository: &str, tag: &str) -> bool {
        let path = format!("data/docker/registry/v2/repositories/{repository}/_manifests/tags");
        self.directory.path().join(path).join(tag).exists()
    }

    /// Uploads that were opened, and neither became blobs nor were cancelled, as the registry's own files
    /// have them.
    pub fn open_uploads(&self) -> Vec<String> {
        let root = self.directory.path().join("data/docker/registry/v2/repositories");
        // Of what was cancelled it leaves a directory with states of hashes.
        let find = ["-path", "*/_uploads/*", "-name", "startedat", "-printf", "%P\\n"];
        // A registry that was pushed nothing has no such directory.
        let found = run(Command::new("find").arg(root).args(find));
        found.stdout.lines().map(str::to_owned).collect()
    }

    /// Requests so far, one line each as the registry logs them: `"GET /v2/… HTTP/1.1" 200 …`.
    pub fn requests(&self) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| line.contains(" HTTP/")).map(str::to_owned).collect()
    }

    /// The server of this registry's tokens.
    pub fn tokens(&self) -> &TokenServer {
        self.tokens.as_ref().expect("the registry asks for tokens")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).expect("the log is readable")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port of the loopback interface that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has a port");
    listener.local_addr().expect("a listener has an address").port()
}
