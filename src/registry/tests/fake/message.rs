//! Requests and answers of the registry for tests.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};

/// A request as it came.
#[derive(Debug, Clone)]
pub(in crate::registry::tests) struct Request {
    pub(in crate::registry::tests) method: String,
    /// Path with query, percent signs undone.
    pub(in crate::registry::tests) target: String,
    pub(in crate::registry::tests) headers: HashMap<String, String>,
    pub(in crate::registry::tests) body: Vec<u8>,
}

impl Request {
    pub(in crate::registry::tests) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(in crate::registry::tests) fn query(&self, name: &str) -> Vec<&str> {
        let query = self.target.split_once('?').map_or("", |(_, q)| q);
        query
            .split('&')
            .filter_map(|p| p.split_once('='))
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v)
            .collect()
    }

    pub(in crate::registry::tests) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What is sent back.
#[derive(Debug, Clone, Default)]
pub(in crate::registry::tests) struct Reply {
    pub(in crate::registry::tests) status: u16,
    pub(in crate::registry::tests) headers: Vec<(String, String)>,
    pub(in crate::registry::tests) body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub(in crate::registry::tests) cut: Option<usize>,
    /// Send no headers at all: just close.
    pub(in crate::registry::tests) hang_up: bool,
    /// Keep silent after that, with the connection open.
    pub(in crate::registry::tests) silent: bool,
}

pub(in crate::registry::tests) fn reply(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

impl Reply {
    pub(in crate::registry::tests) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(in crate::registry::tests) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

pub(in crate::registry::tests) fn hang_up() -> Reply {
    Reply { hang_up: true, ..Reply::default() }
}

/// Neither answers nor closes.
pub(in crate::registry::tests) fn silence() -> Reply {
    Reply { silent: true, ..hang_up() }
}

/// A request without its body.
pub(super) fn read_head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = Vec::new();
    reader.by_ref().take(64 << 10).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), undo_percent(words.next()?));
    words.next().filter(|version| version.starts_with("HTTP/1"))?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { method, target, headers, body: Vec::new() })
}

pub(super) fn write_reply(stream: &mut impl Write, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Fake\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())])?;
    }
    stream.flush()
}

pub(super) fn undo_percent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
