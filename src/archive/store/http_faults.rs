//! An HTTP server for the tests that answers by a script, or stands before a real one and breaks what passes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// This status and body, without asking any server.
    Say(u16, &'static str),
    /// The server does what was asked; the connection is cut before its reply.
    LoseReply,
    /// The server does what was asked; the connection stays, and is silent.
    SwallowReply,
    /// The server never hears of it; the connection is cut.
    LoseRequest,
}

/// So many requests of a method, with this in their path, are answered so.
#[derive(Debug)]
struct Rule {
    method: &'static str,
    path: String,
    answer: Answer,
    left: usize,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    /// Method and path of every request.
    seen: Vec<String>,
    /// The connections that are kept silent.
    silent: Vec<TcpStream>,
}

/// The server; requests that no rule is for go on to the real server, or are answered by 404.
pub(super) struct FaultServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
}

impl FaultServer {
    /// Listens on a port of its own.
    pub(super) fn start(upstream: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let stopped = Arc::new(AtomicBool::new(false));
        let (shared, stop) = (Arc::clone(&state), Arc::clone(&stopped));
        let listen = move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (Ok(client), state) = (client, Arc::clone(&shared)) else { continue };
                thread::spawn(move || {
                    // A client that goes away is no failure of a test.
                    let _ = serve(client, upstream, &state);
                });
            }
        };
        thread::Builder::new().name("http-faults".to_owned()).spawn(listen).expect("a thread can be started");
        Self { address, state, stopped }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next so many requests of this method with `path` in theirs are answered so.
    pub(super) fn answer(&self, method: &'static str, path: &str, answer: Answer, times: usize) {
        lock(&self.state).rules.push(Rule { method, path: path.to_owned(), answer, left: times });
    }

    /// How many requests of this method, with `path` in theirs, there were.
    pub(super) fn seen(&self, method: &str, path: &str) -> usize {
        let state = lock(&self.state);
        state.seen.iter().filter(|seen| seen.starts_with(method) && seen.contains(path)).count()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        lock(&self.state).silent.clear();
        // Wakes the listening thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic while it was held")
}

/// One request, on a connection that ends with its answer.
fn serve(mut client: TcpStream, upstream: Option<SocketAddr>, state: &Mutex<State>) -> io::Result<()> {
    let request = read_request(&client)?;
    let Some(request) = request else { return Ok(()) };
    let answer = {
        let mut state = lock(state);
        state.seen.push(format!("{} {}", request.method, request.path));
        let due =
            |rule: &&mut Rule| rule.left > 0 && rule.method == request.method && request.path.contains(&rule.path);
        state.rules.iter_mut().find(due).map(|rule| {
            rule.left -= 1;
            rule.answer
        })
    };
    match (answer, upstream) {
        (Some(Answer::Say(status, body)), _) => say(&mut client, &request.method, status, body),
        (Some(Answer::LoseRequest), _) => client.shutdown(Shutdown::Both),
        (Some(Answer::LoseReply), Some(upstream)) => {
            forward(upstream, &request)?;
            client.shutdown(Shutdown::Both)
        }
        (Some(Answer::SwallowReply), upstream) => {
            if let Some(upstream) = upstream {
                forward(upstream, &request)?;
            }
            lock(state).silent.push(client);
            Ok(())
        }
        (None, Some(upstream)) => client.write_all(&forward(upstream, &request)?),
        (Some(Answer::LoseReply) | None, None) => say(&mut client, &request.method, 404, ""),
    }
}

struct Request {
    method: String,
    path: String,
    /// As it came, less the wish to keep the connection.
    bytes: Vec<u8>,
}

fn read_request(client: &TcpStream) -> io::Result<Option<Request>> {
    let mut reader = BufReader::new(client);
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut bytes = first.clone().into_bytes();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == "\r\n" || line.is_empty() {
            break;
        }
        if !lower.starts_with("connection:") {
            bytes.extend_from_slice(line.as_bytes());
        }
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    bytes.extend_from_slice(&body);
    Ok(Some(Request { method, path, bytes }))
}

/// The server's whole reply; it closes the connection behind it.
fn forward(upstream: SocketAddr, request: &Request) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&request.bytes)?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    Ok(reply)
}

fn say(client: &mut TcpStream, method: &str, status: u16, body: &str) -> io::Result<()> {
    // A reply to HEAD tells a length and has no body.
    let sent = if method == "HEAD" { "" } else { body };
    write!(
        client,
        "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\netag: \"x\"\r\nlast-modified: Thu, 09 Oct 2025 08:00:00 GMT\r\nconnection: close\r\n\r\n{sent}",
        body.len()
    )
}
