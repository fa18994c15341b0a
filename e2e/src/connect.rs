//! A proxy as companies have them: requests in plain HTTP pass through, for TLS it connects. All
//! names lead to one server.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::http::Head;

/// The proxy; it remembers what it was asked.
pub struct ConnectProxy {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Starts one that takes every host for a port of this machine.
    pub fn before(upstream: u16) -> ConnectProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                // A client that goes away in the middle is its own test's concern.
                std::thread::spawn(move || drop(serve(&stream, upstream, &noted)));
            }
        });
        ConnectProxy { port, requests }
    }

    /// What `HTTP_PROXY` is set to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Method and target of each request.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no thread panicked").clone()
    }
}

fn serve(client: &TcpStream, upstream: u16, noted: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
    noted.lock().expect("no thread panicked").push(format!("{} {}", head.method, head.target));
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    let mut client = client.try_clone()?;
    if head.method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    } else {
        // One request a connection, so that each is noted.
        let path = head.target.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let mut text = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", head.method, path.unwrap_or("/"));
        for line in head.lines.iter().filter(|l| !l.to_ascii_lowercase().starts_with("connection:")) {
            text += &format!("{line}\r\n");
        }
        server.write_all(format!("{text}\r\n").as_bytes())?;
    }
    let (mut to, mut from) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut reader, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    io::copy(&mut server, &mut from)?;
    from.shutdown(Shutdown::Both)
}
