//! A TCP proxy in front of the broker that understands Kafka's framing and loses, delays or cuts on command.
//!
//! A frame is a 4-byte size and so many bytes; a request begins with api key (2 bytes), version (2) and correlation
//! id (4), a reply with the correlation id. Everything else passes as it is.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::eventually;

/// Api keys of the requests that the scenarios hurt.
pub(crate) mod api {
    /// Records to a partition.
    pub(crate) const PRODUCE: i16 = 0;
    /// A partition joins a transaction.
    pub(crate) const ADD_PARTITIONS: i16 = 24;
    /// A group's offsets join a transaction.
    pub(crate) const ADD_OFFSETS: i16 = 25;
    /// The end of a transaction: commit or abort.
    pub(crate) const END_TXN: i16 = 26;
    /// Offsets as part of a transaction.
    pub(crate) const TXN_OFFSET_COMMIT: i16 = 28;
}

/// What is done to matching traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The request reaches the broker, its reply does not reach the client, and the connection is cut. The client
    /// may ask again, or all that it asks from then on vanishes.
    LoseReply { and_all_repeats: bool },
    /// The request does not reach the broker; the connection stays and is silent.
    SwallowRequest,
    /// Replies come this much later.
    DelayReply(Duration),
}

/// Where an `EndTxn` reply (versions 0 to 2) holds its error: behind size, correlation id and throttle time.
const END_TXN_ERROR: usize = 12;

#[derive(Debug)]
struct Rule {
    api: i16,
    fault: Fault,
    /// How many more times; none: until cleared.
    left: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    /// How often each fault was done, by api key.
    done: HashMap<i16, usize>,
    /// Both ends of every connection.
    connections: Vec<TcpStream>,
}

