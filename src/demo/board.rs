//! What the demo has seen so far: the state behind the view and the summary.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::watch::Sighting;

/// Sightings that the view shows at most.
const LATEST: usize = 64;
/// The rate is measured over so many ticks…
const RATE_TICKS: usize = 4;
/// …of this length.
const TICK: Duration = Duration::from_millis(500);
/// Ticks that are remembered.
const HISTORY: usize = 120;

/// Counts of one run.
pub(super) struct Board {
    /// Records that will be sent.
    pub(super) total: u64,
    /// Records sent so far.
    pub(super) sent: u64,
    /// What the demo is doing.
    pub(super) phase: String,
    /// The model's id.
    pub(super) model: String,
    pub(super) lanes: usize,
    pub(super) labelled: u64,
    /// Posts without scores, by reason.
    pub(super) skipped: BTreeMap<String, u64>,
    /// Dead letters, by class.
    pub(super) dead: BTreeMap<String, u64>,
    /// Posts per emotion, in the model's order.
    pub(super) emotions: Vec<(String, u64)>,
    /// The newest last.
    pub(super) latest: VecDeque<Sighting>,
    /// Outcomes per tick, the newest last.
    pub(super) history: VecDeque<u64>,
    ticked: Instant,
    seen_at_tick: u64,
}

impl Board {
    pub(super) fn new(total: usize, model: &str, labels: &[String], lanes: usize) -> Self {
        Self {
            total: total as u64,
            sent: 0,
            phase: "starting".to_owned(),
            model: model.to_owned(),
            lanes,
            labelled: 0,
            skipped: BTreeMap::new(),
            dead: BTreeMap::new(),
            emotions: labels.iter().map(|label| (label.clone(), 0)).collect(),
            latest: VecDeque::new(),
            history: VecDeque::new(),
            ticked: Instant::now(),
            seen_at_tick: 0,
        }
    }

    /// Takes one outcome in.
    pub(super) fn see(&mut self, sighting: Sighting) {
        match &sighting {
            Sighting::Labelled { labels, .. } => {
                self.labelled += 1;
                for (name, count) in &mut self.emotions {
                    *count += u64::from(labels.iter().any(|(label, _)| label == name));
                }
            }
            Sighting::Skipped { reason } => *self.skipped.entry(reason.clone()).or_default() += 1,
            Sighting::Dead { class, .. } => *self.dead.entry(class.clone()).or_default() += 1,
        }
        if !matches!(sighting, Sighting::Skipped { .. }) {
            self.latest.push_back(sighting);
        }
        if self.latest.len() > LATEST {
            self.latest.pop_front();
        }
    }

    /// Notes the passing of time; call it often.
    pub(super) fn tick(&mut self, now: Instant) {
        while now.saturating_duration_since(self.ticked) >= TICK {
            self.ticked += TICK;
            let seen = self.outcomes();
            self.history.push_back(seen - self.seen_at_tick);
            self.seen_at_tick = seen;
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
    }

    /// Every outcome so far.
    pub(super) fn outcomes(&self) -> u64 {
        self.labelled + self.skipped() + self.dead()
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped.values().sum()
    }

    pub(super) fn dead(&self) -> u64 {
        self.dead.values().sum()
    }

    /// Records sent whose outcome has not been seen yet.
    pub(super) fn lag(&self) -> u64 {
        self.sent.saturating_sub(self.outcomes())
    }

    /// Outcomes per second, lately.
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    pub(super) fn rate(&self) -> f64 {
        let lately = self.history.iter().rev().take(RATE_TICKS);
        let (ticks, seen) = lately.fold((0, 0), |(ticks, seen), tick| (ticks + 1, seen + tick));
        if ticks == 0 { 0.0 } else { seen as f64 / (TICK * ticks).as_secs_f64() }
    }

    /// Share of the labelled posts that were given an emotion, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    pub(super) fn share(&self, count: u64) -> f64 {
        if self.labelled == 0 { 0.0 } else { count as f64 / self.labelled as f64 }
    }
}

/// Counts by name as people read them: `language 30, empty 4`, the largest first.
pub(super) fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_counts_once_and_what_is_missing_is_the_lag() {
        let mut board = Board::new(4, "m", &["joy".to_owned(), "love".to_owned()], 2);
        board.sent = 4;
        let labels = vec![("love".to_owned(), 0.9)];
        board.see(Sighting::Labelled { text: "t".into(), platform: String::new(), labels });
        board.see(Sighting::Skipped { reason: "empty".into() });
        board.see(Sighting::Dead { class: "not_json".into(), bytes: String::new() });
        assert_eq!((board.outcomes(), board.lag()), (3, 1));
        assert_eq!(board.emotions, [("joy".to_owned(), 0), ("love".to_owned(), 1)]);
        assert!((board.share(1) - 1.0).abs() < f64::EPSILON);
        let later = Instant::now() + TICK * 2;
        board.tick(later);
        assert!((board.rate() - 3.0).abs() < f64::EPSILON, "{}", board.rate());
    }

    #[test]
    fn counts_are_listed_with_the_largest_first() {
        let counts = [("b", 2), ("a", 2), ("c", 9)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(listed(&counts.into()), "c 9, a 2, b 2");
    }
}
