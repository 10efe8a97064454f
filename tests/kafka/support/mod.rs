//! The rig: a broker, a fault proxy, worker processes, topics of a scenario, and the oracle.

pub(crate) mod admin;
pub(crate) mod broker;
pub(crate) mod chaos;
pub(crate) mod oracle;
pub(crate) mod posts;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod stage;
pub(crate) mod topic;
pub(crate) mod worker;

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Waits until `check` answers, at most until `deadline`.
///
/// # Panics
/// When the deadline passes; the message names `what` was waited for.
pub(crate) fn eventually<T>(deadline: Duration, what: &str, check: impl FnMut() -> Option<T>) -> T {
    within(deadline, check).unwrap_or_else(|| panic!("not within {deadline:?}: {what}"))
}

/// Waits until `check` answers; `None` when `deadline` passes first.
pub(crate) fn within<T>(deadline: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = check() {
            return Some(answer);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(STEP.min(left));
    }
}

/// A name that no other test and no earlier run has used.
pub(crate) fn unique(stem: &str) -> String {
    format!("{stem}-{:08x}", random() >> 32)
}

/// A TCP port of the loopback interface that was free a moment ago, below the range that outgoing connections take
/// theirs from: a broker that restarts finds it free again.
pub(crate) fn free_port() -> u16 {
    const FROM: u16 = 20_000;
    const COUNT: u16 = 12_000;
    loop {
        let port = FROM + u16::try_from(random() % u64::from(COUNT)).expect("less than the count");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Another number at each call and in each process (the standard library seeds its hashers so).
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
