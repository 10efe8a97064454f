//! Faults on the way to the store, for the tests: by script for one operation, or by chance for all of them.
//!
//! A worker that was built with the `fault-injection` feature takes them from `MOODSTREAM_STORE_FAULTS`, a list
//! such as `lost_reply=0.1,unavailable=0.05,torn=0.02,seed=7`; each fault is logged. A name with a number is a
//! probability:
//!
//! | name | what happens |
//! |---|---|
//! | `lost_request` | nothing is done, and the answer is unknown |
//! | `lost_reply` | it is done, and the answer is unknown |
//! | `late` | the answer is unknown, and it is done later: after `late_by` (a time, 2s unless given) |
//! | `conflict` | a put-if-absent is told that the name is taken, and nothing is written (S3's 409) |
//! | `own_retry` | a put-if-absent is done, and told that the name is taken (S3's 412 on a put sent twice) |
//! | `unavailable` | nothing is done, and the store says so |
//! | `torn` | half of the content gets the name, and the answer is unknown |
//! | `overwrite` | a put-if-absent overwrites and is told that it is new |
//!
//! `seed=N` makes the chances repeatable, which are else others at each start; `spare_probe` leaves the start-up probe alone, so that a worker starts on
//! a store that overwrites. A name without a number happens always.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::error::Doing;
use super::{Created, Mode, Store, StoreError, blocking, probe};

/// The environment variable.
const VARIABLE: &str = "MOODSTREAM_STORE_FAULTS";

/// What is done to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    LostRequest,
    LostReply,
    /// Done so much later, when nobody waits any more.
    Late(Duration),
    Conflict,
    OwnRetry,
    Unavailable,
    Torn,
    Overwrite,
}

impl Fault {
    /// Whether there is such a fault of this operation.
    fn fits(self, doing: Doing<'_>) -> bool {
        match self {
            Self::LostRequest | Self::LostReply | Self::Unavailable => true,
            Self::Late(_) => !matches!(doing, Doing::Read(_) | Doing::List(_)),
            Self::Torn => matches!(doing, Doing::Create(_) | Doing::Replace(_)),
            Self::Conflict | Self::OwnRetry | Self::Overwrite => matches!(doing, Doing::Create(_)),
        }
    }
}

/// The faults of one store.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    script: Vec<Rule>,
    odds: Vec<(Fault, f64)>,
    spare_probe: bool,
    dice: Dice,
    done: usize,
}

/// So many operations to come, on paths with this in them, end in this fault.
#[derive(Debug)]
struct Rule {
    path: String,
    fault: Fault,
    left: usize,
}

impl Faults {
    /// Those of [`VARIABLE`], if it is set.
    ///
    /// # Errors
    /// When it cannot be read: a test without its faults would prove nothing.
    pub(super) fn of_environment() -> Result<Option<Arc<Self>>, StoreError> {
        let Ok(setting) = env::var(VARIABLE) else { return Ok(None) };
        let faults = Self::parse(&setting).map_err(|reason| StoreError::refused(VARIABLE, reason))?;
        tracing::warn!(faults = setting, "faults of the archive's store are injected");
        Ok(Some(Arc::new(faults)))
    }

