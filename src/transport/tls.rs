//! Whom TLS trusts: Mozilla's roots, built in because an image may have none, and on top of
//! them the system's, those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, and configured ones.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};

use super::SetupError;
use crate::event::Events;

/// Where distributions keep all roots in one file; the first that exists is read.
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where people put single ones.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
/// A bundle of all public CAs has 200 KiB.
const FILE_LIMIT: u64 = 16 << 20;
/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN";

/// What the CA files held at the start. They are decoded when the first connection needs them:
/// hundreds of certificates take longer than a small build.
#[derive(Default)]
pub(super) struct CaFiles {
    /// Files of the distribution, and those of directories.
    system: Vec<(PathBuf, Vec<u8>)>,
    /// Certificates of files that somebody named.
    named: Vec<CertificateDer<'static>>,
    /// Paths that somebody named: a variable and a flag often name the same.
    given: HashSet<PathBuf>,
    /// Device and inode of files read: directories name a certificate by its hash too.
    read: HashSet<(u64, u64)>,
}

impl CaFiles {
    /// Reads the files, and decodes those that somebody named.
    ///
    /// # Errors
    /// A configured path, or one of `SSL_CERT_FILE` and `SSL_CERT_DIR`, exists and cannot be used.
    pub(super) fn read(configured: &[PathBuf], events: &Events) -> Result<Self, SetupError> {
        let mut files = CaFiles::default();
        let bundle = SYSTEM_FILES.iter().find(|path| Path::new(path).exists());
        if let Some(path) = bundle {
            files.add_system(PathBuf::from(path), events);
        }
        for directory in SYSTEM_DIRECTORIES {
            // Where there is a bundle, the links beside it name the same certificates once more.
            let paths = files_of(Path::new(directory), bundle.is_none());
            paths.into_iter().for_each(|path| files.add_system(path, events));
        }
        let named = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let file = named("SSL_CERT_FILE").into_iter().map(PathBuf::from);
        let directories = named("SSL_CERT_DIR");
        let directories = directories.iter().flat_map(std::env::split_paths);
        for path in file.chain(directories).chain(configured.iter().cloned()) {
            files.add_named(&path, events)?;
        }
        Ok(files)
    }

    /// All roots: the files' and Mozilla's.
    pub(super) fn roots(&self, events: &Events) -> RootCertStore {
        self.collect(events).store
    }

    /// The same roots in PEM (RFC 7468).
    pub(super) fn pem(&self, events: &Events) -> String {
        let mut text = String::new();
        for certificate in self.collect(events).seen {
            let encoded = STANDARD.encode(&certificate);
            text.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in encoded.as_bytes().chunks(64) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
            text.push_str("-----END CERTIFICATE-----\n");
        }
        text
    }

    fn collect(&self, events: &Events) -> Roots {
        let mut roots = Roots { store: RootCertStore::empty(), seen: HashSet::new() };
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().for_each(|root| roots.add(root.clone()));
        self.named.iter().for_each(|root| roots.add(root.clone()));
        for (path, text) in &self.system {
            for certificate in CertificateDer::pem_slice_iter(text) {
                match certificate {
                    Ok(root) => roots.add(root),
                    Err(e) => {
                        events.debug(format!("CA roots: {}", unreadable(path, &e)));
                        break;
                    }
                }
            }
        }
        roots
    }

    /// A file of the distribution: nobody here can mend it, so what is wrong is a remark.
    fn add_system(&mut self, path: PathBuf, events: &Events) {
        // What is missing, a directory or a device, is no file of certificates.
        let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file);
        if !metadata.is_some_and(|metadata| self.read.insert((metadata.dev(), metadata.ino()))) {
            return;
        }
        match bytes_of(&path) {
            // Directories hold other files too.
            Ok(text) if !text.windows(PEM.len()).any(|part| part == PEM) => {}
            Ok(text) => self.system.push((path, text)),
            Err(problem) => events.debug(format!("CA roots: {problem}")),
        }
    }

    /// A path somebody named.
    fn add_named(&mut self, path: &Path, events: &Events) -> Result<(), SetupError> {
        // A distribution's bundle is the distribution's, whoever names it.
        let is_bundle = SYSTEM_FILES.iter().any(|known| Path::new(known) == path);
        let is_read = is_bundle && self.system.iter().any(|(known, _)| known == path);
        if is_read || !self.given.insert(path.to_owned()) {
            return Ok(());
        }
        if path.is_dir() {
            files_of(path, true).into_iter().for_each(|file| self.add_system(file, events));
            return Ok(());
        }
        if !path.exists() {
            events.debug(format!("CA roots: {} does not exist", path.display()));
            return Ok(());
        }
        let text = bytes_of(path).map_err(|problem| SetupError { problem })?;
        let before = self.named.len();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|e| SetupError { problem: unreadable(path, &e) })?;
            self.named.push(certificate);
        }
        if self.named.len() == before {
            let problem = format!("{} holds no certificate in PEM", path.display());
            return Err(SetupError { problem });
        }
        Ok(())
    }
}

