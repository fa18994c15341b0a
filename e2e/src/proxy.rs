//! Stands between the program and a registry and does what bad networks and busy registries do.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::http::{Head, answer};
use crate::registry::Registry;

/// What is done to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The proxy answers with this status itself; with `Retry-After` where seconds are given.
    Status(u16, Option<u32>),
    /// The proxy answers itself: status, header lines and body.
    Answer(u16, &'static str, &'static str),
    /// The proxy answers with a redirect to the same path below this URL.
    Redirect(String),
    /// Whoever asks is not told to the registry.
    Anonymous,
    /// The connection is closed after this many bytes of the answer.
    CutAnswer(usize),
    /// The connection is closed after this many bytes of the request's body; no answer.
    CutRequest(usize),
    /// A mount from another repository is not carried out: the registry is asked for an upload
    /// and answers 202.
    DenyMount,
    /// The bytes of the answer's body at the end are changed.
    Corrupt,
    /// The proxy answers itself, with 200 and something that makes no sense.
    Garbage,
    /// The answer comes at this many bytes a second.
    Slow(usize),
    /// The request's body is taken at this many bytes a second.
    SlowRequest(usize),
}

/// A fault and the requests that meet it.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Method of the requests.
    pub method: &'static str,
    /// What their path and query contain.
    pub contains: &'static str,
    /// How many of them, the first ones.
    pub times: usize,
    /// What happens to them.
    pub fault: Fault,
}

/// A registry's faulty twin on a port of its own.
pub struct FaultyProxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    upstream: u16,
    rules: Mutex<Vec<Rule>>,
    /// Method, target, and the fault they met.
    requests: Mutex<Vec<String>>,
    /// Waited before each request is passed on.
    delay: Mutex<Duration>,
    /// When each request was taken, and when its answer had been sent.
    spans: Mutex<Vec<(Instant, Instant)>>,
}

impl FaultyProxy {
    /// Starts one before `registry`.
    pub fn before(registry: &Registry, rules: Vec<Rule>) -> FaultyProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            upstream: registry.port(),
            rules: Mutex::new(rules),
            requests: Mutex::new(Vec::new()),
            delay: Mutex::new(Duration::ZERO),
            spans: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A connection that breaks is what this is for.
                std::thread::spawn(move || drop(state.serve(stream)));
            }
        });
        FaultyProxy { port, state }
    }

    /// `host:port`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port/name`
    pub fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Requests so far: method, path with query, range asked for, and the fault they met.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().expect("no thread panicked").clone()
    }

    /// Forgets the requests so far, and lets each of the next ones wait this long.
    pub fn start_anew(&self, delay: Duration) {
        *self.state.delay.lock().expect("no thread panicked") = delay;
        self.state.requests.lock().expect("no thread panicked").clear();
        self.state.spans.lock().expect("no thread panicked").clear();
    }

    /// Replaces the rules.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *self.state.rules.lock().expect("no thread panicked") = rules;
    }

    /// Most requests of which each was sent after the answer to the one before it: what a delay of
    /// every request is multiplied by.
    pub fn depth(&self) -> usize {
        let mut spans = self.state.spans.lock().expect("no thread panicked").clone();
        spans.sort_by_key(|(_, end)| *end);
        let mut depth = 0;
        let mut last: Option<Instant> = None;
        for (start, end) in spans {
            if last.is_none_or(|last| start >= last) {
                depth += 1;
                last = Some(end);
            }
        }
        depth
    }

    /// Asserts that every fault happened as often as its rule says.
    pub fn all_faults_happened(&self) {
        let rules = self.state.rules.lock().expect("no thread panicked");
        let left: Vec<_> = rules.iter().filter(|rule| rule.times > 0).collect();
        assert!(left.is_empty(), "never met: {left:?}\nrequests: {:#?}", self.requests());
    }
}