    /// Reads the list of [`VARIABLE`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let seed = RandomState::new().hash_one(0);
        let mut state = State { dice: Dice(seed), ..State::default() };
        let mut late_by = Duration::from_secs(2);
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').unwrap_or((entry, "1"));
            let fault = match name {
                "lost_request" => Fault::LostRequest,
                "lost_reply" => Fault::LostReply,
                "late" => Fault::Late(Duration::ZERO),
                "conflict" => Fault::Conflict,
                "own_retry" => Fault::OwnRetry,
                "unavailable" => Fault::Unavailable,
                "torn" => Fault::Torn,
                "overwrite" => Fault::Overwrite,
                "spare_probe" => {
                    state.spare_probe = true;
                    continue;
                }
                "seed" => {
                    state.dice = Dice(value.parse().map_err(|_| format!("{entry}: is no number"))?);
                    continue;
                }
                "late_by" => {
                    late_by = humantime::parse_duration(value).map_err(|error| format!("{entry}: {error}"))?;
                    continue;
                }
                _ => return Err(format!("{entry}: is no fault")),
            };
            let odds = value.parse::<f64>().ok().filter(|odds| (0.0..=1.0).contains(odds));
            state.odds.push((fault, odds.ok_or_else(|| format!("{entry}: must be 0 to 1"))?));
        }
        for (fault, _) in &mut state.odds {
            if let Fault::Late(by) = fault {
                *by = late_by;
            }
        }
        Ok(Self { state: Mutex::new(state) })
    }

    /// The next so many operations that this fault fits, on paths with `path` in them, end in it.
    #[cfg(test)]
    pub(crate) fn inject(&self, path: &str, fault: Fault, times: usize) {
        self.state().script.push(Rule { path: path.to_owned(), fault, left: times });
    }

    /// Ends all faults.
    #[cfg(test)]
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.script.clear();
        state.odds.clear();
    }

    /// How many faults there were.
    #[cfg(test)]
    pub(crate) fn done(&self) -> usize {
        self.state().done
    }

    /// What is to be done to this operation.
    pub(super) fn next(&self, doing: Doing<'_>) -> Option<Fault> {
        let path = doing.path();
        let mut state = self.state();
        let state = &mut *state;
        if state.spare_probe && path.starts_with(probe::FOLDER) {
            return None;
        }
        let due = |rule: &&mut Rule| rule.left > 0 && rule.fault.fits(doing) && path.contains(&rule.path);
        let fault = if let Some(rule) = state.script.iter_mut().find(due) {
            rule.left -= 1;
            rule.fault
        } else {
            let State { odds, dice, .. } = state;
            odds.iter().find(|(fault, odds)| fault.fits(doing) && dice.roll() < *odds)?.0
        };
        state.done += 1;
        tracing::info!(?fault, operation = %doing, "a fault of the archive's store was injected");
        Some(fault)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A put that ends in a fault.
pub(super) async fn put(
    store: &Store,
    fault: Fault,
    doing: Doing<'_>,
    path: &str,
    content: Bytes,
    mode: Mode,
) -> Result<Created, StoreError> {
    let lost = || Err(StoreError::no_answer(doing, "the reply was lost (injected)"));
    match fault {
        Fault::LostRequest => lost(),
        Fault::LostReply => {
            store.put(path, content, mode).await?;
            lost()
        }
        Fault::Late(by) => {
            let (store, path) = (store.clone(), path.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                let done = store.put(&path, content, mode).await;
                tracing::info!(path, ?done, "a late put of the archive's store arrived");
            });
            lost()
        }
        Fault::Conflict => Ok(Created::Exists),
        Fault::OwnRetry => {
            store.put(path, content, mode).await?;
            Ok(Created::Exists)
        }
        Fault::Unavailable => Err(unavailable(doing)),
        Fault::Torn => match tear(store, path, &content, mode).await? {
            Created::New => lost(),
            Created::Exists => Ok(Created::Exists),
        },
        Fault::Overwrite => store.put(path, content, Mode::Overwrite).await,
    }
}

/// A deletion that ends in a fault.
pub(super) async fn delete(store: &Store, fault: Fault, doing: Doing<'_>, path: &str) -> Result<(), StoreError> {
    match fault {
        Fault::Unavailable => return Err(unavailable(doing)),
        Fault::LostReply => store.remove(path).await?,
        Fault::Late(by) => {
            let (store, path) = (store.clone(), path.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                let done = store.remove(&path).await;
                tracing::info!(path, ?done, "a late deletion of the archive's store arrived");
            });
        }
        _ => {}
    }
    Err(StoreError::no_answer(doing, "the reply was lost (injected)"))
}

/// A read that ends in a fault.
pub(super) fn read(fault: Fault, doing: Doing<'_>) -> StoreError {
    match fault {
        Fault::Unavailable => unavailable(doing),
        _ => StoreError::no_answer(doing, "the reply was lost (injected)"),
    }
}

fn unavailable(doing: Doing<'_>) -> StoreError {
    StoreError::later(doing, "503 Service Unavailable (injected)")
}

/// Half of the content under the final name; a put-if-absent tears nothing that is there.
async fn tear(store: &Store, path: &str, content: &Bytes, mode: Mode) -> Result<Created, StoreError> {
    let half = content.slice(..content.len() / 2);
    let Some(disk) = store.inner.disk.clone() else { return store.put(path, half, mode).await };
    if mode != Mode::IfAbsent {
        store.remove(path).await?;
    }
    let name = path.to_owned();
    match blocking(move || disk.tear(&name, &half)).await {
        Ok(()) => Ok(Created::New),
        Err(_) => Ok(Created::Exists),
    }
}

/// A generator of random numbers (splitmix64): a seed names a run.
#[derive(Debug, Default)]
struct Dice(u64);

impl Dice {
    /// At least 0 and less than 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}
