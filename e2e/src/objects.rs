//! Servers of objects that others wrote, on loopback ports.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::request;
use crate::machine::scratch;
use crate::registry::free_port;

/// The bucket that is there from the start.
const BUCKET: &str = "bucket";

/// A server of objects that runs until this goes.
pub struct ObjectServer {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl ObjectServer {
    /// `s3rver`: knows one account, `S3RVER`; it reads signatures and does not compute them.
    pub fn s3() -> ObjectServer {
        Self::start("s3rver", |command, port, directory| {
            command.arg("--directory").arg(directory).args(["--configure-bucket", BUCKET]);
            command.args(["--address", "127.0.0.1", "--port", port]);
        })
    }

    /// `gcp-storage-emulator`: Google's storage for who needs no credentials.
    pub fn google() -> ObjectServer {
        Self::start("gcp-storage-emulator", |command, port, _| {
            command.args(["start", "--host", "127.0.0.1", "--port", port]);
            command.args(["--default-bucket", BUCKET, "--in-memory"]);
        })
    }

    fn start(program: &str, arguments: impl FnOnce(&mut Command, &str, &std::path::Path)) -> ObjectServer {
        let (directory, port) = (scratch(), free_port());
        let log = fs::File::create(directory.path().join("log")).expect("a log can be made");
        // The server must not outlive a test that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]);
        let objects = directory.path().join("objects");
        fs::create_dir(&objects).expect("made");
        arguments(&mut command, &port.to_string(), &objects);
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let server = ObjectServer { process, port, directory };
        server.wait_until_it_listens();
        server
    }

    fn wait_until_it_listens(&self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let patience = Duration::from_secs(20);
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < patience, "no server of objects within {patience:?}:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Puts an object into `bucket`.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let host = format!("127.0.0.1:{}", self.port);
        let headers = [("Host", host.as_str()), ("Content-Type", "application/octet-stream")];
        let (status, answer) = request(self.port, "PUT", &format!("/{BUCKET}/{key}"), &headers, bytes);
        assert_eq!(status, 200, "PUT {key}: {}", String::from_utf8_lossy(&answer));
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
