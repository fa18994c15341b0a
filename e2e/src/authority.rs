//! A private CA and what it signs, made with openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command::run_ok;
use crate::machine::scratch;

/// A CA that nobody trusts without being told.
pub struct Authority {
    directory: TempDir,
}

impl Authority {
    /// Makes one, with a certificate for this machine's loopback addresses and `localhost`, and one
    /// for a client.
    pub fn new() -> Authority {
        let authority = Authority { directory: scratch() };
        let ca = [
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=private CA",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ];
        let mut openssl = authority.request("ca");
        openssl.args(ca).arg("-out").arg(authority.certificate());
        run_ok(&mut openssl);
        authority.sign(
            "server",
            "subjectAltName=IP:127.0.0.1,IP:0:0:0:0:0:0:0:1,DNS:localhost,DNS:registry.invalid",
        );
        authority.sign("client", "extendedKeyUsage=clientAuth");
        authority
    }

    fn request(&self, name: &str) -> Command {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.arg("-keyout").arg(self.path(&format!("{name}.key")));
        openssl
    }

    fn sign(&self, name: &str, extension: &str) {
        let request = self.path(&format!("{name}.csr"));
        let mut openssl = self.request(name);
        openssl.args(["-subj", &format!("/CN={name}")]).arg("-out").arg(&request);
        run_ok(&mut openssl);
        let extensions = self.path(&format!("{name}.ext"));
        fs::write(&extensions, format!("{extension}\n")).expect("written");
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        openssl.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.path("ca.key"));
        openssl.arg("-extfile").arg(&extensions).arg("-out").arg(self.path(&format!("{name}.pem")));
        run_ok(&mut openssl);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where everything lies.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Certificate and key of a server.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.pem"), self.path("server.key"))
    }

    /// Certificate and key of a client.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.path("client.pem"), self.path("client.key"))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
