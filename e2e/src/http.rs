//! As much HTTP/1.1 as servers of a test need: the head of a request, one answer.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

/// A request without its body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Header lines without their line ends.
    pub(crate) lines: Vec<String>,
}

impl Head {
    /// Reads a request's head; `None` where the peer closed the connection before one.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut first = String::new();
        reader.by_ref().take(64 * 1024).read_line(&mut first)?;
        let mut words = first.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Ok(None);
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.by_ref().take(64 * 1024).read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(Some(Head { method, target, lines }));
            }
            lines.push(line.to_owned());
        }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The values of a parameter of the query, percent-decoded.
    pub(crate) fn query(&self, name: &str) -> Vec<String> {
        let Some((_, query)) = self.target.split_once('?') else { return Vec::new() };
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| percent_decode(value))
            .collect()
    }
}

/// Undoes percent signs, and pluses for spaces.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let hex = std::str::from_utf8(&hex).expect("a query is ASCII");
                bytes.push(u8::from_str_radix(hex, 16).expect("two hexadecimal digits"));
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).expect("tests use UTF-8 queries")
}

/// Answers a request and ends the connection.
pub(crate) fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Test\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

/// Sends a request to a loopback port; gives the status and the answer's body.
pub(crate) fn request(
    port: u16,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let mut head = format!("{method} {target} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an HTTP answer");
    let first = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = first.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    (status.expect("a status"), answer.split_off(end + 4))
}
