//! Who has claimed which event, and what was delivered: files of the archive's state, each put once if absent.
//!
//! ```text
//! _state/alerts/<rule>/<hour>-<digest>.json                   the claim: the event itself, as it is delivered
//!                      <hour>-<digest>.attempt-000002.json    somebody delivers it again
//!                      <hour>-<digest>.delivered.json         it was delivered
//! ```
//!
//! Whoever has made a claim or an attempt delivers at once, and within [`OWNED`]. Without the last file after that time
//! (by the store's clock) the next attempt is anybody's; each waits twice as long as the one before.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::hour::Hour;
use crate::archive::layout::ALERTS;
use crate::archive::store::Created;
use crate::archive::{Store, StoreError};
use crate::fault;

/// How long an event is its claimer's to deliver: longer than any delivery takes, and clocks differ.
pub(super) const OWNED: Duration = Duration::from_mins(10);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

const DELIVERED: &str = ".delivered";
const ATTEMPT: &str = ".attempt-";

/// The archive's memory of alerts.
pub(crate) struct Ledger {
    store: Store,
    by: String,
}

/// What is known of an event that was claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// How often somebody began to deliver it.
    attempts: u32,
    /// When the last one began.
    last: i64,
    delivered: bool,
}

/// An attempt, or a delivery.
#[derive(Serialize, Deserialize)]
struct Note {
    by: String,
    /// Milliseconds since 1970.
    at: i64,
}

/// The part of an event that tells whose claim it is.
#[derive(Deserialize)]
struct Claimer {
    by: String,
}

impl Known {
    /// Whether somebody should deliver it again.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        if self.delivered || self.attempts == 0 {
            return false;
        }
        let wait = OWNED.saturating_mul(1 << (self.attempts - 1).min(16)).min(LONGEST_WAIT);
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        now.as_millisecond() >= self.last.saturating_add(wait)
    }
}

impl Ledger {
    /// `by` is a name that no other alerter has.
    pub(super) fn new(store: Store, by: &str) -> Self {
        Self { store, by: by.to_owned() }
    }

    /// This alerter.
    pub(super) fn by(&self) -> &str {
        &self.by
    }

    /// The events of a rule that were claimed, by their stems, of windows that began at an instant or later.
    pub(super) async fn known(&self, rule: &str, since: i64) -> Result<BTreeMap<String, Known>, StoreError> {
        let folder = format!("{ALERTS}/{rule}");
        let mut events: BTreeMap<String, Known> = BTreeMap::new();
        for file in self.store.list_after(&folder, &format!("{folder}/{}", Hour::of(since))).await? {
            let Some(name) = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".json")) else { continue };
            let (stem, what) = name.split_at(name.find('.').unwrap_or(name.len()));
            let known = events.entry(stem.to_owned()).or_default();
            if what == DELIVERED {
                known.delivered = true;
                continue;
            }
            let number =
                if what.is_empty() { Some(1) } else { what.strip_prefix(ATTEMPT).and_then(|n| n.parse().ok()) };
            let Some(number) = number else { continue };
            if number > known.attempts {
                (known.attempts, known.last) = (number, file.modified_ms);
            }
        }
        Ok(events)
    }

    /// Claims an event, with what is delivered of it; whether it is this alerter's to deliver now.
    pub(super) async fn claim(&self, rule: &str, stem: &str, event: &[u8]) -> Result<bool, StoreError> {
        if fault::is_off("alert_claim") {
            return Ok(true);
        }
        self.take(&path(rule, stem, ""), Bytes::copy_from_slice(event)).await
    }

    /// The event as its claim has it.
    pub(super) async fn event(&self, rule: &str, stem: &str) -> Result<Option<Bytes>, StoreError> {
        self.store.get(&path(rule, stem, "")).await
    }

    /// Begins the next attempt at an event; whether it is this alerter's.
    pub(super) async fn attempt(
        &self,
        rule: &str,
        stem: &str,
        known: &Known,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let number = known.attempts + 1;
        self.take(&path(rule, stem, &format!("{ATTEMPT}{number:06}")), self.note(now)).await
    }

    /// Notes that an event was delivered.
    pub(super) async fn delivered(&self, rule: &str, stem: &str, now: Timestamp) -> Result<(), StoreError> {
        self.store.create(&path(rule, stem, DELIVERED), self.note(now)).await.map(drop)
    }

    /// Puts a file that only one may put; whether that was this alerter.
    async fn take(&self, path: &str, content: Bytes) -> Result<bool, StoreError> {
        match self.store.create(path, content).await {
            Ok(Created::New) => Ok(true),
            // It may have been this very put, sent twice, or one whose reply was lost: only the content tells.
            Ok(Created::Exists) | Err(StoreError::Unknown(_)) => {
                let there = self.store.get(path).await?;
                let claimer = there.and_then(|there| serde_json::from_slice::<Claimer>(&there).ok());
                Ok(claimer.is_some_and(|claimer| claimer.by == self.by))
            }
            Err(error) => Err(error),
        }
    }

    fn note(&self, now: Timestamp) -> Bytes {
        let note = Note { by: self.by.clone(), at: now.as_millisecond() };
        serde_json::to_vec(&note).expect("a string and a number become JSON").into()
    }
}

fn path(rule: &str, stem: &str, what: &str) -> String {
    format!("{ALERTS}/{rule}/{stem}{what}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).expect("in range")
    }

    #[test]
    fn each_attempt_waits_twice_as_long_as_the_one_before() {
        for (attempts, wait) in [(1, 10), (2, 20), (3, 40), (8, 1280), (9, 1440), (60, 1440)] {
            let known = Known { attempts, last: 0, delivered: false };
            assert!(!known.is_due(at(wait - 1)) && known.is_due(at(wait)), "{attempts}");
            assert!(!Known { delivered: true, ..known }.is_due(at(wait)));
        }
        assert!(!Known::default().is_due(at(9999)), "a mark without a claim");
    }

    #[tokio::test]
    async fn only_one_claims_and_only_one_makes_each_attempt() {
        let store = Store::memory(Duration::from_secs(20));
        let (one, other) = (Ledger::new(store.clone(), "one"), Ledger::new(store, "other"));
        let event = |ledger: &Ledger| format!("{{\"by\":\"{}\"}}", ledger.by()).into_bytes();
        let stem = "2025-10-07T17-0123456789abcdef";
        assert!(one.claim("a", stem, &event(&one)).await.expect("stored"));
        assert!(!other.claim("a", stem, &event(&other)).await.expect("stored"));
        assert!(one.claim("a", stem, &event(&one)).await.expect("stored"), "its own put, sent twice");
        let since = "2025-10-07T17:00:00Z".parse::<Timestamp>().expect("an instant").as_millisecond();
        let known = other.known("a", since).await.expect("listed").remove(stem).expect("claimed");
        assert_eq!((known.attempts, known.delivered), (1, false));
        assert!(other.attempt("a", stem, &known, at(0)).await.expect("stored"));
        assert!(!one.attempt("a", stem, &known, at(0)).await.expect("stored"));
        other.delivered("a", stem, at(0)).await.expect("stored");
        let known = one.known("a", since).await.expect("listed");
        assert_eq!((known[stem].attempts, known[stem].delivered), (2, true));
        assert!(one.known("a", since + 3_600_000).await.expect("listed").is_empty(), "an hour that is over");
        assert!(one.known("ab", since).await.expect("listed").is_empty(), "another rule");
    }
}
