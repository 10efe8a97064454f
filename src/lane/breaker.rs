//! Keeps a wrong mapping from emptying a topic into the dead letters.

use std::collections::VecDeque;

use crate::config;

/// Looks at the last decoded records of a lane.
#[derive(Debug)]
pub(super) struct Breaker {
    window: usize,
    min_seen: usize,
    threshold: f64,
    recent: VecDeque<bool>,
    bad: usize,
}

impl Breaker {
    pub(super) fn new(config: &config::Breaker) -> Self {
        Self {
            window: config.window.get(),
            min_seen: config.min_seen.get(),
            threshold: config.threshold,
            recent: VecDeque::with_capacity(config.window.get()),
            bad: 0,
        }
    }

    /// Takes a batch in; says whether it must not be processed.
    pub(super) fn trips(&mut self, bad: impl IntoIterator<Item = bool>) -> bool {
        for bad in bad {
            if self.recent.len() == self.window && self.recent.pop_front() == Some(true) {
                self.bad -= 1;
            }
            self.recent.push_back(bad);
            self.bad += usize::from(bad);
        }
        self.recent.len() >= self.min_seen && exceeds(self.bad, self.recent.len(), self.threshold)
    }

    /// A batch polled to find out whether things are better again: judged by itself.
    pub(super) fn probe_trips(&mut self, bad: impl IntoIterator<Item = bool>) -> bool {
        self.forget();
        let (mut seen, mut failed) = (0, 0);
        for bad in bad {
            seen += 1;
            failed += usize::from(bad);
        }
        exceeds(failed, seen, self.threshold)
    }

    /// Forgets what was seen: after a trip, the same records come again.
    pub(super) fn forget(&mut self) {
        self.recent.clear();
        self.bad = 0;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of records in a window")]
fn exceeds(bad: usize, seen: usize, threshold: f64) -> bool {
    seen > 0 && bad as f64 > threshold * seen as f64
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::*;
    use crate::config::Span;

    fn breaker() -> Breaker {
        Breaker::new(&config::Breaker {
            window: NonZeroUsize::new(1000).expect("positive"),
            min_seen: NonZeroUsize::new(200).expect("positive"),
            threshold: 0.5,
            probe_interval: Span(Duration::from_secs(30)),
        })
    }

    #[test]
    fn trips_when_more_than_half_is_bad_and_enough_was_seen() {
        let mut breaker = breaker();
        assert!(!breaker.trips([true; 199]), "too few to judge");
        assert!(breaker.trips([true]));
        breaker.forget();
        assert!(!breaker.trips((0..1000).map(|i| i % 2 == 0)), "exactly half is not more than half");
        assert!(breaker.trips([true; 2]), "a bad one pushes a good one out of the window");
    }

    #[test]
    fn a_few_bad_ones_among_many_pass() {
        let mut breaker = breaker();
        assert!((0..50).all(|_| !breaker.trips((0..100).map(|i| i < 10))));
    }

    #[test]
    fn a_probe_is_judged_alone() {
        let mut breaker = breaker();
        assert!(breaker.trips([true; 500]));
        assert!(breaker.probe_trips([true; 3]));
        assert!(!breaker.probe_trips([true, false, false]));
        assert!(!breaker.trips([false; 10]), "and what was before is forgotten");
        assert!(!breaker.probe_trips([]));
    }
}