/// The regular files of a directory, and the links if wanted, by name; none if it cannot be read.
fn files_of(directory: &Path, with_links: bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_wanted = |e: &std::fs::DirEntry| match e.file_type() {
        Ok(kind) if kind.is_symlink() => with_links,
        kind => kind.is_ok_and(|kind| kind.is_file()),
    };
    let mut files: Vec<PathBuf> = entries.filter(is_wanted).map(|e| e.path()).collect();
    files.sort();
    files
}

pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let size = file.metadata().map_err(|e| unreadable(path, &e))?.len();
    let mut text = Vec::with_capacity(size.min(FILE_LIMIT) as usize + 1);
    file.take(FILE_LIMIT + 1).read_to_end(&mut text).map_err(|e| unreadable(path, &e))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(unreadable(path, &format_args!("it is larger than {FILE_LIMIT} bytes")));
    }
    Ok(text)
}

pub(super) fn unreadable(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("cannot read {}: {problem}", path.display())
}

struct Roots {
    store: RootCertStore,
    seen: HashSet<CertificateDer<'static>>,
}

impl Roots {
    fn add(&mut self, certificate: CertificateDer<'static>) {
        if self.seen.insert(certificate.clone()) {
            // A root that webpki cannot read could never be matched: leaving it out is safe.
            self.store.add_parsable_certificates([certificate]);
        }
    }
}

/// What is shown to servers that ask who connects.
pub(super) type Shown = Option<Arc<SingleCertAndKey>>;

/// TLS that checks certificates.
pub(super) fn checked(roots: RootCertStore, shown: Shown) -> Result<ClientConfig, String> {
    Ok(finished(versions()?.with_root_certificates(roots), shown))
}

/// TLS that believes everybody.
pub(super) fn unchecked(shown: Shown) -> Result<ClientConfig, String> {
    let believer = Arc::new(Believer { provider: ring::default_provider() });
    let builder = versions()?.dangerous().with_custom_certificate_verifier(believer);
    Ok(finished(builder, shown))
}

/// TLS that trusts nobody, for a client that only speaks plain HTTP.
pub(super) fn none() -> Result<ClientConfig, String> {
    checked(RootCertStore::empty(), None)
}

fn versions() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))
}

fn finished(builder: ConfigBuilder<ClientConfig, WantsClientCert>, shown: Shown) -> ClientConfig {
    match shown {
        Some(shown) => builder.with_client_cert_resolver(shown),
        None => builder.with_no_client_auth(),
    }
}

/// Accepts every certificate, but still demands that the other side holds its key.
#[derive(Debug)]
struct Believer {
    provider: CryptoProvider,
}

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_paths() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = directory.path().join("readme");
        std::fs::write(&text, "no certificate").expect("written");
        let pem = directory.path().join("ca.pem");
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        std::fs::write(&pem, broken).expect("written");
        let events = Events::none();
        let roots = |configured: &[PathBuf]| {
            CaFiles::read(configured, &events).map(|files| files.roots(&events).len())
        };
        let built_in = roots(&[]).expect("right");
        assert!(built_in > 100, "{built_in}");
        // Other files in a directory of certificates are nobody's mistake.
        assert_eq!(roots(&[directory.path().to_owned()]).expect("right"), built_in);
        assert_eq!(roots(&[directory.path().join("none")]).expect("right"), built_in);
        for named in [text, pem] {
            let problem = roots(std::slice::from_ref(&named)).expect_err("no certificate").to_string();
            assert!(problem.contains(&named.display().to_string()), "{problem}");
        }
    }

    #[test]
    fn files_are_read_at_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let pem = directory.path().join("ca.pem");
        std::fs::write(&pem, include_str!("../registry/tests/ca.pem")).expect("written");
        let events = Events::none();
        let count = |files: &CaFiles| {
            let roots = files.roots(&events).len();
            let pem = files.pem(&events);
            assert_eq!(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().count(), roots);
            roots
        };
        let without = count(&CaFiles::read(&[], &events).expect("right"));
        let by_name = CaFiles::read(std::slice::from_ref(&pem), &events).expect("right");
        let by_directory = CaFiles::read(&[directory.path().to_owned()], &events).expect("right");
        std::os::unix::fs::symlink("ca.pem", directory.path().join("0a1b2c3d.0")).expect("linked");
        let twice = CaFiles::read(&[directory.path().to_owned()], &events).expect("right");
        assert_eq!(twice.system.len(), by_directory.system.len(), "read once under two names");
        std::fs::remove_file(&pem).expect("removed");
        assert_eq!(count(&by_name), without + 1);
        assert_eq!(count(&by_directory), without + 1);
    }
}