impl State {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
        let fault = self.fault_of(&head);
        let mut note = format!("{} {}", head.method, head.target);
        if let Some(range) = head.header("range") {
            note += &format!(" Range {range}");
        }
        if let Some(fault) = &fault {
            note += &format!(" {fault:?}");
        }
        self.requests.lock().expect("no thread panicked").push(note);
        let start = Instant::now();
        let delay = *self.delay.lock().expect("no thread panicked");
        std::thread::sleep(delay);
        let outcome = self.pass_on(client, reader, head, fault);
        self.spans.lock().expect("no thread panicked").push((start, Instant::now()));
        outcome
    }

    fn pass_on(
        &self,
        mut client: TcpStream,
        mut reader: BufReader<TcpStream>,
        mut head: Head,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let (mut rate, mut up_rate) = (usize::MAX, usize::MAX);
        let (mut up_limit, mut down_limit, mut corrupt) = (usize::MAX, usize::MAX, false);
        match fault {
            None => {}
            Some(Fault::Status(status, retry_after)) => {
                let header = retry_after.map(|s| format!("Retry-After: {s}\r\n"));
                return answer(&mut client, status, &header.unwrap_or_default(), "{}");
            }
            Some(Fault::Answer(status, headers, body)) => {
                return answer(&mut client, status, headers, body);
            }
            Some(Fault::Redirect(base)) => {
                return answer(&mut client, 307, &format!("Location: {base}{}\r\n", head.target), "");
            }
            Some(Fault::Anonymous) => {
                head.lines.retain(|line| !line.to_ascii_lowercase().starts_with("authorization:"));
            }
            Some(Fault::CutAnswer(bytes)) => down_limit = bytes,
            Some(Fault::CutRequest(bytes)) => up_limit = bytes,
            Some(Fault::DenyMount) => {
                let path = head.target.split('?').next().unwrap_or_default().to_owned();
                head.target = path;
            }
            Some(Fault::Corrupt) => corrupt = true,
            Some(Fault::Garbage) => return answer(&mut client, 200, "", "<html>Please log in</html>"),
            Some(Fault::Slow(bytes)) => rate = bytes,
            Some(Fault::SlowRequest(bytes)) => up_rate = bytes,
        }
        let mut upstream = TcpStream::connect(("127.0.0.1", self.upstream))?;
        send_head(&mut upstream, &head)?;
        let (mut to, both) = (upstream.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            // A client that goes away in the middle of a slow body is gone for the registry too.
            let gone = up_rate < usize::MAX;
            if copy(&mut reader, &mut to, up_limit, false, up_rate).unwrap_or(gone) || gone {
                let _ = both.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            }
        });
        copy(&mut upstream, &mut client, down_limit, corrupt, rate)?;
        client.shutdown(Shutdown::Both)?;
        upstream.shutdown(Shutdown::Both)
    }

    fn fault_of(&self, head: &Head) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no thread panicked");
        let rule = rules.iter_mut().find(|rule| {
            rule.times > 0 && rule.method == head.method && head.target.contains(rule.contains)
        })?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

/// One request a connection: what follows the answer's head is then the body, to the end.
fn send_head(upstream: &mut TcpStream, head: &Head) -> io::Result<()> {
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
    for line in &head.lines {
        if !line.to_ascii_lowercase().starts_with("connection:") {
            text += &format!("{line}\r\n");
        }
    }
    text += "Connection: close\r\n\r\n";
    upstream.write_all(text.as_bytes())
}

/// Copies until the end or `limit`; says whether the limit was reached. With `corrupt` the last
/// byte of each piece after the first 16 KiB is inverted.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    limit: usize,
    corrupt: bool,
    rate: usize,
) -> io::Result<bool> {
    let mut buffer = vec![0_u8; rate.clamp(1, 16 * 1024)];
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(false);
        }
        if corrupt && total >= buffer.len() {
            buffer[count - 1] ^= 0xff;
        }
        let allowed = count.min(limit - total);
        to.write_all(&buffer[..allowed])?;
        to.flush()?;
        total += allowed;
        if rate < usize::MAX {
            std::thread::sleep(Duration::from_secs_f64(allowed as f64 / rate as f64));
        }
        if total >= limit {
            return Ok(true);
        }
    }
}
