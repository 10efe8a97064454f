//! Who used the processors while something was measured: this process's threads by what they do, the broker on
//! the same machine, others, nobody. Shares are of the time of all cores; Linux only.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde::Serialize;

/// Below this share of the machine a user of it is not worth a line.
const NOTABLE: f64 = 0.001;
/// Above this share, strangers have spoilt the figures.
const SPOILT: f64 = 0.02;

/// Processor time so far, in seconds, by user.
#[derive(Debug, Clone)]
pub(super) struct Cpu {
    users: BTreeMap<&'static str, f64>,
    at: Instant,
}

/// What each used between two moments, as a share (0 to 1) of the time of all cores.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct CpuShares(BTreeMap<&'static str, f64>);

impl CpuShares {
    /// The share of one user; 0 when it is unknown.
    pub(super) fn of(&self, user: &str) -> f64 {
        self.0.get(user).copied().unwrap_or(0.0)
    }
}

pub(super) const SESSIONS: &str = "sessions";
const LANES: &str = "lanes: decode, tokenize, encode, commit";
const CLIENTS: &str = "Kafka client's threads";
const REST: &str = "rest of this process";
const BROKER: &str = "broker (java)";
const PYTHON: &str = "Python worker";
const OTHERS: &str = "other processes";
pub(super) const IDLE: &str = "idle";

impl Cpu {
    /// The time used until now; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Option<Self> {
        use procfs::process::{Process, all_processes};

        #[expect(clippy::cast_precision_loss, reason = "a count of ticks far below 2^52")]
        let seconds = |user: u64, system: u64| (user + system) as f64 / procfs::ticks_per_second() as f64;
        let mut users = BTreeMap::new();
        let mut add = |user, time: f64| *users.entry(user).or_insert(0.0) += time;
        let own = Process::myself().ok()?;
        for task in own.tasks().ok()?.flatten() {
            let Ok(stat) = task.stat() else { continue };
            add(thread_of(&stat.comm), seconds(stat.utime, stat.stime));
        }
        for process in all_processes().ok()?.flatten().filter(|process| process.pid != own.pid) {
            let Ok(stat) = process.stat() else { continue };
            let user = match stat.comm.as_str() {
                "java" => BROKER,
                comm if comm.starts_with("python") => PYTHON,
                _ => OTHERS,
            };
            add(user, seconds(stat.utime, stat.stime));
        }
        Some(Self { users, at: Instant::now() })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Option<Self> {
        None
    }

    /// What each used since `first`.
    pub(super) fn since(&self, first: &Self) -> CpuShares {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
        let all = (self.at - first.at).as_secs_f64() * cores as f64;
        let used = |user: &&'static str, time: f64| (time - first.users.get(user).unwrap_or(&0.0)).max(0.0) / all;
        let mut shares: BTreeMap<_, _> = self.users.iter().map(|(user, time)| (*user, used(user, *time))).collect();
        shares.insert(IDLE, (1.0 - shares.values().sum::<f64>()).max(0.0));
        CpuShares(shares)
    }
}

/// Processor time of this process so far, in seconds; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn processor_seconds() -> Option<f64> {
    let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a count of ticks far below 2^52")]
    Some((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn processor_seconds() -> Option<f64> {
    None
}

/// What a thread of this process does, by its name.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "threads are looked at on Linux only"))]
fn thread_of(name: &str) -> &'static str {
    match name {
        name if name.starts_with("session-") => SESSIONS,
        name if name.starts_with("lane-") => LANES,
        name if name.starts_with("rdk:") => CLIENTS,
        _ => REST,
    }
}

impl fmt::Display for CpuShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shares: Vec<_> = self.0.iter().filter(|(_, share)| **share >= NOTABLE).collect();
        shares.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        for (user, share) in shares {
            write!(f, "\n    {user:<42}{:>6.1} %", share * 100.0)?;
        }
        if self.of(OTHERS) > SPOILT {
            write!(f, "\n    ! the machine was not quiet: other processes used {:.0} %", self.of(OTHERS) * 100.0)?;
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_busy_lane_is_seen_as_one_and_shares_are_of_all_cores() {
        let first = Cpu::now().expect("Linux tells");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let busy = || {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            std::thread::Builder::new().name("lane-0".to_owned()).spawn_scoped(scope, busy).expect("a thread");
            // However busy the machine, the lane gets its turn.
            let shares = loop {
                let shares = Cpu::now().expect("Linux tells").since(&first);
                if shares.of(LANES) > 0.0 || first.at.elapsed() > Duration::from_secs(30) {
                    break shares;
                }
            };
            done.store(true, Ordering::Relaxed);
            assert!(shares.of(LANES) > 0.0, "{shares}");
            assert!(shares.0.values().all(|share| (0.0..1.2).contains(share)), "{shares}");
        });
    }
}
