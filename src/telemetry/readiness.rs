//! What readiness is made of.
//!
//! Keeps I10: whoever cannot do its work sets a condition with a reason, and the worker is not ready
//! until every condition is cleared.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

/// Why the worker is not ready: named conditions, shared by all who can keep it from working.
#[derive(Debug, Clone)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, String>>>,
    gauge: Gauge,
}

impl Readiness {
    /// The condition that a new one begins with, cleared when everything has been started.
    pub const STARTING: &'static str = "start";

    /// Not ready yet, because of [`Self::STARTING`]; the gauge follows (1 ready, 0 not).
    #[must_use]
    pub fn new(gauge: Gauge) -> Self {
        let readiness = Self { conditions: Arc::default(), gauge };
        readiness.set(Self::STARTING, "the worker is starting");
        readiness
    }

    /// Says that something keeps the worker from working, such as `lane-2`: `joining the group`.
    /// The same condition set again gets the new reason. Returns whether that is news.
    pub fn set(&self, condition: &str, reason: impl Into<String>) -> bool {
        let reason = reason.into();
        self.change(|conditions| conditions.insert(condition.to_owned(), reason.clone())).as_ref() != Some(&reason)
    }

    /// Says that this no longer does.
    pub fn clear(&self, condition: &str) {
        self.change(|conditions| conditions.remove(condition));
    }

    /// Every condition that holds, with its reason; none: ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, String)> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.iter().map(|(condition, reason)| (condition.clone(), reason.clone())).collect()
    }

    /// Whether nothing keeps the worker from working.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Returns the reason before, if any.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> Option<String>) -> Option<String> {
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = change(&mut conditions);
        // Under the lock, so that the gauge cannot keep an older state.
        self.gauge.set(conditions.is_empty().into());
        before
    }
}