/// The proxy; it ends with its last connection once dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a port of its own and passes everything to `broker`.
    pub(crate) fn start(listener: TcpListener, broker: SocketAddr) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let stopped = Arc::new(AtomicBool::new(false));
        let (shared, stop) = (Arc::clone(&state), Arc::clone(&stopped));
        spawn("proxy", move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(client) = client else { continue };
                // The broker may be down: the client sees a cut connection.
                let Ok(server) = TcpStream::connect(broker) else {
                    continue;
                };
                connect(client, server, &shared);
            }
        });
        Self { address, state, stopped }
    }

    /// The address that clients use.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn add(&self, api: i16, fault: Fault, left: Option<usize>) {
        self.state().rules.push(Rule { api, fault, left });
    }

    /// The next reply to such a request is lost and its connection cut; the broker has done what was asked.
    pub(crate) fn lose_next_reply(&self, api: i16) {
        self.add(api, Fault::LoseReply { and_all_repeats: false }, Some(1));
    }

    /// The same, and requests like it vanish from then on until [`Proxy::clear`]: the client can learn nothing.
    pub(crate) fn lose_next_reply_and_all_repeats(&self, api: i16) {
        self.add(api, Fault::LoseReply { and_all_repeats: true }, Some(1));
    }

    /// Replies to such requests come later until [`Proxy::clear`].
    pub(crate) fn delay_replies(&self, api: i16, delay: Duration) {
        self.add(api, Fault::DelayReply(delay), None);
    }

    /// Ends all faults.
    pub(crate) fn clear(&self) {
        self.state().rules.clear();
    }

    /// Cuts every connection once.
    pub(crate) fn cut(&self) {
        for connection in self.state().connections.drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// How many faults have hit requests of this kind.
    pub(crate) fn hits(&self, api: i16) -> usize {
        self.state().done.get(&api).copied().unwrap_or_default()
    }

    /// Waits for so many hits.
    pub(crate) fn wait_for_hits(&self, api: i16, hits: usize, deadline: Duration) {
        eventually(deadline, &format!("{hits} faults hit requests with api key {api}"), || {
            (self.hits(api) >= hits).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the listening thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic while it was held")
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread can be started");
}

/// Requests of one connection that wait for their replies: correlation id to api key.
type Waiting = Arc<Mutex<HashMap<i32, i16>>>;

fn connect(client: TcpStream, server: TcpStream, state: &Arc<Mutex<State>>) {
    let copies = || -> io::Result<_> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok((client.try_clone()?, server.try_clone()?, client.try_clone()?, server.try_clone()?))
    };
    let Ok((client_read, server_write, client_end, server_end)) = copies() else {
        return;
    };
    lock(state).connections.extend([client_end, server_end]);
    let waiting = Waiting::default();
    let (requests, shared) = (Arc::clone(&waiting), Arc::clone(state));
    spawn("proxy-requests", move || {
        pass(client_read, server_write, |frame| request(frame, &requests, &shared));
    });
    let shared = Arc::clone(state);
    spawn("proxy-replies", move || {
        pass(server, client, |frame| reply(frame, &waiting, &shared));
    });
}

/// What happens to a frame.
enum Fate {
    Pass,
    Vanish,
    Cut,
}

/// Passes frames on until one end closes or a frame's fate is to cut.
fn pass(mut from: TcpStream, mut to: TcpStream, mut fate: impl FnMut(&[u8]) -> Fate) {
    let mut frame = Vec::new();
    while read_frame(&mut from, &mut frame).is_ok() {
        match fate(&frame) {
            Fate::Pass => {
                if to.write_all(&frame).is_err() {
                    break;
                }
            }
            Fate::Vanish => {}
            Fate::Cut => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// One frame, its size field included.
fn read_frame(from: &mut TcpStream, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut size = [0; 4];
    from.read_exact(&mut size)?;
    let length = usize::try_from(i32::from_be_bytes(size)).map_err(io::Error::other)?;
    frame.clear();
    frame.extend_from_slice(&size);
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..])
}

fn request(frame: &[u8], waiting: &Waiting, state: &Mutex<State>) -> Fate {
    let (Some(api), Some(correlation)) = (number::<2>(frame, 4), number::<4>(frame, 8)) else {
        return Fate::Cut;
    };
    let (api, correlation) = (i16::from_be_bytes(api), i32::from_be_bytes(correlation));
    if hit(state, api, |fault| fault == Fault::SwallowRequest).is_some() {
        return Fate::Vanish;
    }
    waiting.lock().expect("no panic while it was held").insert(correlation, api);
    Fate::Pass
}

fn reply(frame: &[u8], waiting: &Waiting, state: &Mutex<State>) -> Fate {
    let Some(correlation) = number::<4>(frame, 4).map(i32::from_be_bytes) else {
        return Fate::Cut;
    };
    let Some(api) = waiting.lock().expect("no panic while it was held").remove(&correlation) else {
        return Fate::Pass;
    };
    let refused = api == api::END_TXN && number::<2>(frame, END_TXN_ERROR) != Some([0, 0]);
    let applies = |fault| match fault {
        // A refusal ("try again", under load) leaves nothing in doubt: the fault waits for what the broker has done.
        Fault::LoseReply { .. } => !refused,
        Fault::DelayReply(_) => true,
        Fault::SwallowRequest => false,
    };
    match hit(state, api, applies) {
        Some(Fault::LoseReply { and_all_repeats }) => {
            if and_all_repeats {
                lock(state).rules.push(Rule { api, fault: Fault::SwallowRequest, left: None });
            }
            Fate::Cut
        }
        Some(Fault::DelayReply(delay)) => {
            // The delay is the fault itself, not a wait for something.
            let end = Instant::now() + delay;
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
            Fate::Pass
        }
        _ => Fate::Pass,
    }
}

fn number<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}

/// The first matching fault that is still to be done, counted as done.
fn hit(state: &Mutex<State>, api: i16, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
    let mut state = lock(state);
    let rule = state.rules.iter_mut().find(|rule| rule.api == api && wanted(rule.fault) && rule.left != Some(0))?;
    let fault = rule.fault;
    rule.left = rule.left.map(|left| left - 1);
    *state.done.entry(api).or_default() += 1;
    Some(fault)
}
